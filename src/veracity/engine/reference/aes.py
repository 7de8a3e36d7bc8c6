"""The AES block cipher (FIPS 197), encryption only: what the reference streams are made of."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["encrypt"]


def _double(a: int) -> int:
    """``a x`` in GF(2^8) modulo ``x^8 + x^4 + x^3 + x + 1``."""
    return (a << 1) ^ (0x11B if a & 0x80 else 0)


def _times(a: int, b: int) -> int:
    product = 0
    while b:
        if b & 1:
            product ^= a
        a, b = _double(a), b >> 1
    return product


def _substitute(a: int) -> int:
    """The S-box: the inverse in GF(2^8), or zero, and an affine map of its bits."""
    inverse = next((b for b in range(256) if _times(a, b) == 1), 0)
    out = 0x63
    for turn in range(5):
        out ^= inverse << turn | inverse >> (8 - turn)
    return out & 0xFF


@lru_cache(maxsize=1)
def _sbox() -> bytes:
    """All entries; made at the first use, since most processes that load this never encrypt."""
    return bytes(_substitute(a) for a in range(256))


def _xor(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


@lru_cache(maxsize=64)
def _round_keys(key: bytes) -> list[bytes]:
    """Eleven keys of 16 bytes from a key of 16, fifteen from one of 32."""
    n = len(key) // 4
    words = [key[i : i + 4] for i in range(0, len(key), 4)]
    constant = 1
    for i in range(n, 4 * (n + 7)):
        word = words[-1]
        if i % n == 0:
            word = (word[1:] + word[:1]).translate(_sbox())
            word = bytes([word[0] ^ constant]) + word[1:]
            constant = _double(constant)
        elif n > 6 and i % n == 4:
            word = word.translate(_sbox())
        words.append(_xor(words[i - n], word))
    return [b"".join(words[i : i + 4]) for i in range(0, len(words), 4)]


def _mix(column: bytes) -> bytes:
    total = column[0] ^ column[1] ^ column[2] ^ column[3]
    return bytes(column[i] ^ total ^ _double(column[i] ^ column[(i + 1) % 4]) for i in range(4))


def encrypt(key: bytes, block: bytes) -> bytes:
    """One block of 16 bytes under a key of 16 or 32 bytes.

    Raises
    ------
    ValueError
        For other lengths.
    """
    if len(key) not in (16, 32) or len(block) != 16:
        raise ValueError("AES takes keys of 16 or 32 bytes and blocks of 16")
    first, *middle, last = _round_keys(key)
    state = _xor(block, first)
    for round_key in (*middle, last):
        state = state.translate(_sbox())
        # Row i of the columns turns by i.
        state = bytes(state[(5 * i) % 16] for i in range(16))
        if round_key is not last:
            state = b"".join(_mix(state[i : i + 4]) for i in range(0, 16, 4))
        state = _xor(state, round_key)
    return state
