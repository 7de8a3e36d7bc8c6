"""Sampling as a function: Gumbel tables, noise, and what its arg max is distributed like."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.support.draws import chances, distribution
from tests.support.programs import small_model
from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.formats.drawing import Drawing, ServerNonce, read_nonce, read_temperature
from veracity.graph.gumbel import FRACTION, _cell, _exact, gumbel, tables
from veracity.graph.sampling import LARGEST, Sampling
from veracity.lm.text_decoder import check_drawable

SEED = bytes(range(32))
#: Noise at position 5 and temperature 0.7, and where ties go.
FROZEN = [1015, 774, -226, -362, -407, -218]
TIES = [False, False, False, False, False, False, False, True]


def test_tables_are_the_same_for_ever() -> None:
    low, high = tables()
    found = hashlib.sha256(low.astype("<i8").tobytes() + high.astype("<i8").tobytes())
    assert found.hexdigest() == "35bc28048be446ba3ac4d16a66d217937577c8d697bb47136507ab39e1ac98ff"


def test_tables_are_correctly_rounded() -> None:
    rng = random.Random(1)
    low, high = tables()
    places = [0, 1, 2, 2047, 2048, 4095, 4096, len(low) - 1]
    for place in [*places, *(rng.randrange(len(low)) for _ in range(300))]:
        dropped = max((place >> 11) - 1, 0)
        twice = 2 * ((place - (dropped << 11)) << dropped) + (1 << dropped)
        assert low[place] == _exact(twice, small=True)
        assert high[place] == _exact(twice, small=False)


def test_cells_are_in_order_and_leave_out_nothing() -> None:
    edges = np.unique([w + d for w in (1 << np.arange(1, 31)) for d in (-1, 0, 1)])
    cells = _cell(edges)
    assert np.all(np.diff(cells) >= 0)
    assert np.all(_cell(np.arange(5000))[:4096] == np.arange(4096))
    assert int(_cell(np.array([(1 << 31) - 1]))[0]) == len(tables()[0]) - 1


def test_noise_rises_with_the_uniform_integer() -> None:
    words = np.sort(np.random.default_rng(2).integers(0, 1 << 32, 20_000, dtype=np.uint32))
    ends = np.array([0, 1, (1 << 31) - 1, 1 << 31, (1 << 32) - 1], dtype=np.uint32)
    for column in (words, ends):
        assert np.all(np.diff(gumbel(column)) >= 0)
    exact = -np.log(-np.log((words + 0.5) / 2.0**32))
    assert np.abs(gumbel(words) / 2.0**FRACTION - exact).max() < 2**-10
    assert np.abs(gumbel(ends)).max() < LARGEST << FRACTION


# ---- noise --------------------------------------------------------------------------------------


def test_noise_for_ever() -> None:
    drawn = Sampling(SEED, 700)
    assert drawn.noise(5, 6, 9).tolist() == FROZEN
    assert [drawn.reverses(p) for p in range(8)] == TIES
    assert drawn.noise(5, 50_000, 9)[:6].tolist() == FROZEN  # of seed, position and token only


def test_noise_scales() -> None:
    drawn = Sampling(SEED, 1000)
    fine = drawn.noise(0, 1000, 20)
    assert np.abs(drawn.noise(0, 1000, 8) - fine / 4096).max() <= 0.5
    half = Sampling(SEED, 500)
    assert not np.array_equal(half.noise(0, 1000, 8), drawn.noise(0, 1000, 8))
    assert np.abs(fine).max() <= drawn.largest(20)
    for exponent in (-1, 25):
        with pytest.raises(UsageError, match="scale"):
            drawn.noise(0, 10, exponent)


@pytest.mark.parametrize(("seed", "t"), [(b"", 1), (SEED, 0), (SEED, 4001), (SEED + b"x", 1)])
def test_what_is_no_way_to_draw(seed: bytes, t: int) -> None:
    with pytest.raises(UsageError):
        Sampling(seed, t)


def test_ties_go_where_the_positions_bit_says() -> None:
    drawn = Sampling(SEED, 1)  # so cold that noise rounds to zero
    flat = np.zeros((40, 7), dtype=np.int64)
    flat[:, 3] = flat[:, 5] = 9
    picked = drawn.pick(flat, 0, 0)
    assert {int(p) for p in picked} == {3, 5}
    assert [p == 5 for p in picked.tolist()] == [drawn.reverses(i) for i in range(40)]


# ---- distribution -------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [500, 1000, 1500])
@pytest.mark.parametrize("exponent", [8, 10])
def test_the_draw_is_the_softmax(temperature: int, exponent: int) -> None:
    """Total variation below 1e-4, at the vocabulary of SmolLM2: 49,152 tokens."""
    scale = 1 << exponent
    shapes = [
        [(0, 49_152 // 2), (0, 49_152 // 2)],
        [(int(12.3 * scale), 1), (int(11.9 * scale), 1), (0, 49_150)],
        [(0, 20_000), (int(9.5 * scale), 1), (int(2.2 * scale), 29_000), (int(9.4 * scale), 151)],
        [(int(x * scale), 1) for x in (0.0, 0.4, -1.2, 3.0, 2.9, 0.4, -7.0)],
    ]
    for groups in shapes:
        weights = np.array([n * np.exp(z / scale / (temperature / 1000)) for z, n in groups])
        found = chances(groups, temperature, exponent)
        assert found.sum() == pytest.approx(1, abs=1e-6)
        assert np.abs(found - weights / weights.sum()).sum() / 2 < 1e-4


def test_one_rule_for_ties_would_not_be_the_softmax() -> None:
    """Why ties alternate: two equal tokens, all ties to the lower one."""
    least, rising = distribution(1000, 8)
    masses = np.diff(np.concatenate([[0.0], rising]))
    lower = float((masses * rising).sum())
    assert lower - 0.5 > 4e-4
    assert least < 0


@pytest.mark.parametrize("temperature", [400, 1000])
def test_frequencies_are_those_of_the_softmax(temperature: int) -> None:
    """Chi-square over 20,000 draws with fixed seeds, 12 degrees of freedom: below 99.9 %."""
    scores = np.array([0, 40, 300, 280, -100, 500, 510, 90, 7, 6, 5, 4, 450], dtype=np.int64)
    draws = 20_000
    drawn = Sampling(hashlib.sha256(b"chi-square").digest(), temperature)
    picked = drawn.pick(np.tile(scores, (draws, 1)), 0, 8)
    weights = np.exp(scores / 256 / (temperature / 1000))
    expected = draws * weights / weights.sum()
    counts = np.bincount(picked, minlength=len(scores))
    assert ((counts - expected) ** 2 / expected).sum() < 32.9
    assert len({Sampling(bytes([i]) * 32, 1000).pick(scores[None], 3, 8)[0] for i in range(99)}) > 4


# ---- seeds --------------------------------------------------------------------------------------


def test_the_seed_is_of_all_that_it_should_be() -> None:
    drawing = Drawing(700, b"user", b"server")
    others = [
        drawing.sampling("ab" * 32, [1, 2]),
        drawing.sampling("cd" * 32, [1, 2]),
        drawing.sampling("ab" * 32, [1]),
        Drawing(701, b"user", b"server").sampling("ab" * 32, [1, 2]),
        Drawing(700, b"users", b"erver").sampling("ab" * 32, [1, 2]),
        Drawing(700, b"user").sampling("ab" * 32, [1, 2]),
        Drawing(700, b"", b"userserver").sampling("ab" * 32, [1, 2]),
    ]
    assert len({one.seed for one in others}) == len(others)
    assert drawing.sampling("ab" * 32, [1, 2]) == others[0]


@pytest.mark.parametrize(
    ("given", "found"), [("0.7", 700), (1, 1000), (0.001, 1), ("4", 4000), (1.25, 1250)]
)
def test_temperatures(given: float | str, found: int) -> None:
    assert read_temperature(given) == found


@pytest.mark.parametrize(
    "given", ["0", "-1", "4.001", "0.0005", "1.0005", "nan", "inf", "warm", "", "1e99"]
)
def test_no_temperatures(given: str) -> None:
    with pytest.raises(UsageError, match="temperature"):
        read_temperature(given)


@pytest.mark.parametrize("given", ["", "a", "xy", "00" * 65, "0x00", " 00"])
def test_no_nonces(given: str) -> None:
    assert read_nonce("00Ff") == b"\x00\xff"
    with pytest.raises(UsageError, match="nonce"):
        read_nonce(given)


def test_a_servers_nonce_keeps_to_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "n.vnonce"
    made = ServerNonce.new()
    made.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = ServerNonce.load(path)
    assert again == made
    assert again.digest == Drawing(1, b"", made.nonce).server_digest != ServerNonce.new().digest
    data = path.read_bytes()
    for broken in (data[:-1], data + b"x", data[:-33], b""):
        with pytest.raises(FormatError):
            ServerNonce.load(broken)


def test_pairs_of_positions_have_other_noise() -> None:
    drawn = Sampling(SEED, 1000)
    rows = [drawn.noise(p, 100, 9) for p in range(5)]
    assert all(not np.array_equal(a, b) for a, b in pairwise(rows))


def test_models_that_cap_their_logits_are_not_drawn_from() -> None:
    program = small_model("llama", layers=1).program
    check_drawable(program)
    with pytest.raises(UnsupportedModelError, match=r"soft cap of 30"):
        check_drawable(replace(program, arch={"logit_cap": "30"}))
