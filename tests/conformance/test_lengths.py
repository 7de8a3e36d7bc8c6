"""Operands of different lengths are refused, also where NumPy would repeat one of length 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from veracity.engine.api import Engine

PAIRS = [(1, 3), (3, 1), (2, 3), (3, 2), (0, 3), (3, 0)]
FIELD: dict[str, Callable[[Engine, Any, Any], object]] = {
    "add": lambda e, a, b: e.add(a, b),
    "sub": lambda e, a, b: e.sub(a, b),
    "mul": lambda e, a, b: e.mul(a, b),
    "dot": lambda e, a, b: e.dot(a, b),
    "lincomb": lambda e, a, b: e.lincomb([a] * len(a), e.to_ints(b)),
    "product_round": lambda e, a, b: e.product_round(a, b, 1),
}
GROUP: dict[str, Callable[[Engine, Any, Any], object]] = {
    "msm": lambda e, points, a: e.msm(points, a),
    "add_points": lambda e, points, a: e.add_points(points, e.generators("other", len(a))),
    "scale_points": lambda e, points, a: e.scale_points(points, a),
}


@pytest.mark.parametrize("name", FIELD)
@pytest.mark.parametrize("lengths", PAIRS)
def test_vectors_of_different_lengths(each: Engine, name: str, lengths: tuple[int, int]) -> None:
    a, b = (each.from_ints(list(range(1, n + 1))) for n in lengths)
    with pytest.raises(ValueError, match=r"."):
        FIELD[name](each, a, b)


@pytest.mark.parametrize("name", GROUP)
@pytest.mark.parametrize("lengths", PAIRS)
def test_points_of_different_lengths(each: Engine, name: str, lengths: tuple[int, int]) -> None:
    points, scalars = each.generators("test", lengths[0]), lengths[1]
    if name == "scale_points" and lengths[0] == 1:
        return  # one point for every scalar
    with pytest.raises(ValueError, match=r"."):
        GROUP[name](each, points, each.from_ints(list(range(1, scalars + 1))))


@pytest.mark.parametrize(("size", "bits", "count"), [(8, 8, -1), (8, 8, 7), (8, 0, 8), (65, 65, 8)])
def test_words_that_are_not_packed_so(each: Engine, size: int, bits: int, count: int) -> None:
    with pytest.raises(ValueError, match=r"."):
        each.ring.unpack(bytes(size), bits, count)
