"""A group: ops on single elements or rows, which the user computes on permuted clear values.

The owner draws one order for all inputs of the group: for norms, which need whole rows, rows are
permuted and each row within itself; otherwise all elements are permuted together. The user rescales
accumulators as their linear layer says, runs the program's own integer functions and sends the
results back: no error at all against the program.

* Rounds: one round trip, for any number of inputs, results and tokens.
* Bytes: one packed element per element of every input and result (:meth:`Group.messages`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph.evaluate import pointwise
from veracity.graph.ops import Op
from veracity.graph.ops.base import rescaled
from veracity.mpc.permutation import Order, of_rows, uniform
from veracity.mpc.shuffled.opening import (
    deal_restore,
    deal_reveal,
    hide,
    permuted,
    restored,
    restored_share,
    revealed,
    sent_back,
)
from veracity.mpc.shuffled.packing import Array, Size, Stream, signed, total
from veracity.mpc.shuffled.role import Dealer, Message, Online, Owner, Shape, Step, User

__all__ = ["Group", "Input", "Result"]

_ORDER = 0
_INPUTS = 16
_RESULTS = 128


@dataclass(frozen=True)
class Input:
    """A shared value that is revealed: its name, its bits, and the layer it accumulates for."""

    name: str
    bits: int
    layer: Op | None


@dataclass(frozen=True)
class Result:
    """A value that is shared again: its name and the bits of the ring its users need."""

    name: str
    bits: int


@dataclass(frozen=True)
class Group(Step):
    """Ops that run at the user.

    Parameters
    ----------
    ops : tuple of Op
        In order; each without weights.
    inputs : tuple of Input
        At most 56.
    results : tuple of Result
        At most 64.
    width : int
        Features of every input and result.
    by_rows : bool
        Whether rows must stay together.
    tail : bool
        Whether only the last row goes on.
    """

    ops: tuple[Op, ...]
    inputs: tuple[Input, ...]
    results: tuple[Result, ...]
    width: int
    by_rows: bool
    tail: bool

    def _rows(self, shape: Shape) -> int:
        return 1 if self.tail else shape.rows

    def order(self, stream: Stream, shape: Shape) -> Order:
        """Of rows and of each in itself, or of all elements."""
        seed, rows = stream.fresh_seed(self.index, _ORDER), self._rows(shape)
        if self.by_rows:
            return of_rows(stream.ring, seed, rows, self.width)
        return uniform(stream.ring, seed, rows * self.width)

    def _revealed(self, shape: Shape) -> Message:
        count = self._rows(shape) * self.width
        return tuple(Size(count, i.bits) for i in self.inputs)

    def _restored(self, shape: Shape) -> Message:
        count = self._rows(shape) * self.width
        return tuple(Size(count, r.bits) for r in self.results)

    def owner_pieces(self, shape: Shape) -> Message:
        """``delta`` of every input, ``delta'`` of every result."""
        return self._revealed(shape) + self._restored(shape)

    def sent_ahead(self, shape: Shape) -> Message:
        """``x1 - a`` of every input."""
        return self._revealed(shape)

    def messages(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        """All inputs to the user, all results back."""
        return (1, total(self._revealed(shape))), (0, total(self._restored(shape)))

    def deal(self, dealer: Dealer) -> None:
        """Draw the order and translate it for every array."""
        order = self.order(dealer.owner, dealer.shape)
        for i, x in enumerate(self.inputs):
            deal_reveal(dealer, (self.index, _INPUTS + 2 * i), order, x.bits)
        for i, y in enumerate(self.results):
            d = deal_restore(dealer, (self.index, _RESULTS + 2 * i), order, y.bits)
            dealer.known[y.name] = d.reshape(-1, self.width)

    def prepare(self, user: User) -> None:
        """Hide the inputs' shares; the results' are known already."""
        rows = self._rows(user.shape)
        for i, x in enumerate(self.inputs):
            share = user.shares[x.name][-rows:]
            hidden = hide(user.stream, (self.index, _INPUTS + 2 * i), share)
            user.ahead.append((hidden, x.bits))
        for i, y in enumerate(self.results):
            place = (self.index, _RESULTS + 2 * i)
            share = restored_share(user.stream, place, rows * self.width)
            user.shares[y.name] = share.reshape(rows, self.width)

    async def owner(self, owner: Owner) -> None:
        """Permute, send, take back."""
        rows = self._rows(owner.shape)
        order = owner.order_of(self)
        pieces = owner.pieces[self.index]
        sent = [
            (permuted(owner.shares[x.name][-rows:], hidden, order, delta), x.bits)
            for x, hidden, delta in zip(
                self.inputs, owner.ahead[self.index], pieces[: len(self.inputs)], strict=True
            )
        ]
        await owner.peer.send(self.index, 0, *sent)
        back = await owner.peer.receive(self.index, 1, self._restored(owner.shape))
        for y, message, delta in zip(self.results, back, pieces[len(self.inputs) :], strict=True):
            owner.shares[y.name] = restored(message, order, delta).reshape(rows, self.width)

    async def user(self, user: User, peer: Online) -> None:
        """Evaluate."""
        values = self.clear(user, await peer.receive(self.index, 0, self._revealed(user.shape)))
        size = (self._rows(user.shape), self.width)
        for op in self.ops:
            values[op.name] = user.within(partial(pointwise, op, values), size)
        sent = []
        for i, y in enumerate(self.results):
            result = np.ascontiguousarray(values[y.name]).view(np.uint64)
            sent.append((sent_back(user.stream, (self.index, _RESULTS + 2 * i), result), y.bits))
        await peer.send(self.index, 1, *sent)

    def clear(self, user: User, messages: Sequence[Array]) -> dict[str, NDArray[np.int64]]:
        """What the user sees: every input, permuted, by name, int64 (rows, width)."""
        values = {}
        for i, (x, message) in enumerate(zip(self.inputs, messages, strict=True)):
            found = revealed(user.stream, (self.index, _INPUTS + 2 * i), message)
            value = signed(found, x.bits).reshape(-1, self.width)
            if x.layer is not None:
                value = user.within(partial(rescaled, x.layer, value), value.shape)
            values[x.name] = value
        return values

    def __post_init__(self) -> None:
        if len(self.inputs) > 56 or len(self.results) > 64:
            raise UsageError("a group with this many values is not supported")
