"""Mask once, then prove in the clear: all deferred constraints, in one opening.

Relation. Hidden values ``m_s`` (message ``k(s)``) and the combined row ``t`` satisfy all
deferred linear equations, its products, and one equation ``<t, eq(r_low)> = form(m)``.

1. ``delta`` is drawn. ``P = Com(t) + sum_k delta^k P_k`` commits to ``x = (t, delta^k(s) m_s)``.
2. With powers of ``gamma`` all equations become ``<u, x> = const`` and all products
   ``Q(x) = l(x)`` with ``Q(x) = sum_i g_i x_left(i) x_right(i) delta^-2K``, K the last message.
3. The prover sends ``D = Com(d)`` for a uniform ``d``, ``beta = <u, d>`` and commitments
   ``T1, T2`` to the coefficients of ``e, e^2`` in ``Q(x + e d) - l(x + e d)``.
4. Challenge ``e``; ``z = x + e d`` is uniform, so everything about it may be shown:
   ``Com(z) = P + e D``, ``<u, z> = const + e beta``, and
   ``(Q(z) - l(z)) K_0 + z_tau H = e T1 + e^2 T2``.
   ``Q(z)`` goes through a plain sumcheck, then all statements about ``z`` are linear and one
   inner-product argument proves them.

Zero knowledge: a simulator picks ``z``, its blinds, ``e`` and ``T1`` and solves for
``D, beta, T2``. Soundness: see ``docs/protocols/hiding.md`` (Laurent argument in ``delta``, witness
extended by three values of ``e``). References: Bulletproofs (eprint 2017/1066), Spartan/Hyrax
dot-product proofs (2017/1132), sigma protocol for quadratics: Attema-Cramer (2020/152).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from veracity.engine.api import ORDER, Engine, Points, Vec
from veracity.errors import FormatError, VerificationError
from veracity.records import record
from veracity.zk.array_sums import combine_rows
from veracity.zk.background import BackgroundCall
from veracity.zk.batch import GroupEquation
from veracity.zk.committed import (
    ArrayId,
    ArrayShape,
    CommittedArray,
    RowLayout,
)
from veracity.zk.hidden import HiddenChannel, HiddenProver, HiddenVerifier, Product, blinds_vector
from veracity.zk.ipa import prove_inner_product, verify_inner_product
from veracity.zk.mle import axis_bits, eq_at, inverse, kron, powers, zeros
from veracity.zk.reduction import RowEquation
from veracity.zk.transcript import ProverTranscript, VerifierTranscript

__all__ = ["prove_opening", "verify_opening"]


@record
class _System:
    """The constraints after ``delta`` and ``gamma``: one linear and one quadratic form in ``z``.

    ``u_row`` and ``u_slots`` are the linear form's coefficients, ``constant`` its right-hand side.
    Gate ``i`` reads ``square * z_left z_right = single * z_result``, weighed by ``gamma^i``.
    """

    u_row: Vec
    u_slots: list[int]
    constant: int
    gamma: int
    square: int
    single: int
    gates: Sequence[Product]

    def gate_weights(self) -> list[int]:
        return powers(self.gamma, len(self.gates))


def _system(
    channel: HiddenChannel,
    engine: Engine,
    equation: RowEquation,
    log_columns: int,
    gates: Sequence[Product],
) -> tuple[_System, int]:
    """Draw ``delta`` and ``gamma``, batch the constraints. Returns the system and ``delta``."""
    delta = channel.challenge("opening delta")
    gamma = channel.challenge("opening gamma")
    constraints = channel.constraints
    back = powers(inverse(delta), max(constraints.message_of, default=0) + 1)
    u_slots = [0] * len(constraints.message_of)
    constant, scale = 0, 1
    for form in [*constraints.zeros, equation.value * -1]:
        for s, c in form.terms.items():
            u_slots[s] += scale * c
        constant -= scale * form.constant
        last, scale = scale, scale * gamma % ORDER
    # the row equation is the last one: <t, eq> - value = 0
    u_row = engine.scale(engine.eq(equation.point[:log_columns], 1 << log_columns), last)
    top = back[-1]
    u_slots = [
        u % ORDER * back[k] % ORDER for u, k in zip(u_slots, constraints.message_of, strict=True)
    ]
    system = _System(u_row, u_slots, constant % ORDER, gamma, top * top % ORDER, top, gates)
    return system, delta


def _gate_value(system: _System, a: Sequence[int], b: Sequence[int]) -> int:
    """The polarised quadratic form ``sum_i g_i (a_left b_right + b_left a_right)``."""
    total = 0
    for g, gate in zip(system.gate_weights(), system.gates, strict=True):
        total += g * (a[gate.left] * b[gate.right] + b[gate.left] * a[gate.right])
    return total % ORDER


def _gate_linear(system: _System, a: Sequence[int]) -> int:
    return (
        sum(g * a[gate.result] for g, gate in zip(system.gate_weights(), system.gates, strict=True))
        % ORDER
    )


def _statements_about_z(
    system: _System, point: Sequence[int], nus: Sequence[int], length: int
) -> list[int]:
    """Slot coefficients of ``<u, z> + nu_1 z_A(point) + nu_2 z_B(point) + nu_3 l(z)``."""
    out = list(system.u_slots)
    for i, (g, gate) in enumerate(zip(system.gate_weights(), system.gates, strict=True)):
        e = eq_at(point, i)
        out[gate.left] = (out[gate.left] + nus[0] * e) % ORDER
        out[gate.right] = (out[gate.right] + nus[1] * e) % ORDER
        out[gate.result] = (out[gate.result] + nus[2] * g) % ORDER
    return out[:length]


def _combined_row(
    channel: HiddenProver, arrays: Mapping[ArrayId, CommittedArray], equation: RowEquation
) -> tuple[Vec, int]:
    """``t`` and its blind."""
    engine, key = channel.engine, channel.key
    blind, read = 0, []
    weights: dict[RowLayout, Vec] = {}
    for name, coefficient in equation.coefficients.items():
        data = arrays[name]
        layout = data.shape.layout(key.log_columns)
        read.append((layout, data.values, coefficient))
        if layout not in weights:
            weights[layout] = layout.row_weights(engine, equation.point)
        blind += coefficient * engine.dot(weights[layout], data.blinds)
    total = zeros(engine, key.row_length)
    for layout, row in combine_rows(engine, read, equation.point):
        where = np.full(key.row_length, layout.width, dtype=np.int64)
        where[layout.index] = np.arange(layout.width)
        total = engine.add(total, engine.gather(engine.pad(row, 0, 1), where))
    return total, blind % ORDER


def prove_opening(
    channel: HiddenProver,
    arrays: Mapping[ArrayId, CommittedArray],
    equation: RowEquation,
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Close the deferred constraints and prove all of them.

    Parameters
    ----------
    channel : HiddenProver
        Messages so far.
    arrays : mapping
        The committed arrays that the equation combines.
    equation : RowEquation
        What the reduction left.
    progress : callable, optional
        Receives the fraction done.
    """
    engine, key, transcript = channel.engine, channel.key, channel.transcript
    gates = channel.close()
    system, delta = _system(channel, engine, equation, key.log_columns, gates)
    row, row_blind = _combined_row(channel, arrays, equation)
    progress(0.3)
    m = len(channel.values)
    lift = powers(delta, len(channel.blinds) + 1)
    x = [
        v * lift[k] % ORDER
        for v, k in zip(channel.values, channel.constraints.message_of, strict=True)
    ]
    blind = row_blind + engine.dot(blinds_vector(channel), engine.from_ints(lift[1:]))

    d_row = channel.random(key.row_length)
    secrets = engine.to_ints(channel.random(m + 3))
    d, (tau, tau1, tau2) = secrets[:m], secrets[m:]
    bases = engine.concat_points([key.columns, key.slots(0, m)])
    mask = engine.msm(
        engine.concat_points([bases, key.blinder]),
        engine.concat([d_row, engine.from_ints([*d, tau])]),
    )
    beta = engine.dot(system.u_row, d_row) + sum(
        u * v for u, v in zip(system.u_slots, d, strict=True)
    )
    t1 = system.square * _gate_value(system, x, d) - system.single * _gate_linear(system, d)
    t2 = system.square * _gate_value(system, d, d) * inverse(2)
    pair = engine.concat_points([key.product, key.blinder])
    first = engine.msm(pair, engine.from_ints([t1, tau1]))
    second = engine.msm(pair, engine.from_ints([t2, tau2]))
    transcript.write("opening mask", engine.compress(engine.concat_points([mask, first, second])))
    transcript.write_scalar("opening beta", beta)

    e = transcript.challenge("opening e")
    z_row = engine.lincomb([row, d_row], [1, e])
    z = [(a + e * b) % ORDER for a, b in zip(x, d, strict=True)]
    square = _gate_value(system, z, z) * inverse(2) % ORDER
    transcript.write_scalar("opening square", square)
    transcript.write_scalar("opening linear", _gate_linear(system, z))
    transcript.write_scalar("opening blind", blind + e * tau)
    transcript.write_scalar("opening product blind", e * tau1 + e * e * tau2)
    point = _prove_square(transcript, system, z)
    nus = transcript.challenges("opening join", 3)
    slots = _statements_about_z(system, point, nus, m)
    inner = engine.scale_points(
        key.inner, engine.from_ints([transcript.challenge("opening inner")])
    )
    progress(0.5)
    prove_inner_product(
        engine,
        transcript,
        bases,
        inner,
        engine.concat([z_row, engine.from_ints(z)]),
        engine.concat([system.u_row, engine.from_ints(slots)]),
        lambda f: progress(0.5 + f / 2),
    )


