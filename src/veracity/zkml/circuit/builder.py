"""What ops commit to again and again: ranges, limbs, remainders, rescaled results.

Prover and verifier run the same op code through a builder; the prover's carries values. Arrays of
equal role and shape are batched over layers, and so are relations of equal form, so that all
layers, heads and tokens are instances of a handful of batched arguments.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from veracity.engine.api import ORDER, Ints
from veracity.zk.committed import ArrayId
from veracity.zkml.circuit.collector import Collector
from veracity.zkml.circuit.integers import digits_of, divided
from veracity.zkml.circuit.linear_maps import LinearMap
from veracity.zkml.circuit.tables import Table, unsigned
from veracity.zkml.circuit.tensor import Source, Tensor
from veracity.zkml.committed import TensorSpec

__all__ = ["Builder"]


class Builder(Collector):
    """A collector with the relations that most ops share."""

    def ranged(
        self,
        op: str,
        role: str,
        dims: tuple[int, ...],
        value: Ints | None,
        table: Table,
        joint: bool = False,
        causal: bool = False,
    ) -> Tensor:
        """Commit to an array whose range is to be shown.

        Parameters
        ----------
        op : str
            The op that it belongs to.
        role : str
            What it is there.
        dims : tuple of int
            Dims.
        value : Ints or None
            The prover's integers.
        table : Table
            The range.
        joint : bool
            Claims will weigh the last two axes together.
        causal : bool
            Whether entries that the mask hides are exempt.
        """
        out = self.column(role, dims, value, joint)
        self.lookup(op, table, out, causal=causal)
        return out

    def limbs(
        self,
        op: str,
        role: str,
        dims: tuple[int, ...],
        value: Ints | None,
        count: int,
        checked: bool = True,
    ) -> Tensor:
        """A non-negative integer as ``count`` 16-bit limbs; ``checked`` limbs are range-checked.

        The value may need more than 64 bits (object dtype).

        Parameters
        ----------
        op : str
            The op that it belongs to.
        role : str
            What it is there.
        dims : tuple of int
            Dims.
        value : Ints or None
            The prover's integers.
        count : int
            Number of limbs.
        checked : bool
            Whether the limbs are range-checked.
        """
        if count < 1:
            raise ValueError("a number has at least one limb")
        parts = None if value is None else digits_of(op, value, dims, count)
        terms: dict[tuple[Source, tuple[LinearMap, ...]], int] = {}
        for i in range(count):
            part = None if parts is None else parts[i]
            limb = self.column(f"{role}.{i}", dims, part, free=not checked)
            if checked:
                self.lookup(op, unsigned(16), limb)
            ((source, _),) = limb.terms
            terms[source, ()] = pow(2, 16 * i, ORDER)
        return Tensor(dims, terms, value)

    def remainder(
        self,
        op: str,
        role: str,
        r: Tensor,
        value: Ints | None,
        shift: int,
        causal: bool = False,
        usual: int = 0,
    ) -> None:
        """To be shown: ``r``, whose integers are ``value``, lies in ``[0, 2^shift)``.

        ``r`` is never committed: its digits of 16 bits but the lowest are, and the lowest one, that
        is ``r`` without them, is only looked up.

        Parameters
        ----------
        op : str
            The op that it belongs to.
        role : str
            What it is there.
        r : Tensor
            What is to lie in the range.
        value : Ints or None
            The prover's integers of ``r``.
        shift : int
            Bits of the range.
        causal : bool
            Whether entries that the mask hides are exempt.
        usual : int
            The highest digit of most entries; it is committed less this, and zeros cost nothing.
        """
        for at in range((shift - 1) // 16 * 16, 0, -16):
            top = at + 16 >= shift
            less, name = (usual, "high") if top else (0, "middle")
            high = (
                None if value is None else (value >> at if top else (value >> at) & 0xFFFF) - less
            )
            digit = self.column(f"{role}.{name}", r.dims, high)
            digit = digit + less if less else digit
            self.lookup(op, unsigned(shift - at if top else 16), digit)
            r = r - digit.bare() * (1 << at)
        low = value if value is None or shift <= 16 else value & 0xFFFF
        if low is not None:
            low = low.astype(np.uint16, copy=False)
        self.lookup(op, unsigned(min(shift, 16)), Tensor(r.dims, r.terms, low), causal=causal)

    def rescaled(
        self,
        op: str,
        role: str,
        acc: Tensor,
        value: Ints | None,
        shift: int,
        joint: bool = False,
        dims: tuple[int, ...] | None = None,
        arrange: Callable[[Tensor], Tensor] = lambda y: y,
        masked: bool = False,
        handed: tuple[ArrayId, TensorSpec] | None = None,
    ) -> Tensor:
        """Commit to ``y = floor((acc + 2^(shift-1)) / 2^shift)``, by a remainder in range.

        ``acc + 2^(shift-1) - 2^shift y`` lies in ``[0, 2^shift)`` and ``y`` is bounded far below
        the field's size: there is exactly one such ``y``.

        Parameters
        ----------
        op : str
            The op that it belongs to.
        role : str
            What it is there.
        acc : Tensor
            The accumulator; its ``value`` is not used.
        value : array or None
            The prover's accumulators, with the dims of ``y``.
        shift : int
            Bits that are dropped.
        joint : bool
            Claims will weigh the last two axes of ``y`` together.
        dims, arrange : optional
            Dims of ``y`` where they differ from those of ``acc``, and the linear maps from one to
            the other.
        masked : bool
            Most accumulators are zero.
        handed : tuple, optional
            Name and layout of ``y`` where it is a boundary tensor that others read.
        """
        dims = acc.dims if dims is None else dims
        half = (1 << shift) >> 1
        quotient = rest = None
        if value is not None:
            quotient, rest = divided(value, shift, self.integers)
        if handed is None:
            y = self.column(f"{role}.y", dims, quotient, joint, bounded=True)
        else:
            y = self.handed_column(*handed, quotient)
        r = acc.bare() - arrange(y.bare()) * (1 << shift) + half
        if shift == 0:
            self.zero(r)
        else:
            usual = half >> (shift - 1) // 16 * 16 if masked else 0
            turned = arrange(Tensor(dims, {}, rest)).value
            self.remainder(op, f"{role}.r", r, turned, shift, usual=usual)
        return y

    def reciprocal(self, op: str, role: str, total: Tensor, value: Ints | None) -> Tensor:
        """``I = floor(2^31 / S)`` for ``S >= 2^15``: ``1 <= I <= 2^16``, committed as ``I - 1``.

        ``I S = 2^31 - w`` with ``0 <= w < S``: there is exactly one such ``I``.

        Parameters
        ----------
        op : str
            The op that it belongs to.
        role : str
            What it is there, before ``.inverse``, ``.rest`` and ``.gap``.
        total : Tensor
            The sums ``S``, with their integers.
        value : Ints or None
            The prover's ``I``.
        """
        less = w_value = gap_value = None
        if value is not None and total.value is not None:
            less = value.astype(np.int64) - 1
            w_value = (1 << 31) - value.astype(np.int64) * total.value
            gap_value = total.value - 1 - w_value
        inverse = self.ranged(op, f"{role}.inverse", total.dims, less, unsigned(16)) + 1
        w = self.limbs(op, f"{role}.rest", total.dims, w_value, 2)
        gap = self.limbs(op, f"{role}.gap", total.dims, gap_value, 2)
        self.zero(gap - (total - 1 - w))
        axes = "abcdefgh"[: len(total.dims)]
        whole = self.constant(1 << 31, total.dims)
        self.product(f"{axes},{axes}->{axes}", inverse, total, whole - w)
        return inverse
