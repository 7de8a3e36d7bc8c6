"""A program: ops, weight shapes and exponents, with a canonical encoding and digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

from veracity.errors import FormatError, UsageError
from veracity.graph.ops import (
    OPS,
    Attention,
    Embed,
    Function,
    Gain,
    Head,
    Linear,
    Norm,
    Op,
    Positions,
    Rope,
)
from veracity.graph.tables import FUNCTIONS

__all__ = ["Program", "WeightSpec"]

_FORMAT = 1
_DTYPES = ("int8", "int16", "int32", "int64")
_LARGEST_EXPONENT = 64


@dataclass(frozen=True)
class WeightSpec:
    """Shape and meaning of one weight: real value = integer * 2^-exponent."""

    shape: tuple[int, ...]
    dtype: str
    exponent: int
    bits: int


@dataclass(frozen=True)
class Program:
    """A fixed-point tensor program.

    Attributes
    ----------
    name : str
        For people.
    arch : dict
        Plain facts about the architecture, for people.
    vocab, context : int
        Number of tokens; most input positions.
    ops : tuple of Op
        In order of execution; the last one is the Head.
    weights : dict
        Specs by name.
    exponents : dict
        Exponent of each value: real = integer * 2^-exponent.
    """

    name: str
    arch: Mapping[str, Any]
    vocab: int
    context: int
    ops: tuple[Op, ...] = field(repr=False)
    weights: Mapping[str, WeightSpec] = field(repr=False)
    exponents: Mapping[str, int] = field(repr=False)

    def to_json(self) -> str:
        """Canonical encoding: sorted keys, no floats."""
        body = {
            "format": _FORMAT,
            "name": self.name,
            "arch": _plain(dict(self.arch)),
            "vocab": self.vocab,
            "context": self.context,
            "ops": [{"op": type(op).__name__, **asdict(op)} for op in self.ops],
            "weights": {k: {**asdict(v), "shape": list(v.shape)} for k, v in self.weights.items()},
            "exponents": dict(self.exponents),
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical encoding, hex."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_json(cls, text: str) -> Program:
        """Parse and validate.

        Raises
        ------
        FormatError
        """
        try:
            body = json.loads(text)
            if not isinstance(body, dict) or body.get("format") != _FORMAT:
                raise FormatError("program", "another format version; import the model again")
            program = cls(
                name=_typed(body["name"], str),
                arch=_typed(body["arch"], dict),
                vocab=_typed(body["vocab"], int),
                context=_typed(body["context"], int),
                ops=tuple(_op(o) for o in _typed(body["ops"], list)),
                weights={k: _spec(v) for k, v in _typed(body["weights"], dict).items()},
                exponents={
                    _typed(k, str): _typed(v, int)
                    for k, v in _typed(body["exponents"], dict).items()
                },
            )
            canonical = program.to_json()
            program.validate()
        except UsageError as error:
            raise FormatError("program", str(error)) from error
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise FormatError("program", f"malformed ({type(error).__name__})") from error
        if canonical != text:
            raise FormatError("program", "the encoding is not canonical")
        return program

    def validate(self) -> None:
        """Check every op against its spec.

        Raises
        ------
        UsageError
            Names the op and what is wrong.
        """
        if not self.ops or not isinstance(self.ops[-1], Head):
            raise UsageError("a program ends with a Head")
        if not (1 <= self.vocab <= 1 << 20 and 1 <= self.context <= 1 << 16):
            raise UsageError("vocabulary or context out of bounds")
        widths: dict[str, int] = {}
        for op in self.ops:
            if op.name in widths:
                raise UsageError(f"{op.name}: two ops have this name")
            for source in op.inputs():
                if source not in widths:
                    raise UsageError(f"{op.name}: reads {source} before it is computed")
            for weight in op.weight_names():
                if weight not in self.weights:
                    raise UsageError(f"{op.name}: weight {weight} has no spec")
            widths[op.name] = _width(self, op, widths)
        if not set(self.exponents) <= set(widths):
            raise UsageError("an exponent belongs to no value")
        if any(abs(e) > _LARGEST_EXPONENT for e in self.exponents.values()):
            raise UsageError("an exponent is out of bounds")
        for name, spec in self.weights.items():
            if spec.dtype not in _DTYPES or not 1 <= spec.bits <= 64:
                raise UsageError(f"{name}: no such integers")
            if abs(spec.exponent) > _LARGEST_EXPONENT:
                raise UsageError(f"{name}: exponent out of bounds")
        used = {w for op in self.ops for w in op.weight_names()}
        if used != set(self.weights):
            raise UsageError(f"weights that no op reads: {sorted(set(self.weights) - used)[:3]}")


def _plain(value: Any) -> Any:
    """Floats become strings, so that the encoding is canonical."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError
    return value


