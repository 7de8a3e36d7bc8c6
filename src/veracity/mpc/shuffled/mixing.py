"""The mixture's last product without a round trip: permuted masks of the values, dealt for a pass.

The user has the softmax ``P_ij = p_(i,j)`` in the order of the scores, row i and place j, and sends
the owner ``t = P - c`` (:mod:`.opening`). Both shares of ``p v`` are then at hand but for ``t``
times the user's part ``m`` of the values' masks: the owner, who knows the order, has no ``m``, and
the user no order. So the dealer splits these masks in the order of the scores,

    m at the source of place (i, j) = tau_ij + beta_ij    owner: tau, explicit; user: beta, its seed

and each party multiplies ``t`` by its part. Results are by row i: the user hides its own under
``a``, and the owner brings it back. With ``delta = a (brought back) - b`` from the dealer and the
rest of the user's share, hidden under ``b`` and the truncation's mask, the owner has ``p v`` and
that mask (a, b: user's seed).

* Rounds: none; two arrays of the mixture's size travel with the softmax.
* Bytes: as many words as the mixture has to the owner, twice, less what
  :class:`~veracity.mpc.shuffled.attention.Attend` sends otherwise: a word a score to the user.
  Offline ``head_dim + 1`` words a score, about, to the owner: :data:`MOST`.
* Error: none.
* Views: all the owner receives is uniform, under c, a and b; the user receives nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from veracity.mpc.permutation import Order
from veracity.mpc.shuffled.packing import Array, Size, Stream
from veracity.mpc.shuffled.role import Dealer, Message

__all__ = ["MOST", "Mixing"]

#: Words of masks for one attention of one pass, at most: 4 MiB. A round trip costs the same at any
#: length, masks by their number.
MOST = 1 << 19
_MASKS, _RESULT, _REST = 0, 1, 2


@dataclass(frozen=True)
class Mixing:
    """The product of one pass.

    Parameters
    ----------
    step, part : int
        Where its randomness begins.
    kv_heads, rows, sources, dim : int
        Heads of values, rows of scores, places in a row, features of a head.
    """

    step: int
    part: int
    kv_heads: int
    rows: int
    sources: int
    dim: int

    @property
    def words(self) -> int:
        """Of the masks."""
        return self.rows * self.dim * self.sources

    def owner_pieces(self) -> Message:
        """``tau`` and ``delta``."""
        return Size(self.words, 64), Size(self.rows * self.dim, 64)

    def message(self) -> Message:
        """What the user sends with the softmax: its part of the product, and the rest."""
        return (Size(self.rows * self.dim, 64),) * 2

    def deal(self, dealer: Dealer, order: Order, users_v: Array) -> None:
        """Split the masks of the values in the order of the scores.

        Parameters
        ----------
        dealer : Dealer
            Of this pass.
        order : Order
            Of the scores.
        users_v : uint64 array, shape (kv heads, dim, sources)
            The user's part of the values' masks.
        """
        places = order.reshape(self.rows, self.sources)
        row, within = places[:, 0] // self.sources, places % self.sources
        heads = row // (self.rows // self.kv_heads)
        tau = np.take_along_axis(users_v[heads], within[:, None, :], axis=2)
        tau -= self._masks(dealer.user)
        dealer.to_owner.append((tau, 64))
        back = np.empty((self.rows, self.dim), dtype=np.uint64)
        back[row] = self._of_result(dealer.user, _RESULT)
        dealer.to_owner.append((back - self._of_result(dealer.user, _REST), 64))

    def users(self, stream: Stream) -> tuple[Array, Array]:
        """What the user prepares: ``beta``, and ``b`` for the rest, by natural row.

        Parameters
        ----------
        stream : Stream
            The user's.
        """
        return self._masks(stream), self._of_result(stream, _REST)

    def hidden(self, stream: Stream, sent: Array, beta: Array) -> Array:
        """The user's part of the product, hidden.

        Parameters
        ----------
        stream : Stream
            The user's.
        sent : uint64 array
            The softmax as it was sent, in the order of the scores.
        beta : uint64 array
            From :meth:`users`.
        """
        return -self._product(stream, sent, beta) - self._of_result(stream, _RESULT)

    def whole(
        self, stream: Stream, received: Array, hidden: Array, order: Order, tau: Array
    ) -> Array:
        """The product less ``a``, by natural row, at the owner.

        Parameters
        ----------
        stream : Stream
            The owner's.
        received, hidden : uint64 array
            The softmax and the user's part, as they arrived.
        order : Order
            Of the scores.
        tau : uint64 array
            From the dealer.
        """
        masks = tau.reshape(self.rows, self.dim, self.sources)
        permuted = hidden.reshape(self.rows, self.dim) - self._product(stream, received, masks)
        back = np.empty_like(permuted)
        back[order.reshape(self.rows, self.sources)[:, 0] // self.sources] = permuted
        return back

    def _product(self, stream: Stream, softmax: Array, masks: Array) -> Array:
        rows = softmax.reshape(self.rows, 1, self.sources)
        return stream.ring.matmul_dense(rows, masks).reshape(self.rows, self.dim)

    def _masks(self, stream: Stream) -> Array:
        words = stream.words(self.step, self.part + _MASKS, self.words)
        return words.reshape(self.rows, self.dim, self.sources)

    def _of_result(self, stream: Stream, which: int) -> Array:
        words = stream.words(self.step, self.part + which, self.rows * self.dim)
        return words.reshape(self.rows, self.dim)
