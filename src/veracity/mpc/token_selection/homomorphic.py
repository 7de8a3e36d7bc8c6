"""1-of-V oblivious transfer under BFV, without a dealer: PermLLM's way (arXiv 2405.18744).

Messages, for a table of V tokens in ``R = ceil(V / N)`` rows of N slots::

    user  -> owner   public key                                   once per session
    user  -> owner   Enc(e_r), r < R: the place j as a unit vector over all rows
    owner -> user    Enc(sum_r e_r * (row_r + 1)), re-randomised and flooded

Only slot ``j mod N`` of the sum is not zero, so the decryption is the wanted token and nothing
else. BFV: Fan and Vercauteren, eprint 2012/144. It runs in SEAL through TenSEAL's ``sealapi``.

Parameters: N = 8192, modulus of two primes of 60 bits for ciphertexts and one more for keys
(180 bits; the homomorphic encryption standard allows 218 at N = 8192 for 128-bit security with
ternary secrets and error deviation 3.2; SEAL refuses more), t a prime of 17 to 20 bits, t = 1
modulo 2 N.

Owner's view: ciphertexts of the user, hidden by the hardness of ring LWE.

User's view: the reply, whose decryption noise would tell about the table. Before flooding the noise
is at most ``B = R N (t / 2) 22 + 64 N`` (22: error of a fresh symmetric ciphertext, at most 21, and
its rounding; 64 N: twice over what the encryption of zero brings). The owner adds an encryption of
zero under the user's public key, so that the pair is a fresh ring LWE sample for whoever knows the
user's secret but not the owner's coins, and to every coefficient a uniform integer of
``f = 41 + ceil(log2(B N))`` bits: the statistical distance from a reply made from the token alone
is below 2^-40. Then it drops one prime, which only rounds what is public by then. Correct because
``2 t (B + 2^f) < q``; :class:`Parameters` refuses a vocabulary for which that fails.

* Rounds: one round trip per choice (two messages one way), one more message before the first.
* Bytes: :func:`cost` and :func:`key_bytes`.
* Error: none. Privacy against semi-honest parties: a user who encrypts something other than a unit
  vector learns a sum of tokens.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ring
from veracity.errors import UsageError
from veracity.mpc.cost import Cost
from veracity.mpc.token_selection.seal import Seal
from veracity.mpc.token_selection.transfer import LARGEST
from veracity.net import Channel

__all__ = ["Holder", "Parameters", "Taker", "cost", "key_bytes"]

Array = NDArray[np.uint64]
#: N, degree of the ring.
DEGREE = 8192
#: Bits of the primes of the modulus; the last one serves keys only.
PRIME_BITS = (60, 60, 60)
#: The user's view is this close to one made from the token alone: 2^-STATISTICAL.
STATISTICAL = 40
_ERROR = 22


@dataclass(frozen=True)
class Parameters:
    """What follows from the number of tokens.

    Parameters
    ----------
    size : int
        V, tokens in the table.
    """

    size: int

    def __post_init__(self) -> None:
        if not 1 <= self.size <= LARGEST:
            raise UsageError(f"a table of {self.size} tokens is out of bounds; 1 to {LARGEST}")
        noise = self.noise_bound + (1 << self.flood_bits)
        # SEAL takes the greatest primes of the wanted sizes: their product is above half of 2^120.
        if 2 * (1 << self.plain_bits) * noise > 1 << (sum(PRIME_BITS[:-1]) - 1):
            raise UsageError(f"a table of {self.size} tokens leaves no room for the flood")

    @property
    def rows(self) -> int:
        """R."""
        return -(-self.size // DEGREE)

    @property
    def plain_bits(self) -> int:
        """Bits of the plaintext's modulus t: a prime of b bits exceeds 2^(b-1) > V."""
        return max(17, self.size.bit_length() + 1)

    @property
    def noise_bound(self) -> int:
        """B, the most noise before flooding."""
        return self.rows * DEGREE * (1 << (self.plain_bits - 1)) * _ERROR + 64 * DEGREE

    @property
    def flood_bits(self) -> int:
        """f, bits of the flood."""
        return STATISTICAL + 1 + (self.noise_bound * DEGREE - 1).bit_length()

    @cached_property
    def seal(self) -> Seal:
        """The context; needs TenSEAL."""
        return Seal(DEGREE, PRIME_BITS, self.plain_bits)


