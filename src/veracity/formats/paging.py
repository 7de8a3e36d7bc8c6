"""Memory-mapped weights of which only so many bytes are in memory at a time.

Pages of a mapped file count as a process's memory from their first use until they are dropped;
dropping loses nothing, a later use reads them again, mostly from the system's cache.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

__all__ = ["PagedWeights", "drop_pages"]


class PagedWeights(Mapping[str, NDArray[Any]]):
    """Weights that drop all pages whenever more than ``budget`` bytes have been asked for.

    Parameters
    ----------
    arrays : mapping
        The weights; those that are not memory-mapped stay in memory.
    budget : int
        Bytes. Arrays that are in use together may exceed it.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], budget: int) -> None:
        self._arrays = arrays
        self._budget = budget
        self._asked = 0

    def __getitem__(self, name: str) -> NDArray[Any]:
        array = self._arrays[name]
        if self._asked + array.nbytes > self._budget:
            self.drop()
        self._asked += array.nbytes
        return array

    def drop(self) -> None:
        """Drop all pages."""
        drop_pages(self._arrays)
        self._asked = 0

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


def drop_pages(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Give back the pages of mapped arrays; others stay as they are."""
    if isinstance(arrays, PagedWeights):
        arrays.drop()
        return
    for array in arrays.values():
        _drop(array)


def _drop(array: NDArray[Any]) -> None:
    base: Any = array
    while base is not None and not isinstance(base, mmap.mmap):
        base = getattr(base, "base", None)
    if base is not None and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