def _prove_square(transcript: ProverTranscript, system: _System, z: Sequence[int]) -> list[int]:
    """Plain sumcheck of ``sum_i gamma^i z_left z_right``; writes the two bound operands.

    ``gamma^i`` is a product over the bits of ``i``: round ``j`` has the factor
    ``1 - X + X gamma^(2^j)``, and what is sent is the quadratic ``h`` that it multiplies. Its value
    at 0 follows from the claim ``h(0) + gamma^(2^j) h(1)``: only the value at 1 and the leading
    coefficient are written.
    """
    n = axis_bits(max(1, len(system.gates)))
    pad = [0] * ((1 << n) - len(system.gates))
    tables = [[z[g.left] for g in system.gates] + pad, [z[g.right] for g in system.gates] + pad]
    power = system.gamma
    point: list[int] = []
    for _ in range(n):
        power = power * power % ORDER
        (low, high), (low2, high2) = [(x[::2], x[1::2]) for x in tables]
        at_one = leading = 0
        for g, a, b, c, d in zip(powers(power, len(low)), low, high, low2, high2, strict=True):
            at_one += g * b % ORDER * d
            leading += g * (b - a) % ORDER * (d - c)
        transcript.write_scalar("opening square round", at_one)
        transcript.write_scalar("opening square round", leading)
        r = transcript.challenge("opening square")
        tables = [
            [(a + r * (b - a)) % ORDER for a, b in zip(x[::2], x[1::2], strict=True)]
            for x in tables
        ]
        point.append(r)
    transcript.write_scalar("opening square left", tables[0][0])
    transcript.write_scalar("opening square right", tables[1][0])
    return point


