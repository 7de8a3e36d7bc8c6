"""Conversations and drawn answers: what was asked, and how the answer was drawn, is bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.programs import small_model
from tests.support.talking import MARKS, Talker, talker
from veracity import zkml
from veracity.cli import main
from veracity.engine import load_engine
from veracity.errors import FormatError, MismatchError, UsageError, VerificationError
from veracity.formats.drawing import Drawing, ServerNonce
from veracity.formats.proof import Proof
from veracity.graph.sampling import Sampling
from veracity.lm.generate import generate
from veracity.lm.text_decoder import logits, ports_of
from veracity.progress import silent
from veracity.proving import prompts
from veracity.proving.answering import answer_tokens
from veracity.proving.prove import prove, prove_tokens
from veracity.proving.verified import VerifiedAnswer
from veracity.proving.verify import verify
from veracity.text.chat import ChatFrame, Message

pytest.importorskip("jinja2")
pytest.importorskip("tokenizers")

TALK = [("system", "be kind"), ("user", "hello"), ("assistant", "hi"), ("user", "a b")]
REFUSED = (FormatError, VerificationError)
SERVER = ServerNonce(bytes(range(32)))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Talker:
    return talker(tmp_path_factory.mktemp("talker"))


@pytest.fixture(scope="module")
def drawn(model: Talker) -> Proof:
    return prove(
        model.model, model.secret, messages=TALK, max_new_tokens=3, temperature="0.9",
        nonce="c0ffee", server_nonce=SERVER,
    ).proof  # fmt: skip


def check(model: Talker, proof: Proof, **expected: Any) -> VerifiedAnswer:
    return verify(proof, model.commitment, **expected)


def test_a_drawn_answer_to_a_conversation(model: Talker, drawn: Proof) -> None:
    assert Proof.from_bytes(drawn.to_bytes()) == drawn
    found = check(
        model, drawn, messages=TALK, temperature=0.9, nonce="c0ffee", server_nonce=SERVER.digest
    )
    assert [(m.role, m.content) for m in found.messages] == TALK
    assert found.prompt == "a b"
    assert found.prompt_before.startswith(f"{MARKS[0]}system\nbe kind{MARKS[1]}\n")
    assert found.prompt_after.endswith("assistant\n")
    assert found.draw is not None
    assert "neither side" in found.draw.seed
    assert "sampled" in found.proved
    assert "other nonces" in found.not_proved
    assert found.to_plain()["draw"]["temperature"] == "0.9"
    with_nothing = check(model, drawn)
    assert with_nothing.draw is not None
    assert "WARNING" in with_nothing.draw.seed
    assert "--nonce" in with_nothing.draw.seed


@pytest.mark.parametrize("free", ["messages", "temperature", "nonce", "server_nonce"])
def test_whoever_does_not_insist_on_all_of_a_seed_is_told(
    model: Talker, drawn: Proof, free: str
) -> None:
    """A thousandth of temperature or a space in the prompt gives another seed, as a nonce does."""
    known = {"messages": TALK, "temperature": 0.9, "nonce": "c0ffee"}
    known["server_nonce"] = SERVER.digest
    found = check(model, drawn, **{n: x for n, x in known.items() if n != free})
    assert found.draw is not None
    assert "WARNING" in found.draw.seed
    assert free.replace("_", "-").replace("messages", "message") in found.draw.seed
    assert found.draw.seed.count("insists") == 1


@pytest.mark.parametrize(
    "expected",
    [
        {"messages": TALK[1:]}, {"messages": [*TALK[:-1], ("user", "a  b")]}, {"prompt": "a b"},
        {"temperature": "0.8"}, {"temperature": 0}, {"nonce": "c0ffef"},
        {"server_nonce": "00" * 32},
    ],
)  # fmt: skip
def test_other_expectations_are_a_mismatch(
    model: Talker, drawn: Proof, expected: dict[str, Any]
) -> None:
    with pytest.raises(MismatchError):
        check(model, drawn, **expected)


def changed(drawing: Drawing | None, **parts: Any) -> dict[str, Any]:
    assert drawing is not None
    return {"drawing": replace(drawing, **parts)}


def test_nothing_of_a_draw_can_be_changed(model: Talker, drawn: Proof) -> None:
    said = drawn.messages
    system, first, answer, last = said
    for change in (
        changed(drawn.drawing, temperature=901),
        changed(drawn.drawing, user_nonce=b"\xc0\xff\xef"),
        changed(drawn.drawing, user_nonce=b""),
        changed(drawn.drawing, server_nonce=bytes(32)),
        {"drawing": None},
        {"messages": (system, first, answer, Message("user", "a c"))},
        {"messages": (first, answer, last)},
        {"messages": (replace(system, role="user"), first, answer, last)},
        {"messages": ()},
        {"messages": (), "frame": "chat"},
        {"frame": "raw"},
        {"tokens": (*drawn.tokens[:-1], (drawn.tokens[-1] + 1) % 254)},
        {"context": "x"},
    ):
        with pytest.raises(REFUSED):
            check(model, replace(drawn, **change))


def test_a_greedy_proof_is_no_drawn_one(model: Talker) -> None:
    plain = prove(model.model, model.secret, messages=TALK[1:2], max_new_tokens=2).proof
    assert check(model, plain, messages=TALK[1:2], temperature=0).draw is None
    for change in ({"drawing": Drawing(1)}, {"frame": "chat", "messages": ()}):
        with pytest.raises(REFUSED):
            check(model, replace(plain, **change))


# ---- provers who cheat --------------------------------------------------------------------------


class Lie:
    """Noise of another kind than the seed's, in the prover's process alone, or in both."""

    def __init__(self, patch: pytest.MonkeyPatch, **methods: Any) -> None:
        self.patch, self.methods = patch, methods

    def __enter__(self) -> None:
        for name, method in self.methods.items():
            self.patch.setattr(Sampling, name, method)

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


NOISE, REVERSES = Sampling.noise, Sampling.reverses


def other_seed(self: Sampling, position: int, vocabulary: int, exponent: int) -> Any:
    return NOISE(replace(self, seed=bytes(32)), position, vocabulary, exponent)


def hotter(self: Sampling, position: int, vocabulary: int, exponent: int) -> Any:
    return NOISE(replace(self, temperature=4000), position, vocabulary, exponent)


def favoured(self: Sampling, position: int, vocabulary: int, exponent: int) -> Any:
    noise = NOISE(self, position, vocabulary, exponent).copy()
    noise[65] += 1 << 12
    return noise


@pytest.mark.parametrize("noise", [other_seed, hotter, favoured])
def test_noise_that_is_not_the_seeds_is_refused(
    model: Talker, monkeypatch: pytest.MonkeyPatch, noise: Any
) -> None:
    """And accepted by a verifier who takes the prover's word for the noise."""
    lie = Lie(monkeypatch, noise=noise)
    with lie:
        proof = prove(model.model, model.secret, "hello", max_new_tokens=3, temperature=1).proof
    with pytest.raises(VerificationError):
        check(model, proof)
    with lie:
        check(model, proof)


