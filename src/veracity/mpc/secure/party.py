"""The two roles that meet online: the owner and the user, on shares and on masked values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Engine
from veracity.errors import PeerError, UsageError
from veracity.mpc.material import Material
from veracity.mpc.party import OWNER, USER, Array
from veracity.mpc.secure.products import apply, products
from veracity.mpc.secure.role import (
    Local,
    Masked,
    Opened,
    Opening,
    Role,
    Secret,
    Shape,
    Then,
    Use,
    shape_only,
)
from veracity.net import Channel

__all__ = ["Owner", "Party", "User", "new_party"]


@dataclass(eq=False)
class Party(Role):
    """The owner or the user during a pass.

    Parameters
    ----------
    engine : Engine
        What computes.
    channel : Channel
        To the other party.
    material : Material
        For this pass.
    weights : mapping
        The weights as integers at the owner; masked, uint64, at the user.
    prepared : dict
        At the user: products of masked weights and masks, by label of the mask.
    tag : int
        Tag of the next message.

    Attributes
    ----------
    index : int
        OWNER or USER.
    overflow : bool
        Whether a mask wrapped around where it must not (see :mod:`veracity.mpc.secure.opening`):
        the pass then has no result and is repeated.
    """

    index: ClassVar[int]
    channel: Channel
    material: Material
    weights: Mapping[str, NDArray[np.integer]]
    prepared: dict[int, list[Array]] = field(default_factory=dict)
    tag: int = 1
    overflow: bool = False

    def next_tag(self) -> int:
        """Number the messages of a session."""
        self.tag += 1
        return self.tag

    def watch(self, c: Array, limit: Array) -> None:
        """Note whether a mask may have wrapped around: c below the limit of its value."""
        self.overflow |= bool((c < limit).any())

    @abstractmethod
    def mine(self, public: Array) -> Array:
        """A share of a public value."""

    @abstractmethod
    def dealt(self, shape: Shape) -> Array:
        """A share of what the dealer split: drawn by the owner, explicit at the user."""

    def keys(self, count: int, length: int) -> NDArray[np.uint8]:
        """Keys of function secret sharing, (count, length)."""
        return self.material.take_keys(count, length)

    async def open(self, items: Sequence[Opening]) -> list[Masked]:
        """Send all at once, masked; drop the bits that are shifted away."""
        together = _Together(items)
        own, sent = self._masked(together)
        received = await self.channel.exchange_array(self.next_tag(), sent)
        return self._found(together, own, sent + received)

    def _masked(self, together: _Together) -> tuple[Array, Array]:
        """Shares of fresh masks, and the message of masked shares."""
        own = self.material.draw(together.size)
        sent = together.shares() + own
        if self.index == OWNER:
            sent += together.positive
        return own, sent

    def _found(self, together: _Together, own: Array, opened: Array) -> list[Masked]:
        if together.shifted:
            self.watch(opened, together.limit)
            opened = (opened >> together.shift) - (together.positive >> together.shift)
        values, masks = together.split(opened), together.split(own)
        return [
            Masked(c, None if item.shift else r)
            for item, c, r in zip(together.items, values, masks, strict=True)
        ]

    def share_mask(self, mask: Array) -> Array:
        """From the dealer."""
        return self.dealt(mask.shape)

    def share_of(self, x: Masked) -> Secret:
        """``c`` at the owner, less the mask's share."""
        return Secret(self.mine(x.value) - self.mask_of(x))

    def mask_of(self, x: Masked) -> Array:
        """The share of a mask that was dealt."""
        if x.share is None:
            raise UsageError("this mask was not shared yet")
        return x.share

    def plus(self, x: Masked, constant: Array) -> Masked:
        """To the public value."""
        return Masked(x.value + constant, x.share)

    def compute(self, operation: Local) -> Secret:
        """Its share."""
        return Secret(operation.run(self))


