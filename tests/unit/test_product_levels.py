"""Products of products: proved level by level, and refused where any level is false."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.toy import require
from veracity.engine import load_engine
from veracity.engine.api import ORDER, Ints
from veracity.errors import VerificationError
from veracity.zk.committed import ArrayId, CommittedArray, commit_array
from veracity.zk.hidden import HiddenProver, HiddenVerifier
from veracity.zk.keys import load_key
from veracity.zk.mle import kron
from veracity.zk.opening import prove_opening, verify_opening
from veracity.zk.reduction import LinearClaim, reduce_prover, reduce_verifier
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml import argument
from veracity.zkml.circuit import products
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.relations import Layout, Resolved, Resolver
from veracity.zkml.circuit.tensor import Tensor, Updates

ENGINE = load_engine("cpu")
KEY_BITS = 5
KEY = load_key(ENGINE, KEY_BITS, lambda e, label, n: e.generators(label, min(n, 512)))
Build = Callable[[Builder], None]


def prove(build: Build) -> bytes:
    """A proof of the identities of a small circuit, whatever its integers."""
    builder = Builder({}, True)
    build(builder)
    transcript = ProverTranscript("levels", b"")
    layouts = {name: Layout.of(batch) for name, batch in builder.batches.items()}
    arrays = {}
    for name, layout in layouts.items():
        values = layout.store(builder.batches[name].values)
        blinds = ENGINE.random(layout.shape.layout(KEY_BITS).rows)
        points = commit_array(ENGINE, KEY, layout.shape, values, blinds)
        transcript.write(str(name), ENGINE.compress(points))
        arrays[name] = CommittedArray(layout.shape, values, blinds)
    channel, resolver = HiddenProver(ENGINE, KEY, transcript), Resolver(ENGINE, layouts)
    circuit: Any = SimpleNamespace(builder=builder)
    claims = argument._identities(channel, resolver, ENGINE, circuit)
    left = products.prove_products(channel, resolver, claims)
    prove_opening(channel, arrays, reduce_prover(channel, arrays, left))
    return transcript.finish()


def verify(build: Build, proof: bytes, distinct: bool = True) -> int:
    """Check it; returns how many levels there were."""
    builder = Builder({}, False)
    build(builder)
    transcript = VerifierTranscript("levels", b"", proof)
    layouts = {name: Layout.of(batch) for name, batch in builder.batches.items()}
    points = {}
    for name, layout in layouts.items():
        rows = layout.shape.layout(KEY_BITS).rows
        points[name] = ENGINE.decompress(transcript.read(str(name), 32 * rows))
    channel, resolver = HiddenVerifier(ENGINE, KEY, transcript), Resolver(ENGINE, layouts)
    seen: list[int] = []
    honest = channel.challenge

    def challenge(label: str) -> int:
        drawn = honest(label)
        if label == "product batch":
            seen.append(drawn)
        return drawn

    channel.challenge = challenge  # type: ignore[method-assign]
    circuit: Any = SimpleNamespace(builder=builder)
    claims = argument._identities(channel, resolver, ENGINE, circuit)
    left = products.verify_products(channel, resolver, claims)
    shapes = {name: layout.shape for name, layout in layouts.items()}
    owed = verify_opening(channel, shapes, points, reduce_verifier(channel, shapes, left))
    transcript.finish()
    require(ENGINE, KEY, owed)
    assert not distinct or len(set(seen)) == len(seen)  # every level has its own challenge
    return len(seen)


# ---- three and four factors ---------------------------------------------------------------------
def column(b: Builder, name: str, rows: int, columns: int) -> Tensor:
    """Small integers that only the prover needs."""
    rng = np.random.default_rng(sum(name.encode()))
    return b.column(name, (rows, columns), rng.integers(-9, 10, (rows, columns)), bounded=True)


def times(a: Tensor, b: Tensor, off: int = 0) -> Tensor:
    """A matrix product with the prover's integers, the first one off."""
    out = Tensor.product("ij,jk->ik", a, b)
    if a.value is None or b.value is None:
        return out
    value = a.value.astype(np.int64) @ b.value.astype(np.int64)
    value[0, 0] += off
    return Tensor(out.dims, out.terms, value)


def equals(b: Builder, result: Tensor, off: int = 0) -> None:
    """The result is committed, too, and claimed to be the product; its first entry off."""
    value = None if result.value is None else result.value.copy()
    if value is not None:
        value[0, 0] += off
    b.zero(result.bare() - b.column("result", result.dims, value, bounded=True))