def _op(body: Any) -> Op:
    body = dict(_typed(body, dict))
    kind = OPS[_typed(body.pop("op"), str)]
    names = {f.name: str(f.type) for f in fields(kind)}
    if set(body) != set(names):
        raise KeyError
    for name, value in body.items():
        wanted = names[name]
        if not (wanted == "str | None" and value is None):
            _typed(value, int if wanted == "int" else str)
    return kind(**body)


def _spec(body: Any) -> WeightSpec:
    body = _typed(body, dict)
    if set(body) != {"shape", "dtype", "exponent", "bits"}:
        raise KeyError
    shape = tuple(_typed(d, int) for d in _typed(body["shape"], list))
    if not 1 <= len(shape) <= 2 or any(not 1 <= d <= 1 << 24 for d in shape):
        raise ValueError
    return WeightSpec(
        shape, _typed(body["dtype"], str), _typed(body["exponent"], int), _typed(body["bits"], int)
    )


def _require(condition: bool, op: Op, what: str) -> None:
    if not condition:
        raise UsageError(f"{op.name}: {what}")


def _width(program: Program, op: Op, widths: Mapping[str, int]) -> int:
    """Features of an op's result; checks shapes and parameters."""
    shape = {n: program.weights[n].shape for n in op.weight_names()}
    inputs = [widths[i] for i in op.inputs()]
    for name, low, high in (
        ("shift", 0, 32),
        ("shift_a", 0, 32),
        ("shift_b", 0, 32),
        ("score_shift", 0, 32),
        ("mix_shift", 0, 32),
        ("frac", 1, 16),
        ("exp_k", 0, 16),
        ("k_in", 0, 16),
        ("k_out", 0, 16),
        ("eps", 1, 1 << 64),
        ("constant", 1, 1 << 128),
        ("x_bits", 1, 40),
        ("kv_heads", 1, 1 << 12),
        ("group", 1, 1 << 12),
        ("head_dim", 1, 1 << 12),
        ("heads", 1, 1 << 12),
    ):
        if hasattr(op, name):
            _require(low <= getattr(op, name) <= high, op, f"{name} out of bounds")
    _require(getattr(op, "bits", 16) in (16, 24), op, "bits must be 16 or 24")
    if isinstance(op, Embed | Positions):
        rows, width = _matrix(op, shape[op.table])
        need = program.vocab if isinstance(op, Embed) else program.context
        _require(rows == need, op, "the table has another number of rows")
        return width
    if isinstance(op, Linear | Head):
        n, k = _matrix(op, shape[op.weight])
        _require(k == inputs[0], op, "the weight does not fit its input")
        if isinstance(op, Linear) and op.bias is not None:
            _require(shape[op.bias] == (n,), op, "the bias does not fit the weight")
        if isinstance(op, Head):
            _require(n == program.vocab, op, "the head does not fit the vocabulary")
        return n
    if isinstance(op, Attention):
        q, k, v = inputs
        _require(q == op.kv_heads * op.group * op.head_dim, op, "q has another width")
        _require(k == v == op.kv_heads * op.head_dim, op, "k or v has another width")
        return q
    if isinstance(op, Rope):
        _require(op.style in ("interleaved", "half"), op, "unknown style")
        _require(op.head_dim % 2 == 0, op, "odd head dimension")
        _require(inputs[0] == op.heads * op.head_dim, op, "input has another width")
        _require(_positive_number(op.base), op, "base is not a positive number")
    if isinstance(op, Norm):
        _require(op.kind in ("rms", "layer"), op, "unknown kind")
        _require(op.constant // op.eps < 1 << 64, op, "the reciprocal root may exceed 32 bits")
    if isinstance(op, Gain):
        for weight in op.weight_names():
            _require(shape[weight] == (inputs[0],), op, "the gain does not fit its input")
    if isinstance(op, Function):
        _require(op.fn in FUNCTIONS, op, "unknown function")
    _require(len(set(inputs)) == 1, op, "inputs of different widths")
    return inputs[0]


def _matrix(op: Op, shape: tuple[int, ...]) -> tuple[int, int]:
    _require(len(shape) == 2, op, "the weight is not a matrix")
    return shape[0], shape[1]


def _positive_number(text: str) -> bool:
    digits = text.replace(".", "", 1)  # isdigit alone would let superscripts pass
    return digits.isascii() and digits.isdigit() and len(text) <= 32 and float(text) > 0