class Owner(Party):
    """``x0``, small-integer weights."""

    index = OWNER

    def mine(self, public: Array) -> Array:
        """All of it."""
        return public

    def dealt(self, shape: Shape) -> Array:
        """From the seed."""
        return self.material.draw(shape)

    def multiply(self, x: Masked, uses: Sequence[Use], shapes: Sequence[Shape]) -> list[Secret]:
        """``W E`` with ``E = c - (r - V)``, less a share of ``U V``.

        Parameters
        ----------
        x : Masked
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """
        return self._products(x.value - self.material.take(x.shape), uses, shapes)

    async def multiply_secret(
        self, x: Secret, uses: Sequence[Use], shapes: Sequence[Shape]
    ) -> list[Secret]:
        """``W E`` with ``E = x0 + (x1 + V)``, less a share of ``U V``.

        Parameters
        ----------
        x : Secret
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """
        hidden = await self.channel.receive_array(self.next_tag(), x.shape)
        return self._products(x.share + hidden, uses, shapes)

    def _products(self, e: Array, uses: Sequence[Use], shapes: Sequence[Shape]) -> list[Secret]:
        return [
            Secret(apply(self.engine.ring, e, self.weights[name], kind) - self.dealt(shape))
            for (name, kind), shape in zip(uses, shapes, strict=True)
        ]

    def from_owner(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """The value."""
        return Secret(np.broadcast_to(value(), shape))

    def from_user(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """Zero."""
        return Secret(np.zeros(shape, dtype=np.uint64))

    async def disclose(self, word: Secret, bits: int) -> int | None:
        """Send the share's low bits, or that there is no result."""
        share = 0 if self.overflow else int(word.share[0]) & ((1 << bits) - 1)
        message = bytes([self.overflow]) + share.to_bytes(8, "little")
        await self.channel.send(self.next_tag(), message)
        return None


class User(Party):
    """``x1``, masked weights."""

    index = USER

    def mine(self, public: Array) -> Array:
        """Nothing of it."""
        return np.zeros_like(public)

    def dealt(self, shape: Shape) -> Array:
        """From the dealer."""
        return self.material.take(shape)

    def multiply(self, x: Masked, uses: Sequence[Use], shapes: Sequence[Shape]) -> list[Secret]:
        """``-(W - U) V``, made before where that was, less a share of ``U V``.

        Parameters
        ----------
        x : Masked
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """
        label = self.material.label
        return self._products(label, self.material.draw(x.shape), uses, shapes)

    async def multiply_secret(
        self, x: Secret, uses: Sequence[Use], shapes: Sequence[Shape]
    ) -> list[Secret]:
        """As :meth:`multiply`; sends ``x1 + V``.

        Parameters
        ----------
        x : Secret
            (rows, k).
        uses : sequence of (name, kind)
            Weights.
        shapes : sequence of tuple
            Of the results.
        """
        label = self.material.label
        mask = self.material.draw(x.shape)
        await self.channel.send_array(self.next_tag(), x.share + mask)
        return self._products(label, mask, uses, shapes)

    def _products(
        self, label: int, mask: Array, uses: Sequence[Use], shapes: Sequence[Shape]
    ) -> list[Secret]:
        ready = self.prepared.pop(label, None)
        if ready is None:
            ready = products(self.engine.ring, mask, uses, self.weights)
        return [
            Secret(np.uint64(0) - done - self.dealt(shape))
            for done, shape in zip(ready, shapes, strict=True)
        ]

    async def open_ahead(self, first: Sequence[Opening], then: Then) -> tuple[Opened, Opened]:
        """Send the shares of both before either is known."""
        shapes = [Masked(shape_only(item.secret.shape)) for item in first]
        now = _Together(first)
        own, sent = self._masked(now)
        later = _Together(then(shapes))
        others, ahead = self._masked(later)
        tag, next_tag = self.next_tag(), self.next_tag()
        received = await self.channel.exchange_array(tag, sent, ahead=(next_tag, ahead))
        found = self._found(now, own, sent + received)
        received = await self.channel.receive_array(next_tag, ahead.shape)
        return found, self._found(later, others, ahead + received)

    def from_owner(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """Zero."""
        return Secret(np.zeros(shape, dtype=np.uint64))

    def from_user(self, shape: Shape, value: Callable[[], Array]) -> Secret:
        """The value."""
        return Secret(value())

    async def disclose(self, word: Secret, bits: int) -> int | None:
        """Add the owner's share, unless either of both has no result."""
        message = await self.channel.receive(self.next_tag(), 9)
        if message[0] > 1:
            raise PeerError("the other party sent something else than its share")
        if self.overflow or message[0]:
            self.overflow = True
            return None
        total = int.from_bytes(message[1:], "little") + int(word.share[0])
        return total & ((1 << bits) - 1)


def new_party(
    engine: Engine,
    index: int,
    channel: Channel,
    material: Material,
    weights: Mapping[str, NDArray[np.integer]],
) -> Party:
    """The owner or the user.

    Parameters
    ----------
    engine : Engine
        What computes.
    index : int
        OWNER or USER.
    channel : Channel
        To the other party.
    material : Material
        For this pass.
    weights : mapping
        The weights as integers at the owner; masked, uint64, at the user.
    """
    return (Owner, User)[index](engine, channel, material, weights)


class _Together:
    """Values that are opened in one message, one after the other.

    Constants of the values are one word each, or one for each element where values differ.

    Attributes
    ----------
    positive : uint64 array
        What makes a value positive before its low bits are dropped.
    limit : uint64 array
        A value whose mask may have wrapped around is opened to less; 0 where all bits stay.
    shift : uint64 array
        Bits to drop.
    """

    def __init__(self, items: Sequence[Opening]) -> None:
        self.items = items
        self._sizes = [item.secret.share.size for item in items]
        self.size = sum(self._sizes)
        self.shifted = any(item.shift for item in items)
        self.positive = self._constants([1 << (i.bits - 1) if i.shift else 0 for i in items])
        if self.shifted:
            self.limit = self._constants([1 << i.bits if i.shift else 0 for i in items])
            self.shift = self._constants([i.shift for i in items])

    def _constants(self, values: Sequence[int]) -> Array:
        if len(set(values)) == 1:
            return np.asarray(np.uint64(values[0]))
        return np.repeat(np.array(values, dtype=np.uint64), self._sizes)

    def shares(self) -> Array:
        """Of all values."""
        return np.concatenate([item.secret.share.reshape(-1) for item in self.items])

    def split(self, words: Array) -> list[Array]:
        """The words of each value, in its shape."""
        found, at = [], 0
        for item, size in zip(self.items, self._sizes, strict=True):
            found.append(words[at : at + size].reshape(item.secret.shape))
            at += size
        return found
