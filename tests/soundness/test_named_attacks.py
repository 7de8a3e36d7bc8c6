"""Named attacks on published systems and on weaker variants of this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tests.support.toy import require
from veracity.engine import load_engine
from veracity.engine.api import ORDER, Engine
from veracity.errors import VerificationError
from veracity.zk import opening as opening_module
from veracity.zk.committed import ArrayId, ArrayShape, CommittedArray, commit_array
from veracity.zk.hidden import HiddenProver, HiddenVerifier, LinearForm
from veracity.zk.ipa import prove_inner_product, verify_inner_product
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zk.mle import inverse, kron
from veracity.zk.opening import prove_opening, verify_opening
from veracity.zk.reduction import LinearClaim, Term, reduce_prover, reduce_verifier
from veracity.zk.transcript import ProverTranscript, VerifierTranscript


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("cpu")


@pytest.fixture(scope="module")
def key(engine: Engine) -> CommitmentKey:
    return load_key(engine, 4)


# ---- trap 1: fold challenges that are known before their cross terms -----------------------------
class Predictable(ProverTranscript):
    """A transcript whose challenges ignore the messages."""

    def challenge(self, label: str) -> int:
        return int.from_bytes(label.encode()[:8].ljust(8, b"x"), "little") | 1


class PredictableReader(VerifierTranscript):
    challenge = Predictable.challenge


def inner_product_holds(
    engine: Engine, key: CommitmentKey, reader: VerifierTranscript, p: Any, b: Any
) -> bool:
    """The check of docs/protocols/inner-product.md."""
    end = verify_inner_product(reader, len(b))
    s = kron(engine, [engine.from_ints([1, x]) for x in end.challenges])[: len(b)]
    pairs = [c for x in end.challenges for c in (x, inverse(x))]
    points = engine.concat_points(
        [p, engine.decompress(end.cross), key.columns[: len(b)], key.inner]
    )
    scalars = engine.concat(
        [
            engine.from_ints([1, *pairs]),
            engine.scale(s, -end.scalar),
            engine.from_ints([-end.scalar * engine.dot(s, b)]),
        ]
    )
    return engine.compress(engine.msm(points, scalars)) == bytes(32)


@pytest.mark.parametrize("weak", [True, False], ids=["weak", "ours"])
def test_inner_product_with_known_challenges(
    engine: Engine, key: CommitmentKey, weak: bool
) -> None:
    """With a known first challenge x, L - U/x proves the value plus one."""
    writer, reader_class = (
        (Predictable, PredictableReader) if weak else (ProverTranscript, VerifierTranscript)
    )
    a, b = engine.from_ints(list(range(1, 17))), engine.from_ints(list(range(3, 19)))
    transcript = writer("ipa", b"s")
    prove_inner_product(engine, transcript, key.columns, key.inner, a, b)
    proof = transcript.finish()
    forged_value = engine.dot(a, b) + 1
    p = engine.msm(
        engine.concat_points([key.columns, key.inner]),
        engine.concat([a, engine.from_ints([forged_value])]),
    )
    x = Predictable("ipa", b"s").challenge("inner product")
    first = engine.decompress(proof[:32])
    forged = engine.msm(
        engine.concat_points([first, key.inner]), engine.from_ints([1, -inverse(x)])
    )
    forged_proof = engine.compress(forged) + proof[32:]
    reader = reader_class("ipa", b"s", forged_proof)
    assert inner_product_holds(engine, key, reader, p, b) is weak


# ---- why the last message: components smuggled into neighbouring messages ------------------------
X = ArrayId("toy", "x")
SHAPE = ArrayShape(X, (16,))


@dataclass
class Smuggler(HiddenProver):
    """Adds components of other messages' slots to its commitments.

    ``smuggled[k] = {slot: value}`` goes into message k; :meth:`reveal` makes the opened values
    match, once delta is known.
    """

    engine: Engine
    key: CommitmentKey
    transcript: ProverTranscript
    smuggled: dict[int, dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        HiddenProver.__init__(self, self.engine, self.key, self.transcript)

    def send(self, label: str, values: Sequence[int]) -> list[LinearForm]:
        extra = self.smuggled.get(len(self.blinds) + 1, {})
        if not extra:
            return super().send(label, values)
        start = len(self.values)
        low = min(start, *extra)
        dense = [0] * (max(start + len(values), max(extra) + 1) - low)
        for i, v in enumerate(values):
            dense[start - low + i] += v
        for s, v in extra.items():
            dense[s - low] += v
        # commit to all of it, but record the honest values only
        blind = self.engine.to_ints(self.engine.random(1))[0]
        points = self.engine.concat_points(
            [self.key.slots(low, low + len(dense)), self.key.blinder]
        )
        self.values += [v % ORDER for v in values]
        self.blinds.append(blind)
        self.constraints.message_of += [len(self.blinds)] * len(values)
        scalars = self.engine.from_ints([*dense, blind])
        self.transcript.write(label, self.engine.compress(self.engine.msm(points, scalars)))
        return [LinearForm.slot(start + i) for i in range(len(values))]

    def reveal(self, delta: int) -> None:
        """Opened value of slot s of message k: m_s + sum_j delta^(j - k) smuggled."""
        for message, extra in self.smuggled.items():
            for s, v in extra.items():
                shift = message - self.constraints.message_of[s]
                power = (
                    pow(delta, shift, ORDER) if shift >= 0 else inverse(pow(delta, -shift, ORDER))
                )
                self.values[s] = (self.values[s] + v * power) % ORDER


# messages: 1 filler, 2 = (a), 3 = (b), 4 and 5 fillers, 6 = (result), 7 and 8 fillers
A_SLOT, B_SLOT, RESULT_SLOT = 1, 2, 5
A, B = 3, 4


def impossible_product() -> int:
    """An N for which no a, b with a + b = 7 and a b = N exist: 49 - 4 N is not a square."""
    n = 13
    while pow(49 - 4 * n, (ORDER - 1) // 2, ORDER) == 1:
        n += 1
    return n


N = impossible_product()


def forms(channel: Any, take: Callable[[str, list[int]], list[LinearForm]]) -> None:
    """The false statement: hidden a, b with a + b = 7 and a b = N."""
    take("filler", [0])
    (a,), (b,) = take("a", [A]), take("b", [B])
    take("filler", [0])
    take("filler", [0])
    take("result", [N])
    take("filler", [0])
    take("filler", [0])
    channel.constraints.require_zero(a + b - (A + B))
    channel.constraints.require_zero(channel.constraints.multiply(a, b) - N)


def smuggled_components() -> dict[int, dict[int, int]]:
    """a' = a + s delta - u / delta and b' = b - s delta + u / delta still add up to 7.

    Their product is a b + 2 s u at the constant term; the result's slot absorbs the other powers.
    """
    s, u = 1, (N - A * B) * inverse(2) % ORDER
    return {
        3: {A_SLOT: s},
        1: {A_SLOT: -u},
        4: {B_SLOT: -s, RESULT_SLOT: -u * u},
        2: {B_SLOT: u},
        5: {RESULT_SLOT: u * (A - B)},
        7: {RESULT_SLOT: s * (B - A)},
        8: {RESULT_SLOT: -s * s},
    }


def attack(engine: Engine, key: CommitmentKey, patch: pytest.MonkeyPatch) -> None:
    """Prove and verify the false product with smuggled components; raises if it is rejected."""
    values = np.arange(16, dtype=np.int64)
    transcript = ProverTranscript("attack", b"s")
    blinds = engine.random(1)
    transcript.write("x", engine.compress(commit_array(engine, key, SHAPE, values, blinds)))
    prover = Smuggler(engine, key, transcript, smuggled_components())
    forms(prover, prover.send)
    claim = weights_claim(engine)
    array = CommittedArray(SHAPE, values, blinds)
    equation = reduce_prover(prover, {X: array}, [claim])
    honest = opening_module._system

    def revealing(channel: Any, *args: Any) -> Any:
        out, delta = honest(channel, *args)
        if channel is prover:
            prover.reveal(delta)
        return out, delta

    with patch.context() as inner:
        inner.setattr(opening_module, "_system", revealing)
        prove_opening(prover, {X: array}, equation)
    reader = VerifierTranscript("attack", b"s", transcript.finish())
    points = {X: engine.decompress(reader.read("x", 32))}
    verifier = HiddenVerifier(engine, key, reader)
    forms(verifier, lambda label, v: verifier.receive(label, len(v)))
    equation = reduce_verifier(verifier, {X: SHAPE}, [weights_claim(engine)])
    require(engine, key, verify_opening(verifier, {X: SHAPE}, points, equation))


def weights_claim(engine: Engine) -> LinearClaim:
    """A true claim about the column, so that there is something to open."""
    one = engine.from_ints([1] * 16)
    return LinearClaim((Term(1, X, ((1, one),)),), LinearForm(120))


def test_smuggled_components_are_rejected(
    engine: Engine, key: CommitmentKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(VerificationError):
        attack(engine, key, monkeypatch)


def constant_term(message_a: int, message_b: int, smuggled: dict[int, dict[str, int]]) -> int:
    """Constant term in delta of ``delta^-(k_a + k_b) x_a x_b``, as a Laurent polynomial."""
    a = {0: A} | {k - message_a: v["a"] for k, v in smuggled.items() if "a" in v}
    b = {0: B} | {k - message_b: v["b"] for k, v in smuggled.items() if "b" in v}
    return sum(x * y for i, x in a.items() for j, y in b.items() if i + j == 0)


def test_why_operands_share_the_last_message() -> None:
    """Operands in messages 2 and 3: smuggled components meet at the constant term."""
    assert constant_term(2, 3, {3: {"a": 5}, 2: {"b": 7}}) == A * B + 35
    # both in the last message: whatever earlier messages carry, only negative powers arise
    everything = {k: {"a": 5 + k, "b": 7 * k} for k in range(1, 9)}
    assert constant_term(9, 9, everything) == A * B
