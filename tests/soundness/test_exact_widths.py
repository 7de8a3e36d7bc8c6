"""Weights that leave their stated widths: refused where the annex says that they keep to them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.programs import Example, small_model
from veracity.engine import load_engine
from veracity.errors import FormatError, RangeError, UsageError, VerificationError
from veracity.zk.batch import batch_challenge
from veracity.zk.keys import load_key
from veracity.zkml import commit_model, exact_widths, prove_widths, verify_widths
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.exact_widths import parts_of

LOG_COLUMNS = 9
ENGINE = load_engine("cpu")
KEY = load_key(ENGINE, LOG_COLUMNS)
REJECTED = (FormatError, VerificationError)
UP, DOWN, EMBEDDING = "layers.0.mlp.up.weight", "layers.0.mlp.down.weight", "embedding"
#: Lookups of a link in these tests: several links.
LIMIT = 300
#: One link.
ONE = 1 << 23


def committed(e: Example) -> Any:
    return commit_model(ENGINE, e.program, e.weights, log_columns=LOG_COLUMNS, key=KEY)


def proved(e: Example, files: Any, limit: int = LIMIT) -> bytes:
    return prove_widths(ENGINE, e.program, e.weights, files, key=KEY, limit=limit)


def check(e: Example, files: Any, proof: bytes, limit: int = LIMIT) -> None:
    verify_widths(ENGINE, e.program, files[0], proof, KEY, limit)


def restated(e: Example, name: str, dtype: str, bits: int, **entries: int) -> Example:
    """The same model, a weight of another width, some of its entries set (``i_j=value``)."""
    spec = replace(e.program.weights[name], dtype=dtype, bits=bits)
    program = replace(e.program, weights={**e.program.weights, name: spec})
    half = 1 << (bits - 1)
    array = np.clip(e.weights[name].astype(dtype), -half, half - 1)
    for place, value in entries.items():
        array[tuple(map(int, place[1:].split("_")))] = value
    return replace(e, program=program, weights={**e.weights, name: array})


@pytest.fixture(scope="module")
def mixed() -> Example:
    """Widths of 7, 16, 20, 32 and 40 bits, each with its extreme entries."""
    e = small_model("gpt2", layers=1)
    e = restated(e, UP, "int32", 20, _0_0=(1 << 19) - 1, _1_1=-(1 << 19))
    e = restated(e, DOWN, "int64", 40, _0_0=(1 << 39) - 1, _1_1=-(1 << 39))
    e = restated(e, EMBEDDING, "int16", 7, _0_0=63, _1_1=-64)
    return restated(e, "layers.0.mlp.up.bias", "int32", 32, _0=(1 << 31) - 1, _1=-(1 << 31))


@pytest.fixture(scope="module")
def honest(mixed: Example) -> tuple[Any, bytes]:
    files = committed(mixed)
    return files, proved(mixed, files)


def test_widths_are_proved(mixed: Example, honest: Any) -> None:
    files, proof = honest
    assert len(parts_of(mixed.program, LIMIT)) >= 2
    check(mixed, files, proof)


@pytest.mark.parametrize("limit", [1, 40, 1 << 23])
def test_links_tile_the_weights(mixed: Example, limit: int) -> None:
    links = parts_of(mixed.program, limit)
    rows: dict[str, list[int]] = {name: [] for name in mixed.program.weights}
    for parts in links:
        lookups = 0
        for p in parts:
            rows[p.name] += range(p.start, p.stop)
            weight = mixed.program.weights[p.name]
            width = -(-weight.bits // 16) * int(np.prod(weight.shape[1:]))
            lookups += (p.stop - p.start) * width
        assert parts
        single = len(parts) == 1 and parts[0].stop - parts[0].start == 1
        assert lookups <= limit or single
    for name, weight in mixed.program.weights.items():
        assert rows[name] == list(range(weight.shape[0]))


@pytest.mark.parametrize(
    ("name", "dtype", "bits", "entry"),
    [
        (EMBEDDING, "int16", 7, 64),
        (EMBEDDING, "int16", 7, -65),
        (UP, "int32", 20, 1 << 19),
        (DOWN, "int64", 40, -(1 << 39) - 1),
    ],
)
def test_a_weight_beyond_its_width_is_not_proved(
    name: str, dtype: str, bits: int, entry: int
) -> None:
    """Neither by an honest prover nor by one who shows other integers than are committed."""
    e = small_model("gpt2", layers=1)
    true = restated(e, name, dtype, bits)
    wide = restated(true, name, dtype, bits, _0_1=entry)
    files = committed(wide)
    with pytest.raises(RangeError):
        proved(wide, files, ONE)
    with pytest.raises(VerificationError):
        check(wide, files, proved(true, files, ONE), ONE)


def test_the_same_passes_where_group_equations_are_not_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    e = restated(small_model("gpt2", layers=1), UP, "int32", 20)
    wide = restated(e, UP, "int32", 20, _0_1=1 << 19)
    files = committed(wide)
    monkeypatch.setattr(exact_widths, "require_all", lambda *_: None)
    check(wide, files, proved(e, files, ONE), ONE)


def test_high_digits_must_be_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a verifier that does not, a weight of any size passes for one of 20 bits."""
    e = restated(small_model("gpt2", layers=1), UP, "int32", 20, _0_1=1 << 25)
    files = committed(e)

    def unchecked(self: Any, op: str, role: str, dims: Any, value: Any, table: Any) -> Any:
        self.note_range(table, found := self.column(role, dims, value), None)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(Builder, "ranged", unchecked)
        proof = proved(e, files, ONE)
        check(e, files, proof, ONE)
    with pytest.raises(REJECTED):
        check(e, files, proof, ONE)


