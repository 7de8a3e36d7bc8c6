"""Equations in the group, checked together: one multi-scalar multiplication for many proofs.

Relation. Equations ``E_i = 0`` between public points. With powers of a challenge ``rho`` that is
drawn after every point and scalar is fixed, ``sum_i rho^i E_i = 0`` implies all of them.
Soundness error. ``n / |F|`` for ``n`` equations and each query of the hash. The generators of the
commitment key stand in every equation; their scalars are added up first, so that many proofs cost
little more in the group than one.

``rho`` must depend on the end of every transcript: equations whose weights were known earlier
could be made false and cancel.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import field

from veracity.engine.api import ORDER, Engine, Points, Vec
from veracity.errors import VerificationError
from veracity.records import record
from veracity.zk.keys import CommitmentKey
from veracity.zk.mle import powers

__all__ = ["GroupEquation", "batch_challenge", "require_all"]

_IDENTITY = bytes(32)


@record
class GroupEquation:
    """``sum_i columns_i G_i + sum_i slots_i K_i + (single generators) + sum <s, P> = 0``.

    Attributes
    ----------
    otherwise : str
        What is wrong where it does not hold.
    single : dict
        Scalars of the key's single generators: ``product``, ``blinder``, ``inner``.
    columns, slots : Vec
        Scalars of the first generators ``G`` and ``K``; shorter counts as zero.
    others : tuple
        Pairs (points, scalars).
    """

    otherwise: str
    single: Mapping[str, int]
    columns: Vec = field(repr=False)
    slots: Vec = field(repr=False)
    others: tuple[tuple[Points, Vec], ...] = field(repr=False)


def batch_challenge(premise: bytes, states: Sequence[bytes]) -> int:
    """``rho``: from the premise's digest and the final state of every transcript, in order.

    Parameters
    ----------
    premise : bytes
        32 bytes.
    states : sequence of bytes
        32 bytes each, after the last message of each proof.
    """
    sponge = hashlib.shake_128(b"veracity batch" + premise + len(states).to_bytes(8, "little"))
    for state in states:
        sponge.update(state)
    return int.from_bytes(sponge.digest(64), "little") % ORDER


def _holds(
    engine: Engine, key: CommitmentKey, equations: Sequence[GroupEquation], weights: Sequence[int]
) -> bool:
    """Whether the weighed sum of the equations vanishes."""
    columns = engine.lincomb([e.columns for e in equations], weights)
    slots = engine.lincomb([e.slots for e in equations], weights)
    single = {
        name: sum(w * e.single.get(name, 0) for e, w in zip(equations, weights, strict=True))
        for name in ("product", "blinder", "inner")
    }
    points = [
        key.columns[: len(columns)], key.slots(0, len(slots)),
        key.product, key.blinder, key.inner,
    ]  # fmt: skip
    scalars = [
        columns, slots,
        engine.from_ints([single["product"], single["blinder"], single["inner"]]),
    ]  # fmt: skip
    for equation, weight in zip(equations, weights, strict=True):
        for found, by in equation.others:
            points.append(found)
            scalars.append(engine.scale(by, weight))
    total = engine.msm(engine.concat_points(points), engine.concat(scalars))
    return engine.compress(total) == _IDENTITY


def require_all(
    engine: Engine,
    key: CommitmentKey,
    proofs: Sequence[Sequence[GroupEquation]],
    rho: int,
) -> None:
    """Check the equations of several proofs at once.

    Parameters
    ----------
    engine : Engine
        Backend.
    key : CommitmentKey
        The generators that the equations are about.
    proofs : sequence
        The equations of each proof.
    rho : int
        From :func:`batch_challenge`.

    Raises
    ------
    VerificationError
        Names the first proof with a false equation.
    """
    equations = [e for found in proofs for e in found]
    if _holds(engine, key, equations, powers(rho, len(equations))):
        return
    for i, found in enumerate(proofs):
        for equation in found:
            if not _holds(engine, key, [equation], [1]):
                where = "opening" if len(proofs) == 1 else f"link {i + 1}, opening"
                raise VerificationError(equation.otherwise, where)
    raise VerificationError("the batched equations do not hold", "opening")
