"""Collects what the ops of a program commit to and must prove: the circuit of one execution.

Prover and verifier run the same op code through a builder; the prover's carries values. Columns of
equal role and shape are stacked over layers, and so are relations of equal form, so that all
layers, heads and tokens are instances of a handful of batched arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from veracity.engine.api import ORDER, Ints
from veracity.errors import RangeError
from veracity.zk.projection import ENTRY_BITS
from veracity.zkml.tables import Table, unsigned
from veracity.zkml.tensor import ColumnSource, Tensor, WeightSource

__all__ = ["Builder", "LookupUse", "Stack"]


@dataclass(frozen=True)
class LookupUse:
    """Every entry of ``value`` (with ``image``) stands in ``table``; masked entries are exempt."""

    op: str
    table: Table
    value: Tensor
    image: Tensor | None
    causal: bool


@dataclass
class Stack:
    """Columns of one role and shape, one per instance.

    ``joint`` says that claims weigh the last two axes together, so they must stay adjacent;
    ``bounded`` that the projection bounds every entry (:mod:`veracity.zk.projection`);
    ``received`` that an earlier segment committed to it, and bounds its magnitude by that.
    """

    name: str
    dims: tuple[int, ...]
    joint: bool
    bounded: bool
    received: int | None = None
    values: list[Ints] = field(default_factory=list)
    count: int = 0


class Builder:
    """The circuit under construction.

    Parameters
    ----------
    weight_dims : mapping
        Shapes of the model's columns.
    weights : mapping or None
        Their integers; None for the verifier.
    """

    def __init__(
        self, weight_dims: Mapping[str, tuple[int, ...]], weights: Mapping[str, Ints] | None
    ) -> None:
        self._weight_dims = weight_dims
        self._weights = weights
        self.proving = weights is not None
        self.stacks: dict[str, Stack] = {}
        self.lookups: list[LookupUse] = []
        self.zeros: list[Tensor] = []

    def weight(self, name: str) -> Tensor:
        """A tensor of the committed model."""
        value = None if self._weights is None else self._weights[name]
        return Tensor(self._weight_dims[name], {(WeightSource(name), ()): 1}, value)

    def constant(self, c: int, dims: tuple[int, ...]) -> Tensor:
        """A public integer everywhere."""
        return Tensor.constant(c, dims, self.proving)

    def column(
        self,
        role: str,
        dims: tuple[int, ...],
        value: Ints | None,
        joint: bool = False,
        bounded: bool = False,
    ) -> Tensor:
        """Commit to an array of integers of at most 63 bits.

        ``bounded``: owe that every entry is an integer far below the field's size.
        """
        name = _stack_name(role, dims)
        stack = self.stacks.setdefault(name, Stack(name, dims, joint, bounded))
        if (stack.joint, stack.bounded) != (joint, bounded):
            raise ValueError(f"column role {role} is used in two ways")
        if self.proving:
            if value is None or value.shape != dims:
                raise ValueError(f"column role {role}: the witness has another shape")
            value = _compact(value)
            stack.values.append(value)
        stack.count += 1
        return Tensor(dims, {(ColumnSource(name, stack.count - 1), ()): 1}, value)

    def later(self, role: str, dims: tuple[int, ...]) -> Tensor:
        """A column whose integers depend on the first challenges."""
        name = _stack_name(role, dims)
        stack = self.stacks.setdefault(name, Stack(name, dims, joint=False, bounded=False))
        stack.count += 1
        return Tensor(dims, {(ColumnSource(name, stack.count - 1), ()): 1})

    def hand_over(self, name: str, value: Tensor) -> None:
        """Commit to a value that a later segment receives."""
        self.zero(self.column(_cut(name), value.dims, value.value) - value)

    def crossing(self, name: str, dims: tuple[int, ...]) -> str:
        """The stack that carries a value across a cut."""
        return _stack_name(_cut(name), dims)

    def receive(self, name: str, dims: tuple[int, ...], bound: int, value: Ints | None) -> Tensor:
        """A value that an earlier segment committed to, at most ``bound`` in magnitude."""
        stack = self.crossing(name, dims)
        held = [] if value is None else [value]
        self.stacks[stack] = Stack(stack, dims, False, False, bound, held, 1)
        return Tensor(dims, {(ColumnSource(stack, 0), ()): 1}, value)

    def bound(self, tensor: Tensor) -> int | None:
        """What a plain sum of columns cannot exceed in magnitude; None where nothing bounds it."""
        total = 0
        for (source, steps), c in tensor.terms.items():
            stack = self.stacks[source.stack] if isinstance(source, ColumnSource) else None
            if stack is None or steps:
                return None
            largest = 1 << ENTRY_BITS if stack.bounded else stack.received
            if largest is None:
                return None
            total += min(c, ORDER - c) * largest
        return total

    def lookup(
        self,
        op: str,
        table: Table,
        value: Tensor,
        image: Tensor | None = None,
        causal: bool = False,
    ) -> None:
        """Owe that every (not hidden) entry stands in the table."""
        if value.value is not None:
            x = np.tril(value.value) if causal else value.value
            if x.size and (int(x.min()) < table.low or int(x.max()) >= table.low + table.size):
                raise RangeError(
                    op, "calibrate again with text like this input (veracity calibrate --text)"
                )
        self.lookups.append(LookupUse(op, table, value, image, causal))

    def product(self, spec: str, a: Tensor, b: Tensor, out: Tensor) -> None:
        """Owe ``out = einsum(spec, a, b)``."""
        self.zero(Tensor.product(spec, a, b) - out)

    def zero(self, tensor: Tensor) -> None:
        """Owe that every entry vanishes."""
        self.zeros.append(tensor)

    def is_joint(self, tensor: Tensor) -> bool:
        """Whether the tensor is made of columns whose last two axes may be weighed together."""
        return all(
            isinstance(source, ColumnSource) and not steps and self.stacks[source.stack].joint
            for source, steps in tensor.terms
        )

    # ---- recurring pieces --------------------------------------------------------------------
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
        """Commit to an array and owe its range."""
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
        """A non-negative integer as ``count`` 16-bit limbs; ``checked`` limbs have owed ranges.

        The value may need more than 64 bits (object dtype).
        """
        total: Tensor | None = None
        for i in range(count):
            part = None
            if value is not None:
                wide = value.astype(object)
                part = np.asarray((wide >> 16 * i) & 0xFFFF).astype(np.int64).reshape(dims)
            limb = self.column(f"{role}.{i}", dims, part)
            if checked:
                self.lookup(op, unsigned(16), limb)
            shifted = Tensor(dims, limb.terms, None if part is None else part.astype(object)) * (
                1 << 16 * i
            )
            total = shifted if total is None else total + shifted
        if total is None:
            raise ValueError("a number has at least one limb")
        if value is not None and np.any(np.asarray(total.value != value.astype(object))):
            raise RangeError(op, "the row statistics leave their static bound; calibrate again")
        return Tensor(dims, total.terms, value)

    def remainder(
        self,
        op: str,
        role: str,
        r: Tensor,
        value: Ints | None,
        shift: int,
        causal: bool = False,
    ) -> None:
        """Owe that ``r``, whose integers are ``value``, lies in ``[0, 2^shift)``.

        ``r`` is never committed: up to 16 bits it is looked up as it stands; above, its high
        digit is committed and the low one, again, only looked up.
        """
        low = value
        if shift > 16:
            high = None if value is None else value >> 16
            digit = self.ranged(op, f"{role}.high", r.dims, high, unsigned(shift - 16))
            r = r - digit.bare() * (1 << 16)
            low = None if value is None else value & 0xFFFF
        if low is not None:
            low = low.astype(np.uint16)
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
    ) -> Tensor:
        """Commit to ``y = floor((acc + 2^(shift-1)) / 2^shift)``, and owe that it is.

        ``acc + 2^(shift-1) - 2^shift y`` lies in ``[0, 2^shift)`` and ``y`` is bounded far below
        the field's size: there is exactly one such ``y``.

        Parameters
        ----------
        acc : Tensor
            The accumulator; its ``value`` is not used.
        value : array or None
            The prover's accumulators, with the dims of ``y``.
        joint : bool
            Claims will weigh the last two axes of ``y`` together.
        dims, arrange : optional
            Dims of ``y`` where they differ from those of ``acc``, and the views from one to the
            other.
        """
        dims = acc.dims if dims is None else dims
        half = (1 << shift) >> 1
        shifted = None if value is None else value + half
        quotient = None if shifted is None else shifted >> shift
        y = self.column(f"{role}.y", dims, quotient, joint, bounded=True)
        rest = None if shifted is None else shifted & ((1 << shift) - 1)
        r = acc.bare() - arrange(y.bare()) * (1 << shift) + half
        if shift == 0:
            self.zero(r)
        else:
            self.remainder(op, f"{role}.r", r, arrange(Tensor(dims, {}, rest)).value, shift)
        return y


def _stack_name(role: str, dims: tuple[int, ...]) -> str:
    return f"{role}[{'x'.join(map(str, dims))}]"


def _cut(name: str) -> str:
    return f"cut:{name}"


def _compact(values: Ints) -> Ints:
    """The smallest dtype of the engine that holds the values."""
    if values.size == 0:
        raise ValueError("a column is empty")
    low, high = int(values.min()), int(values.max())
    for dtype in (np.int8, np.int16, np.uint16, np.int32):
        info = np.iinfo(dtype)
        if info.min <= low and high <= info.max:
            return np.ascontiguousarray(values, dtype=dtype)
    return np.ascontiguousarray(values, dtype=np.int64)
