"""Every number of the worked example's page is what the project's own code computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.support.worked_example import (
    INPUT,
    PLACE,
    SHAPES,
    WEIGHTS,
    M,
    ScriptedProver,
    W,
    X,
    execute,
    make_key,
    prove,
    prove_all,
    verify_all,
)
from veracity.engine import load_engine
from veracity.engine.api import ORDER
from veracity.errors import VerificationError
from veracity.zk.array_sums import combine_rows
from veracity.zk.committed import commit_array
from veracity.zk.mle import eq_dense, inverse, variables

PAGE = Path(__file__).parents[2] / "docs/protocols/worked-example.md"
ENGINE = load_engine("reference")
#: Challenges of the page, in the order in which the prover draws them.
SCRIPT = [4, 2, 3, 3, -1, 2, 2, 2, -1, 3, 2, 3, 2, -1]
BLINDS = {W: [11, 12], X: [13], M: [14, 15]}
MASK, MASK_BLIND, E, XI = [5, -3], 7, 3, 2

Values = Sequence[int | Fraction]


def page() -> dict[str, list[int]]:
    """Quantities of all tables, as elements of the field."""
    found: dict[str, list[int]] = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 and cells[0] not in ("quantity", "---"):
            assert cells[0] not in found, f"{cells[0]} is on the page twice"
            found[cells[0]] = [element(Fraction(v)) for v in cells[1].split(",")]
    return found


def element(v: int | Fraction) -> int:
    """A rational number as an element of the field."""
    fraction = Fraction(v)
    return fraction.numerator * inverse(fraction.denominator) % ORDER


def extension(values: np.ndarray, point: Sequence[int]) -> int:
    """The multilinear extension of an array, by the engine's eq tables."""
    table = eq_dense(ENGINE, [p % ORDER for p in point], values.shape)
    return ENGINE.dot(table, ENGINE.from_small(np.ascontiguousarray(values.reshape(-1))))


def model() -> Mapping[str, Values]:
    w = execute()
    return {
        "$W$, row 0": WEIGHTS[0].tolist(),
        "$W$, row 1": WEIGHTS[1].tolist(),
        "$x$": INPUT.tolist(),
        "$W x$": (WEIGHTS @ INPUT).tolist(),
        "$y$": w.y.tolist(),
        "$R = W x + 2 - 4 y$": w.remainders.tolist(),
        r"$\mu$": w.multiplicities.tolist(),
        "blinds of $W$": BLINDS[W],
        "blind of $x$": BLINDS[X],
        r"blinds of $\mu$": BLINDS[M],
    }


def tree() -> Mapping[str, Values]:
    """The fractions of every level: numerators and denominators of the whole cube."""
    w, alpha = execute(), SCRIPT[0]
    p = [0] * 8
    q = [1] * 8
    order = [0, 2, 1, 3]  # the axis is halved: entries 0 and 1 are the even leaves
    p[PLACE.offsets[0] : PLACE.offsets[0] + 4] = (-w.multiplicities[order]).tolist()
    q[PLACE.offsets[0] : PLACE.offsets[0] + 4] = [alpha - j for j in order]
    p[PLACE.offsets[1] : PLACE.offsets[1] + 2] = [1, 1]
    q[PLACE.offsets[1] : PLACE.offsets[1] + 2] = [alpha - r for r in w.remainders.tolist()]
    levels = [(p, q)]
    while len(p) > 1:
        even, odd = list(zip(p, q, strict=True))[::2], list(zip(p, q, strict=True))[1::2]
        pairs = list(zip(even, odd, strict=True))
        p = [p0 * q1 + p1 * q0 for (p0, q0), (p1, q1) in pairs]
        q = [q0 * q1 for (_, q0), (_, q1) in pairs]
        levels.append((p, q))
    out: dict[str, Values] = {r"leaves $\varphi$": levels[0][0], r"leaves $\psi$": levels[0][1]}
    for depth in (1, 2):
        out[rf"level {depth} $\varphi$"], out[rf"level {depth} $\psi$"] = levels[depth]
    out["root"] = [levels[3][0][0], levels[3][1][0]]
    return out


