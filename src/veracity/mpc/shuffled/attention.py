"""Attention: products of shared values by opened masks, softmax on permuted clear scores.

For each of q, k, v the dealer knows a mask ``r = r0 + r1`` (both parties' seeds). The user has sent
``x1 + r1`` ahead, the owner opens ``c = (x0 + r0 + (x1 + r1)) >> s`` to the user. Both then know
``c``, and ``x >> s = c - m`` with ``m = r >> s`` up to one unit, modulo ``2^(64-s)``; the dealer
shares ``m``. Rotary embedding is public and linear, so it is applied to the accumulators' shares;
``s`` drops its fraction bits and the layer's at once. v is opened as it is (s = 0) and rescaled
after its product. Rows of the cache are never opened again (Beaver triples with memory):

    scores    q k  = cq ck - cq mk - mq ck + mq mk                      the dealer shares mq mk
    mixture   p v  = p0 cv - p0 mv0 + d cv - (p0 + e) mv1 + (e mv1 - d mv)

where ``p = p0 + d`` is the softmax's result as it comes back from the user (``d`` of
:mod:`.opening`), ``p0 + e`` is what the owner opens to the user (``e`` from the owner's seed), and
the dealer shares the last bracket. Finally the mixture is truncated towards the output layer as in
:mod:`.linear`: the user sends ``y1 + r``.

Scores go to the user like any value (:mod:`.opening`): rows (head and target) permuted, each row
permuted in itself; those a target may not see have the least value there is.

A single token takes another way to the mixture (:mod:`.mixing`): what the user sends back of the
softmax brings its share along, and ``p0 + e`` is not opened.

* Rounds: three round trips: (q, k, v) to the user, scores to the owner; permuted scores to the
  user, weights back; hidden weights to the user, mixture to the owner. Two for a single token.
* Bytes: :meth:`Attend.messages`; no message has more elements than its values.
* Error: q, k are ``floor`` or one more of their exact value, and so is the mixture (stochastic
  rounding, unbiased); against the program, which rounds half up and q and k twice, at most 1.5
  units of q and k and 1 of the mixture. Softmax itself is the program's. Where scores need more
  bits than the ring of q and k has, both keep ``dropped`` bits less, their unit being
  ``2^dropped`` times as large: each gives one bit to the ring and takes two from the scores.
* Views: everything opened is uniform but the scores, permuted, at the user.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from veracity.graph.ops import Attention, Rope, Rotation, rope_tables
from veracity.graph.ops.attention import softmax
from veracity.mpc.permutation import Order, of_rows
from veracity.mpc.shuffled import mixing
from veracity.mpc.shuffled.linear import truncation_mask
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

__all__ = ["Attend", "rotated"]

_ORDER, _OWNER_MASKS, _USER_MASKS, _SHARES = 0, 1, 4, 8
_SCORES, _SCORE_PRODUCT, _WEIGHTS, _WEIGHT_MASK, _MIX_PRODUCT, _ROUNDING = 16, 18, 20, 22, 23, 24
_MIXING = 26


@dataclass(frozen=True)
class Attend(Step):
    """One Attention op with the Ropes before it.

    Parameters
    ----------
    op : Attention
        What is computed.
    sources : tuple of str
        Accumulators of q, k, v.
    ropes : tuple of Rope, Rotation or None
        What is applied to q and k first.
    shifts : tuple of int
        Bits to drop of q, k (with the ropes' fraction) and of the mixture (with v's).
    score_bits : int
        Bits of a score's accumulator that matter.
    dropped : int
        Bits of q and k below the program's unit that are dropped, too (in ``shifts`` already).
    """

    op: Attention
    sources: tuple[str, str, str]
    ropes: tuple[Rope | Rotation | None, Rope | Rotation | None]
    shifts: tuple[int, int, int]
    score_bits: int
    dropped: int = 0

    # Shapes.

    @property
    def _widths(self) -> tuple[int, int, int]:
        narrow = self.op.kv_heads * self.op.head_dim
        return narrow * self.op.group, narrow, narrow

    def _scores(self, shape: Shape) -> int:
        return self.op.kv_heads * self.op.group * shape.rows * shape.sources

    def _mixture(self, shape: Shape) -> int:
        return self._widths[0] * shape.rows

    def _opened(self, shape: Shape) -> Message:
        bits = (64 - self.shifts[0], 64 - self.shifts[1], 64)
        return tuple(Size(shape.rows * w, b) for w, b in zip(self._widths, bits, strict=True))

    def mixing(self, shape: Shape) -> mixing.Mixing | None:
        """What saves the mixture's round trip, where a single row makes it cheap.

        Parameters
        ----------
        shape : Shape
            Of the pass.
        """
        op = self.op
        found = mixing.Mixing(
            self.index, _MIXING, op.kv_heads, op.kv_heads * op.group * shape.rows, shape.sources,
            op.head_dim,
        )  # fmt: skip
        return found if shape.rows == 1 and found.words <= mixing.MOST else None

    def _softmax(self, shape: Shape) -> Message:
        """What the user sends back of the scores."""
        mix = self.mixing(shape)
        return Size(self._scores(shape), 64), *(mix.message() if mix else ())

    def order(self, stream: Stream, shape: Shape) -> Order:
        """Of the rows of scores and of each in itself."""
        rows = self.op.kv_heads * self.op.group * shape.rows
        return of_rows(stream.ring, stream.fresh_seed(self.index, _ORDER), rows, shape.sources)

    def _visible(self, shape: Shape) -> NDArray[np.bool_]:
        """Who may see what, by row of scores: (kv heads * group * rows, sources)."""
        seen = np.arange(shape.sources)[None, :] <= shape.start + np.arange(shape.rows)[:, None]
        return np.tile(seen, (self.op.kv_heads * self.op.group, 1))

    # What travels.

    def owner_pieces(self, shape: Shape) -> Message:
        """Translations of the scores and of the weights, and permuted masks of the values."""
        count, mix = self._scores(shape), self.mixing(shape)
        both = Size(count, self.score_bits), Size(count, 64)
        return both + mix.owner_pieces() if mix else both

    def user_pieces(self, shape: Shape) -> Message:
        """Shares of the masks of q and k, and of both products of masks."""
        q, k, _ = self._opened(shape)
        return q, k, Size(self._scores(shape), self.score_bits), Size(self._mixture(shape), 64)

    def sent_ahead(self, shape: Shape) -> Message:
        """``x1 + r1`` of q, k and v."""
        return tuple(Size(shape.rows * w, 64) for w in self._widths)

    def messages(self, shape: Shape) -> tuple[tuple[int, int], ...]:
        """Two each way, or three."""
        scores = total([Size(self._scores(shape), self.score_bits)])
        messages = (
            (1, total(self._opened(shape))),
            (0, scores),
            (1, scores),
            (0, total(self._softmax(shape))),
        )
        if self.mixing(shape):
            return messages
        weights = total([Size(self._scores(shape), 64)])
        return *messages, (1, weights), (0, total([Size(self._mixture(shape), 64)]))

    # The dealer.

    def deal(self, dealer: Dealer) -> None:
        """Masks, their products, and the translations."""
        op, shape, at = self.op, dealer.shape, self.index
        masks, users = [], []
        for i, width in enumerate(self._widths):
            count = shape.rows * width
            mine = dealer.user.words(at, _USER_MASKS + i, count)
            whole = dealer.owner.words(at, _OWNER_MASKS + i, count) + mine
            if i < 2:
                bits = 64 - self.shifts[i]
                whole = whole >> np.uint64(self.shifts[i])
                mine = whole - dealer.owner.words(at, _SHARES + i, count)
                dealer.to_user.append((mine, bits))
            masks.append(whole.reshape(shape.rows, width))
            users.append(mine.reshape(shape.rows, width))
        all_k = self._keys(dealer.memory, "k", masks[1], shape)
        all_v = self._values(dealer.memory, "v", masks[2], shape)
        users_v = self._values(dealer.memory, "v1", users[2], shape)

        product = dealer.ring.matmul_dense(self._by_kv(masks[0]), all_k).reshape(-1)
        product -= dealer.owner.words(at, _SCORE_PRODUCT, len(product))
        dealer.to_user.append((product, self.score_bits))
        order = self.order(dealer.owner, shape)
        deal_reveal(dealer, (at, _SCORES), order, self.score_bits)
        d = self._weights(deal_restore(dealer, (at, _WEIGHTS), order, 64), shape)
        mix = self.mixing(shape)
        if mix:
            # What the owner adds to the softmax that it receives: times the user's masks, too.
            e = self._weights(np.uint64(0) - dealer.to_owner[-1][0], shape)
            mix.deal(dealer, order, users_v)
        else:
            e = self._weights(dealer.owner.words(at, _WEIGHT_MASK, len(order)), shape)
        product = dealer.ring.matmul_dense(e, users_v) - dealer.ring.matmul_dense(d, all_v)
        product = product.reshape(-1)
        product -= dealer.owner.words(at, _MIX_PRODUCT, len(product))
        dealer.to_user.append((product, 64))
        r = dealer.user.words(at, _ROUNDING, self._mixture(shape))
        dealer.known[op.name] = truncation_mask(r, self.shifts[2]).reshape(shape.rows, -1)

    # The user before the prompt.

    def prepare(self, user: User) -> None:
        """Hide the accumulators' shares; the result's share is its truncation's mask."""
        shape = user.shape
        for i, name in enumerate(self.sources):
            share = self._rotate(i, user.shares[name], shape).reshape(-1)
            user.ahead.append(
                (share + user.stream.words(self.index, _USER_MASKS + i, share.size), 64)
            )
        r = user.stream.words(self.index, _ROUNDING, self._mixture(shape))
        user.shares[self.op.name] = truncation_mask(r, self.shifts[2]).reshape(shape.rows, -1)

    # Online.

    async def owner(self, owner: Owner) -> None:
        """The owner's side."""
        op, shape, at, peer = self.op, owner.shape, self.index, owner.peer
        opened: list[Array] = []
        for i, (name, width) in enumerate(zip(self.sources, self._widths, strict=True)):
            share = self._rotate(i, owner.shares[name], shape).reshape(-1)
            c = share + owner.ahead[at][i]
            c += owner.stream.words(at, _OWNER_MASKS + i, share.size)
            opened.append((c >> np.uint64((*self.shifts[:2], 0)[i])).reshape(shape.rows, width))
        sizes = self._opened(shape)
        await peer.send(at, 0, *((c, s.bits) for c, s in zip(opened, sizes, strict=True)))

        cq, ck, cv = opened
        mq, mk = (
            owner.stream.words(at, _SHARES + i, c.size).reshape(c.shape)
            for i, c in enumerate((cq, ck))
        )
        mv = owner.stream.words(at, _OWNER_MASKS + 2, cv.size).reshape(cv.shape)
        key = self._keys(owner.memory, "k", ck, shape)
        unmasked = self._keys(owner.memory, "k-m", ck - mk, shape)
        value = self._values(owner.memory, "v-m", cv - mv, shape)
        z = owner.ring.matmul_dense(self._by_kv(cq), unmasked)
        z -= owner.ring.matmul_dense(self._by_kv(mq), key)
        z = z.reshape(-1) + owner.stream.words(at, _SCORE_PRODUCT, z.size)
        z[~self._visible(shape).reshape(-1)] = np.uint64(1) << np.uint64(self.score_bits - 1)

        order = owner.order_of(self)
        delta, back = owner.pieces[at][:2]
        (hidden,) = await peer.receive(at, 1, (Size(len(z), self.score_bits),))
        await peer.send(at, 2, (permuted(z, hidden, order, delta), self.score_bits))
        message, *parts = await peer.receive(at, 3, self._softmax(shape))
        p = restored(message, order, back)
        y = owner.ring.matmul_dense(self._weights(p, shape), value)
        y = y.reshape(-1) + owner.stream.words(at, _MIX_PRODUCT, y.size)
        mix = self.mixing(shape)
        if mix:
            tau, restoring = owner.pieces[at][2:]
            y += mix.whole(owner.stream, message, parts[0], order, tau).reshape(-1)
            y += parts[1] + restoring
        else:
            await peer.send(at, 4, (p + owner.stream.words(at, _WEIGHT_MASK, len(p)), 64))
            (share,) = await peer.receive(at, 5, (Size(len(y), 64),))
            y += share
        owner.shares[op.name] = self._features(y >> np.uint64(self.shifts[2]), shape)

    async def user(self, user: User, peer: Online) -> None:
        """The user's side."""
        op, shape, at = self.op, user.shape, self.index
        opened = await peer.receive(at, 0, self._opened(shape))
        cq, ck, cv = (c.reshape(shape.rows, w) for c, w in zip(opened, self._widths, strict=True))
        mq, mk = (m.reshape(shape.rows, -1) for m in user.pieces[at][:2])
        mv = user.stream.words(at, _USER_MASKS + 2, cv.size).reshape(cv.shape)
        key = self._keys(user.memory, "k", ck, shape)
        masks = self._keys(user.memory, "m", mk, shape)
        value = self._values(user.memory, "v", cv, shape)
        value_masks = self._values(user.memory, "mv", mv, shape)
        z = user.ring.matmul_dense(self._by_kv(cq), masks)
        z += user.ring.matmul_dense(self._by_kv(mq), key)
        z = user.pieces[at][2] - z.reshape(-1)
        z[~self._visible(shape).reshape(-1)] = 0
        await peer.send(at, 1, (hide(user.stream, (at, _SCORES), z), self.score_bits))

        # All that does not wait for the scores.
        d = restored_share(user.stream, (at, _WEIGHTS), len(z))
        y = user.ring.matmul_dense(self._weights(d, shape), value).reshape(-1) + user.pieces[at][3]
        # By kv head, as the owner's share; the mask is in the order of features.
        y += self._heads(user.stream.words(at, _ROUNDING, len(y)), shape)
        mix = self.mixing(shape)
        if mix:
            beta, rest = mix.users(user.stream)
            y += rest.reshape(-1)

        (message,) = await peer.receive(at, 2, (Size(len(z), self.score_bits),))
        clear = revealed(user.stream, (at, _SCORES), message)
        scores = signed(clear, self.score_bits).reshape(-1, shape.sources)
        seen = scores != -(1 << (self.score_bits - 1))
        scores <<= np.int64(2 * self.dropped)
        p = user.within(lambda: softmax(op, scores, seen)[0], scores.shape)
        sent = sent_back(user.stream, (at, _WEIGHTS), p.view(np.uint64))
        if mix:
            await peer.send(at, 3, (sent, 64), (mix.hidden(user.stream, sent, beta), 64), (y, 64))
            return
        await peer.send(at, 3, (sent, 64))
        (message,) = await peer.receive(at, 4, (Size(len(z), 64),))
        known = user.ring.matmul_dense(self._weights(message, shape), value_masks)
        await peer.send(at, 5, (y - known.reshape(-1), 64))

    # Layouts: rows of scores are (kv head, group, target).

    def _rotate(self, which: int, share: Array, shape: Shape) -> Array:
        rope = self.ropes[which] if which < 2 else None
        return share if rope is None else rotated(rope, share, shape.start)

    def _by_kv(self, q: Array) -> Array:
        """(rows, width) to (kv, group * rows, head dim)."""
        op = self.op
        split = q.reshape(-1, op.kv_heads, op.group, op.head_dim).transpose(1, 2, 0, 3)
        return np.ascontiguousarray(split).reshape(op.kv_heads, -1, op.head_dim)

    def _keys(self, memory: dict[str, Array], name: str, k: Array, shape: Shape) -> Array:
        """New rows behind the earlier ones, (kv, sources, head dim)."""
        split = k.reshape(-1, self.op.kv_heads, self.op.head_dim).transpose(1, 0, 2)
        return self._remember(memory, name, split, shape.start, 1)

    def _values(self, memory: dict[str, Array], name: str, v: Array, shape: Shape) -> Array:
        """New rows behind the earlier ones, (kv, head dim, sources)."""
        split = v.reshape(-1, self.op.kv_heads, self.op.head_dim).transpose(1, 2, 0)
        return self._remember(memory, name, split, shape.start, 2)

    def _remember(
        self, memory: dict[str, Array], name: str, new: Array, start: int, axis: int
    ) -> Array:
        """Of earlier positions ``start`` stay; kept as products read them: copied once a pass."""
        key = f"{self.op.name}.{name}"
        if start:
            earlier = memory[key][:, :start] if axis == 1 else memory[key][:, :, :start]
            new = np.concatenate([earlier, new], axis=axis)
        memory[key] = np.ascontiguousarray(new)
        return memory[key]

    def _weights(self, p: Array, shape: Shape) -> Array:
        """Flat to (kv, group * rows, sources)."""
        return p.reshape(self.op.kv_heads, -1, shape.sources)

    def _features(self, y: Array, shape: Shape) -> Array:
        """Flat by kv head to (rows, width)."""
        op = self.op
        split = y.reshape(op.kv_heads, op.group, shape.rows, op.head_dim).transpose(2, 0, 1, 3)
        return np.ascontiguousarray(split).reshape(shape.rows, -1)

    def _heads(self, y: Array, shape: Shape) -> Array:
        """The inverse of :meth:`_features`."""
        return self._by_kv(y.reshape(shape.rows, -1)).reshape(-1)


def rotated(op: Rope | Rotation, x: Array, start: int) -> Array:
    """``op`` without its rescaling, on a share, uint64 (rows, width), at positions from there.

    Parameters
    ----------
    op : Rope or Rotation
        Heads, style and base.
    x : uint64 array
        A share, (rows, width).
    start : int
        Position of the first row.
    """
    rows, half = x.shape[0], op.head_dim // 2
    cos, sin = (
        np.ascontiguousarray(t[start:]).view(np.uint64)[:, None, :]
        for t in rope_tables(op, start + rows)
    )
    heads = x.reshape(rows, op.heads, op.head_dim)
    out = np.empty_like(heads)
    first = np.s_[..., 0::2] if op.style == "interleaved" else np.s_[..., :half]
    second = np.s_[..., 1::2] if op.style == "interleaved" else np.s_[..., half:]
    a, b = heads[first], heads[second]
    out[first], out[second] = a * cos - b * sin, a * sin + b * cos
    return out.reshape(rows, -1)