def three(b: Builder, inner: int = 0, outer: int = 0) -> None:
    """``A (B C)``."""
    x, y, z = (column(b, n, *d) for n, d in (("a", (3, 4)), ("b", (4, 5)), ("c", (5, 2))))
    equals(b, times(x, times(y, z, inner)), outer)


def pairs(b: Builder, inner: int = 0, outer: int = 0) -> None:
    """``(A B) (C D)``: both operands are products."""
    x, y, z, w = (column(b, n, 3, 3) for n in "abcd")
    equals(b, times(times(x, y, inner), times(z, w)), outer)


def nested(b: Builder, inner: int = 0, outer: int = 0) -> None:
    """``A (B (C D))``; the innermost product is what may be off."""
    x, y, z, w = (column(b, n, 3, 3) for n in "abcd")
    equals(b, times(x, times(y, times(z, w, inner))), outer)


def beside(b: Builder, inner: int = 0, outer: int = 0) -> None:
    """``A (B C + D) + A D``: products among other terms, and of two depths in one claim."""
    x, y, z, w = (column(b, n, 3, 3) for n in "abcd")
    product = times(y, z, inner)
    operand = product + w
    total = times(x, operand).bare() + times(x, w).bare()
    value = None
    if operand.value is not None and x.value is not None and w.value is not None:
        value = x.value.astype(np.int64) @ (operand.value + w.value)
    equals(b, Tensor(total.dims, total.terms, value), outer)


CIRCUITS = {"three": (three, 2), "pairs": (pairs, 2), "nested": (nested, 3), "beside": (beside, 2)}


@pytest.mark.parametrize("name", CIRCUITS)
def test_true_products(name: str) -> None:
    build, levels = CIRCUITS[name]
    assert verify(build, prove(build)) == levels


@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("lie", [{"inner": 1}, {"outer": 1}, {"inner": 1, "outer": -1}])
def test_false_products(name: str, lie: dict[str, int]) -> None:
    build = CIRCUITS[name][0]
    with pytest.raises(VerificationError):
        verify(build, prove(lambda b: build(b, **lie)))  # type: ignore[call-arg]


def stop_after(levels: int) -> Callable[..., list[LinearClaim]]:
    """What a prover and a verifier do who forget claims with products after some levels."""

    def run(channel: Any, resolver: Any, claims: Any, level: Any) -> list[LinearClaim]:
        done: list[LinearClaim] = []
        for _ in range(levels):
            done += [LinearClaim(c.terms, c.value) for c in claims if not c.products]
            owing = [c for c in claims if c.products]
            groups, terms, value = products._batch(channel, channel.engine, owing)
            total, end, ends = level(groups)
            bound = products._join(channel, channel.engine, resolver, groups, end, ends)
            claims = [products.Claim(tuple(terms), (), value - total), *bound]
        return done + [LinearClaim(c.terms, c.value) for c in claims if not c.products]

    return run


@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("present", [True, False], ids=["ours", "one level early"])
def test_a_verifier_that_stops_early(
    monkeypatch: pytest.MonkeyPatch, name: str, present: bool
) -> None:
    """The innermost product is false, and everything above it follows from it."""
    build, levels = CIRCUITS[name]
    if not present:
        monkeypatch.setattr(products, "_levels", stop_after(levels - 1))
    proof = prove(lambda b: build(b, inner=1))  # type: ignore[call-arg]
    with pytest.raises(VerificationError) if present else nullcontext():
        verify(build, proof)


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("present", [True, False], ids=["ours", "without it"])
def test_a_verifier_that_drops_an_operand_claim(
    monkeypatch: pytest.MonkeyPatch, side: int, present: bool
) -> None:
    """One side of every product is never tied to what it stands for."""
    honest = products._operand_claims

    def dropped(*args: Any) -> Any:
        found = honest(*args)
        return found[:side] + found[side + 1 :]

    if not present:
        monkeypatch.setattr(products, "_operand_claims", dropped)

    def build(b: Builder, off: int = 0) -> None:
        x, y, z = (column(b, n, 3, 3) for n in "abc")
        inner = times(x, y, off)
        equals(b, times(z, inner) if side else times(inner, z))

    proof = prove(lambda b: build(b, 1))
    with pytest.raises(VerificationError) if present else nullcontext():
        verify(build, proof)


# ---- one challenge for two levels ---------------------------------------------------------------
def two_products(b: Builder, inner: int = 0) -> None:
    """``A (B C)`` and ``D (E F)`` of another form; an entry of ``B C`` is off."""
    x, y, z = (column(b, n, 3, 3) for n in "abc")
    equals(b, times(x, times(y, z, inner)))
    d, e, f = (column(b, n, *dims) for n, dims in (("d", (2, 4)), ("e", (4, 2)), ("f", (2, 4))))
    right = times(d, times(e, f))
    b.zero(right.bare() - b.column("right", right.dims, right.value, bounded=True))


