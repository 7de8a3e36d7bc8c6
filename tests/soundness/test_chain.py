"""Chains: cut anywhere, same statement; links are bound to their place, premise and boundary."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.programs import Example, claim, restated, small_model
from veracity.engine import load_engine
from veracity.engine.api import ORDER
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.graph.ops import Add
from veracity.lm.text_decoder import answer_of
from veracity.zk import batch
from veracity.zk.keys import load_key
from veracity.zkml import Statement, chain, commit_model, count, cut_places, prove, verify

LOG_COLUMNS = 9
ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, LOG_COLUMNS)
REJECTED = (FormatError, VerificationError)


def make(style: str) -> tuple[Example, Statement, Any]:
    e = small_model(style, layers=2)
    commitment, opening = commit_model(
        ENGINE, e.program, e.weights, log_columns=LOG_COLUMNS, key=KEY
    )
    statement = claim(e, commitment=commitment)
    return e, statement, opening


@pytest.fixture(scope="module")
def llama() -> tuple[Example, Statement, Any]:
    return make("llama")


def thirds(statement: Statement) -> Statement:
    """In three links."""
    places = cut_places(statement.program)
    return replace(statement, cuts=(places[len(places) // 3], places[2 * len(places) // 3]))


class Made:
    """A chain in its parts: boundary tensors and one proof for each link."""

    def __init__(self, statement: Statement, weights: Any, opening: Any) -> None:
        self.statement = statement
        self.job = chain.Job(statement, weights, opening)
        self.boundary: dict[str, chain.Boundary] = {}
        self.proofs: list[tuple[bytes, Any]] = []
        for link in statement.links:
            trace = self.job.run(link, self.boundary)
            self.boundary |= chain.hand_over(ENGINE, KEY, self.job, link, trace.values)
        for link in statement.links:
            self.proofs.append(chain.prove_link(ENGINE, KEY, self.job, link, self.boundary))

    def whole(self, proofs: Any = None, boundary: Any = None) -> bytes:
        tensors = {n: b.tensor for n, b in (boundary or self.boundary).items()}
        return chain.assemble(self.statement, tensors, proofs or self.proofs)[0]


@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_any_cut_proves_the_same_statement(style: str) -> None:
    e, statement, opening = make(style)
    every = list(range(1, len(statement.program.ops)))
    places = cut_places(statement.program)
    for cuts in ((places[0],), (places[-1],), (every[2], every[6], every[9]), tuple(every[::7])):
        cut = replace(statement, cuts=cuts)
        proof = prove(ENGINE, cut, e.weights, opening, key=KEY)
        assert len(proof) == count(cut).proof_bytes
        verify(ENGINE, cut, proof, key=KEY)
        with pytest.raises(REJECTED):
            verify(ENGINE, statement, proof, key=KEY)
        with pytest.raises(REJECTED):
            verify(ENGINE, replace(cut, cuts=cuts[1:]), proof, key=KEY)


def test_cuts_that_cannot_be_are_refused(llama: Any) -> None:
    e, statement, opening = llama
    n = len(e.program.ops)
    for cuts in ((0,), (n,), (1 << 30,), (3, 3), (4, 3)):
        with pytest.raises(VerificationError, match="cut"):
            verify(ENGINE, replace(statement, cuts=cuts), b"", key=KEY)
        with pytest.raises(UsageError, match="cut"):
            prove(ENGINE, replace(statement, cuts=cuts), e.weights, opening, key=KEY)


def test_rows_that_are_no_points_are_what_is_wrong_first(llama: Any) -> None:
    _, statement, _ = llama
    rows = b"\xff" * len(statement.commitment.rows)
    damaged = replace(statement, commitment=replace(statement.commitment, rows=rows))
    for proof in (b"", bytes(1 << 16)):
        with pytest.raises(FormatError, match="model commitment"):
            verify(ENGINE, damaged, proof, key=KEY)


def test_a_value_may_cross_many_cuts_and_an_idle_op_may_lie_between(llama: Any) -> None:
    """A value that is read far behind is committed once; every link that reads it receives it."""
    e, statement, _ = llama
    place = cut_places(e.program)[-1]
    name = next(n for n in e.program.ops[place].inputs())
    idle = Add(name="idle", a=name, b=name, shift_a=0, shift_b=0)
    ops = (*e.program.ops[:place], idle, *e.program.ops[place:])
    program = replace(e.program, ops=ops)
    program.validate()
    commitment, opening = commit_model(ENGINE, program, e.weights, log_columns=9, key=KEY)
    statement = replace(statement, program=program, commitment=commitment, cuts=(place, place + 1))
    links = statement.links
    assert sum(name in link.hands for link in links) == 1
    assert [name in link.receives for link in links] == [False, True, True]
    verify(ENGINE, statement, prove(ENGINE, statement, e.weights, opening, key=KEY), key=KEY)


def test_every_message_of_all_links_is_bound(llama: Any) -> None:
    e, statement, opening = llama
    cut = thirds(statement)
    proof, spans = chain.prove_with_spans(ENGINE, cut, e.weights, opening, key=KEY)
    third = len(proof) // 3
    chosen = {(s.label, s.start // third): s for s in spans}
    assert {part for _, part in chosen} >= {0, 1, 2}
    for span in chosen.values():
        broken = bytearray(proof)
        broken[span.start] ^= 4
        with pytest.raises(REJECTED):
            verify(ENGINE, cut, bytes(broken), key=KEY)
    for bad in (proof[:-1], proof + b"\0", proof[:third], b""):
        with pytest.raises(REJECTED):
            verify(ENGINE, cut, bad, key=KEY)


def test_links_are_proved_in_any_order_and_again(llama: Any) -> None:
    """A link that is proved again receives and hands over the very same bytes."""
    e, statement, opening = llama
    cut = thirds(statement)
    made = Made(cut, e.weights, opening)
    verify(ENGINE, cut, made.whole(), key=KEY)
    again = [chain.prove_link(ENGINE, KEY, made.job, x, made.boundary) for x in cut.links[::-1]]
    verify(ENGINE, cut, made.whole([again[2], made.proofs[1], again[0]]), key=KEY)
    for link in cut.links:
        trace = made.job.run(link, made.boundary)
        retried = chain.hand_over(ENGINE, KEY, made.job, link, trace.values)
        assert all(retried[n].tensor == made.boundary[n].tensor for n in link.hands)


def test_links_out_of_place_are_rejected(llama: Any) -> None:
    e, statement, opening = llama
    cut = thirds(statement)
    made, other = Made(cut, e.weights, opening), Made(cut, e.weights, opening)
    one, two, three = made.proofs
    for name, proofs in {
        "swapped": [two, one, three],
        "repeated": [one, one, two, three],
        "left out": [one, three],
        "of another job": [one, other.proofs[1], three],
        "last one twice": [one, two, three, three],
    }.items():
        with pytest.raises(REJECTED):
            verify(ENGINE, cut, made.whole(proofs), key=KEY)
            raise AssertionError(name)
    mixed = {**made.boundary, cut.links[0].hands[0]: other.boundary[cut.links[0].hands[0]]}
    with pytest.raises(REJECTED):
        verify(ENGINE, cut, made.whole(boundary=mixed), key=KEY)


def test_ranges_that_overlap_or_leave_a_hole_are_rejected(llama: Any) -> None:
    """A link made for another range does not pass for the range that the verifier expects."""
    e, statement, opening = llama
    cut = thirds(statement)
    places = cut_places(statement.program)
    made = Made(cut, e.weights, opening)
    for first in (places[places.index(cut.cuts[0]) - 1], places[places.index(cut.cuts[0]) + 1]):
        shifted = Made(replace(cut, cuts=(first, cut.cuts[1])), e.weights, opening)
        for proofs in (
            [shifted.proofs[0], *made.proofs[1:]],
            [made.proofs[0], shifted.proofs[1], made.proofs[2]],
        ):
            with pytest.raises(REJECTED):
                verify(ENGINE, cut, made.whole(proofs), key=KEY)


@pytest.mark.parametrize("field", ["context", "commitment", "prompt_length"])
def test_links_of_two_premises_do_not_mix(llama: Any, field: str) -> None:
    e, statement, opening = llama
    cut = thirds(statement)
    made = Made(cut, e.weights, opening)
    if field == "context":
        other = Made(replace(cut, context=b"another request"), e.weights, opening)
    elif field == "commitment":
        files = commit_model(ENGINE, e.program, e.weights, log_columns=LOG_COLUMNS, key=KEY)
        other = Made(replace(cut, commitment=files[0]), e.weights, files[1])
    else:
        other = Made(restated(cut, e.tokens, e.prompt_length + 1), e.weights, opening)
    shared = {**made.boundary}
    for i in range(3):
        proofs = list(made.proofs)
        proofs[i] = other.proofs[i]
        with pytest.raises(REJECTED):
            verify(ENGINE, cut, made.whole(proofs, shared), key=KEY)


@pytest.mark.parametrize("lie", ["received", "handed over"])
def test_a_value_changed_at_the_boundary_is_rejected(llama: Any, lie: str) -> None:
    """The rest of the chain truly follows from another value than was handed over."""
    e, statement, opening = llama
    cut = thirds(statement)
    job = chain.Job(cut, e.weights, opening)
    first, second, third = cut.links
    (name,) = first.hands
    trace = job.run(first, {})
    honest = chain.hand_over(ENGINE, KEY, job, first, trace.values)
    value = trace.values[name].copy()
    value[0, 0] += 1
    changed = replace(trace, values={**trace.values, name: value})
    false = chain.hand_over(ENGINE, KEY, job, first, changed.values)
    boundary = dict(false)
    rest = job.run(second, boundary)
    boundary |= chain.hand_over(ENGINE, KEY, job, second, rest.values)
    answer = answer_of(job.run(third, boundary))
    cut = restated(cut, [*e.tokens[: e.prompt_length], *answer], e.prompt_length)
    job = replace(job, statement=cut)
    start = chain.prove_link(ENGINE, KEY, job, first, honest if lie == "received" else false, trace)
    proofs = [start, *[chain.prove_link(ENGINE, KEY, job, x, boundary) for x in (second, third)]]
    shown = {**boundary, **(honest if lie == "received" else {})}
    proof = chain.assemble(cut, {n: b.tensor for n, b in shown.items()}, proofs)[0]
    with pytest.raises(VerificationError):
        verify(ENGINE, cut, proof, key=KEY)


# ---- the batch ---------------------------------------------------------------------------------
def off_by(point: Any, equations: Any) -> Any:
    """Group equations that miss zero by a point."""
    first, *rest = equations
    one = ENGINE.from_ints([1])
    return (replace(first, others=(*first.others, (point, one))), *rest)


@pytest.mark.parametrize("predictable", [True, False])
def test_two_false_links_do_not_cancel(
    llama: Any, monkeypatch: pytest.MonkeyPatch, predictable: bool
) -> None:
    """Errors P and -P rho^-2 in two links: only weights that come after both stop them."""
    e, statement, opening = llama
    cut = thirds(statement)
    proof = prove(ENGINE, cut, e.weights, opening, key=KEY)
    honest = chain.verify_circuit
    known, seen = 12345, []
    point = ENGINE.generators("error", 1)

    def false(*given: Any) -> Any:
        seen.append(0)
        # two equations a link: the first of link i has the weight rho^(2 i)
        factor = 1 if len(seen) == 1 else -pow(pow(known, 2, ORDER), -1, ORDER)
        if len(seen) > 2:
            return honest(*given)
        scaled = ENGINE.scale_points(point, ENGINE.from_ints([factor]))
        return off_by(scaled, honest(*given))

    monkeypatch.setattr(chain, "verify_circuit", false)
    if predictable:
        monkeypatch.setattr(chain, "batch_challenge", lambda *_: known)
        verify(ENGINE, cut, proof, key=KEY)
    else:
        with pytest.raises(VerificationError, match="link 1"):
            verify(ENGINE, cut, proof, key=KEY)


def test_batch_weights_depend_on_the_end_of_every_transcript() -> None:
    states = [bytes([i]) * 32 for i in range(3)]
    base = batch.batch_challenge(bytes(32), states)
    assert base != batch.batch_challenge(bytes(31) + b"\1", states)
    assert base != batch.batch_challenge(bytes(32), states[:2])
    assert base != batch.batch_challenge(bytes(32), states[::-1])
    for i in range(3):
        other = [*states[:i], b"x" * 32, *states[i + 1 :]]
        assert base != batch.batch_challenge(bytes(32), other)


def test_a_false_link_is_named(llama: Any) -> None:
    e, statement, opening = llama
    cut = thirds(statement)
    proof, spans = chain.prove_with_spans(ENGINE, cut, e.weights, opening, key=KEY)
    last = [s for s in spans if s.label == "opening blind"][1]
    broken = bytearray(proof)
    broken[last.start] ^= 1
    with pytest.raises(VerificationError, match="link 2"):
        verify(ENGINE, cut, bytes(broken), key=KEY)


# ---- randomness ----------------------------------------------------------------------------------
def masks(proofs: Any) -> list[bytes]:
    """``D`` of every proof: the commitment to its mask."""
    out = []
    for proof, spans in proofs:
        (span,) = [s for s in spans if s.label == "opening mask"]
        out.append(proof[span.start : span.start + 32])
    return out


def test_a_source_that_repeats_itself_does_not_repeat_a_mask(
    llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One link, three times, from a frozen source of randomness, in another context each time."""
    e, statement, opening = llama
    monkeypatch.setattr(os, "urandom", lambda n: bytes(n))
    found = []
    for context in (b"a", b"b", b"c"):
        cut = replace(thirds(statement), context=context)
        made = Made(cut, e.weights, opening)
        found += masks(made.proofs)
    assert len(set(found)) == len(found) == 9


