"""The upper bound of rows of scores, by counting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.support.secure_operations import RNG, checked, opens, results
from tests.support.secure_parties import Done, masks_fit, opened, ring, together
from veracity.mpc.secure.bound import Cells, upper_bound
from veracity.mpc.secure.opening import share_of_mask
from veracity.mpc.secure.role import Masked, Role, Secret

LENGTHS = np.array([1, 2, 3, 5, 8, 1, 13, 64, 65])


def bounded(x: Any, lengths: Any, cells: Cells) -> Done:
    """Bounds of rows, less their last value each."""
    row = np.repeat(np.arange(len(lengths)), lengths)
    own = np.cumsum(lengths) - 1

    async def op(role: Role, x: Secret) -> Masked:
        z = await opens(role, x, 4, 40)
        share_of_mask(role, z)
        return await upper_bound(role, z - z.map(lambda v: v[own[row]]), lengths, cells)

    return checked(together(op, ring(x << 4)))


def above(x: Any, lengths: Any, cells: Cells) -> Any:
    """Nats by which the bounds lie above the maxima; what was declared was measured."""
    done = bounded(x, lengths, cells)
    assert not done.overflow
    assert masks_fit(results(done))
    starts = np.cumsum(lengths) - lengths
    most = np.maximum.reduceat(x, starts) - x[starts + lengths - 1]
    return (opened(results(done)) - most) / 2.0 ** (cells.exp_k + cells.guard)


@pytest.mark.parametrize("exp_k", [6, 4, 9])
@pytest.mark.parametrize("spread", [0.002, 0.1, 1.0])
def test_bounds_are_a_few_nats_above_the_greatest(exp_k: int, spread: float) -> None:
    cells = Cells(exp_k, 3)
    reach = int((1 << (15 + cells.guard)) * spread)
    # Any two scores of a row lie less than 2^16 units of the program apart.
    x = RNG.integers(-reach, reach, int(LENGTHS.sum()))
    off = above(x, LENGTHS, cells)
    # A maximum may have been rounded up by a unit.
    assert off.min() > -(2.0 ** -(exp_k + cells.guard))
    assert off.max() < 10.1


def test_every_distance_up_to_the_greatest() -> None:
    cells = Cells(6, 3)
    unit = 1 << (cells.exp_k + cells.guard)
    most = (1 << 16 + cells.guard) - 1
    # Around every threshold, and as far apart as the program allows, in both directions.
    edges = np.arange(8 * unit, most, 8 * unit)[:, None] + np.array([-1, 0, 1, unit])
    first = np.concatenate([[0, 1, most, -most], edges.reshape(-1)])
    x = np.stack([np.minimum(first, most), np.zeros_like(first)], axis=1).reshape(-1)
    off = above(x, np.full(len(first), 2), cells)
    assert off.min() > -(2.0**-9)
    assert off.max() < 10.1


def test_costs_do_not_depend_on_the_length_of_rows() -> None:
    """Two exchanges after the one that opens the scores, however long the rows are."""
    cells = Cells(6, 3)
    for longest in (1, 2, 40):
        done = bounded(RNG.integers(0, 999, 3 * longest), np.full(3, longest), cells)
        assert done.measured.exchanges == 1 + 2
        words = 3 * longest + 3 * len(cells.thresholds) + 3
        assert done.measured.bytes_to_owner == done.measured.bytes_to_user == 8 * words


def test_what_is_opened_is_uniform_whatever_the_counts_are() -> None:
    """Counts are 0 or the row's length nearly everywhere; under their masks they are anything."""
    cells, lengths = Cells(6, 3), np.full(40, 16)
    done = bounded(np.tile(np.arange(16) * 4000, 40), lengths, cells)
    for seen in done.seen:
        assert len(seen) == 3
        for message in seen:
            words = np.frombuffer(message, dtype=np.uint64)
            assert len(np.unique(words)) == len(words)
        counts = np.frombuffer(seen[1], dtype=np.uint8).reshape(-1, 8)
        for byte in counts.T:
            found = np.bincount(byte, minlength=256)
            expected = len(byte) / 256
            statistic = ((found - expected) ** 2 / expected).sum()
            assert abs(statistic - 255) < 7 * np.sqrt(2 * 255)