def key_bytes() -> int:
    """Bytes of the public key, sent once."""
    return _bytes(len(PRIME_BITS))


def cost(size: int, choices: int) -> Cost:
    """Messages and bytes of ``choices`` choices from ``size`` tokens at once, without the key."""
    rows = Parameters(size).rows
    return Cost(
        one_way=2,
        bytes_to_owner=choices * rows * _bytes(len(PRIME_BITS) - 1),
        bytes_to_user=choices * _bytes(len(PRIME_BITS) - 2),
    )


class Taker:
    """The user: holds the key, learns the token.

    Parameters
    ----------
    ring : Ring
        What packs words.
    parameters : Parameters
        The same on both sides.
    """

    def __init__(self, ring: Ring, parameters: Parameters) -> None:
        self._ring = ring
        self.parameters = parameters
        seal = parameters.seal
        keys = seal.binding.KeyGenerator(seal.context)
        secret = keys.secret_key()
        self._public = seal.binding.PublicKey()
        keys.create_public_key(self._public)
        self._encryptor = seal.binding.Encryptor(seal.context, secret)
        self._decryptor = seal.binding.Decryptor(seal.context, secret)

    async def introduce(self, channel: Channel, tag: int) -> None:
        """Send the public key."""
        seal = self.parameters.seal
        key = seal.coefficients(self._public.data(), len(seal.primes))
        await channel.send(tag, self._ring.pack(key.reshape(-1), PRIME_BITS[0]))

    async def take(self, channel: Channel, tag: int, wanted: NDArray[np.integer]) -> Array:
        """The entries at the places ``wanted``, (choices,); uint64 (choices,).

        One that is not below V is no token, as for :func:`~.transfer.take`.

        Parameters
        ----------
        channel : Channel
            To the owner.
        tag : int
            Of the first message.
        wanted : int array
            Places, (choices,).

        Raises
        ------
        PeerError
            Where the owner is gone, or what it sends is no ciphertext.
        """
        seal, parameters = self.parameters.seal, self.parameters
        if wanted.size and not 0 <= wanted.min() <= wanted.max() < parameters.size:
            raise UsageError("a place lies outside the table")
        query = [self._query(int(j)) for j in wanted]
        await channel.send(tag, b"".join(query))
        primes = len(seal.primes) - 2
        reply = bytes(await channel.receive(tag + 1, len(wanted) * _bytes(primes)))
        tokens = np.empty(len(wanted), dtype=np.uint64)
        for i, j in enumerate(wanted):
            part = reply[i * _bytes(primes) : (i + 1) * _bytes(primes)]
            plain = seal.binding.Plaintext()
            self._decryptor.decrypt(seal.ciphertext(_coefficients(self._ring, part, primes)), plain)
            slots = seal.decode(plain).astype(np.int64)
            tokens[i] = slots[int(j) % DEGREE] - 1
            slots[int(j) % DEGREE] = 0
            if slots.any():
                tokens[i] = parameters.size
        return tokens

    def _query(self, place: int) -> bytes:
        seal, parts = self.parameters.seal, []
        for row in range(self.parameters.rows):
            unit = np.zeros(DEGREE, dtype=np.uint64)
            unit[place % DEGREE] = row == place // DEGREE
            ciphertext = seal.binding.Ciphertext()
            self._encryptor.encrypt_symmetric(seal.encode(unit), ciphertext)
            coefficients = seal.coefficients(ciphertext, len(seal.primes) - 1)
            parts.append(self._ring.pack(coefficients.reshape(-1), PRIME_BITS[0]))
        return b"".join(parts)