def verify_opening(
    channel: HiddenVerifier,
    shapes: Mapping[ArrayId, ArrayShape],
    commitments: Mapping[ArrayId, Points],
    equation: RowEquation,
) -> tuple[GroupEquation, ...]:
    """Replay the opening of all deferred constraints; returns what must vanish in the group.

    Parameters
    ----------
    channel : HiddenVerifier
        Messages so far.
    shapes : mapping
        Shapes of the arrays that the equation combines.
    commitments : mapping
        Their row commitments, as many as the layout has rows.
    equation : RowEquation
        What the reduction left.

    Returns
    -------
    tuple of GroupEquation
        The proof is valid if and only if all of them vanish
        (:func:`veracity.zk.batch.require_all`).

    Raises
    ------
    VerificationError, FormatError
    """
    # What the committed rows add up to is settled: kernels work it out while Python reads on.
    bits = channel.key.log_columns
    with BackgroundCall(
        lambda: _committed_row(channel.engine, shapes, commitments, equation, bits)
    ) as row:
        return _verify_opening(channel, equation, row)


def _verify_opening(
    channel: HiddenVerifier, equation: RowEquation, row: BackgroundCall[Points]
) -> tuple[GroupEquation, ...]:
    """:func:`verify_opening`, once somebody makes the commitment to the combined row."""
    engine, key, transcript = channel.engine, channel.key, channel.transcript
    gates = channel.close()
    system, delta = _system(channel, engine, equation, key.log_columns, gates)
    m = len(channel.constraints.message_of)
    head = transcript.read("opening mask", 96)
    beta = transcript.read_scalar("opening beta")
    e = transcript.challenge("opening e")
    square = transcript.read_scalar("opening square")
    linear = transcript.read_scalar("opening linear")
    z_blind = transcript.read_scalar("opening blind")
    product_blind = transcript.read_scalar("opening product blind")
    point, left, right = _verify_square(transcript, system, square)
    nus = transcript.challenges("opening join", 3)
    slots = _statements_about_z(system, point, nus, m)
    value = system.constant + e * beta + nus[0] * left + nus[1] * right + nus[2] * linear
    xi = transcript.challenge("opening inner")
    end = verify_inner_product(transcript, key.row_length + m)

    try:
        mask, first, second, cross = _split_points(engine, head, end.cross)
    except ValueError as error:
        raise FormatError("proof, opening", "not a point of the group") from error
    product = (system.square * square - system.single * linear) % ORDER
    nothing = engine.from_ints([])
    products = GroupEquation(
        "the product equations do not hold",
        {"product": product, "blinder": product_blind},
        nothing,
        nothing,
        ((engine.concat_points([first, second]), engine.from_ints([-e, -e * e])),),
    )

    s = kron(engine, [engine.from_ints([1, x]) for x in end.challenges])[: key.row_length + m]
    b_end = engine.dot(s, engine.concat([system.u_row, engine.from_ints(slots)]))
    inverses = [inverse(x) for x in end.challenges]
    crossing = [c for pair in zip(end.challenges, inverses, strict=True) for c in pair]
    others = [(engine.concat_points([mask, cross]), engine.from_ints([e, *crossing]))]
    others.append((row.result(), engine.from_ints([1])))
    if channel.messages:
        lift = engine.from_ints(powers(delta, len(channel.messages) + 1)[1:])
        others.append((channel.message_points(), lift))
    on_bases = engine.scale(s, -end.scalar)
    opened = GroupEquation(
        "the opening does not match the commitments",
        {"blinder": -z_blind, "inner": xi * (value - end.scalar * b_end)},
        on_bases[: key.row_length],
        on_bases[key.row_length :],
        tuple(others),
    )
    return products, opened


