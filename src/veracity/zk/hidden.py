"""Hidden values: what the prover commits to, and the constraints on it that are deferred.

Message ``k`` of the prover is a Pedersen vector commitment ``P_k = sum_s m_s K_s + sigma_k H`` over
slots ``K_s`` that no other message uses. Nobody sees ``m_s``; both sides write down the linear
equations with public coefficients, and the products, that the values must satisfy. The opening
(:mod:`veracity.zk.opening`) proves all of them at once; an entry left out of it would be a check
left out, so the list can be closed exactly once and everything in it is taken.

Operands and results of every product are copied into ONE LAST message, the multiplication
message: see "Why one last message" in ``docs/protocols/hiding.md`` for the attack this stops.
References: Hyrax (eprint 2017/1132) section 5, Bulletproofs (2017/1066), BlindFold in Jolt,
HyperNova (2023/573) section 7.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from veracity.engine.api import ORDER, Engine, Points, Vec
from veracity.errors import FormatError, VerificationError
from veracity.records import record
from veracity.zk.keys import CommitmentKey
from veracity.zk.randomness import hedged_scalars
from veracity.zk.transcript import ProverTranscript, VerifierTranscript

__all__ = [
    "DeferredConstraints",
    "HiddenChannel",
    "HiddenProver",
    "HiddenVerifier",
    "LinearForm",
    "Product",
]


@dataclass(slots=True)
class LinearForm:
    """``constant + sum_s terms[s] * m_s`` over hidden slots, with public coefficients.

    Never changed once made, and not frozen, for a check makes thousands of them.
    """

    constant: int = 0
    terms: Mapping[int, int] = field(default_factory=dict)

    def __add__(self, other: LinearForm | int) -> LinearForm:
        if isinstance(other, int):
            return LinearForm((self.constant + other) % ORDER, self.terms)
        terms = dict(self.terms)
        for s, c in other.terms.items():
            terms[s] = (terms.get(s, 0) + c) % ORDER
        return LinearForm((self.constant + other.constant) % ORDER, terms)

    __radd__ = __add__

    def __mul__(self, k: int) -> LinearForm:
        k %= ORDER
        return LinearForm(
            self.constant * k % ORDER, {s: c * k % ORDER for s, c in self.terms.items()}
        )

    __rmul__ = __mul__

    def __sub__(self, other: LinearForm | int) -> LinearForm:
        if isinstance(other, int):
            return self + -other
        terms = dict(self.terms)
        for s, c in other.terms.items():
            terms[s] = (terms.get(s, 0) - c) % ORDER
        return LinearForm((self.constant - other.constant) % ORDER, terms)

    @staticmethod
    def slot(s: int) -> LinearForm:
        """The hidden value in slot ``s``."""
        return LinearForm(0, {s: 1})

    @staticmethod
    def combination(scale: Sequence[int], forms: Sequence[LinearForm]) -> LinearForm:
        """``sum_i scale[i] forms[i]``."""
        constant, terms = 0, dict[int, int]()
        for k, form in zip(scale, forms, strict=True):
            constant += k * form.constant
            for s, c in form.terms.items():
                terms[s] = (terms.get(s, 0) + k * c) % ORDER
        return LinearForm(constant % ORDER, terms)


@record
class Product:
    """Slots of the last message with ``m_left * m_right = m_result``."""

    left: int
    right: int
    result: int


@dataclass
class DeferredConstraints:
    """What remains to be shown about the hidden values.

    Attributes
    ----------
    message_of : list of int
        For each slot the number (from 1) of the message that carries it.
    zeros : list of LinearForm
        Forms that must vanish.
    products : list of (LinearForm, LinearForm, int)
        Operands, and the *pending* slot of the result. Pending slots are negative until
        :meth:`HiddenProver.close` sends the last message.
    """

    message_of: list[int] = field(default_factory=list)
    zeros: list[LinearForm] = field(default_factory=list)
    products: list[tuple[LinearForm, LinearForm, int]] = field(default_factory=list)

    def require_zero(self, form: LinearForm) -> None:
        """To be shown: ``form = 0``."""
        self.zeros.append(form)

    def multiply(self, left: LinearForm, right: LinearForm) -> LinearForm:
        """To be shown: a product; returns the form that stands for its result."""
        pending = -1 - len(self.products)
        self.products.append((left, right, pending))
        return LinearForm.slot(pending)


class HiddenChannel(Protocol):
    """What prover and verifier of a sub-protocol share: challenges and the constraints."""

    constraints: DeferredConstraints

    def challenge(self, label: str) -> int:
        """A uniform field element that binds everything sent so far."""
        ...

    def challenges(self, label: str, n: int) -> list[int]:
        """``n`` independent challenges."""
        ...


def _copy_forms(constraints: DeferredConstraints) -> tuple[list[LinearForm], list[Product], int]:
    """Layout of the last message: all left operands, all right operands, all results."""
    n, base = len(constraints.products), len(constraints.message_of)
    forms = [p[0] for p in constraints.products] + [p[1] for p in constraints.products]
    forms += [LinearForm.slot(p[2]) for p in constraints.products]
    gates = [Product(base + i, base + n + i, base + 2 * n + i) for i in range(n)]
    return forms, gates, base


def _settle(
    constraints: DeferredConstraints, forms: Sequence[LinearForm], gates: list[Product], base: int
) -> None:
    """Replace pending slots by slots of the last message; copies must equal originals."""
    rename = {-1 - i: gate.result for i, gate in enumerate(gates)}

    def renamed(form: LinearForm) -> LinearForm:
        if min(form.terms, default=0) >= 0:
            return form
        return LinearForm(form.constant, {rename.get(s, s): c for s, c in form.terms.items()})

    constraints.zeros = [renamed(z) for z in constraints.zeros]
    for i, form in enumerate(forms[: 2 * len(gates)]):
        constraints.zeros.append(LinearForm.slot(base + i) - renamed(form))


class HiddenProver:
    """The prover's end of the channel: commits values, remembers them and their blinds.

    Parameters
    ----------
    engine : Engine
        Backend.
    key : CommitmentKey
        Generators.
    transcript : ProverTranscript
        Where messages go.
    secret : bytes
        Hedges the blinds (:mod:`veracity.zk.randomness`).
    """

    def __init__(
        self,
        engine: Engine,
        key: CommitmentKey,
        transcript: ProverTranscript,
        secret: bytes = b"",
    ) -> None:
        self.engine = engine
        self.key = key
        self.transcript = transcript
        self.constraints = DeferredConstraints()
        self._secret = secret
        self.values: list[int] = []
        self.blinds: list[int] = []
        self.gates: list[Product] = []

    def challenge(self, label: str) -> int:
        """See :class:`HiddenChannel`."""
        return self.transcript.challenge(label)

    def challenges(self, label: str, n: int) -> list[int]:
        """See :class:`HiddenChannel`."""
        return self.transcript.challenges(label, n)

    def random(self, n: int) -> Vec:
        """``n`` uniform secrets for one use."""
        return hedged_scalars(self.engine, self._secret, self.transcript.state(), n)

    def send(self, label: str, values: Sequence[int]) -> list[LinearForm]:
        """Commit to ``values`` in fresh slots; returns the forms that stand for them."""
        start = len(self.values)
        blind = self.engine.to_ints(self.random(1))[0]
        points = self.engine.concat_points(
            [self.key.slots(start, start + len(values)), self.key.blinder]
        )
        scalars = self.engine.from_ints([*values, blind])
        self.values += [v % ORDER for v in values]
        self.blinds.append(blind)
        self.constraints.message_of += [len(self.blinds)] * len(values)
        self.transcript.write(label, self.engine.compress(self.engine.msm(points, scalars)))
        return [LinearForm.slot(start + i) for i in range(len(values))]

    def value(self, form: LinearForm) -> int:
        """The hidden value of a form (pending products included)."""
        total = form.constant
        for s, c in form.terms.items():
            if s >= 0:
                total += c * self.values[s]
            else:
                left, right, _ = self.constraints.products[-1 - s]
                total += c * self.value(left) * self.value(right)
        return total % ORDER

    def close(self) -> list[Product]:
        """Send the last message (copies of all operands and results of products)."""
        forms, self.gates, base = _copy_forms(self.constraints)
        values = [self.value(f) for f in forms]
        if values:
            self.send("products", values)
        _settle(self.constraints, forms, self.gates, base)
        return self.gates


class HiddenVerifier:
    """The verifier's end: reads commitments, notes the same constraints."""

    def __init__(self, engine: Engine, key: CommitmentKey, transcript: VerifierTranscript) -> None:
        self.engine = engine
        self.key = key
        self.transcript = transcript
        self.constraints = DeferredConstraints()
        self.messages: list[bytes] = []
        self.gates: list[Product] = []

    def challenge(self, label: str) -> int:
        """See :class:`HiddenChannel`."""
        return self.transcript.challenge(label)

    def challenges(self, label: str, n: int) -> list[int]:
        """See :class:`HiddenChannel`."""
        return self.transcript.challenges(label, n)

    def receive(self, label: str, n: int) -> list[LinearForm]:
        """Read the commitment to ``n`` hidden values; returns the forms that stand for them."""
        start = len(self.constraints.message_of)
        if start + n > self.key.slot_count:
            raise VerificationError("the statement needs more slots than the key has", label)
        self.messages.append(self.transcript.read(label, 32))
        self.constraints.message_of += [len(self.messages)] * n
        return [LinearForm.slot(start + i) for i in range(n)]

    def close(self) -> list[Product]:
        """Read the last message."""
        forms, self.gates, base = _copy_forms(self.constraints)
        if forms:
            self.receive("products", len(forms))
        _settle(self.constraints, forms, self.gates, base)
        return self.gates

    def message_points(self) -> Points:
        """All message commitments, decoded at once."""
        try:
            return self.engine.decompress(b"".join(self.messages))
        except ValueError as error:
            raise FormatError("proof, hidden messages", "not a point of the group") from error


def blinds_vector(prover: HiddenProver) -> Vec:
    """Blinds of all messages in order."""
    return prover.engine.from_ints(prover.blinds)
