"""Permute and share: values to the user in an order that only the owner knows, and back.

For ``x = x0 + x1`` and an order ``p`` that the dealer draws for the owner, with ``a``, ``b``
(user's seed) and ``delta = p(a) - b`` (explicit, owner)::

    user  -> owner   x1 - a                        ahead, where x1 is known ahead
    owner -> user    p(x0 + (x1 - a)) + delta      = p(x) - b

The user adds ``b`` and has ``p(x)`` in the clear. For the way back of ``y``, computed on permuted
values, with ``c``, ``d`` (user's seed) and ``delta' = q(c) - d`` (explicit, owner; ``q`` undoes
``p``)::

    user  -> owner   y - c                         owner: q(y - c) + delta' = q(y) - d

The user's share is ``d``, which it knew before. Chase, Ghosh, Poburinnaya, "Secret-shared shuffle"
(ASIACRYPT 2020), whose share translation the dealer gives here.

* Rounds: one message each way (one round trip) where ``x1`` is known ahead; one more message to the
  owner before them where it is not.
* Bytes: the packed elements, no more; a piece as large for the owner in either direction.
* Error: none. Owner's view: uniform (under ``a`` and ``c``). User's view: ``p(x)`` and nothing
  else, ``b`` being uniform and ``delta`` under it; what ``p(x)`` tells is the mode's documented
  leak.
"""

from __future__ import annotations

from veracity.mpc.permutation import Order, unpermuted
from veracity.mpc.shuffled.packing import Array, Stream
from veracity.mpc.shuffled.role import Dealer

__all__ = [
    "deal_restore",
    "deal_reveal",
    "hide",
    "permuted",
    "restored",
    "restored_share",
    "reveal_mask",
    "revealed",
    "sent_back",
]


def deal_reveal(dealer: Dealer, place: tuple[int, int], order: Order, bits: int) -> None:
    """Give the owner ``delta``; uses parts ``part`` and ``part + 1`` of the user's stream.

    Parameters
    ----------
    dealer : Dealer
        Of this pass.
    place : tuple of int
        (step, part) of the first mask.
    order : Order
        The permutation.
    bits : int
        Bits of an element that matter.
    """
    a = reveal_mask(dealer.user, place, len(order))
    b = dealer.user.words(place[0], place[1] + 1, len(order))
    dealer.to_owner.append((a[order] - b, bits))


def reveal_mask(stream: Stream, place: tuple[int, int], count: int) -> Array:
    """``a``.

    Parameters
    ----------
    stream : Stream
        The user's.
    place : tuple of int
        (step, part).
    count : int
        Elements.
    """
    return stream.words(*place, count)


def hide(stream: Stream, place: tuple[int, int], share: Array) -> Array:
    """The user's message ``x1 - a``, uint64 (count,).

    Parameters
    ----------
    stream : Stream
        The user's.
    place : tuple of int
        (step, part).
    share : uint64 array
        The user's share.
    """
    return share.reshape(-1) - reveal_mask(stream, place, share.size)


def permuted(share: Array, hidden: Array, order: Order, delta: Array) -> Array:
    """The owner's message ``p(x0 + (x1 - a)) + delta``.

    Parameters
    ----------
    share : uint64 array
        The owner's share.
    hidden : uint64 array
        What the user sent.
    order : Order
        The permutation.
    delta : uint64 array
        From the dealer.
    """
    return (share.reshape(-1) + hidden)[order] + delta


def revealed(stream: Stream, place: tuple[int, int], message: Array) -> Array:
    """The user's ``p(x)``, modulo the bits of the message.

    Parameters
    ----------
    stream : Stream
        The user's.
    place : tuple of int
        (step, part) of the first mask.
    message : uint64 array
        What the owner sent.
    """
    return message + stream.words(place[0], place[1] + 1, len(message))


def deal_restore(dealer: Dealer, place: tuple[int, int], order: Order, bits: int) -> Array:
    """Give the owner ``delta'``; returns ``d``, which the dealer then knows, too.

    Parameters
    ----------
    dealer : Dealer
        Of this pass.
    place : tuple of int
        (step, part) of the first mask.
    order : Order
        The permutation.
    bits : int
        Bits of an element that matter.
    """
    c = dealer.user.words(*place, len(order))
    d = restored_share(dealer.user, place, len(order))
    dealer.to_owner.append((unpermuted(c, order) - d, bits))
    return d


def restored_share(stream: Stream, place: tuple[int, int], count: int) -> Array:
    """The user's share ``d``.

    Parameters
    ----------
    stream : Stream
        The user's.
    place : tuple of int
        (step, part) of the first mask.
    count : int
        Elements.
    """
    return stream.words(place[0], place[1] + 1, count)


def sent_back(stream: Stream, place: tuple[int, int], result: Array) -> Array:
    """The user's message ``y - c``.

    Parameters
    ----------
    stream : Stream
        The user's.
    place : tuple of int
        (step, part) of the first mask.
    result : uint64 array
        Computed on permuted values.
    """
    return result.reshape(-1) - stream.words(*place, result.size)


def restored(message: Array, order: Order, delta: Array) -> Array:
    """The owner's share ``q(y) - d``.

    Parameters
    ----------
    message : uint64 array
        What the user sent.
    order : Order
        The permutation.
    delta : uint64 array
        From the dealer.
    """
    return unpermuted(message, order) + delta
