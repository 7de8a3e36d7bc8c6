"""The shuffled evaluation: the program's tokens, the declared traffic, uniform views."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.programs import Example, small_model, with_rotations
from tests.support.shuffled_parties import Parties, expected, told
from veracity.engine import load_engine
from veracity.errors import FormatError, PeerError, RangeError, UnsupportedModelError, UsageError
from veracity.graph import Program
from veracity.graph.evaluate import pointwise
from veracity.graph.ops import Attention, Gain, Head, Linear, Norm
from veracity.graph.ops.rotary import rotate
from veracity.lm.text_decoder import forward, vocabulary_of
from veracity.lm.text_decoder import logits as every_logit
from veracity.mpc.shuffled import evaluate as passes
from veracity.mpc.shuffled import mixing
from veracity.mpc.shuffled.attention import Attend, rotated
from veracity.mpc.shuffled.functions import Group
from veracity.mpc.shuffled.opening import revealed
from veracity.mpc.shuffled.packing import signed
from veracity.mpc.shuffled.plan import compile_plan
from veracity.mpc.shuffled.role import Online, Shape
from veracity.mpc.token_selection import homomorphic, seal
from veracity.mpc.token_selection.pick import greedy
from veracity.net import pair

ENGINE = load_engine("cpu")

BIG = (16, 2, 2, 8, 24, 40)


def shaped(style: str, seed: int) -> Example:
    shape = (8, 1 + seed % 2, 2, 4, 12, 30)
    if style == "rotation":
        return with_rotations(small_model("llama", seed=seed, shape=shape))
    return small_model(style, seed=seed, shape=shape)


@pytest.mark.parametrize("style", ["llama", "gpt2", "rotation"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tokens_are_the_programs_and_traffic_is_as_declared(style: str, seed: int) -> None:
    example = shaped(style, seed)
    program, weights = example.program, example.weights
    prompt = example.tokens[:3]
    want = expected(program, weights, prompt, 8)
    got, done = told(Parties(program, weights), prompt, want[:-1])
    # Stochastic rounding may move a near tie; these models have none.
    assert sum(a == b for a, b in zip(got, want, strict=True)) >= 7
    for one in done:
        assert one.declared == one.measured
        assert one.hops == one.declared.one_way  # no message waits for nothing


def test_each_party_computes_on_an_engine_of_its_own() -> None:
    slow = load_engine("reference")
    example = small_model("llama", layers=1, shape=(4, 1, 1, 2, 6, 9))
    prompt = example.tokens[:2]
    want = expected(example.program, example.weights, prompt, 2)
    for engines in ((slow, ENGINE, ENGINE), (ENGINE, slow, ENGINE), (ENGINE, ENGINE, slow)):
        parties = Parties(example.program, example.weights, engines=engines)
        assert told(parties, prompt, want[:1])[0] == want


@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_five_round_trips_a_layer_for_a_token_and_six_for_a_prompt(style: str) -> None:
    for rows, start, each in ((1, 9, 5), (7, 0, 6), (7, 3, 6)):
        trips = []
        for layers in (2, 3):
            plan = compile_plan(small_model(style, layers=layers).program)
            assert plan.round_trips_per_layer(Shape(rows, start)) == each
            trips.append(plan.cost(Shape(rows, start)).round_trips)
        assert trips[1] - trips[0] == each
        assert trips[0] == 2 * each + 3  # embedding, last norm, logits, choice


def test_a_long_context_takes_a_round_trip_instead_of_masks() -> None:
    plan = compile_plan(small_model("llama").program)
    attend = next(s for s in plan.steps if isinstance(s, Attend))
    words = attend.op.kv_heads * attend.op.group * attend.op.head_dim
    longest = mixing.MOST // words
    assert attend.mixing(Shape(1, longest - 1)) is not None
    assert attend.mixing(Shape(1, longest)) is None
    assert plan.round_trips_per_layer(Shape(1, longest)) == 6
    most = max(plan.cost(Shape(1, at)).offline_bytes_owner for at in (longest - 1, longest))
    assert most < 2 * len(plan.steps) * 8 * mixing.MOST


def test_both_ways_of_mixing_give_the_same_values(monkeypatch: pytest.MonkeyPatch) -> None:
    # One session: the prompt and two tokens, of which the second takes the long way, on the same
    # cache. What the user sees behind attention is the program's up to roundings.
    example = small_model("llama", shape=BIG, prompt=6)
    tokens = example.tokens[:6]
    parties = Parties(example.program, example.weights)
    attend = next(s for s in parties.plan.steps if isinstance(s, Attend))
    group = parties.group_of("layers.0.mlp_norm")

    async def run() -> list[Any]:
        done = [await parties.feed(tokens[:4]), await parties.feed(tokens[4:5])]
        with monkeypatch.context() as patch:
            patch.setattr(mixing, "MOST", 0)
            done.append(await parties.feed(tokens[5:]))
        return done

    done = asyncio.run(run())
    assert [(attend.index, 4) in one.user_seen for one in done] == [True, False, True]
    for end, one in zip((5, 6), done[1:], strict=True):
        trace = forward(example.program, example.weights, tokens[:end], end)
        name = next(op for op in group.ops if isinstance(op, Norm)).x
        theirs = np.sort(trace.values[name][-1])
        values = one.clear(group)
        added = next(op for op in group.ops if op.name == name)
        ours = np.sort(pointwise(added, values)[0])
        assert np.abs(ours - theirs).max() <= 40


def test_what_the_user_evaluates_is_the_programs_up_to_order() -> None:
    # The first layer's groups see exactly the program's values: nothing was rounded before them.
    example = small_model("llama", shape=BIG)
    trace = forward(example.program, example.weights, example.tokens[:4], 4)
    parties = Parties(example.program, example.weights)
    _, (done,) = told(parties, example.tokens[:4], ())
    seen = done.clear(parties.group_of("layers.0.attn_norm"))
    assert set(seen) == {"embed"}
    ours, theirs = np.sort(seen["embed"], axis=1), np.sort(trace.values["embed"], axis=1)
    assert sorted(ours.tolist()) == sorted(theirs.tolist())
    assert not np.array_equal(seen["embed"], trace.values["embed"])


def test_elementwise_groups_are_permuted_across_all_rows() -> None:
    example = small_model("llama", shape=BIG)
    trace = forward(example.program, example.weights, example.tokens[:4], 4)
    parties = Parties(example.program, example.weights)
    _, (done,) = told(parties, example.tokens[:4], ())
    group = parties.group_of("layers.0.mlp.act")
    assert not group.by_rows
    ours = done.clear(group)["layers.0.mlp.gate"]
    theirs = trace.values["layers.0.mlp.gate"]
    # Equal up to the rounding of attention before it: a unit here and there.
    assert np.abs(np.sort(ours, axis=None) - np.sort(theirs, axis=None)).max() <= 40
    rows_ours = np.sort(np.sort(ours, axis=1), axis=0)
    assert not np.allclose(rows_ours, np.sort(np.sort(theirs, axis=1), axis=0), atol=40)


def test_two_passes_share_no_order_and_no_message() -> None:
    example = small_model("llama", shape=BIG)
    views = []
    for _ in range(2):
        parties = Parties(example.program, example.weights)
        _, (done,) = told(parties, example.tokens[:4], ())
        group = parties.group_of("layers.0.attn_norm")
        views.append((done.clear(group)["embed"], done.owner_seen, done.ahead))
    (first, sent, ahead), (second, again, ahead_again) = views
    assert not np.array_equal(first, second)
    assert np.array_equal(np.sort(first, axis=None), np.sort(second, axis=None))
    for key in sent:
        for (a, bits), (b, _) in zip(sent[key], again[key], strict=True):
            if bits >= 32:
                assert np.count_nonzero(a == b) <= 1
    assert ahead != ahead_again


def uniform(counts: Any) -> bool:
    expected_count = counts.sum() / counts.size
    statistic = ((counts - expected_count) ** 2 / expected_count).sum()
    freedom = counts.size - 1
    return bool(abs(statistic - freedom) < 7 * np.sqrt(2 * freedom))


def top_bytes(array: Any, bits: int) -> Any:
    return np.bincount((array >> np.uint64(bits - 8)).astype(np.int64), minlength=256)


def test_the_owners_view_is_uniform() -> None:
    # All that reaches the owner online, and ahead: its top bits (where values would show).
    example = small_model("llama", shape=(32, 2, 2, 16, 96, 200), prompt=40)
    parties = Parties(example.program, example.weights)
    _, (done,) = told(parties, example.tokens[:40], ())
    total = np.zeros(256)
    for arrays in done.owner_seen.values():
        for array, bits in arrays:
            counts = top_bytes(array, bits)
            total += counts
            if len(array) > 2000:
                assert uniform(counts)
    assert total.sum() > 50_000
    assert uniform(total)
    assert uniform(np.bincount(np.frombuffer(done.ahead, dtype=np.uint8), minlength=256))


def test_what_the_user_receives_is_uniform_until_its_masks_come_off() -> None:
    example = small_model("gpt2", shape=(32, 2, 2, 16, 96, 200), prompt=40)
    parties = Parties(example.program, example.weights)
    _, (done,) = told(parties, example.tokens[:40], ())
    total = np.zeros(256)
    for arrays in done.user_seen.values():
        for array, bits in arrays:
            total += top_bytes(array, bits)
    assert total.sum() > 20_000
    assert uniform(total)


def test_attention_opens_masked_values_only() -> None:
    # q, k, v and the weights p as the user gets them, over many fresh passes of one short prompt:
    # the top byte of the first element is uniform, although the value is the same every time.
    example = small_model("llama", layers=1, shape=(6, 1, 2, 4, 5, 11))
    found: dict[tuple[int, int], list[int]] = {}
    for _ in range(300):
        parties = Parties(example.program, example.weights)
        attend = next(s for s in parties.plan.steps if isinstance(s, Attend))
        _, (done,) = told(parties, example.tokens[:2], ())
        for part in (0, 4):
            for i, (array, bits) in enumerate(done.user_seen[attend.index, part]):
                found.setdefault((part, i), []).append(int(array[0]) >> (bits - 4))
    for tops in found.values():
        counts = np.bincount(tops, minlength=16)
        assert ((counts - 300 / 16) ** 2 / (300 / 16)).sum() < 60  # 15 degrees: 2e-7


def test_mixing_shows_the_owner_masked_values_only() -> None:
    # The same for what travels with the softmax of a single token, and for what is dealt for it.
    example = small_model("llama", layers=1, shape=(6, 1, 2, 4, 5, 11))
    found: dict[tuple[str, int], list[int]] = {}
    for _ in range(300):
        parties = Parties(example.program, example.weights)
        attend = next(s for s in parties.plan.steps if isinstance(s, Attend))
        _, (_, done) = told(parties, example.tokens[:1], example.tokens[1:2])
        for i, (array, _) in enumerate(done.owner_seen[attend.index, 3]):
            found.setdefault(("message", i), []).append(int(array[0]) >> 60)
        for i, array in enumerate(done.owner.pieces[attend.index][2:]):
            found.setdefault(("piece", i), []).append(int(array[0]) >> 60)
    assert len(found) == 5
    for tops in found.values():
        counts = np.bincount(tops, minlength=16)
        assert ((counts - 300 / 16) ** 2 / (300 / 16)).sum() < 60  # 15 degrees: 2e-7


def test_rotation_of_shares_is_the_programs() -> None:
    example = small_model("llama", shape=BIG)
    ropes = [op for op in example.program.ops if type(op).__name__ == "Rope"]
    rng = np.random.default_rng(1)
    for op in ropes[:1] + ropes[-1:]:
        x = rng.integers(-30000, 30000, (3, op.heads * op.head_dim))
        share = rng.integers(0, 1 << 64, x.shape, dtype=np.uint64)
        whole = rotated(op, share, 5) + rotated(op, x.view(np.uint64) - share, 5)
        exact = whole.view(np.int64)
        assert np.array_equal((exact + (1 << (op.frac - 1))) >> op.frac, rotate(op, x, 5))


def test_scores_of_a_small_ring_cost_bits_of_queries_and_keys() -> None:
    # The same program twice, the second time as if the ring were 2 bits too small: what the user
    # sees of the scores is the same but for those bits.
    example = small_model("llama", layers=1, shape=BIG)
    found = []
    for dropped in (0, 2):
        parties = Parties(example.program, example.weights)
        steps = [
            replace(
                s,
                dropped=dropped,
                shifts=(s.shifts[0] + dropped, s.shifts[1] + dropped, s.shifts[2]),
                score_bits=s.score_bits - 2 * dropped,
            )
            if isinstance(s, Attend)
            else s
            for s in parties.plan.steps
        ]
        plan = replace(parties.plan, steps=tuple(steps))
        parties.plan = parties.dealer.plan = parties.owner.plan = parties.user.plan = plan
        _, (done,) = told(parties, example.tokens[:4], ())
        assert done.declared == done.measured
        attend = next(s for s in steps if isinstance(s, Attend))
        ((message, bits),) = done.user_seen[attend.index, 2]
        seen = signed(revealed(done.user.stream, (attend.index, 16), message), bits)
        rows = np.sort(seen.reshape(-1, 4), axis=1) << (2 * dropped)
        found.append(rows[np.lexsort(rows.T)])
    least = -(1 << (9 + 17))  # places that may not be seen
    visible = [rows[rows != least] for rows in found]
    assert len(visible[0]) == len(visible[1]) == 4 * (1 + 2 + 3 + 4)
    differences = np.abs(np.sort(visible[0]) - np.sort(visible[1]))
    assert differences.max() < 0.05 * np.abs(visible[0]).max()
    program = changed(example.program, Attention, score_shift=26)
    attend = next(s for s in compile_plan(program).steps if isinstance(s, Attend))
    assert (attend.dropped, attend.score_bits) == (2, 40)
    assert attend.score_bits == 64 - max(attend.shifts[:2])


@pytest.mark.skipif(
    not seal.available(), reason="TenSEAL is not installed: pip install 'veracity[he]'"
)
def test_bfv_chooses_the_same_tokens() -> None:
    example = small_model("llama", shape=BIG)
    prompt = example.tokens[:3]
    want = expected(example.program, example.weights, prompt, 3)
    parties = Parties(example.program, example.weights, choices=1, homomorphic=True)
    got, done = told(parties, prompt, want[:-1])
    assert got == want
    assert all(one.declared == one.measured for one in done)
    choice = homomorphic.cost(vocabulary_of(example.program), 1)
    assert done[0].declared.bytes_to_owner > choice.bytes_to_owner


def test_ties_go_to_the_lower_token() -> None:
    # Two equal rows in the tied embedding, and no third that roundings could bring level with them:
    # of two choices, three equal logits would leave one out.
    example = small_model("llama", seed=4, shape=BIG)
    weights = dict(example.weights)
    prompt = example.tokens[:3]
    first = expected(example.program, weights, prompt, 1)[0]
    other = next(t for t in (0, 39) if t != first and t not in prompt)
    table = weights["embedding"].copy()
    table[[t for t in range(len(table)) if t != first and t not in prompt]] = 0
    table[other] = table[first]
    weights["embedding"] = table
    want = expected(example.program, weights, prompt, 1)
    assert want == [min(first, other)]
    for _ in range(4):
        assert told(Parties(example.program, weights), prompt, ())[0] == want


def test_greedy_and_other_picks() -> None:
    assert greedy(np.asarray([3, 7, 1, 7])).tolist() == [1, 3]
    example = small_model("llama", shape=BIG)
    prompt = example.tokens[:3]
    lowest = Parties(
        example.program, example.weights, choices=1, pick=lambda z: np.asarray([z.argmin()])
    )
    logits = every_logit(example.program, example.weights, prompt)[-1]
    token = told(lowest, prompt, ())[0][0]
    assert logits[token] <= logits.min() + 40


# What cannot be.


def test_pieces_of_another_pass_are_refused() -> None:
    example = small_model("llama")
    plan = compile_plan(example.program)
    shape, seed = Shape(1, 0), bytes(32)
    owner, user = passes.piece_bytes(plan, shape)
    with pytest.raises(FormatError, match="material"):
        passes.prepare_user(ENGINE.ring, plan, shape, seed, bytes(user + 1), {}, {})
    peer: Any = None  # nothing is sent
    with pytest.raises(FormatError, match="material"):
        passes.prepare_owner(ENGINE.ring, plan, shape, seed, bytes(owner - 1), b"", {}, {}, peer)
    with pytest.raises(PeerError, match="material"):
        passes.prepare_owner(ENGINE.ring, plan, shape, seed, bytes(owner), b"x", {}, {}, peer)
    with pytest.raises(UsageError, match="32 bytes"):
        passes.deal_pass(ENGINE.ring, plan, shape, (seed, b"short"), {}, {})


def test_tokens_must_fit_the_pass() -> None:
    example = small_model("llama", shape=BIG)
    parties = Parties(example.program, example.weights)
    told(parties, example.tokens[:2], ())

    async def wrong(tokens: list[int]) -> None:
        a, _ = pair()
        shape, seeds = Shape(1, 0), (bytes(32), bytes(range(32)))
        pieces = passes.deal_pass(ENGINE.ring, parties.plan, shape, seeds, parties.masks, {})
        user, _ = passes.prepare_user(
            ENGINE.ring, parties.plan, shape, seeds[1], pieces[1], parties.masked, {}
        )
        await passes.run_user(parties.plan, user, Online(ENGINE.ring, a), tokens)

    for tokens in ([1, 2], [-1], [40]):
        with pytest.raises(UsageError, match="do not fit the pass"):
            asyncio.run(wrong(tokens))


@pytest.mark.parametrize(
    ("kind", "field"),
    [(Norm, "shift"), (Linear, "shift"), (Attention, "score_shift"), (Head, "shift")],
)
def test_values_out_of_range_are_noticed_by_the_user_alone(kind: type, field: str) -> None:
    """The pass goes on to its end: the owner chose the ranges, and would read prompts from ends."""
    example = small_model("llama", shape=BIG)
    ops = [
        replace(op, **{field: max(0, getattr(op, field) - 8)}) if isinstance(op, kind) else op
        for op in example.program.ops
    ]
    program = replace(example.program, ops=tuple(ops))
    with pytest.raises(RangeError):
        forward(program, example.weights, example.tokens[:3], 3)
    parties = Parties(program, example.weights)
    tokens, done = told(parties, example.tokens[:3], [1])
    assert all(isinstance(one.user.fault, RangeError) for one in done)
    assert all(0 <= token < BIG[-1] for token in tokens)


def changed(program: Program, kind: type, **fields: Any) -> Program:
    ops = tuple(replace(op, **fields) if isinstance(op, kind) else op for op in program.ops)
    return replace(program, ops=ops)


def test_models_that_do_not_fit_the_ring_are_refused() -> None:
    program = small_model("llama").program
    with pytest.raises(UnsupportedModelError, match="scores"):
        compile_plan(changed(program, Attention, score_shift=30))
    with pytest.raises(UnsupportedModelError, match="ring"):
        compile_plan(changed(program, Attention, mix_shift=40))
    with pytest.raises(UnsupportedModelError, match="ring"):
        compile_plan(changed(program, Gain, shift=50))


def test_every_step_declares_its_pieces() -> None:
    for style in ("llama", "gpt2"):
        plan = compile_plan(small_model(style).program)
        shape = Shape(2, 3, 2)
        total = plan.cost(shape)
        owner, user = passes.piece_bytes(plan, shape)
        assert total.offline_bytes_user == user
        assert total.offline_bytes_owner == owner + passes.ahead_bytes(plan, shape)
        assert [s.index for s in plan.steps] == list(range(len(plan.steps)))
        assert any(isinstance(s, Group) and s.tail for s in plan.steps)
