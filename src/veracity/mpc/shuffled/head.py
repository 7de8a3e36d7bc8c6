"""The token: permuted logits to the user, who obtains the token at the place it picks.

The owner draws one order of the vocabulary; the user gets the rescaled logits in that order, picks
places (greedy: of the greatest; or a sample) and obtains their tokens by
:mod:`veracity.mpc.token_selection`, so the owner learns neither place nor token, and the user
learns one token for each choice but not where any other stands. With two choices a tie between two
greatest logits goes to the lower token as in the program (of three or more, to the lower of two);
a second choice that is not needed repeats the first, so the owner sees no difference.

* Rounds: half a round trip for the logits, one for the choice.
* Bytes: V packed accumulators, then :func:`veracity.mpc.token_selection.transfer.cost` or
  :func:`veracity.mpc.token_selection.homomorphic.cost`.
* Error: none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.errors import PeerError, UsageError
from veracity.graph.ops import Head
from veracity.graph.ops.base import rescaled
from veracity.mpc.cost import Cost
from veracity.mpc.permutation import Order, uniform
from veracity.mpc.shuffled.opening import deal_reveal, hide, permuted, revealed
from veracity.mpc.shuffled.packing import Size, Stream, signed, total
from veracity.mpc.shuffled.role import Dealer, Message, Online, Owner, Shape, Step, User
from veracity.mpc.token_selection import homomorphic, transfer

__all__ = ["Choose"]

_ORDER, _PADS, _PLACES, _LOGITS = 0, 1, 2, 4


@dataclass(frozen=True)
class Choose(Step):
    """The Head's arg max.

    Parameters
    ----------
    op : Head
        What is computed.
    x : str
        The logits' accumulators.
    vocab, bits : int
        How many; the bits of each that matter.
    homomorphic : bool
        Whether tokens are obtained by BFV instead of by the dealer's pads.
    """

    op: Head
    x: str
    vocab: int
    bits: int
    homomorphic: bool

    def order(self, stream: Stream, shape: Shape) -> Order:
        """Of the whole vocabulary."""
        return uniform(stream.ring, stream.fresh_seed(self.index, _ORDER), self.vocab)

    def _logits(self) -> Message:
        return (Size(self.vocab, self.bits),)

    def _choice(self, choices: int) -> Cost:
        if self.homomorphic:
            return homomorphic.cost(self.vocab, choices)
        return transfer.cost(self.vocab, choices)

    def owner_pieces(self, shape: Shape) -> Message:
        """The logits' translation."""
        return self._logits()

    def user_pieces(self, shape: Shape) -> Message:
        """The pads at the user's places."""
        return () if self.homomorphic else (Size(shape.choices, transfer.token_bits(self.vocab)),)

    def sent_ahead(self, shape: Shape) -> Message:
        """``x1 - a``."""
        return self._logits()

    def messages(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        """Logits, then query and reply."""
        choice = self._choice(shape.choices)
        return (1, total(self._logits())), (0, choice.bytes_to_owner), (1, choice.bytes_to_user)

    def deal(self, dealer: Dealer) -> None:
        """The translation, and pads."""
        deal_reveal(
            dealer, (self.index, _LOGITS), self.order(dealer.owner, dealer.shape), self.bits
        )
        if not self.homomorphic:
            piece = transfer.deal(
                dealer.ring,
                dealer.owner.fresh_seed(self.index, _PADS),
                dealer.user.fresh_seed(self.index, _PLACES),
                self.vocab,
                dealer.shape.choices,
            )
            dealer.to_user.append((piece.pads, transfer.token_bits(self.vocab)))

    def prepare(self, user: User) -> None:
        """Hide the logits' share."""
        hidden = hide(user.stream, (self.index, _LOGITS), user.shares[self.x])
        user.ahead.append((hidden, self.bits))

    async def owner(self, owner: Owner) -> None:
        """Permute, send, and let the user have tokens."""
        order = owner.order_of(self)
        (hidden,), (delta,) = owner.ahead[self.index], owner.pieces[self.index]
        logits = permuted(owner.shares[self.x], hidden, order, delta)
        await owner.peer.send(self.index, 0, (logits, self.bits))
        tag, choices = owner.peer.tag(self.index, 1), owner.shape.choices
        if self.homomorphic:
            if owner.holder is None:
                raise UsageError("choice by BFV needs the user's key first")
            await owner.holder.hold(owner.peer.channel, tag, order, choices)
        else:
            seed = owner.stream.fresh_seed(self.index, _PADS)
            pads = transfer.holder_pads(owner.ring, seed, self.vocab, choices)
            await transfer.hold(owner.ring, owner.peer.channel, tag, pads, order)

    async def user(self, user: User, peer: Online) -> None:
        """Pick and obtain."""
        (message,) = await peer.receive(self.index, 0, self._logits())
        clear = revealed(user.stream, (self.index, _LOGITS), message)
        acc = signed(clear, self.bits)
        places = user.pick(user.within(lambda: rescaled(self.op, acc), acc.shape))
        choices = user.shape.choices
        wanted = np.resize(places[:choices], choices)  # repeats where there are fewer
        tag = peer.tag(self.index, 1)
        tokens = await self._take(user, peer, tag, wanted)
        if tokens.max() >= self.vocab:  # an end would tell the owner of the places
            fault = PeerError("the other party sent a token outside the vocabulary")
            user.fault = user.fault or fault
        user.answer = int(tokens.min()) % self.vocab

    async def _take(
        self, user: User, peer: Online, tag: int, wanted: NDArray[np.int64]
    ) -> NDArray[np.uint64]:
        """The tokens at these places."""
        if self.homomorphic:
            if user.taker is None:
                raise UsageError("choice by BFV needs a key first")
            return await user.taker.take(peer.channel, tag, wanted)
        at = transfer.taker_places(
            user.ring, user.stream.fresh_seed(self.index, _PLACES), self.vocab, len(wanted)
        )
        piece = transfer.TakerPads(at, user.pieces[self.index][0], self.vocab)
        return await transfer.take(user.ring, peer.channel, tag, piece, wanted)