def messages(prover: ScriptedProver) -> Mapping[str, Values]:
    """What the real prover sends, in order, under the page's challenges."""
    names = [
        "lookup root",
        "lookup ends, level 2",
        "lookup round, level 1",
        "lookup ends, level 1",
        "lookup round, leaves",
        "lookup ends, leaves",
        "products",
        "product operands",
        "evaluation round 0",
        "evaluation round 1",
    ]
    for name, (label, _) in zip(names, prover.messages, strict=True):
        assert name.startswith(label)
    return {n: v for n, (_, v) in zip(names, prover.messages, strict=True)}


def lookup_claims(sent: Mapping[str, Values]) -> Mapping[str, Values]:
    """The claims between the layers, from the messages and challenges."""
    out: dict[str, Values] = {}
    claims = [0, sent["lookup root"][0]]
    out["claims at the root"] = claims
    for level, lam, child in (("level 2", 2, 3), ("level 1", 3, 2), ("leaves", 2, 3)):
        p0, q0, p1, q1 = sent[f"lookup ends, {level}"]
        out[f"bracket, {level}"] = [lam * (p0 * q1 + p1 * q0) + q0 * q1]
        claims = [p0 + child * (p1 - p0), q0 + child * (q1 - q0)]
        out[f"claims at {level if level != 'leaves' else 'the leaves'}"] = claims
    h = sent["lookup round, level 1"]
    out["claim after it"] = [h[0] - h[1] + h[2]]
    assert (out["bracket, level 1"][0] - out["claim after it"][0]) % ORDER == 0
    return out


def remaining() -> Mapping[str, Values]:
    w = execute()
    bound = ENGINE.contract(WEIGHTS[None, :, :], ENGINE.eq([3], 2))
    table = sum(v * (4 - j) for j, v in enumerate(ENGINE.to_ints(ENGINE.eq_halved([3, 2], 4))))
    return {
        r"$\tilde\mu(2, 3)$": [extension(w.multiplicities, [2, 3])],
        r"table's part of $\tilde\psi$": [2 * table],
        r"$\tilde R(3)$": [extension(w.remainders, [3])],
        r"$\widetilde{W x}(3)$": [extension(WEIGHTS @ INPUT, [3])],
        "$A$": ENGINE.to_ints(bound),
    }


def evaluation(prover: ScriptedProver) -> Mapping[str, Values]:
    equation = prove(prover, execute())
    assert not prover.script
    assert all(prover.value(form) == 0 for form in prover.constraints.zeros)
    (g0, g1, g2) = dict(prover.messages)["products"]
    arrays, r = execute().arrays(), equation.point
    key = make_key(ENGINE)
    t, blind = [0, 0], 0
    for name, values in arrays.items():
        layout = SHAPES[name].layout(key.log_columns)
        ((_, row),) = combine_rows(ENGINE, [(layout, values, equation.coefficients[name])], r)
        t = [a + b for a, b in zip(t, ENGINE.to_ints(row), strict=True)]
        weights = ENGINE.to_ints(layout.row_weights(ENGINE, r))
        blind += equation.coefficients[name] * sum(
            a * b for a, b in zip(weights, BLINDS[name], strict=True)
        )
    u = ENGINE.to_ints(ENGINE.eq(r[:1], 2))
    return {
        "claim at $r = 2$": [g0 + 2 * g1 + 4 * g2],
        "$r$": r,
        r"$\omega_\mu$": [equation.coefficients[M]],
        r"$\omega_W$": [equation.coefficients[W]],
        r"$\omega_x$": [equation.coefficients[X]],
        r"$\tilde\mu(r)$, $\tilde W(r)$, $\tilde x(r)$": [
            extension(arrays[n], r[: variables(SHAPES[n].dims)]) for n in (M, W, X)
        ],
        "last claim": [prover.value(equation.value)],
        "$t$": t,
        r"$\langle t, (-1, 2) \rangle$": [sum(a * b for a, b in zip(u, t, strict=True))],
        "blind of $t$": [blind],
    }


