"""Lookup tables of a statement: ranges and functions on at most 16 bits.

A table is a list of tuples (value, image); a range has images 0. Its tag keeps tables apart inside
the one lookup argument. Contents are absorbed with the statement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from veracity.graph.tables import exp_table, function_table
from veracity.records import record
from veracity.zk.projection import ENTRY_BITS

__all__ = [
    "OPEN",
    "Table",
    "between",
    "exponential",
    "function",
    "relu",
    "signed",
    "tables_digest",
    "unsigned",
]

#: What an open neuron adds to its image: more than twice the bound of a projection, so that an
#: activation and a mask that are both bounded can be packed in one way only.
OPEN = 1 << (ENTRY_BITS + 1)


@record
class Table:
    """A public table.

    Attributes
    ----------
    name : str
        Canonical name; the order of names gives the tags.
    low : int
        The smallest value; values are ``low .. low + size - 1``.
    size : int
        Number of entries.
    """

    name: str
    low: int
    size: int

    def values(self) -> NDArray[np.int64]:
        """First components."""
        return np.arange(self.low, self.low + self.size, dtype=np.int64)

    def images(self) -> NDArray[np.int64] | None:
        """Second components, None for a range."""
        kind, _, rest = self.name.partition(":")
        if kind == "relu":
            x = self.values()
            return np.maximum(x, 0) + (x > 0).astype(np.int64) * OPEN
        if kind == "exp":
            return np.asarray(exp_table(int(rest)), dtype=np.int64)
        if kind == "fn":
            fn, k_in, k_out = rest.split(",")
            return np.asarray(function_table(fn, int(k_in), int(k_out)), dtype=np.int64)
        return None

    def largest_image(self) -> int:
        """Greatest magnitude of an image."""
        return _largest_image(self)


@lru_cache(maxsize=256)
def _largest_image(table: Table) -> int:
    images = table.images()
    return 0 if images is None else int(np.abs(images).max())


@lru_cache(maxsize=64)
def unsigned(bits: int) -> Table:
    """``[0, 2^bits)``."""
    return Table(f"u{bits:02d}", 0, 1 << bits)


@lru_cache(maxsize=64)
def signed(bits: int) -> Table:
    """``[-2^(bits-1), 2^(bits-1))``."""
    return Table(f"s{bits:02d}", -(1 << (bits - 1)), 1 << bits)


def between(low: int, high: int) -> Table:
    """``[low, high]``, both included."""
    return Table(f"r:{low},{high}", low, high - low + 1)


def relu() -> Table:
    """``x -> max(x, 0) + OPEN [x > 0]`` for signed 16-bit x: an activation and its mask in one."""
    return Table("relu", -(1 << 15), 1 << 16)


def exponential(exp_k: int) -> Table:
    """``d -> round(exp(-d 2^-exp_k) 2^15)`` for 16-bit d."""
    return Table(f"exp:{exp_k}", 0, 1 << 16)


def function(fn: str, k_in: int, k_out: int) -> Table:
    """``x -> round(fn(x 2^-k_in) 2^k_out)`` for signed 16-bit x.

    Parameters
    ----------
    fn : str
        Name of the function.
    k_in, k_out : int
        Exponents of the argument and of the value.
    """
    return Table(f"fn:{fn},{k_in},{k_out}", -(1 << 15), 1 << 16)


@lru_cache(maxsize=64)
def _digest(table: Table) -> bytes:
    images = table.images()
    body = b"" if images is None else np.ascontiguousarray(images, dtype="<i8").data
    head = f"{table.name}|{table.low}|{table.size}|".encode()
    return hashlib.sha256(b"".join([head, body])).digest()


def tables_digest(tables: Iterable[Table]) -> bytes:
    """SHA-256 over names and contents, in order."""
    return hashlib.sha256(b"".join(_digest(t) for t in tables)).digest()
