"""Exact products of integer matrices: what a model's linear layers mean.

Not part of :class:`veracity.engine.api.Engine`: no field, no secrets, one answer on every machine.
With AVX-512 a product with few rows takes the time of reading the weights once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ints
from veracity.engine.checks import check_small
from veracity.errors import BackendUnavailable

try:
    from veracity.engine import _cpu
except ImportError as error:  # pragma: no cover - only where the extension is not built
    raise BackendUnavailable(
        f"the compiled kernels are not built ({error}); run `make env`"
    ) from error

__all__ = ["matmul_transposed"]


def matmul_transposed(x: NDArray[np.int64], w: Ints) -> NDArray[np.int64]:
    """``x @ w.T`` in integers modulo 2^64: exact where no result leaves 63 bits.

    Parameters
    ----------
    x : int64 array, shape (rows, width)
        Activations.
    w : small-integer array, shape (count, width), C-contiguous
        Weights, as stored.

    Returns
    -------
    int64 array, shape (rows, count)

    Raises
    ------
    ValueError
        For operands that do not fit together.
    """
    check_small(w, shape=(None, x.shape[-1] if x.ndim == 2 else None))
    if x.ndim != 2 or x.dtype != np.int64:
        raise ValueError("activations are a matrix of int64")
    if not x.size or not w.size:
        return np.zeros((x.shape[0], w.shape[0]), dtype=np.int64)
    return _cpu.integer_products(w, np.ascontiguousarray(x)).T
