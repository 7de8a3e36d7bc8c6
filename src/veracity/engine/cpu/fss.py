"""Function secret sharing on the CPU: shape checks around the compiled kernels."""

# ruff: noqa: D102 (engine.api_fss documents the operations)
from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from veracity.engine import _cpu
from veracity.engine.api_fss import TREE_KEY
from veracity.engine.checks import (
    check_keys,
    check_payloads,
    check_pieces,
    check_tree_key,
    check_words,
)

__all__ = ["CpuFss"]

_Ring: TypeAlias = NDArray[np.uint64]
_Keys: TypeAlias = NDArray[np.uint8]


class CpuFss:
    """Function secret sharing in Rust; see :class:`engine.api_fss.Fss`."""

    def __init__(self, key: bytes = TREE_KEY) -> None:
        self._key = check_tree_key(key)

    def keyed(self, key: bytes) -> CpuFss:
        return CpuFss(key)

    def dcf_key_bytes(self, bits: int, P: int) -> int:
        return _cpu.fss_key_bytes(True, bits, P)

    def dpf_key_bytes(self, bits: int, P: int = 1) -> int:
        return _cpu.fss_key_bytes(False, bits, P)

    def dcf_keys(self, seed: bytes, bits: int, alpha: _Ring, payload: _Ring) -> tuple[_Keys, _Keys]:
        alpha, payload = check_payloads(seed, alpha, payload)
        return _cpu.fss_keys(self._key, True, bytes(seed), bits, alpha, payload)

    def dpf_keys(self, seed: bytes, bits: int, alpha: _Ring, payload: _Ring) -> tuple[_Keys, _Keys]:
        alpha, payload = check_payloads(seed, alpha, payload)
        return _cpu.fss_keys(self._key, False, bytes(seed), bits, alpha, payload)

    def dcf_bits(self, party: int, bits: int, keys: _Keys, points: _Ring) -> NDArray[np.uint8]:
        points = check_words(points, 2)
        keys = check_keys(keys, len(points), self.dcf_key_bytes(bits, 0))
        return _cpu.fss_bits(self._key, party, bits, keys, points)

    def dcf_evaluate(self, party: int, bits: int, keys: _Keys, points: _Ring, P: int) -> _Ring:
        points = check_words(points, 2)
        keys = check_keys(keys, len(points), self.dcf_key_bytes(bits, P))
        return _cpu.fss_evaluate(self._key, True, party, bits, keys, points, P)

    def dcf_weighted(
        self, party: int, bits: int, keys: _Keys, points: _Ring, weights: _Ring
    ) -> _Ring:
        points, weights = check_words(points, 2), check_words(weights, 2)
        if keys.ndim != 2:
            raise ValueError("keys are a matrix of bytes")
        # The kernel tells the number of payload words by the length of a key.
        keys = check_keys(keys, len(points), keys.shape[1])
        return _cpu.fss_weighted(self._key, party, bits, keys, points, weights)

    def dcf_pieces(
        self,
        party: int,
        bits: Sequence[int],
        keys: _Keys,
        values: _Ring,
        payloads: _Ring,
        lengths: Sequence[int],
        knots: _Ring,
        weights: _Ring,
    ) -> _Ring:
        keys, values, payloads, knots, weights = check_pieces(
            bits, keys, values, payloads, lengths, knots, weights, self.dcf_key_bytes
        )
        return _cpu.fss_pieces(
            self._key, party, bits, keys, values, payloads, lengths, knots, weights
        )

    def dpf_evaluate(self, party: int, bits: int, keys: _Keys, points: _Ring, P: int = 1) -> _Ring:
        points = check_words(points, 2)
        keys = check_keys(keys, len(points), self.dpf_key_bytes(bits, P))
        return _cpu.fss_evaluate(self._key, False, party, bits, keys, points, P)

    def dpf_table(
        self, party: int, bits: int, keys: _Keys, shift: _Ring, table: _Ring, P: int = 1
    ) -> _Ring:
        shift, table = check_words(shift, 1), check_words(table, 2)
        keys = check_keys(keys, len(shift), self.dpf_key_bytes(bits, P))
        return _cpu.fss_table(self._key, party, bits, keys, shift, table, P)

    def dpf_histogram(
        self, party: int, bits: int, keys: _Keys, shift: _Ring, lengths: _Ring, count: int
    ) -> _Ring:
        shift, lengths = check_words(shift, 1), check_words(lengths, 1)
        keys = check_keys(keys, len(shift), self.dpf_key_bytes(bits))
        return _cpu.fss_histogram(self._key, party, bits, keys, shift, lengths, count)
