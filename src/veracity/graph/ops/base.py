"""What an op is, and what its family says about it: shape, magnitude, integer meaning.

``rhu(x, s) = floor((x + 2^(s-1)) / 2^s)`` is the one rounding rule. ``bits`` is 16 or 24 (of a
contraction also 48): a signed result outside is a :class:`veracity.errors.RangeError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Integers
from veracity.errors import RangeError, UsageError
from veracity.graph.exact import rhu
from veracity.graph.port import Dims, Port, WeightSpec
from veracity.graph.sampling import Sampling
from veracity.records import record

__all__ = [
    "LARGEST",
    "REMEDY",
    "Array",
    "Facts",
    "Op",
    "OpRule",
    "Run",
    "State",
    "Unsupported",
    "in_range",
    "require",
    "rescaled",
    "unchanged",
    "within",
]

Array = NDArray[np.int64]
Details = dict[str, Array]

#: No value or accumulator reaches this: evaluation holds it in signed 64-bit words.
LARGEST = 1 << 62
#: What a user can do about a value that leaves its range.
REMEDY = (
    "calibrate again with text like this input (veracity calibrate --text FILE); import a network "
    "again with samples like it (veracity import --samples DIR)"
)


@record(kw_only=True)
class Op:
    """Base of all ops: a name, which is also that of its result."""

    name: str

    @classmethod
    def widths(cls) -> tuple[int, ...]:
        """What its ``bits`` may be."""
        return (16, 24)

    def inputs(self) -> tuple[str, ...]:
        """Names of the values it reads."""
        fields = self.__dataclass_fields__  # asked thousands of times for each proof
        return tuple([getattr(self, f) for f in ("x", "a", "b", "q", "k", "v") if f in fields])

    def weight_names(self) -> tuple[str, ...]:
        """Names of the weights it reads."""
        found = [getattr(self, f, None) for f in ("table", "weight", "bias")]
        return tuple(f for f in found if f is not None)

    def tables(self) -> tuple[tuple[str, int, int], ...]:
        """Tables that it looks functions up in: function, exponents of argument and value."""
        return ()


@record
class Facts:
    """What rules may know of a program.

    Attributes
    ----------
    inputs : mapping
        Input ports by name.
    weights : mapping
        Specs by name.
    limits : mapping
        Most of each symbol.
    """

    inputs: Mapping[str, Port]
    weights: Mapping[str, WeightSpec]
    limits: Mapping[str, int]


@dataclass
class State:
    """What step-by-step evaluation along T remembers: positions done, keys and values by op."""

    position: int = 0
    cache: dict[str, tuple[Array, Array]] = field(default_factory=dict)


@record
class Run:
    """What an op's meaning may use beside its operands.

    Attributes
    ----------
    specs, weights : mapping
        Specs and integers by name.
    sizes : mapping
        What the symbols stand for.
    state : State
        Positions before; a fresh one for a whole pass.
    integers : Integers or None
        The products of the engine that computes; those of ``cpu`` where None.
    sampling : Sampling or None
        How tokens are drawn; None for the greedy choice.
    exponents : mapping
        Exponents of values by op, where tokens are drawn.
    """

    specs: Mapping[str, WeightSpec]
    weights: Mapping[str, NDArray[np.integer]]
    sizes: Mapping[str, int]
    state: State
    integers: Integers | None = None
    sampling: Sampling | None = None
    exponents: Mapping[str, int] = field(default_factory=dict)

    def weight(self, op: Op, name: str) -> NDArray[np.integer]:
        """A weight, within the bound that magnitudes were computed with.

        Raises
        ------
        RangeError
        """
        found = self.weights[name]
        if found.dtype.itemsize > 4:
            within(op, found, self.specs[name].bound + 1)
        return found


def _no_wiring(_op: object, _facts: Facts, _dims: Sequence[Dims]) -> int:
    return 0


@record
class OpRule:
    """What a family says about an op.

    Attributes
    ----------
    shape : callable
        ``(op, facts, dims of operands) -> dims``; raises UsageError where parameters, weights or
        operands do not fit.
    magnitude : callable
        ``(op, facts, bounds of operands, their dims) -> (bound of the result, greatest bound of
        anything on the way)``.
    evaluate : callable
        ``(op, run, operands) -> (result, details)``: THE integer meaning.
    ends : bool
        The result is an output and nothing else may read it.
    wiring : callable
        ``(op, facts, dims of operands) -> entries`` of the axes that its wires read or make; asked
        before ``shape``, for that is work, too.
    over : callable, optional
        ``(op, samples) -> op``: the same under one more, first axis of that many samples
        (:mod:`veracity.graph.samples`); None where there is no such op.
    """

    shape: Callable[[Any, Facts, Sequence[Dims]], Dims]
    magnitude: Callable[[Any, Facts, Sequence[int], Sequence[Dims]], tuple[int, int]]
    evaluate: Callable[[Any, Run, Sequence[Array]], tuple[Array, Details]]
    ends: bool = False
    over: Callable[[Any, int], Op] | None = None
    wiring: Callable[[Any, Facts, Sequence[Dims]], int] = _no_wiring


#: Bounds of parameters by name, wherever an op has one of this name.
_PARAMETERS = {
    "shift": (0, 32),
    "shift_a": (0, 32),
    "shift_b": (0, 32),
    "score_shift": (0, 32),
    "mix_shift": (0, 32),
    "frac": (1, 16),
    "exp_k": (0, 16),
    "k_in": (0, 16),
    "k_out": (0, 16),
    "eps": (1, 1 << 64),
    "constant": (1, 1 << 128),
    "x_bits": (1, 40),
    "kv_heads": (1, 1 << 12),
    "group": (1, 1 << 12),
    "head_dim": (1, 1 << 12),
    "heads": (1, 1 << 12),
}


def check_parameters(op: Op) -> None:
    """Raise UsageError where a parameter is out of its bounds."""
    kind: type = type(op)
    for name, low, high in _parameters(kind):
        require(low <= getattr(op, name) <= high, op, f"{name} out of bounds")
    require(getattr(op, "bits", 16) in op.widths(), op, f"bits must be one of {op.widths()}")


@lru_cache(maxsize=64)
def _parameters(kind: type[Any]) -> tuple[tuple[str, int, int], ...]:
    """The parameters that all ops of a kind have, with their bounds."""
    has = {*kind.__dataclass_fields__, *dir(kind)}
    return tuple((name, *bounds) for name, bounds in _PARAMETERS.items() if name in has)


def require(condition: bool, op: Op, what: str) -> None:
    """Refuse a program, unless a condition holds.

    Parameters
    ----------
    condition : bool
        What has to hold.
    op : Op
        Named in the message.
    what : str
        What is wrong with it.

    Raises
    ------
    UsageError
    """
    if not condition:
        raise UsageError(f"{op.name}: {what}")


def unchanged(op: Op, _samples: int) -> Op:
    """What acts on every entry or along the last axis does so whatever axes come before."""
    return op


def same(op: Op, dims: Sequence[Dims]) -> Dims:
    """The dims of all operands, which must be equal."""
    require(len(set(dims)) == 1, op, "inputs of different widths")
    return dims[0]


def in_range(op: Op, y: Array, bits: int) -> Array:
    """A result within its signed width.

    Parameters
    ----------
    op : Op
        Named in the error.
    y : int64 array
        Its result, or a part of it.
    bits : int
        Width, sign included.

    Returns
    -------
    int64 array
        ``y`` itself.

    Raises
    ------
    RangeError
    """
    limit = 1 << (bits - 1)
    if y.size and (int(y.min()) < -limit or int(y.max()) >= limit):
        raise RangeError(op.name, REMEDY)
    return y


def within(op: Op, x: NDArray[np.integer], limit: int) -> NDArray[np.integer]:
    """Values below a limit in magnitude.

    Parameters
    ----------
    op : Op
        Named in the error.
    x : integer array
        What it reads.
    limit : int
        Every ``|x|`` has to be less.

    Returns
    -------
    integer array
        ``x`` itself.

    Raises
    ------
    RangeError
    """
    if x.size and max(-int(x.min()), int(x.max())) >= limit:
        raise RangeError(op.name, REMEDY)
    return x


def rescaled(op: Any, acc: Array, integers: Integers | None = None) -> Array:
    """What an accumulator means: ``rhu(acc, shift)`` in its range (16 bits where not stated).

    Parameters
    ----------
    op : Op
        With a shift.
    acc : int64 array
        Its accumulators.
    integers : Integers, optional
        The engine that divides; NumPy where not given.

    Raises
    ------
    RangeError
    """
    bits = getattr(op, "bits", 16)
    if integers is None or op.shift == 0:
        return in_range(op, rhu(acc, op.shift), bits)
    quotients, low, high = integers.rounded(np.ascontiguousarray(acc), op.shift)
    limit = 1 << (bits - 1)
    if low < -limit or high >= limit:
        raise RangeError(op.name, REMEDY)
    return quotients


def rounded(bound: int, shift: int) -> int:
    """Bound of ``acc + 2^(shift-1)``, what a rescale holds on the way."""
    return bound + ((1 << shift) >> 1)


@record
class Unsupported:
    """An entry of a layer's table for an op that the layer cannot do.

    Attributes
    ----------
    reason : str
        Why, and what would do instead: part of the error that a user meets.
    """

    reason: str
