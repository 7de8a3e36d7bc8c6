"""A quotient that is not an integer: the remainder fits, and only the projection stops it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.toy import require
from tests.support.wide import WideEngine, wide_limbs, wide_project
from veracity.engine import load_engine
from veracity.engine.api import ORDER, Engine, Integers, Ints
from veracity.errors import RangeError, VerificationError
from veracity.zk.committed import ArrayId
from veracity.zk.hidden import LinearForm
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zk.mle import inverse
from veracity.zk.projection import ROWS, Sides, draw_directions, limbs_of, project
from veracity.zk.reduction import LinearClaim
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml import argument, witness
from veracity.zkml.circuit.build import Circuit, finish_circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.relations import Layout

SHIFT = 4
X = np.arange(-9, 12, dtype=np.int64).reshape(3, 7) * 5 + 3


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("cpu")


@pytest.fixture(scope="module")
def key(engine: Engine) -> CommitmentKey:
    return load_key(engine, 9)


def circuit(proving: bool) -> Circuit:
    """``y = rescale(x)`` of a committed array."""
    builder = Builder({}, proving)
    x = builder.column("x", X.shape, X if proving else None, bounded=True)
    builder.rescaled("scale", "scale", x, X if proving else None, SHIFT)
    return finish_circuit(builder)


def forged() -> Circuit:
    """Entry 0: ``y + 1/16`` with ``r - 1``, which is in range."""
    made = circuit(proving=True)
    half = 1 << SHIFT >> 1
    assert (X + half)[0, 0] % (1 << SHIFT) >= 1
    (name,) = (n for n in made.builder.batches if n.name == "scale.y")
    lie = made.builder.batches[name].values[0].astype(object)
    lie[0, 0] = (int(lie[0, 0]) + inverse(1 << SHIFT)) % ORDER
    made.builder.batches[name].values[0] = lie
    for group in made.plan.groups:
        for i, use in enumerate(group):
            if use.op == "scale":
                r = np.array(use.value.value)
                r[0, 0] -= 1
                group[i] = replace(use, value=replace(use.value, value=r))
    return made


def prove(engine: Engine, key: CommitmentKey, made: Circuit) -> bytes:
    transcript = ProverTranscript("test", b"projection")
    argument.prove_circuit(engine, key, made, {}, transcript)
    return transcript.finish()


def verify(engine: Engine, key: CommitmentKey, proof: bytes) -> None:
    transcript = VerifierTranscript("test", b"projection", proof)
    remaining = argument.verify_circuit(engine, key, circuit(proving=False), {}, transcript)
    require(engine, key, remaining)


def store(self: Layout, values: list[Ints], integers: Integers | None = None) -> Ints:
    if values[0].dtype != object:
        return honest_store(self, values, integers)
    return np.stack(values).transpose(self.order).copy()


honest_store = Layout.store


@pytest.fixture
def lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Layout, "store", store)
    monkeypatch.setattr(witness, "project", wide_project)
    monkeypatch.setattr(witness, "limbs_of", wide_limbs)


def test_honest_rescale(engine: Engine, key: CommitmentKey) -> None:
    verify(engine, key, prove(engine, key, circuit(proving=True)))


@pytest.mark.usefixtures("lies")
def test_quotient_that_is_no_integer(engine: Engine, key: CommitmentKey) -> None:
    proof = prove(WideEngine(engine), key, forged())
    with pytest.raises(VerificationError):
        verify(engine, key, proof)


@pytest.mark.usefixtures("lies")
def test_the_projection_is_what_stops_it(
    engine: Engine, key: CommitmentKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its claim, the same forgery is accepted."""
    nothing = LinearClaim((), LinearForm(0))
    monkeypatch.setattr(argument, "bound_claim", lambda *_: nothing)
    verify(engine, key, prove(WideEngine(engine), key, forged()))


@pytest.mark.parametrize("lie", [inverse(2), inverse(16), ORDER // 2, ORDER - inverse(3), 1 << 52])
def test_one_large_entry_shows_in_every_projection(lie: int) -> None:
    """The lemma, for entries that a projection with signs would miss, too."""
    rng = np.random.default_rng(1)
    y = ArrayId("test", "y")
    sides = Sides(y, (6, 5), 1)
    for _ in range(5):
        values = rng.integers(-(1 << 15), 1 << 15, (6, 5)).astype(object)
        values[2, 3] = lie
        directions = draw_directions(lambda _, n: rng.bytes(n), [sides])
        entries = wide_project(None, directions, {y: values}).reshape(-1) % ORDER
        assert max(min(v, ORDER - v) for v in entries) >= 1 << 47


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64])
def test_projection_is_exact(dtype: Any) -> None:
    rng = np.random.default_rng(2)
    info = np.iinfo(np.int32 if dtype is np.int64 else dtype)
    sides = [Sides(ArrayId("test", "a"), (3, 2, 5), 1), Sides(ArrayId("test", "b"), (4, 9), 1)]
    values = {s.id: rng.integers(info.min, info.max, s.dims, dtype=dtype) for s in sides}
    directions = draw_directions(lambda _, n: rng.bytes(n), sides)
    found = project(load_engine("cpu"), directions, values)
    assert found.shape == (ROWS, ROWS)
    assert np.array_equal(found.astype(object), wide_project(None, directions, values))


def test_wide_entries_are_projected_exactly() -> None:
    a = ArrayId("test", "a")
    values = {a: np.asarray([[1 << 40, -(1 << 41)], [3, -(1 << 40) - 1]], dtype=np.int64)}
    directions = draw_directions(
        lambda _, n: np.random.default_rng(3).bytes(n), [Sides(a, (2, 2), 1)]
    )
    assert np.array_equal(
        project(load_engine("cpu"), directions, values).astype(object),
        wide_project(None, directions, values),
    )


def test_limbs_and_their_limit() -> None:
    v = np.zeros((ROWS, ROWS), dtype=np.int64)
    v[0, :3] = [-(1 << 47) + 1, (1 << 47) - 1, 5]
    back = sum(x.astype(np.int64) << 16 * i for i, x in enumerate(limbs_of(v))) - (1 << 47)
    assert np.array_equal(back, v)
    v[1, 1] = 1 << 47
    with pytest.raises(RangeError):
        limbs_of(v)
