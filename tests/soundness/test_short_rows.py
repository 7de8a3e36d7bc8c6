"""Arrays whose rows are shorter than the key: what a claim is about, and what it cannot be about.

The effective array stands in the first entries of its rows; whatever a dishonest committer puts
behind them meets the weight zero, wherever a row is gathered to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tests.support.toy import require
from veracity.engine import load_engine
from veracity.engine.api import ORDER
from veracity.errors import VerificationError
from veracity.zk import committed, opening, reduction
from veracity.zk.committed import ArrayId, ArrayShape, CommittedArray, RowLayout, commit_array
from veracity.zk.hidden import HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.keys import load_key
from veracity.zk.mle import inverse
from veracity.zk.reduction import LinearClaim, Term
from veracity.zk.transcript import ProverTranscript, VerifierTranscript

KEY_BITS = 5
ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, KEY_BITS, lambda e, label, n: e.generators(label, min(n, 256)))
ROWS, OWN = 8, 8
DATA = np.random.default_rng(1).integers(0, 256, (ROWS, OWN)).astype(np.int64)
NAME = ArrayId("test", "data")
SHAPE = ArrayShape(NAME, (ROWS, OWN), 3)


def draw(channel: Any, shapes: Sequence[ArrayShape]) -> list[list[list[int]]]:
    """Weights of one claim about each array, one vector per axis."""
    return [[channel.challenges("w", d) for d in shape.dims] for shape in shapes]


def claims(
    shapes: Sequence[ArrayShape], weights: Sequence[Sequence[Sequence[int]]], values: Sequence[int]
) -> list[LinearClaim]:
    """The claims; where an array is wider than its weights, what is beyond them weighs nothing."""
    out = []
    for shape, vectors, value in zip(shapes, weights, values, strict=True):
        padded = tuple(
            (1, ENGINE.from_ints([*v, *[0] * (d - len(v))]))
            for v, d in zip(vectors, shape.dims, strict=True)
        )
        out.append(LinearClaim((Term(1, shape.id, padded),), LinearForm(value)))
    return out


def weighed(vectors: Sequence[Sequence[int]], values: np.ndarray) -> int:
    """``<weights, values>``."""
    out: Any = values.astype(object)
    for vector in vectors:
        out = np.tensordot(np.array(vector, dtype=object), out, axes=(0, 0))
    return int(out) % ORDER


def run(
    monkeypatch: pytest.MonkeyPatch,
    shapes: Sequence[ArrayShape],
    claimed: Sequence[np.ndarray],
    rows: Sequence[np.ndarray] | None = None,
    adapt: bool = True,
) -> None:
    """Prove and verify one random claim about each array.

    ``claimed`` are the arrays that claims are made of, and what is committed unless ``rows``,
    (rows, 2^KEY_BITS), say what really is. The prover then runs on whole rows, so that its
    messages fit them; or, unless it is to ``adapt``, only its opening does.
    """
    transcript = ProverTranscript("rows", b"s")
    arrays, points, whole = {}, {}, []
    for i, (shape, value) in enumerate(zip(shapes, claimed, strict=True)):
        layout = shape.layout(KEY_BITS)
        blinds = ENGINE.random(layout.rows)
        mine, content = shape, value
        if rows is not None and layout.entry_bits < KEY_BITS:
            mine, content = ArrayShape(shape.id, (*shape.dims[:-1], 1 << KEY_BITS)), rows[i]
            content = content.reshape(mine.dims)
        whole.append(mine)
        points[shape.id] = commit_array(ENGINE, KEY, mine, content, blinds)
        arrays[shape.id] = CommittedArray(mine, content, blinds)
        transcript.absorb("rows", ENGINE.compress(points[shape.id]))
    weights = draw(transcript, shapes)
    public = [weighed(w, v) for w, v in zip(weights, claimed, strict=True)]
    channel = HiddenProver(ENGINE, KEY, transcript)
    if adapt:
        equation = reduction.reduce_prover(channel, arrays, claims(whole, weights, public))
    else:
        narrow = {
            s.id: CommittedArray(s, v, arrays[s.id].blinds)
            for s, v in zip(shapes, claimed, strict=True)
        }
        equation = reduction.reduce_prover(channel, narrow, claims(shapes, weights, public))
    channel.constraints.multiply(*channel.send("any", [2, 3]))

    def combined(*_: Any) -> Any:
        total, blind = ENGINE.from_ints([0] * (1 << KEY_BITS)), 0
        for shape in shapes:
            scale = equation.coefficients[shape.id]
            by_row = ENGINE.scale(shape.layout(KEY_BITS).row_weights(ENGINE, equation.point), scale)
            part = ENGINE.contract(arrays[shape.id].values[None], by_row)
            total = ENGINE.add(total, part)
            blind += ENGINE.dot(by_row, arrays[shape.id].blinds)
        return total, blind % ORDER

    with monkeypatch.context() as patch:
        if not adapt:
            patch.setattr(opening, "_combined_row", combined)
        opening.prove_opening(channel, arrays, equation)
    reader = VerifierTranscript("rows", b"s", transcript.finish())
    for shape in shapes:
        reader.absorb("rows", ENGINE.compress(points[shape.id]))
    again = draw(reader, shapes)
    verifier = HiddenVerifier(ENGINE, KEY, reader)
    by_id = {s.id: s for s in shapes}
    equation = reduction.reduce_verifier(verifier, by_id, claims(shapes, again, public))
    verifier.constraints.multiply(*verifier.receive("any", 2))
    require(ENGINE, KEY, opening.verify_opening(verifier, by_id, points, equation))
    reader.finish()


@pytest.mark.parametrize("row_bits", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize(
    "dims", [(1,), (2,), (3,), (40,), (5, 3), (3, 2, 5), (1, 7), (9, 6), (2, 3, 2, 2)]
)
def test_arrays_of_any_size_and_row_length(
    monkeypatch: pytest.MonkeyPatch, dims: tuple[int, ...], row_bits: int
) -> None:
    rng = np.random.default_rng(sum(dims))
    small = ArrayShape(ArrayId("test", "small"), dims, row_bits)
    large = ArrayShape(ArrayId("test", "large"), (6, 40), 4)
    values = [rng.integers(-50, 50, s.dims) for s in (small, large)]
    run(monkeypatch, [small], values[:1])
    run(monkeypatch, [small, large], values)


@pytest.mark.parametrize("order", [(1, 0), (0, 2, 1), (2, 0, 1), (3, 1, 0, 2)])
def test_values_that_are_not_contiguous_are_opened_as_they_lie(
    monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    """Weights are stored in another order of axes than they have in memory."""
    rng = np.random.default_rng(3)
    for dims in ((12, 20), (3, 40), (5, 4, 6), (2, 3, 4, 5), (16, 8)):
        if len(dims) != len(order):
            continue
        natural = rng.integers(-9, 9, dims).astype(np.int16)
        stored = natural.transpose(order)
        shape = ArrayShape(NAME, stored.shape, 3)
        run(monkeypatch, [shape], [stored])


def smuggled() -> np.ndarray:
    """Rows whose first says 77 behind its own entries."""
    full = np.zeros((ROWS, 1 << KEY_BITS), dtype=np.int64)
    full[:, :OWN] = DATA
    full[0, OWN + 5] = 77
    return full


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5, 6, 7], [0, 2, 1, 3, 4, 5, 6, 7]])
def test_what_stands_behind_a_row_cannot_be_claimed(
    monkeypatch: pytest.MonkeyPatch, order: list[int]
) -> None:
    """Not in any place: not in the row that is gathered next, and not in its own."""
    full = smuggled()[order]
    run(monkeypatch, [SHAPE], [DATA[order]], [full])  # it is as if it were not there
    for row in range(ROWS):
        for entry in (5, 0):
            lie = DATA[order].copy()
            lie[row, entry] += 77
            with pytest.raises(VerificationError):
                run(monkeypatch, [SHAPE], [lie], [full])


def test_why_the_gap_is_no_division(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row variables right behind the entries, and a division: row 0 speaks for row 1."""

    def divided(layout: RowLayout, point: Sequence[int]) -> int:
        out = 1
        for r in point[layout.entry_bits : layout.key_bits]:
            out = out * (1 - r) % ORDER
        return inverse(out)

    lie = DATA.copy()
    lie[1, 5] += 77
    with monkeypatch.context() as patch:
        # layouts are kept, with what they have worked out
        patch.setattr(committed, "_layout", RowLayout)
        patch.setattr(RowLayout, "gap", property(lambda self: range(self.entry_bits)[:0]))
        patch.setattr(RowLayout, "gap_factor", divided)
        run(monkeypatch, [SHAPE], [DATA])
        run(monkeypatch, [SHAPE], [lie], [smuggled()], adapt=False)
    for adapt in (False, True):
        with pytest.raises(VerificationError):
            run(monkeypatch, [SHAPE], [lie], [smuggled()], adapt)


