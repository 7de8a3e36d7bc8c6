"""Arithmetic on the Pallas curve in Python integers: roots, sums of multiples, encodings.

The curve is ``y^2 = x^3 + 5`` over the field of :data:`veracity.engine.api.BASE` elements; its
order is the prime :data:`veracity.engine.api.ORDER`, so there is no cofactor anywhere.

References
----------
Sums of many multiples by buckets: Pippenger 1980; Bernstein, Doumen, Lange, Oosterwijk,
eprint 2012/549, section 4.
"""

from __future__ import annotations

from collections.abc import Iterable

from veracity.engine.api import BASE, POINT_BYTES

__all__ = [
    "Affine",
    "decode",
    "decode_coordinates",
    "encode",
    "encode_coordinates",
    "square_root",
    "sum_of_multiples",
]

#: An affine point, or ``None`` for the identity.
Affine = tuple[int, int] | None
#: Jacobian coordinates: the affine point is ``(X / Z^2, Y / Z^3)``; ``Z = 0`` is the identity.
Jacobian = tuple[int, int, int]

_CURVE_B = 5
_IDENTITY: Jacobian = (1, 1, 0)


def square_root(a: int) -> int | None:
    """Return a square root modulo BASE, or ``None`` where there is none (Tonelli and Shanks)."""
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


def _add(p: Jacobian, q: Jacobian) -> Jacobian:
    """``p + q``, with every special case."""
    x1, y1, z1 = p
    x2, y2, z2 = q
    if z1 == 0:
        return q
    if z2 == 0:
        return p
    zz1, zz2 = z1 * z1 % BASE, z2 * z2 % BASE
    u, s = x1 * zz2 % BASE, y1 * zz2 * z2 % BASE
    h, r = (x2 * zz1 - u) % BASE, (y2 * zz1 * z1 - s) % BASE
    if h == 0:
        return _double(p) if r == 0 else _IDENTITY
    hh = h * h % BASE
    hhh = h * hh % BASE
    v = u * hh % BASE
    x3 = (r * r - hhh - 2 * v) % BASE
    return x3, (r * (v - x3) - s * hhh) % BASE, z1 * z2 * h % BASE


def sum_of_multiples(terms: Iterable[tuple[int, Affine]]) -> Affine:
    """``sum_i k_i P_i`` for any integers ``k_i``.

    Windows of the multipliers, the highest first: between two windows all is doubled, in a window
    points are added up by digit, and each digit's sum counts as often as the digit says.
    """
    pairs = [(k, p) if k > 0 else (-k, _negate(p)) for k, p in terms if k != 0 and p is not None]
    bits = max((k.bit_length() for k, _ in pairs), default=0)
    width = max(1, len(pairs).bit_length() - 2)
    total = _IDENTITY
    for start in reversed(range(0, bits, width)):
        for _ in range(width):
            total = _double(total)
        total = _add(total, _window(pairs, start, width))
    return _affine(total)


def _window(pairs: list[tuple[int, Affine]], start: int, width: int) -> Jacobian:
    mask = (1 << width) - 1
    buckets = [_IDENTITY] * (mask + 1)
    for k, p in pairs:
        digit = k >> start & mask
        if digit:
            buckets[digit] = _add_affine(buckets[digit], p)
    total = partial = _IDENTITY
    for bucket in reversed(buckets[1:]):
        partial = _add(partial, bucket)
        total = _add(total, partial)
    return total


def encode(p: Affine) -> bytes:
    """32 bytes: x, little-endian, with the parity of y on top; zeros for the identity."""
    number = 0 if p is None else p[0] | (p[1] & 1) << 255
    return number.to_bytes(POINT_BYTES, "little")


def decode(data: bytes) -> Affine:
    """Inverse of :func:`encode`; ``ValueError`` for any other bytes."""
    value = int.from_bytes(data, "little")
    if value == 0:
        return None
    odd, x = value >> 255, value & ((1 << 255) - 1)
    if x >= BASE:
        raise ValueError("point encoding is not canonical")
    y = square_root(x**3 + _CURVE_B)
    if y is None:
        raise ValueError("point encoding is not on the curve")
    # y is never zero: the order of the group is odd.
    return x, y if y % 2 == odd else BASE - y


def encode_coordinates(p: Affine) -> bytes:
    """64 bytes: x and y, little-endian; zeros for the identity."""
    x, y = (0, 0) if p is None else p
    return x.to_bytes(POINT_BYTES, "little") + y.to_bytes(POINT_BYTES, "little")


def decode_coordinates(data: bytes) -> Affine:
    """Inverse of :func:`encode_coordinates`; ``ValueError`` for any other bytes."""
    x = int.from_bytes(data[:POINT_BYTES], "little")
    y = int.from_bytes(data[POINT_BYTES:], "little")
    if x == y == 0:
        return None
    if x >= BASE or y >= BASE or (y * y - x**3 - _CURVE_B) % BASE:
        raise ValueError("coordinates that are no point")
    return x, y
