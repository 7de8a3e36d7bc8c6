"""Trees of fractions: every message of every layer, on each engine, equals the definition's."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from veracity.engine.api import ORDER, FractionBlock, Leaves
from veracity.zk.mle import eq_at, variables

#: Dims of blocks: axes of length 1, ragged axes first and last, rows that are long enough for
#: numerators of their own, parts that end between rows, and single entries.
SHAPES = [
    [(1,)],
    [(2,)],
    [(3,)],
    [(5, 3)],
    [(1, 7, 1, 2)],
    [(2, 2, 2), (4,), (1,), (1, 1)],
    [(3, 5), (6,), (3, 1), (2,), (1,)],
    [(5, 1, 3), (2, 3, 2), (3, 3), (5,), (1,), (1,), (1,)],
    [(3, 260), (300,)],
    [(6, 2, 257), (9, 33)],
    [(9, 300), (4, 256)],
    [(2, 3, 3, 150), (1030,), (17, 60)],
]
KINDS = ["stored", "leaves", "signed", "pairs", "one constant", "wide"]
DTYPES = {"signed": np.int16, "wide": np.int64}


def make_entries(kind, dims, scalars, small):
    """Stored or computed entries: a function of the engine."""
    n = prod(dims)
    if kind == "stored":
        stored = scalars(n)
        return lambda e: e.from_ints(stored)
    rows = 1 if kind == "one constant" else dims[0]
    values = small(DTYPES.get(kind, np.uint16), rows, n // rows)
    images = small(np.int16, rows, n // rows) if kind == "pairs" else None
    constants, beta = scalars(rows), scalars(1)[0]
    return lambda e: Leaves(values, images, e.from_ints(constants), beta)


def descent(engine, blocks, scripted):
    """Everything that a tree says under given challenges."""
    tree = engine.fraction_tree(
        [FractionBlock(dims, p(engine), d(engine)) for dims, p, d in blocks]
    )
    said = [tree.root()]
    challenges = iter(scripted)
    point: list[int] = []
    total = sum(1 << variables(dims) for dims, _, _ in blocks)
    for _ in range((total - 1).bit_length()):
        tree.descend(next(challenges))
        bound = []
        for j in range(len(point)):
            said.append(tree.round(point[j:]))
            if len(point) - j in range(2, 10):  # of the whole cube of what is left
                said.append(tree.pair(point[j:]))
            bound.append(next(challenges))
            tree.bind(bound[-1])
        said.append(tree.ends())
        point = [next(challenges), *bound]
    with pytest.raises(ValueError):
        tree.descend(1)
    return said


@pytest.mark.parametrize("shapes", SHAPES, ids=str)
@pytest.mark.parametrize("numerators", [None, "stored", "leaves"])
@pytest.mark.parametrize("kind", KINDS)
def test_tree(engine, reference, scalars, small, rng, shapes, numerators, kind):
    kept = {("pairs", None), ("signed", None), ("stored", "leaves")}
    if prod(shapes[0]) > 1000 and (kind, numerators) not in kept:
        kind = "leaves"

    def entries(kind, dims):
        return (lambda _: None) if kind is None else make_entries(kind, dims, scalars, small)

    blocks = [(dims, entries(numerators, dims), entries(kind, dims)) for dims in shapes]
    scripted = [rng.randrange(1, ORDER) for _ in range(400)]
    assert descent(engine, blocks, scripted) == descent(reference, blocks, scripted)


def test_a_layer_is_the_bracket_of_the_one_below(reference, scalars):
    """The definition itself: the first round's sum is the claim about the level above."""
    p, q = scalars(6), scalars(6)
    block = FractionBlock((3, 2), reference.from_ints(p), reference.from_ints([x - 1 for x in q]))
    tree = reference.fraction_tree([block])
    fractions = [(0, 1)] * 8
    for i in range(3):
        for j in range(2):
            at = (0, 2, 1)[i] + 4 * j  # rows 0 and 1 are the lower half
            fractions[at] = p[2 * i + j], q[2 * i + j]
    levels = [fractions]
    while len(levels[-1]) > 1:
        pairs = zip(levels[-1][::2], levels[-1][1::2], strict=True)
        levels.append([(a * d + b * c, c * d) for (a, c), (b, d) in pairs])
    assert tree.root() == levels[-1][0][1] % ORDER
    point, claim = [], (levels[-1][0][0], levels[-1][0][1])
    for depth in range(3):
        lam, bound = 7 + depth, []
        tree.descend(lam)
        value = lam * claim[0] + claim[1]
        for j, rho in enumerate(point):
            h0, h2 = tree.round(point[j:])
            h1 = (value - (1 - rho) * h0) * pow(rho, -1, ORDER)
            r = 11 + j
            value = h0 + r * (h1 - h0 - h2) + r * r * h2
            tree.bind(r)
            bound.append(r)
        p0, q0, p1, q1 = tree.ends()
        assert (lam * (p0 * q1 + p1 * q0) + q0 * q1 - value) % ORDER == 0
        x = 5
        claim, point = (p0 + x * (p1 - p0), q0 + x * (q1 - q0)), [x, *bound]
    weights = [eq_at(point, at) for at in range(8)]
    for got, expected in zip(claim, zip(*fractions, strict=True), strict=True):
        found = sum(w * f for w, f in zip(weights, expected, strict=True))
        assert (got - found) % ORDER == 0


