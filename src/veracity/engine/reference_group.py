"""The Pallas group in plain Python: the definition of the group operations of an engine.

Points are kept in NumPy object arrays whose entries are ``(x, y)`` or ``None`` for the identity.
The curve is ``y^2 = x^3 + 5`` over the field of :data:`veracity.engine.api.BASE` elements; its
order is the prime :data:`veracity.engine.api.ORDER`, so there is no cofactor anywhere.

References
----------
RFC 9380 (hash-to-curve: simplified SWU with an isogeny, ``expand_message_xmd``); the constants
are those published with the Pasta curves, whose hash-to-curve this reproduces byte for byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import BASE, ORDER, POINT_BYTES, Ints
from veracity.engine.checks import check_index, check_same_length, check_small

__all__ = ["ReferenceGroup", "hash_to_curve"]

#: An affine point, or ``None`` for the identity.
Affine = tuple[int, int] | None
#: Jacobian coordinates: the affine point is ``(X / Z^2, Y / Z^3)``; ``Z = 0`` is the identity.
Jacobian = tuple[int, int, int]

_CURVE_B = 5
_IDENTITY: Jacobian = (1, 1, 0)

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


def _sqrt(a: int) -> int | None:
    """Return a square root modulo BASE, or ``None`` (Tonelli and Shanks)."""
    a %= BASE
    if a == 0:
        return 0
    odd = (BASE - 1) >> 32
    root = pow(a, (odd + 1) // 2, BASE)
    error = pow(a, odd, BASE)
    step = pow(5, odd, BASE)  # 5 is a non-residue, so this has order 2^32
    level = 32
    while error != 1:
        square, order = error, 0
        while square != 1:
            square = square * square % BASE
            order += 1
        if order >= level:
            return None
        for _ in range(level - order - 1):
            step = step * step % BASE
        level = order
        root = root * step % BASE
        step = step * step % BASE
        error = error * step % BASE
    return root


def _double(p: Jacobian) -> Jacobian:
    x, y, z = p
    if z == 0:
        return p
    yy = y * y % BASE
    s = 4 * x * yy % BASE
    m = 3 * x * x % BASE
    x3 = (m * m - 2 * s) % BASE
    return x3, (m * (s - x3) - 8 * yy * yy) % BASE, 2 * y * z % BASE


def _add_affine(p: Jacobian, q: Affine) -> Jacobian:
    """``p + q``, with every special case."""
    if q is None:
        return p
    x1, y1, z1 = p
    x2, y2 = q
    if z1 == 0:
        return x2, y2, 1
    zz = z1 * z1 % BASE
    h = (x2 * zz - x1) % BASE
    r = (y2 * zz * z1 - y1) % BASE
    if h == 0:
        return _double(p) if r == 0 else _IDENTITY
    hh = h * h % BASE
    hhh = h * hh % BASE
    v = x1 * hh % BASE
    x3 = (r * r - hhh - 2 * v) % BASE
    return x3, (r * (v - x3) - y1 * hhh) % BASE, z1 * h % BASE


def _affine(p: Jacobian) -> Affine:
    x, y, z = p
    if z == 0:
        return None
    inverse = pow(z, -1, BASE)
    square = inverse * inverse % BASE
    return x * square % BASE, y * square * inverse % BASE


def _negate(p: Affine) -> Affine:
    return None if p is None else (p[0], -p[1] % BASE)


def _sum(terms: Iterable[tuple[int, Affine]]) -> Affine:
    """``sum_i k_i P_i`` for any integers, doubling once a bit for all of them."""
    pairs = [(k, p) if k > 0 else (-k, _negate(p)) for k, p in terms if k != 0]
    total = _IDENTITY
    for bit in reversed(range(max((k.bit_length() for k, _ in pairs), default=0))):
        total = _double(total)
        for k, p in pairs:
            if k >> bit & 1:
                total = _add_affine(total, p)
    return _affine(total)


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
    y = _sqrt(x**3 + _ISO_A * x + _ISO_B)
    if y is None:
        x = _SWU_Z * u * u * x % BASE
        y = _sqrt(x**3 + _ISO_A * x + _ISO_B)
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


def _array(points: Iterable[Affine]) -> NDArray[Any]:
    listed = list(points)
    out = np.empty(len(listed), dtype=object)
    for i, p in enumerate(listed):
        out[i] = p
    return out


def _decode(data: bytes) -> Affine:
    value = int.from_bytes(data, "little")
    if value == 0:
        return None
    odd, x = value >> 255, value & ((1 << 255) - 1)
    if x >= BASE:
        raise ValueError("point encoding is not canonical")
    y = _sqrt(x**3 + _CURVE_B)
    if y is None:
        raise ValueError("point encoding is not on the curve")
    # y is never zero: the order of the group is odd.
    return x, y if y % 2 == odd else BASE - y


class ReferenceGroup:
    """The group operations of :class:`veracity.engine.api.Engine`; see there for each.

    A mix-in: the class it joins supplies ``to_ints`` for vectors of scalars.
    """

    def to_ints(self, v: Any) -> list[int]:
        """Canonical representatives of a vector of scalars; the field half of the engine."""
        raise NotImplementedError

    def generators(self, label: str, n: int) -> NDArray[Any]:
        """``n`` points by hash-to-curve of the index (8 bytes, little-endian) in ``label``."""
        if n < 0:
            raise ValueError("negative number of generators")
        return _array(hash_to_curve(label, i.to_bytes(8, "little")) for i in range(n))

    def commit_rows(self, values: Ints, index: NDArray[np.int64], bases: Any) -> NDArray[Any]:
        """``out[r] = sum_j values[r, j] * bases[index[j]]``."""
        check_small(values, shape=(None, len(index)))
        check_index(index, len(bases))
        chosen = [bases[int(j)] for j in index]
        return _array(_sum(zip(map(int, row), chosen, strict=True)) for row in values)

    def msm(self, points: Any, scalars: Any) -> NDArray[Any]:
        """``sum_i scalars[i] points[i]`` as one point."""
        check_same_length(points, scalars)
        return _array([_sum(zip(self.to_ints(scalars), points, strict=True))])

    def scale_points(self, points: Any, scalars: Any) -> NDArray[Any]:
        """``out[i] = scalars[i] * points[i]``; a ``points`` of length 1 is broadcast."""
        values = self.to_ints(scalars)
        if len(points) == 1:
            return _array(_sum([(k, points[0])]) for k in values)
        check_same_length(points, scalars)
        return _array(_sum([(k, p)]) for k, p in zip(values, points, strict=True))

    def add_points(self, a: Any, b: Any) -> NDArray[Any]:
        """Element-wise sum."""
        check_same_length(a, b)
        return _array(_sum([(1, p), (1, q)]) for p, q in zip(a, b, strict=True))

    def concat_points(self, parts: Sequence[Any]) -> NDArray[Any]:
        """Concatenation; the empty sequence gives an empty vector."""
        return _array(p for part in parts for p in part)

    def fold_points(self, points: Any, r: int) -> NDArray[Any]:
        """``out[i] = points[i] + r * points[n/2 + i]``."""
        if len(points) % 2:
            raise ValueError("fold_points: odd number of points")
        half = len(points) // 2
        r %= ORDER
        return _array(
            _sum([(1, p), (r, q)]) for p, q in zip(points[:half], points[half:], strict=True)
        )

    def compress(self, points: Any) -> bytes:
        """Canonical encoding, 32 bytes a point."""
        return b"".join(
            bytes(POINT_BYTES)
            if p is None
            else (p[0] | (p[1] & 1) << 255).to_bytes(POINT_BYTES, "little")
            for p in points
        )

    def decompress(self, data: bytes) -> NDArray[Any]:
        """Inverse of :meth:`compress`; ``ValueError`` for any other bytes."""
        if len(data) % POINT_BYTES:
            raise ValueError("decompress: length is not a multiple of 32")
        return _array(_decode(data[i : i + POINT_BYTES]) for i in range(0, len(data), POINT_BYTES))
