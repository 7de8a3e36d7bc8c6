"""A program under construction: scales are kept with values, shifts follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from veracity.graph import WeightSpec
from veracity.graph.ops import Combine, Contract, Op, Operand, Product
from veracity.graph.wires import Step, Wire

__all__ = ["Assembly", "Read", "Term"]

Floats = NDArray[np.floating]
#: Bits that a weight may need, sign included.
WEIGHT_BITS = 16


@dataclass(frozen=True)
class Read:
    """A value or a weight as an op reads it: real = integer * 2^-exponent.

    Attributes
    ----------
    x : str
        Its name.
    of : str
        ``value`` or ``weight``.
    exponent : int
        Of its integers.
    wire : tuple of Step
        How it is read.
    factor : int
        A public factor.
    """

    x: str
    of: str
    exponent: int
    wire: Wire = ()
    factor: int = 1

    def through(self, *steps: Step) -> Read:
        """Read through more steps."""
        return replace(self, wire=(*self.wire, *steps))

    def times(self, factor: int) -> Read:
        """Multiplied by a public integer."""
        return replace(self, factor=self.factor * factor)

    def operand(self, lift: int = 0) -> Operand:
        """What an op holds; ``2^lift`` brings it to the scale of others."""
        return Operand(x=self.x, of=self.of, wire=self.wire, factor=self.factor << lift)


@dataclass(frozen=True)
class Term:
    """``einsum(spec, a, b)``."""

    spec: str
    a: Read
    b: Read

    @property
    def exponent(self) -> int:
        """Of its integers."""
        return self.a.exponent + self.b.exponent


class Assembly:
    """Ops, weights and exponents so far.

    Parameters
    ----------
    floats : mapping
        Weights of the network by name.
    """

    def __init__(self, floats: Mapping[str, Floats]) -> None:
        self.floats = floats
        self.ops: list[Op] = []
        self.integers: dict[str, NDArray[np.integer]] = {}
        self.specs: dict[str, WeightSpec] = {}
        self.exponents: dict[str, int] = {}

    def weight(self, name: str, exponent: int, values: Floats | None = None) -> Read:
        """A weight rounded to a scale, of at most 16 bits (a coarser scale where it is large).

        Parameters
        ----------
        name : str
            In the program; by default also among the network's weights.
        exponent : int
            Finest scale.
        values : array, optional
            What it is.
        """
        if name not in self.integers:
            real = np.asarray(self.floats[name] if values is None else values, dtype=np.float64)
            largest = float(np.abs(real).max())
            while largest * 2.0**exponent >= 2 ** (WEIGHT_BITS - 1) - 1:
                exponent -= 1
            self.integers[name] = np.round(real * 2.0**exponent).astype(np.int16)
            self.specs[name] = WeightSpec(real.shape, "int16", exponent, WEIGHT_BITS)
        return Read(name, "weight", self.specs[name].exponent)

    def add(self, op: Op, exponent: int) -> Read:
        """One op more, and its result."""
        self.ops.append(op)
        self.exponents[op.name] = exponent
        return Read(op.name, "value", exponent)

    def contract(
        self, name: str, terms: Sequence[Term | Read], exponent: int, bits: int = 16
    ) -> Read:
        """A sum of products and operands, rounded to a scale.

        Parameters
        ----------
        name : str
            Of the op.
        terms : sequence of Term or Read
            What is summed.
        exponent : int
            Of the result; not finer than that of the finest term.
        bits : int
            Width of the result.
        """
        finest = max(exponent, *(t.exponent for t in terms))
        products, addends = [], []
        for t in terms:
            lift = finest - t.exponent
            if isinstance(t, Read):
                addends.append(t.operand(lift))
            else:
                products.append(Product(spec=t.spec, a=t.a.operand(lift), b=t.b.operand()))
        op = Contract(
            name=name,
            products=tuple(products),
            addends=tuple(addends),
            shift=finest - exponent,
            bits=bits,
        )
        return self.add(op, exponent)

    def combine(self, name: str, addends: Sequence[Read]) -> Read:
        """An exact sum, at the scale of its finest addend."""
        finest = max(a.exponent for a in addends)
        op = Combine(name=name, addends=tuple(a.operand(finest - a.exponent) for a in addends))
        return self.add(op, finest)