def test_two_forked_workers_mask_differently(llama: Any) -> None:
    e, statement, opening = llama
    cut = thirds(statement)
    made = Made(cut, e.weights, opening)
    link = cut.links[0]
    found = []
    for _ in range(2):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:  # from here on nothing but the reference of randomness: no threads run
            from veracity.zk.randomness import hedged_scalars

            engine = load_engine("reference")
            drawn = engine.to_ints(hedged_scalars(engine, b"secret", bytes(32), 1))
            os.write(writer, drawn[0].to_bytes(32, "little"))
            os._exit(0)
        os.waitpid(child, 0)
        found.append(os.read(reader, 32))
        os.close(reader)
        os.close(writer)
    assert found[0] != found[1]
    again = [chain.prove_link(ENGINE, KEY, made.job, link, made.boundary) for _ in range(2)]
    assert len(set(masks(again))) == 2


def test_a_job_draws_its_own_cut_seed(llama: Any) -> None:
    e, statement, opening = llama
    cut = thirds(statement)
    one, two = Made(cut, e.weights, opening), Made(cut, e.weights, opening)
    for name, found in one.boundary.items():
        assert np.array_equal(found.values, two.boundary[name].values)
        assert found.tensor.data != two.boundary[name].tensor.data
    # the same seed under another premise gives other blinds, too
    premise = replace(cut, context=b"another")
    job = chain.Job(premise, e.weights, opening, cut_seed=one.job.cut_seed)
    trace = job.run(premise.links[0], {})
    other = chain.hand_over(ENGINE, KEY, job, premise.links[0], trace.values)
    for name, found in other.items():
        assert found.tensor.data != one.boundary[name].tensor.data


def test_two_proofs_share_no_message() -> None:
    e, statement, opening = make("gpt2")
    cut = thirds(statement)
    (one, spans), (two, _) = (
        chain.prove_with_spans(ENGINE, cut, e.weights, opening, key=KEY) for _ in range(2)
    )
    for span in spans:
        assert one[span.start : span.stop] != two[span.start : span.stop], span.label


def test_long_arrays_of_many_links_are_refused(llama: tuple[Example, Statement, Any]) -> None:
    """Each link may be within bounds: a proof has room for thousands."""
    e, statement, opening = llama
    cut = thirds(statement)
    proof = prove(ENGINE, cut, e.weights, opening, key=KEY)
    sides = sum(chain._circuit(cut, link).sides for link in cut.links)
    verify(ENGINE, cut, proof, KEY, sides)
    with pytest.raises(UsageError, match="its arrays are long"):
        verify(ENGINE, cut, proof, KEY, sides - 1)
