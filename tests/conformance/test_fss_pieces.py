"""Functions by parabolas between knots, several at once, of values under masks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.conformance.functions import SEED, mask


def parabolas(draw, bits: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Knots, the ends of the domain among them, and weights that add up to zero."""
    knots = np.sort(draw(count) & mask(bits))
    knots[0], knots[-1] = 0, 1 << bits
    weights = draw(count, 3)
    weights[-1] = np.uint64(0) - weights[:-1].sum(axis=0, dtype=np.uint64)
    return knots, weights


def several(draw, domains: list[int], each: int, lengths: list[int]) -> tuple[list, ...]:
    """Values and thresholds of each domain, edges among them, and functions."""
    alpha = np.array([draw(each) & mask(bits) for bits in domains])
    values = draw(len(domains), each)
    values[:, 0], values[:, 1], values[:, 2] = alpha[:, 0], 0, alpha[:, 2] - np.uint64(1)
    found = [parabolas(draw, bits, n) for bits, n in zip(domains, lengths, strict=True)]
    return alpha, values, [f[0] for f in found], [f[1] for f in found]


@pytest.mark.parametrize("each", [3, 20])
@pytest.mark.parametrize(
    ("domains", "lengths"),
    [([1, 2, 3], [2, 2, 3]), ([9, 63, 20], [9, 150, 30]), ([41], [145]), ([12], [145])],
)
def test_pieces(fss, draw, domains, lengths, each):
    alpha, values, knots, weights = several(draw, domains, each, lengths)
    # Knots that lie close together in a wide domain, as those of a few octaves do.
    if domains == [41]:
        knots[0][1:-1] >>= np.uint64(20)
    keys, payloads = ([], []), np.stack([np.ones_like(alpha), alpha, alpha * alpha], axis=2)
    for bits, a, payload in zip(domains, alpha, payloads, strict=True):
        for own, made in zip(keys, fss.dcf_keys(SEED, bits, a, payload), strict=True):
            own.append(made.reshape(-1))
    first = draw(*payloads.shape)
    shares = [
        fss.dcf_pieces(
            party, domains, np.concatenate(keys[party]), values, part, lengths,
            np.concatenate(knots), np.concatenate(weights),
        )
        for party, part in enumerate((first, payloads - first))
    ]  # fmt: skip
    for g, bits in enumerate(domains):
        u = (values[g] - alpha[g]) & mask(bits)
        below = u[:, None] < knots[g][None, :]
        w = weights[g]
        terms = w[:, 0] + u[:, None] * w[:, 1] + (u * u)[:, None] * w[:, 2]
        expected = np.where(below, terms, np.uint64(0)).sum(axis=1, dtype=np.uint64)
        np.testing.assert_array_equal(shares[0][g] + shares[1][g], expected)


def test_the_reference_pieces(fss, reference, draw):
    alpha, values, knots, weights = several(draw, [4, 11], 3, [4, 30])
    keys = [
        fss.dcf_keys(SEED, bits, a, draw(3, 3))[0] for bits, a in zip([4, 11], alpha, strict=True)
    ]
    arguments = (
        [4, 11], np.concatenate([k.reshape(-1) for k in keys]), values, draw(2, 3, 3), [4, 30],
        np.concatenate(knots), np.concatenate(weights),
    )  # fmt: skip
    np.testing.assert_array_equal(
        fss.dcf_pieces(0, *arguments), reference.fss.dcf_pieces(0, *arguments)
    )
    for at, bad in (
        (0, [4, 64]),
        (0, [4]),
        (1, arguments[1][1:]),
        (2, values[:, :2]),
        (3, arguments[3][..., :2]),
        (4, [5, 30]),
        (4, [-1, 35]),
        (5, arguments[5][1:]),
        (6, arguments[6][:, :2]),
    ):
        for each in (fss, reference.fss):
            with pytest.raises(ValueError):
                each.dcf_pieces(0, *arguments[:at], bad, *arguments[at + 1 :])
    with pytest.raises(ValueError):
        fss.dcf_pieces(2, *arguments)
