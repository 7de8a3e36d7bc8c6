"""Work beside the caller's own: its result, its error; nothing of it outlives its block."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from veracity.zk.background import BackgroundCall
from veracity.zk.committed import ArrayId
from veracity.zk.projection import ROWS, Sides, draw_directions


def test_a_result_and_an_error_come_when_asked_for() -> None:
    with BackgroundCall(lambda: 6 * 7) as call:
        assert call.result() == 42
    with BackgroundCall(lambda: 1 // 0) as call:
        pass  # nobody asked
    with pytest.raises(ZeroDivisionError):
        call.result()


def test_a_block_that_fails_is_left_when_the_work_has_ended() -> None:
    go, ended = threading.Event(), []

    def work() -> None:
        go.wait(10)
        ended.append(True)

    with pytest.raises(KeyError), BackgroundCall(work):
        go.set()
        raise KeyError
    assert ended
    assert not [t for t in threading.enumerate() if t.name == "background"]


@pytest.mark.parametrize(("outer", "inner"), [(8, 16), (8, 3), (5, 8), (5, 3), (1, 1), (64, 24)])
def test_directions_are_the_bits_of_their_rows(outer: int, inner: int) -> None:
    data = np.random.default_rng(0).bytes(ROWS * (outer + inner) // 8)
    sides = Sides(ArrayId("test", "x"), (outer, inner), 1)
    (found,) = draw_directions(lambda _label, count: data[:count], [sides])
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8)).reshape(ROWS, -1)
    assert np.array_equal(np.hstack([found.left, found.right]), bits)
    for matrix, width in ((found.left, outer), (found.right, inner)):
        assert matrix.dtype == np.int8
        assert matrix.flags.c_contiguous
        assert matrix.shape == (ROWS, width)
