"""The token: arg max in shares, its index to the user alone.

A user that draws its token adds noise to its share of the logits, Gumbel noise for the softmax
(:mod:`veracity.graph.sampling`); for the greedy token it adds zero. The others do the same in both
cases, and nothing that they receive depends on it.

The sums are opened under masks and joined with their indices, ``w = z 2^b + (2^b - 1 - index)``:
the greatest w is that of the greatest z, the lowest index where several are equal. A tournament
leaves a few, and their ranks shares of the greatest; the owner sends its share modulo 2^b, and the
user learns the index and nothing else.

* Exchanges: ``2 + ceil(log2(V / 64))``, or 2 (1 for a single token); one message to the user with
  the owner's share and whether the pass has to be repeated.
* Error: logits are rounded stochastically at a quarter of the program's unit, and noise to the
  nearest one. Equal sums go to the lower index.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from veracity.graph.ops import Head
from veracity.mpc.cost import Cost
from veracity.mpc.party import Array
from veracity.mpc.secure import ranks
from veracity.mpc.secure.opening import Opening, open_values, plus, share_of, share_of_mask
from veracity.mpc.secure.role import Role, Secret
from veracity.mpc.secure.tournament import maximum

__all__ = ["INDEX_BITS", "NOISE_BITS", "add_noise", "choose", "finer", "reveal"]

#: Bits of an index: a vocabulary has at most 2^20 tokens.
INDEX_BITS = 20
#: Bits that a logit has in the program, its sign apart; and its noise, so that a sum has one more.
_LOGIT_BITS = NOISE_BITS = 15
_GUARD = 2


def finer(op: Head) -> int:
    """Bits by which noise is finer than the program's unit."""
    return min(_GUARD, op.shift)


def add_noise(
    role: Role, acc: Secret, shift: int, bits: int, noise: Callable[[], NDArray[np.int64]]
) -> Secret:
    """Logits with the user's noise.

    Parameters
    ----------
    role : Role
        Who runs it.
    acc : Secret
        Accumulators of the logits, (1, V).
    shift : int
        Bits by which the program rescales them.
    bits : int
        Bits by which the noise's unit is below the program's.
    noise : callable
        Noise of all tokens, or one for all, below ``2^(NOISE_BITS + bits)``; called at the user.
    """

    def words() -> Array:
        return np.broadcast_to(noise().view(np.uint64) << np.uint64(shift - bits), acc.shape)

    return acc + role.from_user(acc.shape, words)


async def choose(role: Role, acc: Secret, shift: int) -> Secret:
    """Shares of ``z 2^20 + (2^20 - 1 - index)`` of the greatest logit; acc is (1, V).

    Parameters
    ----------
    role : Role
        Who runs it.
    acc : Secret
        Accumulators of the logits, (1, V).
    shift : int
        Bits by which the program rescales them.
    """
    flat = acc.map(lambda v: v.reshape(-1))
    guard = min(_GUARD, shift)
    (z,) = await open_values(role, [Opening(flat, shift - guard, _LOGIT_BITS + 2 + shift)])
    share_of_mask(role, z)
    count = len(z.value)
    index = np.uint64((1 << INDEX_BITS) - 1) - np.arange(count, dtype=np.uint64)
    # |z| < 2^(16 + guard), as its opening says: a difference has a bit more, and a sign.
    w = plus(role, z.map(lambda v: v << np.uint64(INDEX_BITS)), index)
    bits = _LOGIT_BITS + 3 + guard
    few = await maximum(role, w, np.array([count]), INDEX_BITS, bits, ranks.MOST)
    if count == 1:
        return share_of(role, few)
    return await ranks.greatest(role, few, bits + INDEX_BITS)


async def reveal(role: Role, w: Secret) -> int | None:
    """The token, at the user; None at the others, and where the pass has to be repeated."""
    role.charge("reveal", Cost(one_way=1, bytes_to_user=9))
    found = await role.disclose(w, INDEX_BITS)
    return None if found is None else (1 << INDEX_BITS) - 1 - found
