"""Linear layers with masked weights, gains, and the embedding of tokens that the owner never sees.

Once per model the user gets ``W - U`` with U from the dealer. For an input ``x = E + V`` with E at
the owner and V at the user and (by seed) at the dealer::

    x W^T = E W^T + V (W - U)^T + V U^T          owner, user, both by shares from the dealer

so a layer takes no message: its input's share V is either what came back from a group (the user's
seed) or the mask of a one-sided truncation. Its user's share does not depend on any input.

One-sided truncation by s bits: the user sends ``x1 + r`` (r from its seed); the owner has ``c = x +
r`` and takes ``E = c >> s``, the user ``V = -(r >> s)``. ``E + V`` is ``floor(x / 2^s)`` or one
more, modulo ``2^(64 - s)``, and on average ``x / 2^s``: stochastic rounding, no other error.

Embedding: ``x`` is the tokens' one-hot matrix, which the user knows, W^T the table: the user sends
``E = x - V``.

* Rounds: none for a layer; a gain's truncation is sent ahead; half a round trip for the embedding.
* Bytes: none; rows * V packed elements for the embedding.
* Error: none for layers and embedding; one unit for a gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.mpc.shuffled.packing import Array, Size, total
from veracity.mpc.shuffled.role import Dealer, Message, Online, Owner, Shape, Step, User
from veracity.mpc.weights import product, transposed

__all__ = ["Embedding", "Matrix", "Scale", "Table", "truncation_mask"]

_USER_MASK = 0
_OWNER_PRODUCT = 1
_ROUNDING = 2


@dataclass(frozen=True)
class Matrix(Step):
    """``x W^T + bias``, accumulators of a Linear or Head.

    Parameters
    ----------
    name, x, weight, bias : str
        Result, input and weights.
    count : int
        Features of the result.
    bits : int
        Bits of the result that matter.
    tail : bool
        Whether there is one row only.
    """

    name: str
    x: str
    weight: str
    bias: str | None
    count: int
    bits: int
    tail: bool

    def _shape(self, shape: Shape) -> tuple[int, int]:
        return (1 if self.tail else shape.rows), self.count

    def user_pieces(self, shape: Shape) -> Message:
        """The user's share of ``V U^T``."""
        rows, count = self._shape(shape)
        return (Size(rows * count, self.bits),)

    def deal(self, dealer: Dealer) -> None:
        """Share ``V U^T``."""
        rows, count = self._shape(dealer.shape)
        made = dealer.ring.matmul_dense(dealer.known[self.x][-rows:], dealer.masks[self.weight])
        owners = dealer.owner.words(self.index, _OWNER_PRODUCT, rows * count)
        dealer.to_user.append((made.reshape(-1) - owners, self.bits))

    def prepare(self, user: User) -> None:
        """``V (W - U)^T`` and the share of ``V U^T``."""
        rows, count = self._shape(user.shape)
        made = user.ring.matmul_dense(user.shares[self.x][-rows:], user.masked[self.weight])
        user.shares[self.name] = made + user.pieces[self.index][0].reshape(rows, count)

    async def owner(self, owner: Owner) -> None:
        """``E W^T`` and the share of ``V U^T``."""
        rows, count = self._shape(owner.shape)
        made = owner.ring.matmul(owner.shares[self.x][-rows:], owner.weights[self.weight])
        made += owner.stream.words(self.index, _OWNER_PRODUCT, rows * count).reshape(rows, count)
        if self.bias is not None:
            made += _ring(owner.weights[self.bias])
        owner.shares[self.name] = made

    async def user(self, user: User, peer: Online) -> None:
        """Nothing: the share is known already."""