def test_a_short_array_is_its_prefix_whatever_stands_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One commitment to (2 | 0 3 0 ..): as an array of two it is (2, 0) in every statement."""
    pair = ArrayShape(NAME, (2,))
    row = np.zeros((1, 1 << KEY_BITS), dtype=np.int64)
    row[0, 0], row[0, 2] = 2, 3
    for size in (2, 8, 64, 200):
        other = ArrayShape(ArrayId("test", "other"), (size,))
        beside = np.arange(size)
        rows = np.zeros((other.layout(KEY_BITS).rows, 1 << KEY_BITS), dtype=np.int64)
        rows.reshape(-1)[:size] = beside
        run(monkeypatch, [pair, other], [np.array([2, 0]), beside], [row, rows])
        with pytest.raises(VerificationError):
            run(monkeypatch, [pair, other], [np.array([5, 0]), beside], [row, rows])


@pytest.mark.parametrize("moved", [0, 1])
def test_a_row_of_one_array_is_not_weighed_as_another_s(moved: int) -> None:
    """Arrays that are cut alike are weighed together, so each must have the rows of its shape."""
    names = [ArrayId("test", "a"), ArrayId("test", "b")]
    shapes = {name: ArrayShape(name, SHAPE.dims, SHAPE.row_bits) for name in names}
    rows = SHAPE.layout(KEY_BITS).rows
    points = ENGINE.generators("rows", 2 * rows)
    commitments = dict(zip(names, (points[: rows - moved], points[rows - moved :]), strict=True))
    equation = reduction.RowEquation([3] * 20, dict.fromkeys(names, 1), LinearForm(0))

    def weighed_rows() -> int:
        found = opening._rows_of_arrays(ENGINE, shapes, commitments, equation, KEY_BITS)
        return sum(len(part) for part, _ in found)

    if moved:
        with pytest.raises(VerificationError, match="other rows than its shape"):
            weighed_rows()
    else:
        assert weighed_rows() == 2 * rows