def test_ties_are_decided_as_the_seed_says(model: Talker, monkeypatch: pytest.MonkeyPatch) -> None:
    """With all noise the same and equal scores for two tokens, the bit of the position decides."""

    def flat(self: Sampling, position: int, vocabulary: int, exponent: int) -> Any:
        noise = np.full(vocabulary, -(1 << 14), dtype=np.int64)
        # Scores are added back, so that exactly two tokens are level.
        noise[[40, 50]] = LEVEL[position][[1, 0]]
        return noise

    def turned(self: Sampling, position: int) -> bool:
        return not REVERSES(self, position)

    ids = [*model.commitment.metadata.frames["raw"].before, *model.model.encode("abc")]
    assert model.model.program is not None
    scores = logits(model.model.program, model.model.weights, ids)
    LEVEL[len(ids) - 1] = scores[-1][[40, 50]]
    both = {}
    for name, lie in (
        ("honest", Lie(monkeypatch, noise=flat)),
        ("turned", Lie(monkeypatch, noise=flat, reverses=turned)),
    ):
        with lie:
            made = prove(
                model.model, model.secret, "abc", raw=True, max_new_tokens=1, temperature=1
            )
            both[name] = made.proof.answer[0]
            check(model, made.proof)
            proof = made.proof
    assert {*both.values()} == {40, 50}
    with Lie(monkeypatch, noise=flat), pytest.raises(VerificationError):
        check(model, proof)


