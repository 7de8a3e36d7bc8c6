"""Shape checks that every backend makes before it touches data; all raise ``ValueError``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ints, Leaves

__all__ = [
    "check_entries",
    "check_eq",
    "check_first_round",
    "check_index",
    "check_matrix_size",
    "check_round",
    "check_same_length",
    "check_small",
]

SMALL_DTYPES = tuple(np.dtype(name) for name in ("int8", "int16", "int32", "int64", "uint16"))


class _Sized(Protocol):
    def __len__(self) -> int: ...


def check_same_length(a: _Sized, b: _Sized) -> None:
    """Two sequences must have equal lengths."""
    if len(a) != len(b):
        raise ValueError(f"lengths differ: {len(a)} and {len(b)}")


def check_small(values: Ints, shape: tuple[int | None, ...] | None = None) -> Ints:
    """A C-contiguous array of a small-integer dtype; ``None`` in ``shape`` fits any length."""
    if values.dtype not in SMALL_DTYPES:
        raise ValueError(f"dtype {values.dtype} is not a small integer of the engine")
    if not values.flags.c_contiguous:
        raise ValueError("small-integer arrays must be C-contiguous")
    if shape is not None:
        fits = len(shape) == values.ndim and all(
            want is None or want == have for want, have in zip(shape, values.shape, strict=True)
        )
        if not fits:
            raise ValueError(f"shape {values.shape} where {shape} is due")
    return values


def check_index(index: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """A one-dimensional index array with entries in ``[0, n)``."""
    if index.ndim != 1 or index.dtype != np.int64:
        raise ValueError("an index is a one-dimensional array of int64")
    if index.size and (int(index.min()) < 0 or int(index.max()) >= n):
        raise ValueError(f"index out of range for length {n}")
    return index


def check_eq(point: Sequence[Any], n: int) -> None:
    """``n`` entries must exist in the eq table of ``point``."""
    if n < 0 or n > 1 << len(point):
        raise ValueError(f"{n} entries of an eq table over {len(point)} variables")


def check_matrix_size(length: int, n: int) -> None:
    """``length`` must be a whole number of rows of ``n``."""
    if n < 0 or (n == 0 and length) or (n and length % n):
        raise ValueError(f"{length} elements are no whole number of rows of {n}")


def check_entries(entries: _Sized) -> None:
    """Leaves have values, and images where there are any, of shape (rows, m)."""
    if isinstance(entries, Leaves):
        check_small(entries.values, shape=(len(entries.constants), None))
        if entries.images is not None:
            check_small(entries.images, shape=entries.values.shape)


def check_round(lengths: Sequence[int], length: int, n: int, inner: int) -> None:
    """All arrays of a round have the one length, and the inner weights are ``ceil(n / 2)``."""
    if n < 0 or any(have != length for have in lengths):
        raise ValueError(f"lengths {list(lengths)} where {length} is due")
    if inner != (n + 1) // 2:
        raise ValueError(f"{inner} inner weights for rows of {n}")


def check_first_round(
    p: _Sized | tuple[_Sized, _Sized], d: _Sized, length: int, n: int, inner: int
) -> None:
    """:func:`check_round` where halves are still together, with rows of ``n``."""
    half = (n + 1) // 2
    check_round([len(d)], length, n, half)
    check_round([len(x) for x in p] if isinstance(p, tuple) else [half, half], half, half, inner)
    if not isinstance(p, tuple):
        check_same_length(p, d)
