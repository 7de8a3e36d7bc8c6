"""The worked example of ``docs/protocols/worked-example.md``: a 2x2 model, proved end to end.

``y = rhu(W x, 2)`` with W and x committed and y public. :func:`prove` and :func:`verify` run the
project's own sub-protocols over it. With a :class:`ScriptedProver` challenges are the page's and
every hidden message is written down, which is how the page's numbers are checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.engine import load_engine
from veracity.engine.api import ORDER, Engine, FractionBlock, Leaves
from veracity.errors import FormatError
from veracity.zk.batch import require_all
from veracity.zk.committed import ArrayId, ArrayShape, CommittedArray, commit_array
from veracity.zk.fractions import place
from veracity.zk.hidden import HiddenChannel, HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zk.lookup import LeafClaim, prove_lookups, verify_lookups
from veracity.zk.mle import eq_at
from veracity.zk.opening import prove_opening, verify_opening
from veracity.zk.reduction import LinearClaim, RowEquation, Term, reduce_prover, reduce_verifier
from veracity.zk.sumcheck import Pair, SumcheckClaim, prove_sumcheck, verify_sumcheck
from veracity.zk.transcript import ProverTranscript, VerifierTranscript

WEIGHTS = np.array([[3, -1], [2, 5]], dtype=np.int64)
INPUT = np.array([3, 1], dtype=np.int64)
SHIFT = 2
TABLE = np.arange(1 << SHIFT, dtype=np.int64)

W, X, M = (ArrayId("worked example", name) for name in ("W", "x", "mu"))
SHAPES = {W: ArrayShape(W, (2, 2)), X: ArrayShape(X, (2,)), M: ArrayShape(M, (4,))}
#: The table's four leaves, the two lookups, two absent leaves.
PLACE = place([(4,), (2,)])


@dataclass(frozen=True)
class Witness:
    """Integers of one execution."""

    y: NDArray[np.int64]
    remainders: NDArray[np.int64]
    multiplicities: NDArray[np.int64]

    def arrays(self) -> dict[ArrayId, NDArray[np.int64]]:
        """What is committed."""
        return {W: WEIGHTS, X: INPUT, M: self.multiplicities}


def execute() -> Witness:
    """The integer meaning: ``y = floor((W x + 2) / 4)``."""
    accumulators = WEIGHTS @ INPUT + (1 << SHIFT - 1)
    y = accumulators >> SHIFT
    remainders = accumulators - (y << SHIFT)
    return Witness(y, remainders, np.bincount(remainders, minlength=len(TABLE)))


def make_key(engine: Engine) -> CommitmentKey:
    """Rows of two entries."""
    return load_key(engine, 1, lambda e, label, n: e.generators(label, min(n, 128)))


def leaves(engine: Engine, witness: Witness, alpha: int) -> list[FractionBlock]:
    """Fractions of the table and of the lookups."""
    one = engine.from_ints([alpha - 1])
    return [
        FractionBlock(
            (4,), engine.from_small(-witness.multiplicities),
            Leaves(TABLE[None, :], None, one, 0),
        ),
        FractionBlock((2,), None, Leaves(witness.remainders[None, :], None, one, 0)),
    ]  # fmt: skip


def leaf_claims(
    leaf: LeafClaim, alpha: int, y: Sequence[int], engine: Engine
) -> tuple[LinearClaim, LinearForm]:
    """The claim about the multiplicities; the value that the product ``eq W x`` must have."""
    at_table, at_lookups = 1 - leaf.point[2], leaf.point[2] * (1 - leaf.point[1])
    numerator = leaf.numerator - at_lookups
    eq_table = engine.eq_halved(leaf.point[:2], 4)
    about_m = LinearClaim((Term(-at_table % ORDER, M, ((1, eq_table),)),), numerator)
    eq_row = [eq_at(leaf.point[:1], i) for i in range(2)]
    table = sum(e * (alpha - j) for j, e in enumerate(engine.to_ints(eq_table)))
    absent = leaf.point[2] * leaf.point[1]
    # remainder_i = (W x)_i + 2 - 4 y_i, and the lookups' part is sum eq (alpha - remainder)
    known = sum(e * (alpha - 2 + 4 * int(v)) for e, v in zip(eq_row, y, strict=True))
    rest = leaf.denominator * -1 + (at_table * table + at_lookups * known + absent)
    return about_m, rest * pow(at_lookups, -1, ORDER)


def operand_claims(
    channel: HiddenChannel, engine: Engine, row: int, end: SumcheckClaim, ends: Sequence[LinearForm]
) -> list[LinearClaim]:
    """Require the last product; the claims about its operands."""
    a, b = ends
    channel.constraints.require_zero(channel.constraints.multiply(a, b) - end.value)
    columns, rows = engine.eq(end.point, 2), engine.eq([row], 2)
    return [
        LinearClaim((Term(1, W, ((1, rows), (1, columns))),), a),
        LinearClaim((Term(1, X, ((1, columns),)),), b),
    ]


def prove(channel: HiddenProver, witness: Witness) -> RowEquation:
    """Everything between the commitments and the opening."""
    engine = channel.engine
    alpha = channel.challenge("alpha")
    leaf = prove_lookups(channel, leaves(engine, witness, alpha), PLACE.variables)
    about_m, value = leaf_claims(leaf, alpha, witness.y.tolist(), engine)
    bound = engine.contract(WEIGHTS[None, :, :], engine.eq(leaf.point[:1], 2))
    pair = Pair(engine, bound, engine.from_small(INPUT), (2,))
    end = prove_sumcheck(channel, [pair], [1], value, "products")
    ends = channel.send("product operands", list(pair.ends()))
    claims = [about_m, *operand_claims(channel, engine, leaf.point[0], end, ends)]
    blinds = {n: engine.from_ints([0] * s.layout(1).rows) for n, s in SHAPES.items()}
    arrays = {n: CommittedArray(SHAPES[n], v, blinds[n]) for n, v in witness.arrays().items()}
    return reduce_prover(channel, arrays, claims)


def prove_all(witness: Witness) -> bytes:
    """A true proof: random blinds, challenges of the transcript."""
    engine = load_engine("cpu")
    key = make_key(engine)
    transcript = ProverTranscript("worked example", witness.y.tobytes())
    arrays = {}
    for name, values in witness.arrays().items():
        blinds = engine.random(SHAPES[name].layout(1).rows)
        points = commit_array(engine, key, SHAPES[name], values, blinds)
        transcript.write(str(name), engine.compress(points))
        arrays[name] = CommittedArray(SHAPES[name], values, blinds)
    channel = HiddenProver(engine, key, transcript)
    prove_opening(channel, arrays, prove(channel, witness))
    return transcript.finish()


def verify_all(y: NDArray[np.int64], proof: bytes) -> None:
    """Accept, or raise FormatError or VerificationError."""
    engine = load_engine("cpu")
    key = make_key(engine)
    transcript = VerifierTranscript("worked example", y.tobytes(), proof)
    points = {}
    for name, shape in SHAPES.items():
        data = transcript.read(str(name), 32 * shape.layout(1).rows)
        try:
            points[name] = engine.decompress(data)
        except ValueError as error:
            raise FormatError("worked example", "not a point") from error
    channel = HiddenVerifier(engine, key, transcript)
    alpha = channel.challenge("alpha")
    leaf = verify_lookups(channel, PLACE.variables)
    about_m, value = leaf_claims(leaf, alpha, y.tolist(), engine)
    end = verify_sumcheck(channel, 1, value, "products")
    ends = channel.receive("product operands", 2)
    claims = [about_m, *operand_claims(channel, engine, leaf.point[0], end, ends)]
    equation = reduce_verifier(channel, SHAPES, claims)
    remaining = verify_opening(channel, SHAPES, points, equation)
    transcript.finish()
    require_all(engine, key, [remaining], 3)


@dataclass
class ScriptedProver(HiddenProver):
    """Takes challenges from a list, commits to nothing, and keeps every hidden message."""

    engine: Engine
    script: list[int]
    messages: list[tuple[str, list[int]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        transcript = ProverTranscript("scripted", b"")
        super().__init__(self.engine, make_key(self.engine), transcript)

    def challenge(self, label: str) -> int:
        """The next number of the script."""
        return self.script.pop(0) % ORDER

    def challenges(self, label: str, n: int) -> list[int]:
        """The next numbers."""
        return [self.challenge(label) for _ in range(n)]

    def send(self, label: str, values: Sequence[int]) -> list[LinearForm]:
        """Note the values instead of committing to them."""
        self.messages.append((label, [v % ORDER for v in values]))
        return super().send(label, values)