def test_every_link_is_bound_to_its_place(mixed: Example, honest: Any) -> None:
    files, proof = honest
    other = committed(mixed)
    with pytest.raises(REJECTED):
        check(mixed, other, proof)
    with pytest.raises(REJECTED):
        check(mixed, files, proof, LIMIT + 50)
    bits = {n: replace(w, bits=w.bits + 1) for n, w in mixed.program.weights.items() if n == UP}
    wider = replace(mixed.program, weights={**mixed.program.weights, **bits})
    with pytest.raises(REJECTED):
        check(replace(mixed, program=wider), files, proof)
    for bad in (b"", proof[:-1], proof + b"\0", proof[: len(proof) // 2]):
        with pytest.raises(REJECTED):
            check(mixed, files, bad)
    for at in range(0, len(proof), max(1, len(proof) // 25)):
        broken = bytearray(proof)
        broken[at] ^= 2
        with pytest.raises(REJECTED):
            check(mixed, files, bytes(broken))


def test_equal_links_do_not_stand_for_each_other() -> None:
    """Links swapped, repeated, left out."""
    e = small_model("llama", layers=1)
    size = sum(int(np.prod(w.shape)) for w in e.program.weights.values()) // 2
    links = parts_of(e.program, size)
    files = committed(e)
    whole = proved(e, files, size)
    share = len(whole) // len(links)
    with pytest.raises(REJECTED):
        check(e, files, whole[share:] + whole[:share], size)
    with pytest.raises(REJECTED):
        check(e, files, whole + whole, size)


def test_widths_of_another_program(mixed: Example, honest: Any) -> None:
    files, proof = honest
    other = replace(mixed, program=replace(mixed.program, name="another"))
    with pytest.raises(UsageError, match="belongs to another program"):
        proved(other, files)
    with pytest.raises(VerificationError, match="belongs to another program"):
        check(other, files, proof)


def test_the_batch_is_weighted_by_all_links(
    monkeypatch: pytest.MonkeyPatch, mixed: Example, honest: Any
) -> None:
    """Weights that did not depend on a link could be chosen around it."""
    files, proof = honest
    weighted: list[list[bytes]] = []

    def challenge(premise: bytes, states: list[bytes]) -> int:
        weighted.append(list(states))
        return batch_challenge(premise, states)

    monkeypatch.setattr(exact_widths, "batch_challenge", challenge)
    check(mixed, files, proof)
    (states,) = weighted
    assert len(set(states)) == len(parts_of(mixed.program, LIMIT))
