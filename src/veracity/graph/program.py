"""A program: ports, ops, weights and exponents, with a canonical encoding and digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import field, fields
from functools import cached_property, lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import FormatError, UsageError
from veracity.graph.ops import OPS, RULES, Op, Operand, Product
from veracity.graph.ops.base import LARGEST, Facts, check_parameters
from veracity.graph.port import DTYPES, Dim, Dims, Output, Port, WeightSpec, bind_sizes
from veracity.graph.wires import MAX_WORK, Step
from veracity.records import record

__all__ = ["Program"]

_FORMAT = 2
_LARGEST_EXPONENT = 64
#: Most ops, weights, ports, dims of a value, values alive at once; longest name.
MAX_OPS, MAX_WEIGHTS, MAX_PORTS, MAX_DIMS, MAX_LIVE, MAX_NAME = 1 << 14, 1 << 14, 64, 8, 64, 200
#: Largest length, and largest limit of a symbol.
MAX_LENGTH, MAX_LIMIT = 1 << 24, 1 << 16


@record
class Program:
    """A fixed-point tensor program.

    Attributes
    ----------
    name : str
        For people.
    arch : dict
        Plain facts about the architecture, for people.
    inputs : dict
        Ports by name; ops read them like results.
    outputs : dict
        Ports by name, and the value that each shows.
    limits : dict
        Most of each symbol in dims.
    ops : tuple of Op
        In order of execution.
    weights : dict
        Specs by name.
    exponents : dict
        Exponent of each value: real = integer * 2^-exponent.
    """

    name: str
    arch: Mapping[str, Any]
    inputs: Mapping[str, Port]
    outputs: Mapping[str, Output]
    limits: Mapping[str, int]
    ops: tuple[Op, ...] = field(repr=False)
    weights: Mapping[str, WeightSpec] = field(repr=False)
    exponents: Mapping[str, int] = field(repr=False)

    def to_json(self) -> str:
        """Canonical encoding: sorted keys, no floats."""
        return self._text

    @cached_property
    def _text(self) -> str:
        body = {
            "format": _FORMAT,
            "name": self.name,
            "arch": _plain(dict(self.arch)),
            "inputs": {k: _encoded(v) for k, v in self.inputs.items()},
            "outputs": {k: _encoded(v) for k, v in self.outputs.items()},
            "limits": dict(self.limits),
            "ops": [{"op": type(op).__name__, **_encoded(op)} for op in self.ops],
            "weights": {k: _encoded(v) for k, v in self.weights.items()},
            "exponents": dict(self.exponents),
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical encoding, hex."""
        return _digest(self.to_json())

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
                inputs={k: _port(Port, v) for k, v in _typed(body["inputs"], dict).items()},
                outputs={k: _port(Output, v) for k, v in _typed(body["outputs"], dict).items()},
                limits={k: _typed(v, int) for k, v in _typed(body["limits"], dict).items()},
                ops=tuple(_op(o) for o in _typed(body["ops"], list)),
                weights={k: _spec(v) for k, v in _typed(body["weights"], dict).items()},
                exponents={k: _typed(v, int) for k, v in _typed(body["exponents"], dict).items()},
            )
            program.validate()
            canonical = program.to_json()
        except UsageError as error:
            raise FormatError("program", str(error)) from error
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise FormatError("program", f"malformed ({type(error).__name__})") from error
        if canonical != text:
            raise FormatError("program", "the encoding is not canonical")
        program.__dict__["digest"] = _digest(text)  # as the property would keep it
        return program

    # ---- checks ------------------------------------------------------------------------------
    def validate(self) -> None:
        """Check sizes, every op against its rules, and that no evaluation can overflow; once.

        Raises
        ------
        UsageError
            Names the op and what is wrong.
        """
        _ = self._valid

    @cached_property
    def _valid(self) -> bool:
        self._check_sizes()
        self._check_ports()
        for name, spec in self.weights.items():
            if spec.dtype not in DTYPES or not 1 <= spec.bits <= DTYPES[spec.dtype]:
                raise UsageError(f"{name}: no such integers")
            if abs(spec.exponent) > _LARGEST_EXPONENT:
                raise UsageError(f"{name}: exponent out of bounds")
        self._check_ops()
        if not set(self.exponents) <= {op.name for op in self.ops}:
            raise UsageError("an exponent belongs to no value")
        if any(abs(e) > _LARGEST_EXPONENT for e in self.exponents.values()):
            raise UsageError("an exponent is out of bounds")
        used = {w for op in self.ops for w in op.weight_names()}
        if used != set(self.weights):
            raise UsageError(f"weights that no op reads: {sorted(set(self.weights) - used)[:3]}")
        return True

    def _check_sizes(self) -> None:
        """Everything that work is proportional to, before any work."""
        if not 1 <= len(self.ops) <= MAX_OPS or len(self.weights) > MAX_WEIGHTS:
            raise UsageError("a program has 1 to 16384 ops and at most as many weights")
        if not 1 <= len(self.outputs) <= MAX_PORTS or len(self.inputs) > MAX_PORTS:
            raise UsageError("a program has 1 to 64 outputs and at most as many inputs")
        names = [self.name, *self.inputs, *self.outputs, *self.weights, *self.limits]
        names += [op.name for op in self.ops]
        if any(len(n) > MAX_NAME or not n.isprintable() for n in names):
            raise UsageError(f"a name is longer than {MAX_NAME} characters, or cannot be printed")
        if any(not 1 <= limit <= MAX_LIMIT for limit in self.limits.values()):
            raise UsageError("a limit is out of bounds")

    def _check_ports(self) -> None:
        if both := sorted(set(self.inputs) & set(self.outputs)):
            raise UsageError(f"port {both[0]}: an input and an output have this name")
        shown = [port.value for port in self.outputs.values()]
        if len(set(shown)) != len(shown):
            raise UsageError("two outputs show one value")
        used: set[str] = set()
        for name, port in {**self.inputs, **self.outputs}.items():
            used |= {d for d in port.dims if isinstance(d, str)}
            small = all(1 <= d <= MAX_LENGTH for d in port.dims if isinstance(d, int))
            if not 1 <= len(port.dims) <= MAX_DIMS or not small:
                raise UsageError(f"port {name}: dims out of bounds")
            if not -LARGEST < port.low <= port.high < LARGEST:
                raise UsageError(f"port {name}: no such range")
            if abs(port.exponent) > _LARGEST_EXPONENT:
                raise UsageError(f"port {name}: exponent out of bounds")
        if not used <= set(self.limits):
            raise UsageError(f"no limit of {sorted(used - set(self.limits))[0]}")

    def _check_ops(self) -> None:
        dims: dict[str, Dims] = {name: tuple(p.dims) for name, p in self.inputs.items()}
        bounds = {name: max(-p.low, p.high) for name, p in self.inputs.items()}
        last = self.last_reader
        ended: set[str] = set()
        live: set[str] = set()
        wired = 0
        for i, op in enumerate(self.ops):
            rule = RULES[type(op)]
            if op.name in dims:
                raise UsageError(f"{op.name}: two ops have this name")
            for source in op.inputs():
                if source not in dims or source in ended:
                    raise UsageError(f"{op.name}: reads {source} before it is computed")
            for weight in op.weight_names():
                if weight not in self.weights:
                    raise UsageError(f"{op.name}: weight {weight} has no spec")
            check_parameters(op)
            operands = op.inputs()
            read = [dims[n] for n in operands]
            wired += rule.wiring(op, self.facts, read)
            if wired > MAX_WORK:
                raise UsageError("wires read or make axes of more than 2^26 entries")
            dims[op.name] = rule.shape(op, self.facts, read)
            if len(dims[op.name]) > MAX_DIMS:
                raise UsageError(f"{op.name}: a value has 1 to {MAX_DIMS} dims")
            bounds[op.name], held = rule.magnitude(
                op, self.facts, [bounds[n] for n in operands], read
            )
            if max(held, bounds[op.name]) >= LARGEST:
                raise UsageError(
                    f"{op.name}: a value or accumulator may need more than 62 bits; rescale "
                    "sooner, or with fewer bits"
                )
            if rule.ends:
                ended.add(op.name)
            if op.name in last:
                live.add(op.name)
            live -= {n for n in operands if last[n] == i}
            if len(live) > MAX_LIVE:
                raise UsageError(f"{op.name}: more than {MAX_LIVE} values are alive at once")
        for name, port in self.outputs.items():  # what no op computes, no relation ties
            if port.value in self.inputs or dims.get(port.value) != tuple(port.dims):
                raise UsageError(f"output {name}: no op {port.value} has a result of these dims")
        if ended - {port.value for port in self.outputs.values()}:
            raise UsageError("a choice that is no output")

    # ---- what follows from it ------------------------------------------------------------------
    @cached_property
    def facts(self) -> Facts:
        """What rules may know."""
        return Facts(self.inputs, self.weights, self.limits)

    @cached_property
    def last_reader(self) -> dict[str, int]:
        """The index of the last op that reads a value, for values that are read."""
        return {name: i for i, op in enumerate(self.ops) for name in op.inputs()}

    @cached_property
    def value_dims(self) -> dict[str, Dims]:
        """Dims of all inputs and results, with symbols."""
        dims: dict[str, Dims] = {name: tuple(p.dims) for name, p in self.inputs.items()}
        for op in self.ops:
            dims[op.name] = RULES[type(op)].shape(op, self.facts, [dims[n] for n in op.inputs()])
        return dims

    @cached_property
    def wired(self) -> int:
        """Entries of the axes that all wires read or make; raises as :meth:`validate`."""
        self.validate()
        return sum(
            RULES[type(op)].wiring(op, self.facts, [self.value_dims[n] for n in op.inputs()])
            for op in self.ops
        )

    @cached_property
    def known_results(self) -> int:
        """How many integers are computed, of those values whose number no input decides."""
        known = [dims for dims in self.value_dims.values() if not any(_is_symbol(d) for d in dims)]
        return sum(prod(int(d) for d in dims) for dims in known)

    def dims_of(self, name: str, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Dims of a value for these sizes."""

        def length(d: Dim) -> int:
            return sizes[d] if isinstance(d, str) else d

        return tuple(length(d) for d in self.value_dims[name])

    def check_sizes(self, sizes: Mapping[str, int]) -> None:
        """Raise UsageError unless sizes keep to the program's limits."""
        for symbol, size in sizes.items():
            if symbol not in self.limits or not 1 <= size <= self.limits[symbol]:
                raise UsageError(f"{symbol} = {size} is not within the program's limits")

    def check_inputs(self, inputs: Mapping[str, NDArray[np.integer]]) -> dict[str, int]:
        """What the symbols stand for, given all inputs.

        Raises
        ------
        UsageError
            Where an input is missing, or does not fit its port.
        """
        if set(inputs) != set(self.inputs):
            raise UsageError(f"the program's inputs are {sorted(self.inputs)}")
        self.check_ranges(inputs)
        return bind_sizes(self.inputs, {n: np.shape(x) for n, x in inputs.items()}, self.limits)

    def check_ranges(self, values: Mapping[str, NDArray[np.integer]]) -> None:
        """Raise UsageError unless values of ports lie in their ranges."""
        ports = {**self.inputs, **self.outputs}
        for name, x in values.items():
            port = ports[name]
            if np.size(x) and not (port.low <= int(np.min(x)) and int(np.max(x)) <= port.high):
                raise UsageError(f"port {name}: a value is not within {port.low} .. {port.high}")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _is_symbol(dim: Dim) -> bool:
    return isinstance(dim, str)


def _plain(value: Any) -> Any:
    """Floats become strings, so that the encoding is canonical."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _encoded(value: Any) -> Any:
    """Dataclasses as objects, tuples as lists."""
    if isinstance(value, int | str) or value is None:
        return value
    if isinstance(value, tuple):
        return [_encoded(v) for v in value]
    kind: type = type(value)
    return {name: _encoded(getattr(value, name)) for name in _names(kind)}


@lru_cache(maxsize=64)
def _names(kind: type) -> tuple[str, ...]:
    """The fields of a dataclass."""
    return tuple(f.name for f in fields(kind))


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError
    return value


@lru_cache(maxsize=64)
def _readers(kind: type) -> dict[str, Callable[[Any], Any]]:
    """What reads each field of a dataclass."""
    return {f.name: _reader(str(f.type)) for f in fields(kind)}


def _fields(body: Any, kind: type) -> dict[str, Any]:
    """The fields of a dataclass, exactly, by their annotations."""
    found: dict[str, Any] = _typed(body, dict)
    readers = _readers(kind)
    if found.keys() != readers.keys():
        raise KeyError
    return {name: readers[name](value) for name, value in found.items()}


#: What ops hold beside numbers and names.
_PARTS: dict[str, type] = {"Step": Step, "Operand": Operand, "Product": Product}


@lru_cache(maxsize=64)
def _reader(wanted: str) -> Callable[[Any], Any]:
    """What takes the value of a field from JSON, by the field's annotation."""
    wanted = "tuple[Step, ...]" if wanted == "Wire" else wanted
    if wanted.startswith("tuple["):
        part = _reader(wanted.removeprefix("tuple[").removesuffix(", ...]"))
        return lambda value: tuple([part(v) for v in _typed(value, list)])
    if wanted == "Dims":
        return lambda value: tuple(
            [d if isinstance(d, str) else _typed(d, int) for d in _typed(value, list)]
        )
    if wanted in _PARTS:
        kind = _PARTS[wanted]
        return lambda value: kind(**_fields(value, kind))
    if wanted in ("int", "str"):
        number = int if wanted == "int" else str
        return lambda value: _typed(value, number)
    return lambda value: None if value is None else _typed(value, str)  # str | None


def _op(body: Any) -> Op:
    body = dict(_typed(body, dict))
    kind = OPS[_typed(body.pop("op"), str)]
    return kind(**_fields(body, kind))


def _port(kind: type, body: Any) -> Any:
    return kind(**_fields(body, kind))


def _spec(body: Any) -> WeightSpec:
    spec = WeightSpec(**_fields(body, WeightSpec))
    if not 1 <= len(spec.shape) <= 4 or any(not 1 <= d <= MAX_LENGTH for d in spec.shape):
        raise ValueError
    return spec
