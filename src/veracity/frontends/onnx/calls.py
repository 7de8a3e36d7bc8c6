"""What a handler of a node gets: its inputs, its attributes, and where results go."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.bodies import Body, Node
from veracity.frontends.onnx.floats import FloatNetwork, Sym

__all__ = ["ALWAYS", "HANDLERS", "LAZY", "Call", "Parts", "Result", "Value", "Words", "handler",
           "spatial_pads", "words_of"]  # fmt: skip

Array = NDArray[Any]


@dataclass(frozen=True)
class Parts:
    """A sequence of tensors."""

    entries: tuple[Sym | Array, ...]


@dataclass(frozen=True)
class Words:
    """Entries that are words of a list, by their places in it."""

    places: Sym
    words: tuple[str, ...]


def words_of(entries: Iterable[Any]) -> tuple[str, ...]:
    """Text of the format, which may come as bytes."""
    return tuple(x.decode("utf-8", "replace") if isinstance(x, bytes) else str(x) for x in entries)


Value = Sym | Array | Parts | Words
Result = Value | Sequence[Value]


@dataclass(frozen=True)
class Call:
    """One node with what it reads.

    Attributes
    ----------
    net : FloatNetwork
        Where ops go.
    node : Node
        Which.
    opset : int
        Version of the standard ops.
    given : tuple
        What it reads; None for an input that is left out.
    integers : bool
        Whether all values it reads are integers.
    kinds : tuple of bool
        Which of its inputs are integers.
    wanted : frozenset of str
        What other nodes read and what is shown, as far as this one makes it.
    computed : bool
        Whether other nodes compute with its first output, instead of only passing it on.
    run : callable
        Lowers a body, given its inputs and which of these are integers; returns its outputs.
    """

    net: FloatNetwork
    node: Node
    opset: int
    given: tuple[Value | None, ...]
    kinds: tuple[bool, ...]
    wanted: frozenset[str]
    computed: bool
    run: Callable[[Body, Sequence[Value], Sequence[bool]], list[Value]]

    @property
    def integers(self) -> bool:
        """Whether all inputs are integers."""
        return all(self.kinds)

    def has(self, i: int) -> bool:
        """Whether input ``i`` is there."""
        return i < len(self.given) and self.given[i] is not None

    def any(self, i: int) -> Sym | Array:
        """Input ``i``, a constant or not."""
        if not self.has(i):
            raise UsageError(f"without its input {i}")
        found = self.given[i]
        if found is None:
            raise UsageError(f"without its input {i}")
        if isinstance(found, Parts):
            raise UsageError("a sequence instead of a tensor")
        if isinstance(found, Words) or (
            isinstance(found, np.ndarray) and found.dtype.kind not in "biuf"
        ):
            raise UsageError("text instead of numbers")
        return found

    def parts(self, i: int) -> list[Sym | Array]:
        """Input ``i``, a sequence."""
        found = self.given[i] if self.has(i) else None
        if not isinstance(found, Parts):
            raise UsageError("without its sequence")
        return list(found.entries)

    def body(self, name: str) -> Body:
        """An attribute that is a graph."""
        found = self.node.attributes.get(name)
        if not isinstance(found, Body):
            raise UsageError(f"without its attribute {name!r}")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """An attribute of words."""
        return words_of(self.node.attributes.get(name) or ())

    def floats(self, name: str) -> Array:
        """An attribute of real numbers, in a tensor or not."""
        found = self.node.attributes.get(f"{name}_as_tensor", self.node.attributes.get(name))
        return np.asarray(() if found is None else found, dtype=np.float64).reshape(-1)

    def value(self, i: int) -> Sym:
        """Input ``i`` as a value."""
        return self.net.sym(self.any(i))

    def array(self, i: int) -> Array:
        """Input ``i``, which must be a constant."""
        found = self.any(i)
        if isinstance(found, Sym):
            raise UsageError(f"its input {i} depends on the data")
        return found

    def optional_array(self, i: int) -> Array | None:
        """Input ``i`` where it is there."""
        return self.array(i) if self.has(i) else None

    def setting(self, i: int, name: str) -> Array | None:
        """A setting that older versions have as an attribute, newer ones as input ``i``."""
        if self.has(i):
            return self.array(i)
        found = self.node.attributes.get(name)
        return None if found is None else np.asarray(found)

    def ints(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """An attribute of integers."""
        found = self.node.attributes.get(name)
        return default if found is None else tuple(int(n) for n in found)

    def int(self, name: str, default: int) -> int:
        """An attribute."""
        return int(self.node.attributes.get(name, default))

    def float(self, name: str, default: float) -> float:
        """An attribute."""
        return float(self.node.attributes.get(name, default))

    def text(self, name: str, default: str) -> str:
        """An attribute."""
        return str(self.node.attributes.get(name, default))

    def lower(
        self, op: str, given: Sequence[Value | None], wholes: Sequence[Any] = (), **more: Any
    ) -> list[Value]:
        """What another op makes of these operands, in this node's place and with its attributes.

        Parameters
        ----------
        op : str
            Which.
        given : sequence
            What it reads.
        wholes : sequence of int
            Which of that is of whole numbers.
        more
            Attributes beside this node's.
        """
        node = replace(self.node, op=op, attributes={**self.node.attributes, **more})
        held = tuple(
            self.net.force(x) if isinstance(x, Sym) and op not in LAZY else x for x in given
        )
        kinds = tuple(i in wholes for i in range(len(held)))
        found = HANDLERS[op](replace(self, node=node, given=held, kinds=kinds))
        return [found] if isinstance(found, Sym | np.ndarray | Parts | Words) else list(found)


#: Handlers by op; those that read merges that are still to be made; those that have to see
#: constants, too.
HANDLERS: dict[str, Callable[[Call], Result]] = {}
LAZY: set[str] = set()
ALWAYS: set[str] = set()


def handler(
    *ops: str, lazy: bool = False, always: bool = False
) -> Callable[[Callable[[Call], Result]], Callable[[Call], Result]]:
    """Register what lowers an op.

    Parameters
    ----------
    ops : str
        Names.
    lazy : bool
        Whether it reads merges and masks that are still to be made.
    always : bool
        Whether it is called where all inputs are constants, too.
    """

    def register(function: Callable[[Call], Result]) -> Callable[[Call], Result]:
        for op in ops:
            HANDLERS[op] = function
            if lazy:
                LAZY.add(op)
            if always:
                ALWAYS.add(op)
        return function

    return register


def spatial_pads(
    call: Call, dims: Sequence[int], taps: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Pads by axis, from ``pads`` or ``auto_pad``.

    Parameters
    ----------
    call : Call
        The node.
    dims, taps, strides : sequence of int
        Of the spatial axes.
    """
    mode, axes = call.text("auto_pad", "NOTSET"), len(dims)
    if mode in ("NOTSET", "VALID"):
        given = call.ints("pads", (0,) * 2 * axes)
        return [(given[i], given[axes + i]) for i in range(axes)]
    pads = []
    for n, k, s in zip(dims, taps, strides, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        small, large = total // 2, total - total // 2
        pads.append((small, large) if mode == "SAME_UPPER" else (large, small))
    return pads