class Shifter:
    """A prover who moves the ends of the first level, so that errors cancel in the second.

    With ``k`` the batching challenge of the second level, known too soon, and ``e`` the error of
    the first operand claim, it sends ``v1 + x`` and ``v2 + y``. The first level's last claim still
    holds, ``c1 x + c2 y = 0``, and so does the batch of the second level, ``e + x + k y = 0``.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.groups: list[Any] = []
        self.point: list[int] = []
        self.challenges: list[int] = []
        batch, sumcheck, send = products._batch, products.prove_sumcheck, HiddenProver.send

        def batched(channel: Any, *rest: Any) -> Any:
            found = batch(channel, *rest)
            self.groups = self.groups or found[0]
            return found

        def proved(*args: Any) -> Any:
            found = sumcheck(*args)
            self.point = self.point or list(found.point)
            return found

        def sent(channel: Any, label: str, values: Any) -> Any:
            if label == "product operands" and len(self.challenges) == 1:
                values = self.moved(list(values))
            return send(channel, label, values)

        patch.setattr(products, "_batch", batched)
        patch.setattr(products, "prove_sumcheck", proved)
        patch.setattr(HiddenProver, "send", sent)

    def moved(self, values: list[int]) -> list[int]:
        one, two = self.groups
        c1, c2 = (
            g.factor * products.pad_factor(self.point, products.variables(g.dims)) * a % ORDER
            for g, a in ((one, values[0]), (two, values[2]))
        )
        local = products.axis_points(self.point[: products.variables(one.dims)], one.dims)
        entry = ENGINE.to_ints(ENGINE.eq(local[1], one.dims[1]))[0]
        error = entry * ENGINE.to_ints(one.tau["k"])[0] % ORDER
        slope = c1 * pow(c2, -1, ORDER) % ORDER
        k = self.challenges[0]
        x = -error * pow(1 - k * slope, -1, ORDER) % ORDER
        return [values[0], (values[1] + x) % ORDER, values[2], (values[3] - slope * x) % ORDER]


@pytest.mark.parametrize("reused", [True, False], ids=["reused", "ours"])
def test_a_level_challenge_that_is_known_too_soon(
    monkeypatch: pytest.MonkeyPatch, reused: bool
) -> None:
    shifter, honest = Shifter(monkeypatch), HiddenProver.challenge
    first: dict[type, int] = {}

    def challenge(channel: Any, label: str) -> int:
        drawn = honest(channel, label)
        if label != "product batch":
            return drawn
        known = first.setdefault(type(channel), drawn)
        shifter.challenges.append(known)
        return known if reused else drawn

    for side in (HiddenProver, HiddenVerifier):
        monkeypatch.setattr(side, "challenge", challenge)
    proof = prove(lambda b: two_products(b, 1))
    with nullcontext() if reused else pytest.raises(VerificationError):
        verify(two_products, proof, distinct=not reused)


# ---- tensors that change step by step -----------------------------------------------------------
SIZES = st.integers(1, 5)


def training(
    b: Builder, sizes: tuple[int, int, int], steps: int, dense: bool, off: int = 0
) -> tuple[Updates, list[Tensor]]:
    """A matrix that changes by ``-m G^T A`` after each of its uses forward and backward."""
    batch, outs, ins = sizes
    rng = np.random.default_rng(5)

    def fresh(name: str, *dims: int) -> Tensor:
        return b.column(name, dims, rng.integers(-9, 10, dims), bounded=True)

    base = fresh("base", outs, ins)
    updates, uses, current = Updates(base), [], base.value
    for t in range(steps):
        x, g = fresh("x", batch, ins), fresh("g", batch, outs)
        now = updates.now()
        if dense and current is not None:
            now = Tensor(now.dims, now.terms, current)
        for name, spec, other, flip in (("f", "bi,oi->bo", x, True), ("k", "bo,oi->bi", g, False)):
            out = Tensor.product(spec, other, now)
            value = None
            if current is not None and other.value is not None:
                value = other.value.astype(np.int64) @ (current.T if flip else current)
                value[0, 0] += off if t == steps - 1 else 0
            b.zero(out - b.column(name, out.dims, value, bounded=True))
        product = Tensor.product("bo,bi->oi", g, x)  # a factor stands inside or beside
        updates.add((1, product * -(t + 2)) if t % 2 else (-(t + 2), product))
        uses.append(now)
        if current is not None and g.value is not None and x.value is not None:
            change = g.value.astype(np.int64).T @ x.value.astype(np.int64)
            current = current.astype(np.int64) - (t + 2) * change
    if current is not None:
        end = b.column("end", base.dims, current, bounded=True)
        b.zero(updates.now().bare() - end)
    else:
        b.zero(updates.now() - b.column("end", base.dims, None, bounded=True))
    return updates, uses


@pytest.mark.parametrize("dense", [True, False], ids=["dense", "along its updates"])
def test_an_updated_operand(dense: bool) -> None:
    """However the prover binds it, the proof is about the same matrix."""
    sizes, steps = (3, 4, 5), 4

    def build(b: Builder, off: int = 0) -> None:
        training(b, sizes, steps, dense, off)

    assert verify(build, prove(build)) == 2
    with pytest.raises(VerificationError):
        verify(build, prove(lambda b: build(b, 1)))


@settings(deadline=None, max_examples=30)
@given(SIZES, SIZES, SIZES, st.integers(1, 5))
def test_binding_along_updates_is_binding(batch: int, outs: int, ins: int, steps: int) -> None:
    one, two = Builder({}, True), Builder({}, True)
    _, sparse = training(one, (batch, outs, ins), steps, dense=False)
    _, dense = training(two, (batch, outs, ins), steps, dense=True)
    tau = {"o": ENGINE.random(outs), "i": ENGINE.random(ins)}
    for kept in "io":
        group: Any = SimpleNamespace(kept=kept, tau={c: tau[c] for c in "io" if c != kept})
        memo: dict[Updates, Any] = {}
        for index in np.random.default_rng(batch).permutation(steps):  # in any order
            a = products._bind_tensor(ENGINE, sparse[index], "oi", group, memo)
            d = products._bind_tensor(ENGINE, dense[index], "oi", group, {})
            assert ENGINE.to_ints(a) == ENGINE.to_ints(d)


def weighed(found: Resolved, values: dict[ArrayId, Ints]) -> int:
    """What a resolved sum of tensors is, on the integers of its arrays."""

    def dot(vectors: Any, x: Ints) -> int:
        flat = np.ascontiguousarray(x, dtype=np.int64).reshape(-1)
        return ENGINE.dot(kron(ENGINE, list(vectors)), ENGINE.from_small(flat))

    total = found.public
    for term in found.terms:
        total += term.coefficient * dot([v for _, v in term.functional], values[term.array])
    for product in found.products:
        for use, scale in zip(product.uses, product.scale, strict=True):
            a, b = (np.asarray(t.value, dtype=np.int64) for t in (use.a, use.b))
            total += scale * dot(product.weights, np.einsum(use.spec, a, b))
    return total % ORDER


@settings(deadline=None, max_examples=30)
@given(SIZES, SIZES, SIZES, st.integers(1, 5), st.integers(0, 99))
def test_many_uses_resolve_like_their_sum(
    batch: int, outs: int, ins: int, steps: int, seed: int
) -> None:
    """``sum_t e_t W_t`` by suffix sums over updates is what it is entry by entry."""
    builder = Builder({}, True)
    updates, uses = training(builder, (batch, outs, ins), steps, dense=True)
    end = builder.batches[next(n for n in builder.batches if n.name == "end")].values[0]
    tensors = [*uses, Tensor((outs, ins), updates.now().terms, end)]
    layouts = {name: Layout.of(batch) for name, batch in builder.batches.items()}
    values = {n: layouts[n].store(x.values) for n, x in builder.batches.items()}
    rng = np.random.default_rng(seed)
    scale = [int(k) for k in rng.integers(-99, 100, len(tensors))]
    weights = tuple((1, ENGINE.random(n)) for n in (outs, ins))
    found = Resolver(ENGINE, layouts).resolve(tensors, scale, weights)
    total: Any = sum(k * np.asarray(t.value, dtype=np.int64)
                     for k, t in zip(scale, tensors, strict=True))  # fmt: skip
    flat = ENGINE.from_small(np.ascontiguousarray(total).reshape(-1))
    assert weighed(found, values) == ENGINE.dot(kron(ENGINE, [v for _, v in weights]), flat)
    assert sum(len(p.uses) for p in found.products) <= steps


def test_updates_are_of_the_tensors_dims() -> None:
    builder = Builder({}, False)
    updates = Updates(builder.column("base", (2, 3), None, bounded=True))
    with pytest.raises(ValueError, match="dims"):
        updates.add((1, builder.column("other", (3, 2), None, bounded=True)))
    assert updates.now() is updates.base
