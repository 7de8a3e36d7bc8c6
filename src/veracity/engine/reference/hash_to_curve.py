"""Points whose discrete logarithms nobody knows, by hashing to the Pallas curve.

References
----------
RFC 9380 (hash-to-curve: simplified SWU with an isogeny, ``expand_message_xmd``); the constants
are those published with the Pasta curves, whose hash-to-curve this reproduces byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from veracity.engine.api import BASE
from veracity.engine.reference.curve import Affine, square_root

__all__ = ["hash_to_curve"]

# The curve y^2 = x^3 + A x + B that is 3-isogenous to Pallas, on which the SWU map works.
_ISO_A = 0x18354A2EB0EA8C9C49BE2D7258370742B74134581A27A59F92BB4B0B657A014B
_ISO_B = 1265
_SWU_Z = BASE - 13
#: Coefficients of the isogeny, highest degree first: x numerator (4), x denominator (2, monic of
#: degree 2), y numerator (4), y denominator (3, monic of degree 3).
_ISOGENY = (
    0x0E38E38E38E38E38E38E38E38E38E38E4081775473D8375B775F6034AAAAAAAB,
    0x3509AFD51872D88E267C7FFA51CF412A0F93B82EE4B994958CF863B02814FB76,
    0x17329B9EC525375398C7D7AC3D98FD13380AF066CFEB6D690EB64FAEF37EA4F7,
    0x1C71C71C71C71C71C71C71C71C71C71C8102EEA8E7B06EB6EEBEC06955555580,
    0x1D572E7DDC099CFF5A607FCCE0494A799C434AC1C96B6980C47F2AB668BCD71F,
    0x325669BECAECD5D11D13BF2A7F22B105B4ABF9FB9A1FC81C2AA3AF1EAE5B6604,
    0x1A12F684BDA12F684BDA12F684BDA12F7642B01AD461BAD25AD985B5E38E38E4,
    0x1A84D7EA8C396C47133E3FFD28E7A09507C9DC17725CCA4AC67C31D8140A7DBB,
    0x3FB98FF0D2DDCADD303216CCE1DB9FF11765E924F745937802E2BE87D225B234,
    0x025ED097B425ED097B425ED097B425ED0AC03E8E134EB3E493E53AB371C71C4F,
    0x0C02C5BCCA0E6B7F0790BFB3506DEFB65941A3A4A97AA1B35A28279B1D1B42AE,
    0x17033D3C60C68173573B3D7F7D681310D976BBFABBC5661D4D90AB820B12320A,
    0x40000000000000000000000000000000224698FC094CF91B992D30ECFFFFFDE5,
)


def _hash_to_field(domain: str, message: bytes) -> tuple[int, int]:
    """Two base field elements by ``expand_message_xmd`` with BLAKE2b-512."""
    tag = f"{domain}-pallas_XMD:BLAKE2b_SSWU_RO_".encode()
    if len(tag) > 255:
        raise ValueError("label too long")
    tag += bytes([len(tag)])
    first = hashlib.blake2b(bytes(128) + message + bytes([0, 128, 0]) + tag).digest()
    one = hashlib.blake2b(first + b"\x01" + tag).digest()
    mixed = bytes(a ^ b for a, b in zip(first, one, strict=True))
    two = hashlib.blake2b(mixed + b"\x02" + tag).digest()
    return int.from_bytes(one, "big") % BASE, int.from_bytes(two, "big") % BASE


def _swu(u: int) -> tuple[int, int]:
    """Map a field element to the isogenous curve (RFC 9380, 6.6.2)."""
    t = _SWU_Z * u * u % BASE
    t = (t * t + t) % BASE
    if t == 0:
        x = _ISO_B * pow(_SWU_Z * _ISO_A, -1, BASE) % BASE
    else:
        x = -_ISO_B * pow(_ISO_A, -1, BASE) * (1 + pow(t, -1, BASE)) % BASE
    y = square_root(x**3 + _ISO_A * x + _ISO_B)
    if y is None:
        x = _SWU_Z * u * u * x % BASE
        y = square_root(x**3 + _ISO_A * x + _ISO_B)
        if y is None:
            # One of the two is a square for every u; this is unreachable.
            raise ArithmeticError("simplified SWU found no point")
    return x, y if y % 2 == u % 2 else BASE - y


def _iso_add(p: tuple[int, int], q: tuple[int, int]) -> Affine:
    """Affine addition on the isogenous curve."""
    (x1, y1), (x2, y2) = p, q
    if x1 == x2:
        if (y1 + y2) % BASE == 0:
            return None
        slope = (3 * x1 * x1 + _ISO_A) * pow(2 * y1, -1, BASE) % BASE
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, BASE) % BASE
    x3 = (slope * slope - x1 - x2) % BASE
    return x3, (slope * (x1 - x3) - y1) % BASE


def _horner(coefficients: Sequence[int], x: int) -> int:
    total = 0
    for c in coefficients:
        total = (total * x + c) % BASE
    return total


def _isogeny(p: Affine) -> Affine:
    """Map the isogenous curve to Pallas."""
    if p is None:
        return None
    x, y = p
    x_below = _horner((1, *_ISOGENY[4:6]), x)
    y_below = _horner((1, *_ISOGENY[10:13]), x)
    if x_below == 0 or y_below == 0:
        return None  # the kernel of the isogeny
    return (
        _horner(_ISOGENY[0:4], x) * pow(x_below, -1, BASE) % BASE,
        y * _horner(_ISOGENY[6:10], x) * pow(y_below, -1, BASE) % BASE,
    )


def hash_to_curve(domain: str, message: bytes) -> Affine:
    """A point whose discrete logarithm nobody knows.

    Parameters
    ----------
    domain : str
        Separates uses; part of the hash.
    message : bytes
        What is hashed.

    Returns
    -------
    tuple of int or None
        ``(x, y)``; ``None`` (the identity) has negligible probability.
    """
    first, second = _hash_to_field(domain, message)
    return _isogeny(_iso_add(_swu(first), _swu(second)))
