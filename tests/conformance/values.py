"""Values that the conformance tests share."""

from __future__ import annotations

from veracity.engine import ORDER

#: Elements where carries, borrows and reductions happen.
EDGES = [0, 1, 2, ORDER - 1, ORDER - 2, (ORDER - 1) // 2, 1 << 254, 1 << 64, (1 << 128) - 1]
#: Small-integer types of the engine.
DTYPES = ["int8", "int16", "int32", "int64", "uint16"]
