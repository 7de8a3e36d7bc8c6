"""Who is who between the two parties: ``x = x0 + x1`` modulo 2^64, ``x0`` at the owner."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["OWNER", "USER", "Array"]

Array = NDArray[np.uint64]
OWNER, USER = 0, 1
