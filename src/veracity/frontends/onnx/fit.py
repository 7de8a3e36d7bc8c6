"""Scales: from a float network and the ranges that samples show to an integer program.

Every value has 16 bits with one bit of headroom over what samples show; weights have 16 bits, fewer
where a rescale would otherwise drop more than 16. Sums are exact where exponents allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil, floor, frexp, log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError
from veracity.frontends.onnx.floats import FloatNetwork, FloatOp, Ref
from veracity.graph import Output, Port, Program, WeightSpec
from veracity.graph.ops import (
    Combine,
    Contract,
    Function,
    Op,
    Operand,
    Product,
    Rescale,
    Reshape,
    Top,
)

__all__ = ["Fitted", "fit"]

Array = NDArray[Any]
#: Bits of a value in use, and the finest scale of one.
BITS, FINEST, FINEST_IN_TABLE = 14, 40, 16
#: Bits that a rescale can drop: what a factor has beyond them makes no difference.
MOST_SHIFT = 32
#: Functions that mean the same at every scale, and those whose results are whole numbers.
SCALE_FREE = ("relu", "abs", "leaky")
WHOLE = ("sign", "step", "zero", "floor", "ceil", "round")


@dataclass
class Fitted:
    """A program and its integer weights."""

    program: Program
    weights: dict[str, Array]


@dataclass
class _Fit:
    net: FloatNetwork
    largest: Mapping[str, float]
    integral: frozenset[str]
    exponents: dict[str, int] = field(default_factory=dict)
    exact: dict[str, bool] = field(default_factory=dict)
    ops: list[Op] = field(default_factory=list)
    weights: dict[str, Array] = field(default_factory=dict)
    specs: dict[str, WeightSpec] = field(default_factory=dict)

    # ---- exponents ---------------------------------------------------------------------------
    def usual(self, name: str) -> int:
        """The exponent of a value by its range."""
        if name in self.integral:
            return 0
        most = self.largest[name]
        return BITS if most <= 0 else min(FINEST, BITS - ceil(log2(most)))

    def _weight(self, ref: Ref, exponent: int, bits: int) -> str:
        """Integers of a weight at an exponent; one entry for each use that differs."""
        name = f"{ref.x}.{exponent}" if exponent >= 0 else f"{ref.x}.m{-exponent}"
        if name not in self.specs:
            integers = np.floor(np.ldexp(self.net.weights[ref.x], exponent) + 0.5)
            dtype = "int16" if bits == 16 else "int64"
            if np.abs(integers).max(initial=0) >= 1 << (bits - 1):
                raise UnsupportedModelError(name, "a weight of this size", "rescale the model")
            self.weights[name] = integers.astype(dtype)
            self.specs[name] = WeightSpec(integers.shape, dtype, exponent, bits)
        return name

    def _weight_exponent(self, ref: Ref) -> int:
        most = float(np.abs(self.net.weights[ref.x]).max(initial=0.0)) * 1.0
        return 15 if most == 0 else min(FINEST, floor(log2(32767 / most)))

    # ---- ops ---------------------------------------------------------------------------------
    def run(self) -> None:
        """All ops, in order."""
        for op in self.net.ops:
            if op.kind == "linear":
                self._linear(op)
                continue
            source = op.addends[0].x
            if op.kind == "function":
                self._function(op, source)
            elif op.kind == "reshape":
                self.ops.append(Reshape(name=op.name, x=source, dims=op.dims))
                self.exponents[op.name] = self.exponents[source]
                self.exact[op.name] = self.exact.get(source, False)
            elif op.kind == "top":
                self.ops.append(Top(name=op.name, x=self.bounded(source)))
                self.exponents[op.name] = 0
            elif op.pool is not None:
                held = self.bounded(source)
                self.ops.append(replace(op.pool, x=held))
                self.exponents[op.name] = self.exponents[held]

    def bounded(self, name: str, finest: int = FINEST) -> str:
        """A value, or its rescale to 16 bits where an exact sum may need more."""
        wanted = min(self.usual(name) if self.exact.get(name, False) else FINEST, finest)
        if self.exponents[name] <= wanted:
            return name
        held = f"{name}.{wanted}"
        if held not in self.exponents:
            self.ops.append(
                Rescale(name=held, x=name, shift=self.exponents[name] - wanted, bits=16)
            )
            self.exponents[held] = wanted
            self.largest = {**self.largest, held: self.largest[name]}
        return held

    def _function(self, op: FloatOp, source: str) -> None:
        op = self._plain_relu(op, source)
        word, power = op.fn.partition("(")[0], _power(op.fn)
        free = word in SCALE_FREE or word in ("sign", "step", "zero") or power is not None
        x = self.bounded(source, FINEST if free else FINEST_IN_TABLE)
        e = self.exponents[x]
        out = self.usual(op.name)
        if word in SCALE_FREE:
            k_in, k_out, out = 0, 0, e
        elif word in ("sign", "step", "zero"):
            k_in, k_out, out = 0, 0, 0
        elif power is not None:  # f(x) = f(x / 2^j) 2^(j power), with j even
            k_in = BITS + (e - BITS) % 2
            moved = round((e - k_in) * power)
            k_out = max(0, min(out - moved, 16))
            out = k_out + moved
        else:
            k_in, k_out = e, max(0, min(out, 16)) if word not in WHOLE else 0
            out = k_out
        if not 0 <= k_in <= 16:
            raise UnsupportedModelError(
                op.name, f"{op.fn} of values up to {self.largest[source]:.3g}",
                "scale the model's values down",
            )  # fmt: skip
        self.ops.append(Function(name=op.name, x=x, fn=op.fn, k_in=k_in, k_out=k_out))
        self.exponents[op.name] = out

    def _plain_relu(self, op: FloatOp, source: str) -> FloatOp:
        """A relu, where a clip from zero has a bound that no value in range comes to."""
        low, _, high = op.fn.removeprefix("clip(").removesuffix(")").partition(";")
        if not op.fn.startswith("clip(") or float(low) != 0:
            return op
        exact = self.exact.get(source, False)
        e = min(self.exponents[source], self.usual(source) if exact else FINEST)
        return replace(op, fn="relu") if 2.0 ** (15 - e) <= float(high) else op

    def _linear(self, op: FloatOp) -> None:
        out = 0 if op.rounded else self.usual(op.name) - op.spare
        if op.rounded and self.largest[op.name] >= 1 << 15:
            raise UnsupportedModelError(
                op.name, f"whole numbers up to {self.largest[op.name]:.3g}", "rescale the model"
            )
        if not op.products and not op.spare and not op.rounded and self._combine(op):
            return
        products: list[tuple[str, Operand, Operand, int]] = []
        total = out
        for spec, *pair in op.products:
            a, b = self._weighed(*pair)
            left, e_left = self._factor(a, 0)
            right, e_right = self._factor(b, e_left - out)
            products.append((spec, left, right, e_left + e_right))
            total = max(total, e_left + e_right)
        for ref in op.addends:
            if ref.of == "value":
                shift = _power_of_two(ref.factor)
                finer = 15 - floor(log2(abs(ref.factor))) if shift is None else -shift
                total = max(total, min(self.exponents[ref.x] + min(finer, 39), out + MOST_SHIFT))
        addends = [self._addend(ref, total) for ref in op.addends]
        if not products and all(a is None or a.of == "weight" for a in addends):
            raise UnsupportedModelError(
                op.name, "a sum in which constants leave no bit for what depends on the data",
                "rescale the model",
            )  # fmt: skip
        shift = total - out
        if shift > MOST_SHIFT:
            raise UnsupportedModelError(
                op.name, "values whose scales lie too far apart", "rescale the model"
            )
        self.ops.append(
            Contract(
                name=op.name,
                products=tuple(
                    Product(spec=s, a=replace(a, factor=a.factor << (total - e)), b=b)
                    for s, a, b, e in products
                ),
                addends=tuple(a for a in addends if a is not None),
                shift=shift,
                bits=16,
            )
        )
        self.exponents[op.name] = out

    def _factor(self, ref: Ref, used: int) -> tuple[Operand, int]:
        """One side of a product, and its exponent; ``used``: bits that the other side brings."""
        shift = _power_of_two(ref.factor)
        factor, finer = (1 if ref.factor > 0 else -1, -(shift or 0))
        if ref.of == "value":
            x = self.bounded(ref.x)
            if shift is None:
                finer = 14 - floor(log2(abs(ref.factor)))
                finer = min(finer, MOST_SHIFT - used - self.exponents[x])
                factor = round(ref.factor * 2.0**finer)
            return Operand(x=x, wire=ref.wire, factor=factor), self.exponents[x] + finer
        exponent = min(self._weight_exponent(ref), max(16 - used, -8))
        name = self._weight(ref, exponent, 16)
        return Operand(x=name, of="weight", wire=ref.wire, factor=factor), exponent + finer

    def _addend(self, ref: Ref, total: int) -> Operand | None:
        """An operand at the exponent of the accumulator."""
        if ref.of == "value":
            factor = round(ref.factor * 2.0 ** (total - self.exponents[ref.x]))
            return Operand(x=ref.x, wire=ref.wire, factor=factor) if factor else None
        scaled = replace(ref, x=self._scaled(ref))
        most = float(np.abs(self.net.weights[scaled.x]).max(initial=0.0))
        bits = max(17, ceil(log2(max(most, 1e-30))) + total + 2)
        name = self._weight(scaled, total, min(bits, 56))
        return Operand(x=name, of="weight", wire=ref.wire)

    def _weighed(self, a: Ref, b: Ref) -> tuple[Ref, Ref]:
        """A product with one real factor at most; inside of a weight no bits are lost."""
        if a.of == b.of == "value" and a.factor != 1.0:
            return replace(a, factor=1.0), replace(b, factor=a.factor * b.factor)
        if a.of == b.of or (_power_of_two(a.factor) is not None and b.factor == 1.0):
            return a, b
        value, weight = (a, b) if a.of == "value" else (b, a)
        weight = replace(weight, factor=a.factor * b.factor)
        weight = replace(weight, x=self._scaled(weight), factor=1.0)
        value = replace(value, factor=1.0)
        return (value, weight) if a.of == "value" else (weight, value)

    def _scaled(self, ref: Ref) -> str:
        """A weight with its factor inside."""
        if ref.factor == 1.0:
            return ref.x
        name = f"{ref.x}*{ref.factor!r}"
        self.net.weights.setdefault(name, self.net.weights[ref.x] * ref.factor)
        return name

    def _combine(self, op: FloatOp) -> bool:
        """An exact sum, where all factors are powers of two and scales lie close together."""
        found = []
        for ref in op.addends:
            shift = _power_of_two(ref.factor)
            if ref.of != "value" or shift is None:
                return False
            found.append((ref, self.exponents[ref.x] - shift))
        total = max(e for _, e in found)
        if total - min(e for _, e in found) > 12:
            return False
        self.ops.append(
            Combine(
                name=op.name,
                addends=tuple(
                    Operand(x=r.x, wire=r.wire, factor=(1 if r.factor > 0 else -1) << (total - e))
                    for r, e in found
                ),
            )
        )
        self.exponents[op.name] = total
        self.exact[op.name] = True
        return True


def _power(fn: str) -> float | None:
    """The power that a function is, where it is a root, an inverse or both."""
    return {"sqrt": 0.5, "power(0.5)": 0.5, "power(-0.5)": -0.5, "power(-1)": -1.0}.get(fn)


def _power_of_two(x: float) -> int | None:
    """``k`` where ``|x| = 2^k``."""
    mantissa, exponent = frexp(abs(x))
    return exponent - 1 if mantissa == 0.5 else None


def fit(
    net: FloatNetwork,
    largest: Mapping[str, float],
    integral: frozenset[str],
    outputs: Mapping[str, str],
    facts: Mapping[str, Any],
) -> Fitted:
    """Choose scales and write the program.

    Parameters
    ----------
    net : FloatNetwork
        In floats.
    largest : mapping
        Greatest magnitude of every value over all samples.
    integral : frozenset of str
        Inputs whose values are whole numbers.
    outputs : mapping
        Value of each output.
    facts : mapping
        ``name`` of the program, and what else there is to tell.

    Raises
    ------
    UnsupportedModelError
        Where a value cannot be represented.
    """
    work = _Fit(net, largest, integral)
    ports = {}
    for name, dims in net.inputs.items():
        e = work.usual(name)
        work.exponents[name] = e
        ports[name] = Port(dims, e, -(1 << 15), (1 << 15) - 1)
    work.run()
    shown = {}
    for name, value in outputs.items():
        limit = (1 << 40) if work.exact.get(value, False) else (1 << 15)
        dims = net.dims[value]
        shown[name] = Output(dims, work.exponents[value], -limit, limit - 1, value)
    made = {op.name for op in work.ops}
    program = Program(
        name=str(facts["name"]),
        arch={k: v for k, v in facts.items() if k != "name"},
        inputs=ports,
        outputs=shown,
        limits={},
        ops=tuple(work.ops),
        weights=work.specs,
        exponents={n: e for n, e in work.exponents.items() if n in made},
    )
    program.validate()
    return Fitted(program, work.weights)
