"""The whole argument on small programs: completeness, wrong statements, malicious provers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from tests.support.cheating import cheat
from tests.support.programs import Example, claim, small_model
from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.errors import (
    FormatError,
    RangeError,
    UnsupportedModelError,
    UsageError,
    VerificationError,
)
from veracity.graph.ops import Add
from veracity.graph.tables import exp_table
from veracity.lm.text_decoder import ports_of, vocabulary_of
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zkml import (
    Execution,
    ModelCommitment,
    ModelOpening,
    Statement,
    commit_model,
    count,
    prove,
    verify,
)
from veracity.zkml.chain import prove_with_spans
from veracity.zkml.circuit.build import build_circuit

REJECTED = (FormatError, VerificationError)
LOG_COLUMNS = 9


@dataclass(frozen=True)
class Setting:
    engine: Engine
    key: CommitmentKey
    example: Example
    commitment: ModelCommitment
    opening: ModelOpening
    proof: bytes

    @property
    def files(self) -> tuple[ModelCommitment, ModelOpening]:
        return self.commitment, self.opening

    def statement(self, **changes: Any) -> Statement:
        tokens = list(changes.pop("tokens", self.example.tokens))
        length = changes.pop("prompt_length", self.example.prompt_length)
        every = np.asarray(tokens, dtype=np.int64)
        said = {"inputs": {"tokens": every[:-1]}, "outputs": {"answer": every[length:]}}
        return replace(statement_of(self.example, self.commitment), **said, **changes)

    def verify(self, proof: bytes, **changes: Any) -> None:
        verify(self.engine, self.statement(**changes), proof, key=self.key)


def statement_of(e: Example, commitment: ModelCommitment) -> Statement:
    return claim(e, commitment=commitment)


def make_setting(style: str) -> Setting:
    engine = load_engine("cpu")
    key = load_key(engine, LOG_COLUMNS)
    example = small_model(style)
    commitment, opening = commit_model(
        engine, example.program, example.weights, log_columns=LOG_COLUMNS, key=key
    )
    statement = statement_of(example, commitment)
    proof = prove(engine, statement, example.weights, opening, key=key)
    return Setting(engine, key, example, commitment, opening, proof)


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def setting(request: pytest.FixtureRequest) -> Setting:
    return make_setting(request.param)


@pytest.fixture(scope="module")
def llama() -> Setting:
    return make_setting("llama")


def test_honest_proof_is_accepted_and_its_size_foretold(setting: Setting) -> None:
    setting.verify(setting.proof)
    assert len(setting.proof) == count(setting.statement()).proof_bytes


@pytest.mark.parametrize("answer", [1, 3])
@pytest.mark.parametrize("seed", [1, 2])
def test_other_shapes(seed: int, answer: int) -> None:
    engine = load_engine("cpu")
    key = load_key(engine, LOG_COLUMNS)
    e = small_model("llama", layers=1 + seed, seed=seed, answer=answer)
    files = commit_model(engine, e.program, e.weights, log_columns=LOG_COLUMNS, key=key)
    statement = statement_of(e, files[0])
    verify(engine, statement, prove(engine, statement, e.weights, files[1], key=key), key=key)


# ---- wrong statements ------------------------------------------------------------------------
def test_every_token_is_bound(llama: Setting) -> None:
    for i in range(len(llama.example.tokens)):
        tokens = list(llama.example.tokens)
        tokens[i] = (tokens[i] + 1) % vocabulary_of(llama.example.program)
        with pytest.raises(REJECTED):
            llama.verify(llama.proof, tokens=tuple(tokens))


def test_context_prompt_length_program_and_commitment_are_bound(llama: Setting) -> None:
    e = llama.example
    with pytest.raises(REJECTED):
        llama.verify(llama.proof, context=b"another file")
    with pytest.raises(REJECTED):
        llama.verify(llama.proof, prompt_length=2)
    with pytest.raises(REJECTED):
        llama.verify(llama.proof, program=replace(e.program, name="another name"))
    second, _ = commit_model(
        llama.engine, e.program, e.weights, log_columns=LOG_COLUMNS, key=llama.key
    )
    with pytest.raises(REJECTED):
        llama.verify(llama.proof, commitment=second)


def test_bad_statements_are_not_crashes(llama: Setting) -> None:
    for tokens in ([], [1], [1, 2, 3], [1, 2, 3, 99], [1, 2, 3, -1], [0] * 200):
        with pytest.raises(REJECTED):
            llama.verify(llama.proof, tokens=tuple(tokens))


def test_programs_without_an_argument_are_told(llama: Setting) -> None:
    """A rotary embedding of a sum parses, but has no argument: no crash, on either side."""
    e = llama.example
    ops = [
        replace(o, x="embed.sum") if o.name == "layers.0.attn.k.rope" else o for o in e.program.ops
    ]
    wide = next(o for o in ops if o.name == "layers.0.attn.k")
    ops.insert(ops.index(wide) + 1, Add(name="embed.sum", a=wide.name, b=wide.name, shift_a=0,
                                        shift_b=0))  # fmt: skip
    program = replace(e.program, ops=tuple(ops))
    program.validate()
    commitment = replace(llama.commitment, program_digest=bytes.fromhex(program.digest))
    with pytest.raises(VerificationError):
        llama.verify(llama.proof, program=program, commitment=commitment)
    with pytest.raises(UnsupportedModelError):
        count(Execution(program, *ports_of(e.tokens, e.prompt_length)))


# ---- changed proofs --------------------------------------------------------------------------
def test_every_message_is_bound(llama: Setting) -> None:
    """Flip one bit in every kind of message (first and last of each label)."""
    proof, spans = prove_with_spans(
        llama.engine, llama.statement(), llama.example.weights, llama.opening, key=llama.key
    )
    chosen = {s.label: s for s in spans} | {s.label + "/first": s for s in reversed(spans)}
    for span in chosen.values():
        broken = bytearray(proof)
        broken[(span.start + span.stop) // 2] ^= 1
        with pytest.raises(REJECTED):
            llama.verify(bytes(broken))


def test_truncation_and_garbage(llama: Setting) -> None:
    for bad in (b"", llama.proof[:-1], llama.proof + b"x", bytes(len(llama.proof))):
        with pytest.raises(REJECTED):
            llama.verify(bad)


def test_two_proofs_share_no_message(llama: Setting) -> None:
    args = (llama.engine, llama.statement(), llama.example.weights, llama.opening)
    (one, spans), (two, _) = (prove_with_spans(*args, key=llama.key) for _ in range(2))
    for span in spans:
        assert one[span.start : span.stop] != two[span.start : span.stop], span.label


# ---- malicious provers -----------------------------------------------------------------------
def _roles(setting: Setting) -> list[str]:
    statement = setting.statement()
    found = build_circuit(statement, statement.links[0]).builder.batches
    return [f"{n.name}[{'x'.join(map(str, n.dims))}]" for n in found]


def test_one_wrong_value_in_any_column_is_rejected(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every column of the circuit: one entry of one instance off by one."""
    rng = np.random.default_rng(7)
    for target in _roles(setting):

        def change(name: str, instance: int, values: np.ndarray) -> np.ndarray | None:
            if name != target or instance:  # noqa: B023
                return None
            flat = values.reshape(-1).astype(np.int64)
            # entry 0 is visible under every causal mask
            at = 0 if values.ndim == 3 else int(rng.integers(flat.size))
            flat[at] += 1 if flat[at] <= 0 else -1
            return flat.reshape(values.shape)

        proof = cheat(
            monkeypatch, setting.engine, setting.key, setting.example, setting.files, change
        )
        with pytest.raises(VerificationError):
            setting.verify(proof)