class Holder:
    """The owner: holds the table, learns nothing.

    Parameters
    ----------
    ring : Ring
        What packs words.
    parameters : Parameters
        The same on both sides.
    """

    def __init__(self, ring: Ring, parameters: Parameters) -> None:
        self._ring = ring
        self.parameters = parameters
        self._encryptor: Any = None

    async def meet(self, channel: Channel, tag: int) -> None:
        """Receive the public key.

        Raises
        ------
        PeerError
            Where the user is gone or what it sends is no key.
        """
        seal = self.parameters.seal
        data = bytes(await channel.receive(tag, key_bytes()))
        key = seal.public_key(_coefficients(self._ring, data, len(seal.primes)))
        self._encryptor = seal.binding.Encryptor(seal.context, key)

    async def hold(
        self, channel: Channel, tag: int, table: NDArray[np.integer], choices: int
    ) -> None:
        """Let the user have ``choices`` entries of ``table``, (V,), without learning which.

        Parameters
        ----------
        channel : Channel
            To the user.
        tag : int
            Of the first message.
        table : int array
            Tokens, (V,).
        choices : int
            How many entries the user gets.

        Raises
        ------
        PeerError
            Where the user is gone or what it sends is no query.
        """
        seal, parameters = self.parameters.seal, self.parameters
        if self._encryptor is None:
            raise UsageError("the user's public key comes first")
        if table.shape != (parameters.size,):
            raise UsageError("the table has another length than the parameters say")
        primes = len(seal.primes) - 1
        query = bytes(await channel.receive(tag, choices * parameters.rows * _bytes(primes)))
        # One is added so that no entry is zero: SEAL refuses products with a zero plaintext.
        rows = [
            seal.encode(table[start : start + DEGREE].astype(np.uint64) + np.uint64(1))
            for start in range(0, parameters.size, DEGREE)
        ]
        parts = [query[i : i + _bytes(primes)] for i in range(0, len(query), _bytes(primes))]
        replies = [
            self._reply(parts[i * len(rows) : (i + 1) * len(rows)], rows) for i in range(choices)
        ]
        await channel.send(tag + 1, b"".join(replies))

    def _reply(self, query: list[bytes], rows: list[Any]) -> bytes:
        """``sum_r query_r row_r``, re-randomised, flooded, one prime shorter."""
        seal = self.parameters.seal
        primes = len(seal.primes) - 1
        total = seal.binding.Ciphertext()
        self._encryptor.encrypt_zero(total)
        for part, row in zip(query, rows, strict=True):
            factor, product = (
                seal.ciphertext(_coefficients(self._ring, part, primes)),
                seal.binding.Ciphertext(),
            )
            seal.evaluator.multiply_plain(factor, row, product)
            seal.evaluator.add_inplace(total, product)
        coefficients = seal.coefficients(total, primes)
        flood = _flood(self.parameters.flood_bits)
        for i, prime in enumerate(seal.primes[:primes]):
            # Both are below 2^60: the sum cannot wrap.
            coefficients[0, i] = (
                coefficients[0, i] + (flood % prime).astype(np.uint64)
            ) % np.uint64(prime)
        flooded = seal.ciphertext(coefficients)
        seal.evaluator.mod_switch_to_next_inplace(flooded)
        shorter = seal.coefficients(flooded, primes - 1)
        return self._ring.pack(shorter.reshape(-1), PRIME_BITS[0])


def _flood(bits: int) -> NDArray[np.object_]:
    """Uniform integers in ``[-2^(bits-1), 2^(bits-1))``, one per coefficient."""
    width = (bits + 7) // 8
    data = secrets.token_bytes(width * DEGREE)
    words = [
        (int.from_bytes(data[i : i + width], "little") & ((1 << bits) - 1)) - (1 << (bits - 1))
        for i in range(0, len(data), width)
    ]
    return np.asarray(words, dtype=object)


def _bytes(primes: int) -> int:
    return 2 * primes * DEGREE * PRIME_BITS[0] // 8


def _coefficients(ring: Ring, data: bytes, primes: int) -> Array:
    return ring.unpack(data, PRIME_BITS[0], 2 * primes * DEGREE).reshape(2, primes, DEGREE)
