"""The part of an engine that shares functions: keys of comparisons and of points.

What goes in and comes out are elements of the ring of integers modulo 2^64, NumPy uint64, and keys,
uint8. Shapes that do not fit together raise ``ValueError`` on every backend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_PAYLOAD",
    "MAX_TABLE_BITS",
    "SHARED_FROM",
    "TREE_KEY",
    "TREE_KEY_BYTES",
    "Fss",
]

#: Words of a payload at most.
MAX_PAYLOAD = 4
#: Bits of the domain of a table at most.
MAX_TABLE_BITS = 20
#: Bytes of the public key of the hash that grows trees, and the one without :meth:`Fss.keyed`.
TREE_KEY_BYTES = 16
TREE_KEY = b"Veracity FSS v01"
#: The bytes of a key from here on are the same in both keys of a pair.
SHARED_FROM = 16

_Ring: TypeAlias = NDArray[np.uint64]
_Keys: TypeAlias = NDArray[np.uint8]


class Fss(Protocol):
    """Function secret sharing: comparisons and points of a public value with a shared secret.

    Two functions, each shared by a pair of keys. A single key tells nothing of ``alpha`` or the
    payload; the parties' evaluations at a public point add up (modulo 2^64) to the value there.

    * Comparison (DCF): ``x -> payload [x < alpha]`` for ``x`` in ``[0, 2^bits)``; Boyle, Chandran,
      Gilboa, Gupta, Ishai, Kumar, Rathee, eprint 2020/1392, figure 1.
    * Point (DPF): ``x -> payload [x = alpha]``; Boyle, Gilboa, Ishai, eprint 2018/707, figure 1.

    Points, thresholds and shifts are taken modulo ``2^bits``. Payloads are ``P`` words of 64 bits,
    1 to 4; a comparison may also have none, and then shares the bit ``[x < alpha]`` by exclusive
    or.

    Trees end early: a leaf stands for 128 points of a comparison without payload, 4 points of other
    comparisons, 8 points of point keys with one word, 2 with more (2018/707, section 3.2.3).
    Seeds are 125 bits and grow by a Matyas-Meyer-Oseas hash from AES-128 with a public key,
    ``s -> AES(s xor j) xor s xor j`` for ``j`` in 0..8, correlation robust for an ideal permutation
    (Guo, Katz, Wang, Yu, eprint 2019/074).

    Bytes of a key (:meth:`dcf_key_bytes`, :meth:`dpf_key_bytes`):

    * comparison, no payload: ``32 + 16 max(bits - 7, 0)``;
    * comparison, ``P`` words: ``16 + (16 + 8 P) (bits - 2) + 32 P`` from 2 bits on;
    * point, one word: ``16 + 16 (bits - 3) + 64`` from 3 bits on;
    * point, ``P > 1`` words: ``16 + 16 (bits - 1) + 16 P``.

    The keys of a pair differ in their first 16 bytes, the seeds of the roots, alone.
    """

    def keyed(self, key: bytes) -> Fss:
        """The same with another public key of the hash: who guesses seeds has to guess for each.

        Parameters
        ----------
        key : bytes
            16 bytes, the same where keys are made and evaluated.

        Raises
        ------
        ValueError
            For another number of bytes.
        """
        ...

    def dcf_key_bytes(self, bits: int, P: int) -> int:
        """Bytes of one comparison key for ``bits`` bits and ``P`` words of payload (0: one bit)."""
        ...

    def dpf_key_bytes(self, bits: int, P: int = 1) -> int:
        """Bytes of one point key for ``bits`` bits and ``P`` words of payload."""
        ...

    def dcf_keys(self, seed: bytes, bits: int, alpha: _Ring, payload: _Ring) -> tuple[_Keys, _Keys]:
        """Key pairs for ``x -> payload [x < alpha]``.

        Parameters
        ----------
        seed : bytes
            32 uniform bytes, secret, for this one call: a second one with this seed breaks both.
        bits : int
            Of the domain, 1 to 64.
        alpha : uint64 array, shape (N,)
            Thresholds, modulo ``2^bits``: 0 gives the function that is zero.
        payload : uint64 array, shape (N, P)
            Values, ``P`` in 0..4; with ``P = 0`` the keys are for :meth:`dcf_bits`.

        Returns
        -------
        tuple of uint8 arrays, shape (N, L)
            The keys of parties 0 and 1; ``L`` is :meth:`dcf_key_bytes`.

        Raises
        ------
        ValueError
            For arguments that do not fit together.
        """
        ...

    def dpf_keys(self, seed: bytes, bits: int, alpha: _Ring, payload: _Ring) -> tuple[_Keys, _Keys]:
        """Key pairs for ``x -> payload [x = alpha]``; as :meth:`dcf_keys`, with ``P`` in 1..4.

        Parameters
        ----------
        seed : bytes
            Fresh, 32 bytes.
        bits : int
            Bits of the domain.
        alpha : uint64 array
            (n,).
        payload : uint64 array
            (n, P).
        """
        ...

    def dcf_bits(self, party: int, bits: int, keys: _Keys, points: _Ring) -> NDArray[np.uint8]:
        """A party's shares, by exclusive or, of the bits ``[points < alpha]``.

        Parameters
        ----------
        party : int
            0 or 1.
        bits : int
            Of the domain.
        keys : uint8 array, shape (N, L)
            The party's comparison keys, without payload.
        points : uint64 array, shape (N, M)
            Public points, modulo ``2^bits``; ``M`` for each key.

        Returns
        -------
        uint8 array, shape (N, M)
            Zeros and ones.

        Raises
        ------
        ValueError
            For arguments that do not fit together.
        """
        ...

    def dcf_evaluate(self, party: int, bits: int, keys: _Keys, points: _Ring, P: int) -> _Ring:
        """A party's shares of ``payload [points < alpha]``.

        Parameters
        ----------
        party, bits, keys, points
            As of :meth:`dcf_bits`, for keys with a payload.
        P : int
            Words of payload, 1 to 4. Keys without payload: :meth:`dcf_bits`.

        Returns
        -------
        uint64 array, shape (N, M, P)
            Shares modulo 2^64.

        Raises
        ------
        ValueError
            For arguments that do not fit together.
        """
        ...

    def dcf_weighted(
        self, party: int, bits: int, keys: _Keys, points: _Ring, weights: _Ring
    ) -> _Ring:
        """A party's shares of ``sum_m weights[m, q] payload[p] [points[n, m] < alpha[n]]``.

        Points of one key share the upper parts of their paths: a hundred points cost less than a
        hundred evaluations, most of all where they come sorted, but for a rotation.

        Parameters
        ----------
        party, bits, keys, points
            As of :meth:`dcf_bits`, for keys with a payload of ``P`` words.
        weights : uint64 array, shape (M, Q)
            Public weights of the points, the same for all keys.

        Returns
        -------
        uint64 array, shape (N, P, Q)
            Shares modulo 2^64.

        Raises
        ------
        ValueError
            For arguments that do not fit together.
        """
        ...

    def dcf_pieces(
        self,
        party: int,
        bits: Sequence[int],
        keys: _Keys,
        values: _Ring,
        payloads: _Ring,
        lengths: Sequence[int],
        knots: _Ring,
        weights: _Ring,
    ) -> _Ring:
        """A party's shares of functions by parabolas between knots, several at once.

        Of function g, ``sum_m (w[m, 0] + w[m, 1] u + w[m, 2] u^2) [u < knots[m]]`` over its knots,
        for ``u = (values - alpha) mod 2^bits[g]``: containment in many intervals (eprint 2020/1392,
        section 5). Its weights have to add up to zero.

        Parameters
        ----------
        party : int
            0 or 1.
        bits : sequence of int
            Of the domain of each of G functions, 1 to 63.
        keys : uint8 array, one axis
            The party's comparison keys with the payload ``(1, alpha, alpha^2)``, alpha below
            ``2^bits``: N for each function, one function after the other.
        values : uint64 array, shape (G, N)
            The opened, masked values.
        payloads : uint64 array, shape (G, N, 3)
            The party's shares of the payloads.
        lengths : sequence of int
            Knots of each function; M is their sum.
        knots : uint64 array, shape (M,)
            Below ``2^bits``, or that itself.
        weights : uint64 array, shape (M, 3)
            By how much the coefficients of 1, u and u^2 below a knot are more than those above.

        Returns
        -------
        uint64 array, shape (G, N)
            Shares modulo 2^64.

        Raises
        ------
        ValueError
            For arguments that do not fit together.
        """
        ...

    def dpf_evaluate(self, party: int, bits: int, keys: _Keys, points: _Ring, P: int = 1) -> _Ring:
        """A party's shares of ``payload [points = alpha]``; as :meth:`dcf_evaluate`.

        Parameters
        ----------
        party : int
            0 or 1.
        bits : int
            Bits of the domain.
        keys : uint8 array
            One key a row.
        points : uint64 array
            (n, points).
        P : int
            Words of the payload.
        """
        ...

    def dpf_table(
        self, party: int, bits: int, keys: _Keys, shift: _Ring, table: _Ring, P: int = 1
    ) -> _Ring:
        """A party's shares of ``payload[n, p] table[(shift[n] - alpha[n]) mod 2^bits, k]``.

        With ``alpha`` the mask of a value and ``shift`` the opened, masked value: the entry of the
        value. All of the domain is evaluated (Wagh, eprint 2022/826), but for the part that meets
        the table's longest run of rows of zeros.

        Parameters
        ----------
        party : int
            0 or 1.
        bits : int
            Of the domain, 1 to 20.
        keys : uint8 array, shape (N, L)
            The party's point keys, with ``P`` words of payload.
        shift : uint64 array, shape (N,)
            Public shifts, modulo ``2^bits``.
        table : uint64 array, shape (2^bits, K)
            The public table, ``K`` words an entry.
        P : int
            Words of payload, 1 to 4.

        Returns
        -------
        uint64 array, shape (N, P, K)
            Shares modulo 2^64.

        Raises
        ------
        ValueError
            For arguments that do not fit together.
        """
        ...

    def dpf_histogram(
        self, party: int, bits: int, keys: _Keys, shift: _Ring, lengths: _Ring, count: int
    ) -> _Ring:
        """A party's shares of the histogram of each row of values ``(shift - alpha) mod 2^bits``.

        With ``alpha`` the masks of values and ``shift`` the opened, masked values: how often the
        values 0, 1, .. are in a row, where payloads are 1; else the payloads' sums.

        Parameters
        ----------
        party : int
            0 or 1.
        bits : int
            Of the domain, 1 to 20.
        keys : uint8 array, shape (N, L)
            The party's point keys, with one word of payload, row after row.
        shift : uint64 array, shape (N,)
            Public shifts, modulo ``2^bits``.
        lengths : uint64 array, shape (R,)
            Values of each row; ``N`` is their sum.
        count : int
            How many values are told apart, from 0 on; the rest is not counted.

        Returns
        -------
        uint64 array, shape (R, count)
            Shares modulo 2^64.

        Raises
        ------
        ValueError
            For arguments that do not fit together.
        """
        ...