def _nothing(_name: str, _instance: int, _values: np.ndarray) -> None:
    return None


def _cheat_details(setting: Setting, monkeypatch: pytest.MonkeyPatch, details: Any) -> None:
    proof = cheat(
        monkeypatch,
        setting.engine,
        setting.key,
        setting.example,
        setting.files,
        _nothing,
        details=details,
    )
    with pytest.raises(VerificationError):
        setting.verify(proof)


def test_wrong_activation_with_matching_remainder(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every op with an accumulator: one result off by one, all ranges still in order."""
    for op in setting.example.program.ops:
        shift = getattr(op, "shift", getattr(op, "mix_shift", 0))
        key = "acc_y" if hasattr(op, "mix_shift") else "acc"
        if type(op).__name__ not in ("Linear", "Attention"):
            continue

        def details(found: dict[str, Any], op: Any = op, key: str = key, s: int = shift) -> None:
            acc = np.array(found[op.name][key], dtype=np.int64, order="C")
            acc.reshape(-1)[0] += 1 << s
            found[op.name][key] = acc

        _cheat_details(setting, monkeypatch, details)


@pytest.mark.parametrize("delta", [1, -1])
def test_norm_reciprocal_off_by_one(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, delta: int
) -> None:
    def details(found: dict[str, Any]) -> None:
        rho = np.array(found["layers.0.attn_norm"]["rho"], dtype=np.int64, order="C")
        rho.reshape(-1)[1] += delta
        found["layers.0.attn_norm"]["rho"] = rho

    _cheat_details(setting, monkeypatch, details)


@pytest.mark.parametrize("delta", [1, -1])
def test_softmax_normaliser_off_by_one(
    setting: Setting, monkeypatch: pytest.MonkeyPatch, delta: int
) -> None:
    def details(found: dict[str, Any]) -> None:
        inverse = np.array(found["layers.0.attn"]["inv"], dtype=np.int64)
        inverse[0, 2] += delta
        found["layers.0.attn"]["inv"] = inverse

    _cheat_details(setting, monkeypatch, details)


def test_softmax_shift_is_not_free(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row maximum that is one too large, everything after it recomputed to match."""
    op = next(o for o in setting.example.program.ops if type(o).__name__ == "Attention")

    def details(found: dict[str, Any]) -> None:
        trace = found[op.name]
        m = np.array(trace["m"], dtype=np.int64)
        m[0, 2] += 1
        half = (1 << op.score_shift) >> 1
        z = (np.asarray(trace["acc_z"], dtype=np.int64) + half) >> op.score_shift
        visible = np.tril(np.ones(z.shape[1:], dtype=bool))
        d = np.where(visible, m[:, :, None] - z, 0)
        e = np.where(visible, exp_table(op.exp_k)[d], 0)
        trace["m"], trace["e"], trace["inv"] = m, e, (1 << 31) // e.sum(axis=2)

    _cheat_details(setting, monkeypatch, details)


@pytest.mark.parametrize("looked_up", ["the true remainder", "the one that fits"])
def test_quotient_off_by_one(
    llama: Setting, monkeypatch: pytest.MonkeyPatch, looked_up: str
) -> None:
    """y - 1 forces r + 2^s: only the range of r stops it, however the lookup is made."""
    shift = next(o.shift for o in llama.example.program.ops if o.name == "layers.0.attn.v")

    def change(name: str, instance: int, values: np.ndarray) -> np.ndarray | None:
        out = values.astype(np.int64)
        if instance == 0 and name.startswith("linear.y["):
            out.reshape(-1)[0] -= 1
        elif name == "linear.r of layers.0.attn.v" and looked_up == "the true remainder":
            out.reshape(-1)[0] += 1 << shift
        else:
            return None
        return out

    proof = cheat(monkeypatch, llama.engine, llama.key, llama.example, llama.files, change)
    with pytest.raises(VerificationError):
        llama.verify(proof)


def test_wrong_answer_token(llama: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    e = llama.example
    for wrong in range(vocabulary_of(e.program)):
        tokens = [*e.tokens[:-1], wrong]
        if wrong == e.tokens[-1]:
            continue
        proof = cheat(monkeypatch, llama.engine, llama.key, e, llama.files, _nothing, tokens)
        with pytest.raises(VerificationError):
            llama.verify(proof, tokens=tuple(tokens))


def test_other_weights_than_committed(llama: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    e = llama.example
    for name in sorted(e.weights):
        weights = dict(e.weights)
        weights[name] = weights[name].copy()
        weights[name].reshape(-1)[-1] += 1
        forged = replace(e, weights=weights)
        proof = cheat(monkeypatch, llama.engine, llama.key, forged, llama.files, _nothing)
        with pytest.raises(VerificationError):
            llama.verify(proof)


# ---- honest provers are told -----------------------------------------------------------------
def test_prover_refuses_a_wrong_answer(llama: Setting) -> None:
    e = llama.example
    wrong = [*e.tokens[:-1], (e.tokens[-1] + 1) % vocabulary_of(e.program)]
    with pytest.raises(UsageError):
        prove(
            llama.engine,
            llama.statement(tokens=tuple(wrong)),
            e.weights,
            llama.opening,
            key=llama.key,
        )


def test_foreign_secret_is_refused(llama: Setting) -> None:
    e = llama.example
    _, other = commit_model(
        llama.engine, e.program, e.weights, log_columns=LOG_COLUMNS, key=llama.key
    )
    with pytest.raises(UsageError):
        prove(llama.engine, llama.statement(), e.weights, other, key=llama.key)


def test_out_of_range_activation_names_the_op(llama: Setting) -> None:
    e = llama.example
    weights = {k: v.copy() for k, v in e.weights.items()}
    weights["layers.0.attn.q.weight"][:] = 32000
    with pytest.raises(RangeError) as caught:
        prove(llama.engine, llama.statement(), weights, llama.opening, key=llama.key)
    assert caught.value.op == "layers.0.attn.q"
    assert "layers.0.attn.q" not in str(caught.value)
