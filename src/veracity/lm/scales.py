"""Scales: what calibration saw, and the exponents that integers get from it.

A tensor with exponent k stands for integer * 2^-k. 16-bit activations keep one bit of headroom
above the calibrated maximum; tensors with massive activations (max / p99.9 > 64) get 24 bits and
are never clamped, because they carry the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, log2, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.graph import WeightSpec
from veracity.graph.ops import Add, Gain, HeadNorm, Linear, Norm, Op
from veracity.lm.decoder import FloatModel

__all__ = ["LARGEST_K", "ONE_DIGIT", "Builder", "Range", "Scaled", "tables_of"]

#: Largest magnitude of an int16 weight: both of its balanced bytes stay in int8.
_WEIGHT_LIMIT = 32639
#: Exponent of the residual stream, unless the embedding's entries are finer than it shows: units
#: that their root mean square has at least, and the largest exponent that this may lead to.
_RESIDUAL, _UNITS, _FINEST = 10, 32, 20
#: Largest shift whose remainder is one lookup.
ONE_DIGIT = 16
#: Largest exponent of what a function's table reads and gives.
LARGEST_K = 16


@dataclass(frozen=True)
class Range:
    """What calibration saw of a tensor: largest magnitude and 99.9th percentile."""

    largest: float
    usual: float

    @property
    def massive(self) -> bool:
        """Whether a few entries are far larger than all others."""
        return self.largest > 64 * max(self.usual, 1e-9)


@dataclass(frozen=True)
class Scaled:
    """A value of the program under construction: its name and exponent."""

    name: str
    exponent: int


class Builder:
    """A program under construction: its ops, with their exponents, and its integer weights."""

    def __init__(self, model: FloatModel, ranges: Mapping[str, Range]) -> None:
        self.model, self.ranges = model, ranges
        self.ops: list[Op] = []
        self.exponents: dict[str, int] = {}
        self.specs: dict[str, WeightSpec] = {}
        self.weights: dict[str, NDArray[np.integer]] = {}
        self.residual = self.first_exponent()
        if model.config.sum_norm:  # what replaces the stream has 16 bits
            sums = [n for n in ranges if n.endswith((".attn.post", ".mlp.post"))]
            self.residual = min(self.residual, *(self.result(n, narrow=True)[0] for n in sums))

    def value(self, op: Op, exponent: int) -> Scaled:
        """Append an op; its result has this exponent."""
        self.ops.append(op)
        self.exponents[op.name] = exponent
        return Scaled(op.name, exponent)

    def quantise(self, name: str, exponent: int, dtype: str = "int16") -> str:
        """Store a tensor as integers at 2^-exponent (once).

        Parameters
        ----------
        name : str
            Name of the tensor.
        exponent : int
            Of its integers.
        dtype : str
            How they are stored.
        """
        if name not in self.weights:
            scaled = np.rint(self.model.tensors[name].astype(np.float64) * 2.0**exponent)
            self.weights[name] = scaled.astype(dtype)
            bits = 16 if dtype == "int16" else 32
            self.specs[name] = WeightSpec(scaled.shape, dtype, exponent, bits)
        return name

    def weight_exponent(self, name: str) -> int:
        """The largest exponent with which a tensor's integers have 16 bits."""
        largest = float(np.abs(self.model.tensors[name]).max())
        return min(24, floor(log2(_WEIGHT_LIMIT / max(largest, 1e-9))))

    def first_exponent(self) -> int:
        """Of the residual stream: as fine as the embedding needs, as coarse as its largest do."""
        table = self.model.tensors["embed"]
        power = float(np.einsum("ij,ij->", table, table, dtype=np.float64)) / table.size
        finest = min(_FINEST, ceil(log2(_UNITS / sqrt(max(power, 1e-24)))))
        coarsest = min(self.weight_exponent(name) for name in tables_of(self.model))
        return min(max(_RESIDUAL, finest), coarsest)

    def result(self, name: str, limit: int | None = None, narrow: bool = False) -> tuple[int, int]:
        """``(exponent, bits)`` of a result.

        Parameters
        ----------
        name : str
            What its ranges were seen under.
        limit : int, optional
            Of the exponent.
        narrow : bool
            Whether the result has to fit 16 bits, whatever its entries are.
        """
        seen = self.ranges[name]
        largest = max(seen.largest, 1e-6)
        bits = 24 if seen.massive and not narrow else 16
        exponent = floor(log2(((1 << (bits - 1)) - 1) / (2 * largest)))
        if bits == 24:  # as fine as the ordinary entries deserve, not finer
            usual = floor(log2(32767 / (4 * max(seen.usual, 1e-6))))
            exponent = min(exponent, max(usual, 0))
        return (exponent if limit is None else min(exponent, limit)), bits

    def linear(
        self, name: str, x: Scaled, limit: int | None = None, narrow: bool = False
    ) -> Scaled:
        """A linear map; the shift is kept to one lookup by coarser weights where needed.

        Parameters
        ----------
        name : str
            Name of the op, of its weight and of what was seen.
        x : Scaled
            What it reads.
        limit : int, optional
            Of the exponent.
        narrow : bool
            Whether the result has to fit 16 bits, whatever its entries are.
        """
        out, bits = self.result(name, limit, narrow)
        w = self.weight_exponent(name)
        out = min(out, x.exponent + w)
        w = min(w, ONE_DIGIT + out - x.exponent)
        bias = None
        if f"{name}.bias" in self.model.tensors:
            bias = self.quantise(f"{name}.bias", x.exponent + w, "int64")
        op = Linear(
            name=name, x=x.name, weight=self.quantise(name, w), bias=bias,
            shift=x.exponent + w - out, bits=bits,
        )  # fmt: skip
        return self.value(op, out)

    def norm(self, name: str, x: Scaled, heads: int = 0, size: int = 0) -> Scaled:
        """A norm of the residual stream, or of ``heads`` parts of ``size`` features of a result.

        Parameters
        ----------
        name : str
            Name of the op.
        x : Scaled
            What it reads.
        heads, size : int
            Parts, and features of each; 0 for a norm of the residual stream.
        """
        c = self.model.config
        d = size or c.dim
        out = min(floor(log2(32767 / sqrt(d))), 12)
        layer = c.norm == "layer"
        scale = 2.0 ** (2 * x.exponent) * (float(d) ** 3 if layer else d)
        shift = ONE_DIGIT + (ceil(log2(d)) if layer else 0)
        parts: dict[str, Any] = {
            "name": name, "x": x.name, "kind": c.norm, "constant": d << 2 * (out + shift),
            "eps": max(1, round(c.norm_eps * scale)), "shift": shift, "bits": 16,
        }  # fmt: skip
        if size:  # results have at most 24 bits
            parts["x_bits"] = getattr(self.ops[-1], "bits", 24)
        else:
            seen = self.ranges["residual"].largest
            parts["x_bits"] = max(16, ceil(log2(4 * max(seen, 1.0) * 2.0**x.exponent)))
        op = HeadNorm(**parts, heads=heads) if heads > 1 else Norm(**parts)
        return self.value(op, out)

    def gain(self, name: str, x: Scaled, limit: int | None = None, narrow: bool = False) -> Scaled:
        """A norm's gain where no linear map can take it.

        Parameters
        ----------
        name : str
            Name of the op, of its weight and of what was seen.
        x : Scaled
            What it reads.
        limit : int, optional
            Of the exponent.
        narrow : bool
            Whether the result has to fit 16 bits, whatever its entries are.
        """
        weight = self.weight_exponent(name)
        out, bits = self.result(name, limit, narrow)
        out = min(out, x.exponent + weight)
        weight = min(weight, ONE_DIGIT + out - x.exponent)
        bias = None
        if f"{name}.bias" in self.model.tensors:
            bias = self.quantise(f"{name}.bias", x.exponent + weight, "int64")
        op = Gain(
            name=name, x=x.name, weight=self.quantise(name, weight), bias=bias,
            shift=x.exponent + weight - out, bits=bits,
        )  # fmt: skip
        return self.value(op, out)

    def join(self, name: str, residual: Scaled, update: Scaled) -> Scaled:
        """The residual stream after an update.

        Parameters
        ----------
        name : str
            Name of the op.
        residual : Scaled
            Before it.
        update : Scaled
            What is added, no finer than it.
        """
        op = Add(
            name=name, a=residual.name, b=update.name, shift_a=0,
            shift_b=residual.exponent - update.exponent,
        )  # fmt: skip
        return self.value(op, residual.exponent)


def tables_of(model: FloatModel) -> list[str]:
    """The tables whose rows the residual stream begins with."""
    return ["embed", *(["position"] if model.config.positions else [])]
