"""ONNX ops on sequences of tensors, and on optional ones: they move names, and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.frontends.onnx.calls import Call, Parts, Result, handler
from veracity.frontends.onnx.floats import Ref, Sym
from veracity.graph.wires import Step

__all__ = ["Pile", "joined", "stacked"]

Array = NDArray[Any]
#: Most tensors of a sequence.
MAX_PARTS = 1 << 12
#: Tensors that are piled up before they become one value.
CHUNK = 12


def joined(call: Call, parts: Sequence[Sym | Array], axis: int) -> Sym | Array:
    """One tensor of several, along an axis.

    Parameters
    ----------
    call : Call
        The node.
    parts : sequence
        Tensors, at least one.
    axis : int
        Which.
    """
    if not parts:
        raise UsageError("an empty sequence")
    arrays = [p for p in parts if not isinstance(p, Sym)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays, axis=axis)
    syms = [call.net.force(call.net.sym(p)) for p in parts]
    axis = axis % len(syms[0].dims)
    total, at, placed = sum(p.dims[axis] for p in syms), 0, []
    for part in syms:
        n = part.dims[axis]
        placed.append(call.net.view(part, Step("pad", axis, (0, at, total - at - n))))
        at += n
    return call.net.sum(*placed)


def stacked(call: Call, parts: Sequence[Sym | Array], axis: int) -> Sym | Array:
    """One tensor of several, along a new axis.

    Parameters
    ----------
    call : Call
        The node.
    parts : sequence
        Tensors, at least one.
    axis : int
        Of the result.
    """
    rank = len(parts[0].dims if isinstance(parts[0], Sym) else parts[0].shape) if parts else 0
    place = axis % (rank + 1)
    wider: list[Sym | Array] = []
    for p in parts:
        wider.append(
            call.net.view(p, Step("repeat", place, (1,)))
            if isinstance(p, Sym)
            else np.expand_dims(p, place)
        )
    return joined(call, wider, place)


@dataclass
class Pile:
    """Tensors that come one after the other, made one value every few, so that few are alive.

    Attributes
    ----------
    call : Call
        The node.
    chunks, open : list
        Tensors along a new first axis, and those that are still to become one.
    """

    call: Call
    chunks: list[Sym | Array] = field(default_factory=list)
    open: list[Sym | Array] = field(default_factory=list)

    def add(self, part: Sym | Array) -> None:
        """One more."""
        self.open.append(part)
        if len(self.open) == CHUNK:
            self._close()

    def _close(self) -> None:
        made = stacked(self.call, self.open, 0)
        if isinstance(made, Sym):
            made = Sym(made.dims, (Ref(self.call.net.value(made)),))
        self.chunks.append(made)
        self.open = []

    def whole(self, backwards: bool = False) -> Sym | Array:
        """All of them along a new first axis, the last first if need be."""
        if self.open:
            self._close()
        found = joined(self.call, self.chunks, 0)
        if not backwards:
            return found
        return self.call.net.view(found, Step("flip", 0)) if isinstance(found, Sym) else found[::-1]


@handler("SequenceEmpty", always=True)
def empty(call: Call) -> Result:
    """No tensors."""
    return Parts(())


@handler("SequenceConstruct", always=True)
def construct(call: Call) -> Result:
    """Tensors in their order."""
    return Parts(tuple(call.any(i) for i in range(len(call.given))))


@handler("SequenceInsert", always=True)
def insert(call: Call) -> Result:
    """One more, at the end or before a place."""
    parts, more = call.parts(0), call.any(1)
    at = int(call.array(2).reshape(-1)[0]) if call.has(2) else len(parts)
    if not -len(parts) <= at <= len(parts) or len(parts) >= MAX_PARTS:
        raise UsageError("a place outside of its sequence, or too long a one")
    parts.insert(at, more)
    return Parts(tuple(parts))


@handler("SequenceErase", always=True)
def erase(call: Call) -> Result:
    """One less."""
    parts = call.parts(0)
    parts.pop(int(call.array(1).reshape(-1)[0]) if call.has(1) else -1)
    return Parts(tuple(parts))


@handler("SequenceAt", always=True)
def at_place(call: Call) -> Result:
    """One of them."""
    return call.parts(0)[int(call.array(1).reshape(-1)[0])]


@handler("SequenceLength", always=True)
def length(call: Call) -> Result:
    """How many there are."""
    return np.array(len(call.parts(0)))


@handler("ConcatFromSequence", always=True)
def concat_from(call: Call) -> Result:
    """One tensor of all, along an axis or a new one."""
    axis, parts = call.int("axis", 0), call.parts(0)
    return stacked(call, parts, axis) if call.int("new_axis", 0) else joined(call, parts, axis)


@handler("SplitToSequence", always=True)
def split_to(call: Call) -> Result:
    """Parts of an axis: of given sizes, of one size, or of size 1 and without the axis."""
    x = call.any(0)
    dims = x.dims if isinstance(x, Sym) else x.shape
    axis = call.int("axis", 0) % len(dims)
    n = dims[axis]
    sizes = call.optional_array(1)
    if sizes is None:
        spans = [(i, i + 1) for i in range(n)]
    elif sizes.ndim == 0:
        step = int(sizes)
        if step < 1:
            raise UsageError("parts without entries")
        spans = [(i, min(i + step, n)) for i in range(0, n, step)]
    else:
        ends = np.cumsum(sizes).tolist()
        spans = [(e - int(s), e) for e, s in zip(ends, sizes, strict=True)]
        if sizes.min(initial=1) < 1 or ends[-1:] != [n]:
            raise UsageError("parts that do not come out even")
    if len(spans) > MAX_PARTS:
        raise UsageError(f"more than {MAX_PARTS} parts")
    drops = sizes is None and not call.int("keepdims", 1)
    out: list[Sym | Array] = []
    for start, stop in spans:
        if isinstance(x, Sym):
            steps = [Step("slice", axis, (start, stop, 1)), *[Step("sum", axis)] * drops]
            out.append(call.net.view(x, *steps))
        else:
            part = np.take(x, range(start, stop), axis=axis)
            out.append(part.squeeze(axis) if drops else part)
    return Parts(tuple(out))


@handler("Optional", "OptionalGetElement", always=True)
def optional(call: Call) -> Result:
    """What is there."""
    found = call.given[0] if call.has(0) else None
    if found is None:
        raise UsageError("an optional value that is not there")
    return found


@handler("OptionalHasElement", always=True)
def is_there(call: Call) -> Result:
    """Whether there is one."""
    return np.array(call.has(0))
