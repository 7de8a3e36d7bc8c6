"""What tests of function secret sharing have in common."""

from __future__ import annotations

import numpy as np

SEED = bytes(range(32, 64))


def mask(bits: int) -> np.uint64:
    """The values of so many bits."""
    return np.uint64((1 << bits) - 1)