def test_a_pair_is_two_rounds(each, scalars):
    """The pair's polynomial at a first challenge, summed over the second variable, is a round's."""
    block = FractionBlock((3, 5), each.from_ints(scalars(15)), each.from_ints(scalars(15)))
    tree, point = each.fraction_tree([block]), scalars(4)
    for depth in range(5):
        tree.descend(5)
        for j in range(depth):
            if depth - j < 2:
                tree.bind(1)
                continue
            rho1, h = point[j + 1], tree.pair(point[j:depth])
            summed = [h[i] + rho1 * (h[i + 3] + h[i + 6]) for i in range(3)]
            h0, h2 = tree.round(point[j:depth])
            assert [(summed[0] - h0) % ORDER, (summed[2] - h2) % ORDER] == [0, 0]
            r = 3 + j
            later = [h[3 * k] + r * h[3 * k + 1] + r * r * h[3 * k + 2] for k in range(3)]
            tree.bind(r)
            assert tree.round(point[j + 1 : depth]) == (later[0] % ORDER, later[2] % ORDER)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 64, 100])
def test_eq_halved(engine, reference, scalars, n):
    point = scalars(7)
    found = engine.to_ints(engine.eq_halved(point, n))
    assert found == reference.to_ints(reference.eq_halved(point, n))


def test_codes_of_an_axis_are_different(each):
    """At the corners of the cube a table has one 1 at most: no two entries share a position."""
    n, bits = 11, 4
    seen = [0] * n
    for corner in range(1 << bits):
        table = each.to_ints(each.eq_halved([corner >> j & 1 for j in range(bits)], n))
        assert sum(table) <= 1
        seen = [a + b for a, b in zip(seen, table, strict=True)]
    assert seen == [1] * n


def test_bad_trees(each):
    def block(n, dims, p=None):
        return FractionBlock(dims, p, each.from_ints(range(n)))

    small = np.zeros((2, 3), dtype=np.int16)
    bad = [
        [],
        [block(6, (3,))],
        [block(0, (0,))],
        [block(1, ())],
        [block(2, (2,)), block(3, (3,))],
        [block(4, (4,), each.from_ints([1, 2]))],
        [FractionBlock((2, 3), None, Leaves(small, None, each.from_ints([1]), 0))],
        [FractionBlock((2, 3), None, Leaves(small, small[:1], each.from_ints([1, 2]), 0))],
    ]
    for blocks in bad:
        with pytest.raises(ValueError):
            each.fraction_tree(blocks)
    for n, point in ((0, [1]), (3, [1]), (2, [])):
        with pytest.raises(ValueError):
            each.eq_halved(point, n)


def test_steps_out_of_turn(each):
    tree = each.fraction_tree([FractionBlock((4,), None, each.from_ints([1, 2, 3, 4]))])
    for step in (tree.ends, lambda: tree.round([]), lambda: tree.bind(1), lambda: tree.descend(0)):
        with pytest.raises(ValueError):
            step()
    tree.descend(3)
    for step in (lambda: tree.round([]), lambda: tree.pair([]), lambda: tree.bind(1)):
        with pytest.raises(ValueError):
            step()
    tree.ends()
    tree.descend(3)
    for step in (
        tree.ends,
        lambda: tree.round([1, 2]),
        lambda: tree.pair([1]),
        lambda: tree.pair([1, 2]),
        lambda: tree.descend(3),
    ):
        with pytest.raises(ValueError):
            step()