@dataclass(frozen=True)
class Embedding(Step):
    """``table[tokens]``.

    Parameters
    ----------
    name, table : str
        Result and table.
    vocab, width : int
        The table's shape.
    bits : int
        Bits of the result that matter.
    """

    name: str
    table: str
    vocab: int
    width: int
    bits: int

    def user_pieces(self, shape: Shape) -> Message:
        """The user's share of ``V U^T``."""
        return (Size(shape.rows * self.width, self.bits),)

    def messages(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        """``one-hot - V``."""
        return ((0, total(self._hidden(shape))),)

    def _hidden(self, shape: Shape) -> Message:
        return (Size(shape.rows * self.vocab, self.bits),)

    def deal(self, dealer: Dealer) -> None:
        """Share ``V U^T``."""
        rows = dealer.shape.rows
        mask = dealer.user.words(self.index, _USER_MASK, rows * self.vocab).reshape(rows, -1)
        made = product(dealer.ring, mask, dealer.masks[transposed(self.table)]).reshape(-1)
        owners = dealer.owner.words(self.index, _OWNER_PRODUCT, rows * self.width)
        dealer.to_user.append((made - owners, self.bits))

    def prepare(self, user: User) -> None:
        """``V (W - U)^T`` and the share of ``V U^T``."""
        rows = user.shape.rows
        mask = user.stream.words(self.index, _USER_MASK, rows * self.vocab).reshape(rows, -1)
        made = product(user.ring, mask, user.masked[transposed(self.table)])
        user.kept[self.index, "mask"] = mask
        user.shares[self.name] = made + user.pieces[self.index][0].reshape(rows, -1)

    async def owner(self, owner: Owner) -> None:
        """``E W^T`` and the share of ``V U^T``."""
        rows = owner.shape.rows
        (hidden,) = await owner.peer.receive(self.index, 0, self._hidden(owner.shape))
        made = owner.ring.matmul(hidden.reshape(rows, -1), owner.weights[transposed(self.table)])
        owners = owner.stream.words(self.index, _OWNER_PRODUCT, rows * self.width)
        owner.shares[self.name] = made + owners.reshape(rows, -1)

    async def user(self, user: User, peer: Online) -> None:
        """Send the hidden one-hot matrix."""
        hidden = np.uint64(0) - user.kept.pop((self.index, "mask"))
        hidden[np.arange(user.shape.rows), user.tokens] += np.uint64(1)
        await peer.send(self.index, 0, (hidden, self.bits))


@dataclass(frozen=True)
class Table(Step):
    """Rows of a table that do not depend on the prompt: positions. The owner has them alone."""

    name: str
    table: str
    width: int

    def deal(self, dealer: Dealer) -> None:
        """Nothing is needed."""

    def prepare(self, user: User) -> None:
        """The user's share is zero."""
        user.shares[self.name] = np.zeros((user.shape.rows, self.width), dtype=np.uint64)

    async def owner(self, owner: Owner) -> None:
        """The rows."""
        rows = owner.weights[self.table][owner.shape.start : owner.shape.sources]
        owner.shares[self.name] = _ring(rows)

    async def user(self, user: User, peer: Online) -> None:
        """Nothing: the share is known already."""


@dataclass(frozen=True)
class Scale(Step):
    """A Gain and its rescaling, rounded stochastically, on the last row.

    Parameters
    ----------
    name, x, weight, bias : str
        Result, input and weights.
    width, shift : int
        Features; bits to drop.
    """

    name: str
    x: str
    weight: str
    bias: str | None
    width: int
    shift: int

    def user_pieces(self, shape: Shape) -> Message:
        """The user's share of ``V U``, element by element."""
        return (Size(self.width, 64),)

    def sent_ahead(self, shape: Shape) -> Message:
        """``x1 + r``."""
        return (Size(self.width, 64),)

    def deal(self, dealer: Dealer) -> None:
        """Share ``V U``; the result's mask is known."""
        made = dealer.known[self.x][-1] * dealer.masks[self.weight]
        owners = dealer.owner.words(self.index, _OWNER_PRODUCT, self.width)
        dealer.to_user.append((made - owners, 64))
        r = dealer.user.words(self.index, _ROUNDING, self.width)
        dealer.known[self.name] = truncation_mask(r, self.shift)[None]

    def prepare(self, user: User) -> None:
        """``V (W - U)``, masked for the owner; the result's share is the mask's."""
        made = user.shares[self.x][-1] * user.masked[self.weight] + user.pieces[self.index][0]
        r = user.stream.words(self.index, _ROUNDING, self.width)
        user.ahead.append((made + r, 64))
        user.shares[self.name] = truncation_mask(r, self.shift)[None]

    async def owner(self, owner: Owner) -> None:
        """``(x + r) >> shift``."""
        share = owner.shares[self.x][-1] * _ring(owner.weights[self.weight])
        share += owner.stream.words(self.index, _OWNER_PRODUCT, self.width)
        if self.bias is not None:
            share += _ring(owner.weights[self.bias])
        opened = share + owner.ahead[self.index][0]
        owner.shares[self.name] = (opened >> np.uint64(self.shift))[None]

    async def user(self, user: User, peer: Online) -> None:
        """Nothing: the share is known already."""


def truncation_mask(r: Array, shift: int) -> Array:
    """``-(r >> shift)``: the user's share after a one-sided truncation."""
    return np.uint64(0) - (r >> np.uint64(shift))


def _ring(weights: NDArray[np.integer]) -> Array:
    return weights.astype(np.int64).view(np.uint64)
