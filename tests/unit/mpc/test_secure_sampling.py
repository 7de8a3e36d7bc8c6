"""Drawn tokens in mode ``secure``: the program's rule, at no cost, and nobody else learns of it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.draws import chances
from tests.support.programs import small_model
from tests.support.secure_parties import Done, Parties, ring, together, told
from tests.support.shuffled_parties import stories
from veracity.errors import UnsupportedModelError, UsageError
from veracity.graph.sampling import Sampling as Drawn
from veracity.lm.text_decoder import logits as every_logit
from veracity.mpc.party import OWNER
from veracity.mpc.secure.head import NOISE_BITS, add_noise, choose, reveal
from veracity.mpc.secure.role import Secret
from veracity.private.sampling import Sampling, centred

SHIFT, EXPONENT, FINER = 12, 9, 2
Noise = NDArray[np.int64]


def seeded(text: str, temperature: int = 1000) -> Drawn:
    return Drawn(hashlib.sha256(text.encode()).digest(), temperature)


def answered(logits: Noise, noise: Noise) -> Done:
    """The token of logits, with noise of a quarter of their unit."""

    async def op(role: Any, acc: Secret) -> int | None:
        noisy = add_noise(role, acc, SHIFT, FINER, lambda: noise)
        return await reveal(role, await choose(role, noisy, SHIFT))

    while (done := together(op, ring(logits[None] << SHIFT))).overflow:
        pass
    return done


def fine(drawn: Drawn, position: int, count: int) -> Noise:
    return centred(drawn.noise(position, count, EXPONENT + FINER))


def rule(logits: Noise, noise: Noise) -> int:
    return int(((logits << FINER) + noise).argmax())


# ---- the rule -----------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1, 700, 4000])
@pytest.mark.parametrize("count", [2, 13, 300])
def test_the_token_is_the_arg_max_with_noise_and_costs_what_the_greedy_one_does(
    temperature: int, count: int
) -> None:
    rng, greedy = np.random.default_rng(count), np.zeros(1, dtype=np.int64)
    for position in range(6):
        logits = rng.integers(-(1 << 15), 1 << 15, count) >> (3 * position)
        noise = fine(seeded("rule", temperature), position, count)
        drawn = answered(logits, noise)
        assert drawn.user == rule(logits, noise)
        assert drawn.owner is None
        plain = answered(logits, greedy)
        assert plain.user == int(logits.argmax())
        assert drawn.measured == plain.measured == drawn.roles[1].cost == plain.roles[1].cost


def test_noise_and_logits_at_the_ends_of_their_ranges() -> None:
    largest, noise = (1 << 15) - 1, (1 << NOISE_BITS + FINER) - 1
    logits = np.array([largest, -largest - 1, largest, -largest - 1])
    for ends in ([-noise, noise, noise, -noise], [noise, noise, -noise, -noise]):
        assert answered(logits, np.array(ends)).user == rule(logits, np.array(ends))


def test_frequencies_are_those_of_the_softmax() -> None:
    """Chi-square over 500 passes with fixed seeds, 4 degrees of freedom: below 99.9 %."""
    scores, drawn = np.array([0, 300, 512, -200, 500]), seeded("chi-square")
    tokens = [int(answered(scores, fine(drawn, i, 5)).user) for i in range(500)]
    weights = np.exp(scores / 2.0**EXPONENT)
    expected = 500 * weights / weights.sum()
    assert ((np.bincount(tokens, minlength=5) - expected) ** 2 / expected).sum() < 18.5


@pytest.mark.parametrize("temperature", [500, 1000, 2000])
@pytest.mark.parametrize("exponent", [8, 9, 10])
def test_the_distribution_is_that_of_the_program(temperature: int, exponent: int) -> None:
    """Total variation, exact from the tables: ties, which all go to the lower token, and 5e-5."""
    scale = 1 << exponent
    shapes = [
        [(0, 1), (0, 1)],
        [(0, 1)] * 7,
        [(int(x * scale), 1) for x in (0.0, 0.4, -1.2, 3.0, 2.9, 0.4, -7.0)],
        [(int(12.3 * scale), 1), (int(11.9 * scale), 1), (0, 49_150)],
        [(0, 49_152 // 2), (0, 49_152 // 2)],
    ]
    for groups in shapes:
        own = chances(groups, temperature, exponent)
        finer = [(score << FINER, count) for score, count in groups]
        ours = chances(finer, temperature, exponent + FINER, orders=(1,))
        ties = 2.0 ** -(exponent + 5) * 1000 / temperature
        assert np.abs(own - ours).sum() / 2 < ties + 5e-5


# ---- whole programs -----------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [1200, 2000])
def test_stories_are_the_programs_with_the_same_noise(temperature: int) -> None:
    content, drawn = stories(), seeded("stories", temperature)
    assert content.program is not None
    head = content.program.ops[-1].name
    exponent = content.program.exponents[head]
    prompt = list(content.encode("Once upon a time"))

    def noise(position: int, vocabulary: int, at: int) -> Noise:
        return centred(drawn.noise(position, vocabulary, at))

    want: list[int] = []
    for _ in range(12):
        scores = every_logit(content.program, content.weights, [*prompt, *want])[-1:]
        at = len(prompt) + len(want) - 1
        want.append(int(drawn.pick(scores, at, exponent)[0]))
    parties = Parties(content.program, content.weights, noise)
    got, done = told(parties, prompt, want[:-1])
    assert all(one.declared == one.measured and one.hops == one.chain for one in done)
    logits = every_logit(content.program, content.weights, [*prompt, *want[:-1]])
    greedy = [int(row.argmax()) for row in logits[len(prompt) - 1 :]]
    assert greedy != want
    for i, (ours, theirs) in enumerate(zip(got, want, strict=True)):
        at = len(prompt) - 1 + i
        sums = logits[at] + drawn.noise(at, len(logits[at]), exponent)
        assert ours is not None
        assert sums[theirs] - sums[ours] <= 2  # units: only a near tie may fall otherwise
    assert sum(a == b for a, b in zip(got, want, strict=True)) >= 11


def test_each_pass_has_noise_of_its_own() -> None:
    program = scaled(9)
    noise = Sampling(1.0).chooser(program, "secure").noise
    assert noise is not None
    first, again = noise(3, 50, 11), noise(3, 50, 11)
    assert not np.array_equal(first, again)
    assert abs(int(first.max()) + int(first.min())) <= 1  # centred
    assert 1000 < np.ptp(first) < 27 << 11


# ---- what others see ----------------------------------------------------------------------------


def test_the_owner_sees_the_same_whatever_the_user_adds() -> None:
    """Messages of the same sizes, each byte uniform: hot, cold, greedy and chosen noise."""
    logits = np.random.default_rng(3).integers(-9000, 9000, 40)
    kinds = {
        "greedy": np.zeros(1, dtype=np.int64),
        "cold": fine(seeded("view", 1), 0, 40),
        "hot": fine(seeded("view", 4000), 0, 40),
        "chosen": np.where(np.arange(40) == 7, (1 << 17) - 1, 0),
    }
    sizes = set()
    for noise in kinds.values():
        seen = [answered(logits, noise).seen[OWNER] for _ in range(40)]
        sizes |= {tuple(map(len, one)) for one in seen}
        data = np.frombuffer(b"".join(b"".join(one) for one in seen), dtype=np.uint8)
        expected = len(data) / 256
        # 255 degrees of freedom: one run in a million is above.
        assert ((np.bincount(data, minlength=256) - expected) ** 2 / expected).sum() < 380
    assert len(sizes) == 1


# ---- refusals -----------------------------------------------------------------------------------


def scaled(exponent: int, **arch: str) -> Any:
    program = small_model("llama").program
    head = program.ops[-1].name
    return replace(program, exponents={**program.exponents, head: exponent}, arch=arch)


def test_what_mode_secure_cannot_draw() -> None:
    assert Sampling(4.0).chooser(scaled(9), "secure").noise is not None
    assert Sampling(2.3).chooser(scaled(10), "secure").noise is not None
    for temperature, exponent in ((2.5, 10), (4.0, 11), (0.001, -1), (0.001, 25)):
        with pytest.raises(UsageError, match="scale"):
            Sampling(temperature).chooser(scaled(exponent), "secure")
    for temperature in (4.001, 0.0005, 0.12345, 100.0):
        with pytest.raises(UsageError, match=r"from 0\.001 to 4"):
            Sampling(temperature).chooser(scaled(3), "secure")
    with pytest.raises(UsageError, match="leave out --top-k"):
        Sampling(1.0, 3).chooser(scaled(9), "secure")
    assert Sampling(100.0, 3).chooser(scaled(9), "shuffled").noise is None
    for mode in ("secure", "shuffled"):
        with pytest.raises(UnsupportedModelError, match="soft cap"):
            Sampling(1.0).chooser(scaled(9, logit_cap="30"), mode)


def test_noise_that_would_leave_its_range_is_refused() -> None:
    """A sum that wrapped around would be another token, and nobody would know."""
    content = stories()
    assert content.program is not None

    def noise(_position: int, vocabulary: int, _exponent: int) -> Noise:
        return np.full(vocabulary, -(1 << NOISE_BITS + FINER), dtype=np.int64)

    with pytest.raises(UsageError, match="too large"):
        told(Parties(content.program, content.weights, noise), [1, 2], ())