LEVEL: dict[int, Any] = {}


def test_another_spelling_of_messages_is_refused(
    model: Talker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prover who asks something else than the messages say."""
    said = (Message("user", "hello"),)
    frame = model.commitment.metadata.conversation
    assert frame is not None
    for ids in (
        model.model.tokenizer.encode_parts(frame.parts([Message("user", "jello")])),
        model.model.tokenizer.encode_parts(["hello"]),
    ):
        answer = answer_tokens(model.model, ids, 1, silent)
        proof = prove_tokens(model.model, model.secret, ids, answer, "messages", messages=said)
        with pytest.raises(VerificationError, match="other messages"):
            check(model, proof)
        with monkeypatch.context() as patch:
            patch.setattr(prompts, "encode_parts", lambda *_: ids)  # the check, taken out  # noqa: B023
            check(model, proof)


def test_cuts_give_the_same_tokens(model: Talker, drawn: Proof) -> None:
    again = prove(
        model.model, model.secret, messages=TALK, max_new_tokens=2, temperature="0.9",
        nonce="c0ffee", server_nonce=SERVER, jobs=2,
    ).proof  # fmt: skip
    assert again.answer == drawn.answer[: len(again.answer)]
    check(model, again, messages=TALK)


def test_both_backends_draw_the_same() -> None:
    example = small_model()
    program = replace(example.program, exponents={**example.program.exponents, "head": 11})
    prompt = example.tokens[: example.prompt_length]
    drawn = [
        [
            generate(
                program, example.weights, prompt, 6, integers=load_engine(name).integers,
                sampling=Sampling(bytes([seed]) * 32, 4000),
            )
            for seed in range(5)
        ]
        for name in ("cpu", "reference")
    ]  # fmt: skip
    assert drawn[0] == drawn[1]
    assert len({tuple(one) for one in drawn[0]}) > 1


@pytest.mark.slow
@pytest.mark.parametrize("order", [("cpu", "reference"), ("reference", "cpu")])
def test_both_backends_draw_and_verify_the_same(order: tuple[str, str]) -> None:
    example = small_model(layers=1, answer=2)
    program = replace(example.program, exponents={**example.program.exponents, "head": 3})
    prompt = example.tokens[: example.prompt_length]
    sampling = Sampling(bytes(range(32)), 1500)
    engine, other_engine = (load_engine(name) for name in order)
    answer, same = (
        generate(program, example.weights, prompt, 2, integers=e.integers, sampling=sampling)
        for e in (engine, other_engine)
    )
    assert answer == same
    commitment, opening = zkml.commit_model(engine, program, example.weights)
    statement = zkml.Statement(
        program, *ports_of([*prompt, *answer], len(prompt)), (), sampling, commitment=commitment
    )
    proof = zkml.prove(engine, statement, example.weights, opening)
    zkml.verify(other_engine, statement, proof)
    cpu = load_engine("cpu")
    for other in (replace(sampling, seed=bytes(32)), replace(sampling, temperature=1), None):
        with pytest.raises(REFUSED):
            zkml.verify(cpu, replace(statement, sampling=other), proof)


def test_scales_that_cannot_be_drawn_from_are_refused() -> None:
    example = small_model()
    for exponent, temperature in ((-1, 1000), (30, 1000), (18, 4000)):
        program = replace(
            example.program, exponents={**example.program.exponents, "head": exponent}
        )
        model, _ = zkml.commit_model(load_engine("cpu"), program, example.weights)
        ports = ports_of(example.tokens, example.prompt_length)
        drawn = Sampling(bytes(32), temperature)
        with pytest.raises(UsageError):
            zkml.count(zkml.Statement(program, *ports, (), drawn, commitment=model))


# ---- what a publisher may write -----------------------------------------------------------------


def test_parts_of_a_frame_that_are_text_in_disguise(model: Talker) -> None:
    frame = model.commitment.metadata.conversation
    assert frame is not None
    stated = replace(model.commitment.metadata, conversation=replace(frame, before_user=(65,)))
    data = replace(model.commitment, metadata=stated).to_bytes()
    with pytest.raises(FormatError, match="not a mark"):
        type(model.commitment).from_bytes(data)
    again = type(model.commitment).from_bytes(model.commitment.to_bytes())
    assert again.metadata.conversation == frame


def test_templates_that_take_white_space_off_show_what_is_left(model: Talker) -> None:
    frame = ChatFrame((254, "u\n"), (255,), edges="dropped")
    stated = replace(model.commitment.metadata, conversation=frame)
    other = replace(
        model, commitment=replace(model.commitment, metadata=stated),
        secret=replace(model.secret, commitment=replace(model.commitment, metadata=stated)),
    )  # fmt: skip
    proof = prove(other.model, other.secret, messages=[("user", " hi ")], max_new_tokens=1).proof
    assert proof.messages == (Message("user", "hi"),)
    assert check(other, proof, messages=[("user", "hi ")]).prompt == "hi"
    with pytest.raises(REFUSED):
        check(other, replace(proof, messages=(Message("user", " hi "),)))


def test_wrong_use(model: Talker) -> None:
    for wrong in (
        {"prompt": "a", "messages": TALK}, {}, {"messages": TALK, "raw": True},
        {"messages": [("user",)]}, {"messages": [{"role": "user"}]}, {"messages": "hello"},
        {"messages": TALK[:3]}, {"prompt": "a", "nonce": "00"}, {"prompt": "a", "stop": "x"},
        {"prompt": "a", "temperature": 5},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            prove(model.model, model.secret, **wrong)  # type: ignore[arg-type]


def test_an_answer_ends_at_a_stop_text(model: Talker) -> None:
    full = prove(model.model, model.secret, "hello", max_new_tokens=4)
    text = full.answer[1:2]
    made = prove(model.model, model.secret, "hello", max_new_tokens=4, stop=[text])
    assert len(made.proof.answer) <= 4
    assert text not in made.answer
    assert full.answer.startswith(made.answer)
    assert made.proof.answer == full.proof.answer[: len(made.proof.answer)]


# ---- the command line ---------------------------------------------------------------------------


def said(talk: Sequence[tuple[str, str]]) -> list[str]:
    return [word for role, text in talk for word in ("--message", f"{role}:{text}")]


def test_the_command_line(model: Talker) -> None:
    folder = model.path.parent
    public, secret = folder / "talker.vcom", folder / "talker.vsec"
    model.secret.save_pair(secret, public)
    nonce, out = folder / "n.vnonce", folder / "drawn.vproof"
    run = CliRunner().invoke
    made = run(main, ["nonce", str(nonce), "--json"])
    assert made.exit_code == 0
    told = made.output.split('"digest": "')[1][:64]
    again = run(main, ["nonce", str(nonce)])
    assert again.exit_code == 2
    done = run(
        main,
        ["prove", str(model.path), *said(TALK), "--max-new-tokens", "2", "--temperature", "0.7",
         "--nonce", "aa", "--server-nonce", str(nonce), "--out", str(out), "-q"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    checked = run(
        main,
        ["verify", str(out), "--commitment", str(public), *said(TALK), "--nonce", "aa",
         "--server-nonce", told, "--temperature", "0.7", "-q"],
    )  # fmt: skip
    assert checked.exit_code == 0, checked.output
    for word in ("ACCEPTED", "be kind", "at temperature 0.7", "neither side", told[:20]):
        assert word in checked.output
    both = run(main, ["verify", str(out), str(out), "--commitment", str(public), "-q"])
    assert both.exit_code == 0, both.output
    told = 'system "be kind", user "hello", assistant "hi", user "a b" -> '
    for word in (told, f"{MARKS[0]}system\\nbe kind", "at temperature 0.7", "not proved"):
        assert word in both.output  # the last message alone would be another question
    refused = run(main, ["verify", str(out), "--commitment", str(public), "--nonce", "ab", "-q"])
    assert refused.exit_code == 1
    assert "nonce" in refused.output
    wrong = run(main, ["prove", str(model.path), "--message", "tool:x"])
    assert wrong.exit_code == 2