def _committed_row(
    engine: Engine,
    shapes: Mapping[ArrayId, ArrayShape],
    commitments: Mapping[ArrayId, Points],
    equation: RowEquation,
    key_bits: int,
) -> Points:
    """The commitment to the combined row, from those to the arrays."""
    found = _rows_of_arrays(engine, shapes, commitments, equation, key_bits)
    points, scalars = zip(*found, strict=True)
    return engine.msm(engine.concat_points(points), engine.concat(scalars))


def _rows_of_arrays(
    engine: Engine,
    shapes: Mapping[ArrayId, ArrayShape],
    commitments: Mapping[ArrayId, Points],
    equation: RowEquation,
    key_bits: int,
) -> list[tuple[Points, Vec]]:
    """The combined row in the committed rows: arrays that are cut alike have the same weights."""
    alike: dict[RowLayout, list[ArrayId]] = {}
    for name in equation.coefficients:
        alike.setdefault(shapes[name].layout(key_bits), []).append(name)
    out = []
    for layout, names in alike.items():
        if any(len(commitments[name]) != layout.rows for name in names):
            raise VerificationError("a committed array has other rows than its shape", "opening")
        scale = engine.from_ints([equation.coefficients[name] for name in names])
        rows = engine.outer(scale, layout.row_weights(engine, equation.point))
        out.append((engine.concat_points([commitments[name] for name in names]), rows))
    return out


def _verify_square(
    transcript: VerifierTranscript, system: _System, square: int
) -> tuple[list[int], int, int]:
    """Replay the plain sumcheck; returns its point and both bound operands (to be shown)."""
    claim, power, point = square, system.gamma, []
    for _ in range(axis_bits(max(1, len(system.gates)))):
        at_one, leading = [transcript.read_scalar("opening square round") for _ in range(2)]
        r = transcript.challenge("opening square")
        at_zero = claim - power * at_one
        claim = (at_zero + r * (at_one - at_zero - leading + r * leading)) % ORDER
        power = power * power % ORDER
        point.append(r)
    left = transcript.read_scalar("opening square left")
    right = transcript.read_scalar("opening square right")
    if (left * right - claim) % ORDER:
        raise VerificationError("the products' last claim does not hold", "opening, square")
    return point, left, right


def _split_points(
    engine: Engine, head: bytes, cross: bytes
) -> tuple[Points, Points, Points, Points]:
    points = engine.decompress(head + cross)
    return points[0:1], points[1:2], points[2:3], points[3:]
