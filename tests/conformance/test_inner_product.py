"""Inner-product arguments: every backend gives what the reference engine gives, byte for byte."""

from __future__ import annotations

import pytest

from veracity.engine import ORDER

LABEL = "inner product"


def _rounds(engine, operands, challenges) -> tuple[list[bytes], int]:
    """The cross terms of every round, and the entry that is left."""
    found = []
    for x in challenges:
        found.append(engine.compress(operands.cross()))
        operands.fold(x)
    return found, operands.end()


def _operands(engine, n, a, b, special=False):
    points = engine.generators(LABEL, n + 1)
    if special and n > 4:  # equal points, and one less another
        again = [points[1:2], points[1:2], points[3:]]
        points = engine.concat_points([points[:1], *again])
    return engine.inner_product(points[:n], points[n : n + 1], *map(engine.from_ints, (a, b)))


@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 33])
def test_rounds(engine, reference, scalars, n, special):
    a, b, challenges = scalars(n), scalars(n), scalars((n - 1).bit_length())
    challenges = [x % ORDER or 1 for x in challenges]
    one, other = [
        _rounds(e, _operands(e, n, a, b, special), challenges) for e in (engine, reference)
    ]
    assert one == other


@pytest.mark.parametrize("n", [512, 1100, 2048])
def test_many_entries(engine, rng, n):
    """Long enough for generators to be folded together, against sums of all of them."""
    a, b = ([rng.randrange(ORDER) for _ in range(n)] for _ in range(2))
    challenges = [rng.randrange(1, ORDER) for _ in range((n - 1).bit_length())]
    points = engine.generators(LABEL, n + 1)
    bases, inner = points[:n], points[n:]
    found, end = _rounds(engine, _operands(engine, n, a, b), challenges)
    factors, width = [1] * n, 1 << len(challenges)
    for x, data in zip(challenges, found, strict=True):
        half = width // 2
        a, b = ([*v, *[0] * (width - len(v))] for v in (a, b))
        for at, other in ((0, half), (half, 0)):
            scalars = [factors[i] * a[(i % width) ^ half] for i in range(n)]
            scalars = [
                s if (i % width) // half == other // half else 0 for i, s in enumerate(scalars)
            ]
            value = sum(a[at + i] * b[other + i] for i in range(half))
            total = engine.msm(
                engine.concat_points([bases, inner]), engine.from_ints([*scalars, value])
            )
            at_byte = 32 * (at // half)
            assert engine.compress(total) == data[at_byte : at_byte + 32]
        factors = [f * x % ORDER if i % width >= half else f for i, f in enumerate(factors)]
        inverse = pow(x, -1, ORDER)
        a = [(low + inverse * high) % ORDER for low, high in zip(a[:half], a[half:], strict=True)]
        b = [(low + x * high) % ORDER for low, high in zip(b[:half], b[half:], strict=True)]
        width = half
    assert end == a[0]


@pytest.mark.parametrize("definition", [False, True])
def test_steps_out_of_turn(engine, reference, definition):
    e = reference if definition else engine
    operands = _operands(e, 3, [1, 2, 3], [4, 5, 6])
    for wrong in (operands.end, lambda: operands.fold(0), lambda: operands.fold(ORDER)):
        with pytest.raises(ValueError, match=r"."):
            wrong()
    operands.fold(1)
    operands.fold(ORDER - 1)
    assert operands.end() == (1 + 3 - 2) % ORDER
    for wrong in (operands.cross, lambda: operands.fold(1)):
        with pytest.raises(ValueError, match=r"."):
            wrong()