def opening(t: Values, blind: int, u: Sequence[int]) -> Mapping[str, Values]:
    """One round of the inner-product argument on the masked row."""
    z = ENGINE.to_ints(ENGINE.lincomb([ENGINE.from_ints(list(t)), ENGINE.from_ints(MASK)], [1, E]))
    half = inverse(XI)
    folded_z, folded_u = z[0] + half * z[1], u[0] + XI * u[1]
    value = u[0] * z[0] + u[1] * z[1]
    left, right = z[0] * u[1], z[1] * u[0]
    assert (folded_z * folded_u - value - XI * left - half * right) % ORDER == 0
    return {
        "$d$": MASK,
        "blind of $D$": [MASK_BLIND],
        r"$\eta$": [u[0] * MASK[0] + u[1] * MASK[1]],
        "$z$": z,
        "blind of $z$": [blind + E * MASK_BLIND],
        r"$\langle u, z \rangle$": [value],
        r"$\mathcal L$, part of $U$": [left],
        r"$\mathcal R$, part of $U$": [right],
        "folded $z$": [folded_z],
        "folded $u$": [folded_u],
        "their product": [folded_z * folded_u],
    }


def computed() -> dict[str, list[int]]:
    """Everything that the page states."""
    prover = ScriptedProver(ENGINE, list(SCRIPT))
    equation = evaluation(prover)
    sent = messages(prover)
    u = ENGINE.to_ints(ENGINE.eq([2], 2))
    parts = [
        model(), tree(), sent, lookup_claims(sent), remaining(), equation,
        opening(equation["$t$"], int(equation["blind of $t$"][0]), u),
        {"bytes of the true proof": [len(prove_all(execute()))]},
    ]  # fmt: skip
    return {k: [element(v) for v in values] for part in parts for k, values in part.items()}


def test_page_states_what_the_code_computes() -> None:
    assert page() == computed()


def test_counts_in_the_text() -> None:
    prover = ScriptedProver(ENGINE, list(SCRIPT))
    prove(prover, execute())
    values, linear, products = (
        sum(len(v) for _, v in prover.messages),
        len(prover.constraints.zeros),
        len(prover.constraints.products),
    )
    text = " ".join(PAGE.read_text().split())
    assert (
        f"{values} hidden values were sent in {len(prover.messages)} messages, with {linear} "
        f"linear equations and {products} products deferred" in text
    )
    assert f"$2 + {values + 3 * products}$ entries" in text


def test_combined_row_opens_the_combined_commitment() -> None:
    """The five points of the page add up to a commitment to its t."""
    key, stated = make_key(ENGINE), page()
    points = [
        commit_array(ENGINE, key, SHAPES[n], v, ENGINE.from_ints(BLINDS[n]))
        for n, v in execute().arrays().items()
    ]
    (w,), (x,), (m,) = (stated[rf"$\omega_{n}$"] for n in ("W", "x", r"\mu"))
    scalars = ENGINE.from_ints([2 * w, -w, x, 2 * m, -m])
    combined = ENGINE.msm(ENGINE.concat_points(points), scalars)
    opened = ENGINE.msm(
        ENGINE.concat_points([key.columns, key.blinder]),
        ENGINE.from_ints([*stated["$t$"], *stated["blind of $t$"]]),
    )
    assert ENGINE.compress(combined) == ENGINE.compress(opened)


def test_true_proof_is_accepted_and_binds_the_result() -> None:
    witness = execute()
    proof = prove_all(witness)
    verify_all(witness.y, proof)
    with pytest.raises(VerificationError):
        verify_all(witness.y + np.array([0, 1]), proof)


def test_page_has_all_its_tables() -> None:
    """A table that the parser did not see would be unchecked."""
    text = PAGE.read_text()
    assert text.count("\n|--") == text.count("\n| quantity | value | why |\n|---|---|---|\n") > 0
