"""Several answers with one proof: each is bound to its prompt, and none can be changed or moved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support.talking import Talker, talker
from veracity.cli import main
from veracity.errors import FormatError, MismatchError, UsageError, VerificationError
from veracity.formats.answers import AnswersProof
from veracity.formats.proof import Proof
from veracity.graph import execute
from veracity.lm import several as copies
from veracity.lm.several import MAX_ANSWERS, ports_of_several, several
from veracity.lm.text_decoder import forward
from veracity.proving import verify_answers as verifier
from veracity.proving.inspect import inspect_file, load
from veracity.proving.proofs import load_proof
from veracity.proving.prove import prove
from veracity.proving.prove_answers import prove_answers
from veracity.proving.verify import verify
from veracity.proving.verify_answers import verify_answers

pytest.importorskip("jinja2")
pytest.importorskip("tokenizers")

TALK = [("user", "hello"), ("assistant", "hi"), ("user", "a b")]
PROMPTS: list[Any] = ["a", TALK, "hello world"]
CONTEXT = "case 7"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Talker:
    return talker(tmp_path_factory.mktemp("talker"))


@pytest.fixture(scope="module")
def proof(model: Talker) -> AnswersProof:
    found = prove_answers(model.model, model.secret, PROMPTS, max_new_tokens=3, context=CONTEXT)
    assert len(found.answers) == 3
    return found.proof


def check(model: Talker, proof: AnswersProof, **expected: Any) -> Any:
    return verify_answers(proof, model.commitment, **expected)


def test_each_answer_is_the_one_that_it_has_alone(model: Talker, proof: AnswersProof) -> None:
    assert AnswersProof.from_bytes(proof.to_bytes()) == proof
    found = check(model, proof, prompts=PROMPTS, context=CONTEXT)
    for given, together, one in zip(PROMPTS, found, proof.answers, strict=True):
        asked: dict[str, Any] = {"prompt": given} if isinstance(given, str) else {"messages": given}
        alone = prove(model.model, model.secret, **asked, max_new_tokens=3)
        assert alone.proof.tokens == one.tokens
        shown = verify(alone.proof, model.commitment)
        assert (together.prompt, together.answer) == (shown.prompt, shown.answer)
        assert (together.frame, together.messages) == (shown.frame, shown.messages)
        assert together.context == CONTEXT
        assert together.proof_bytes == len(proof.to_bytes())


def test_one_is_smaller_than_many(model: Talker, proof: AnswersProof) -> None:
    alone = prove(model.model, model.secret, "a", max_new_tokens=3).proof
    assert len(proof.to_bytes()) < 2 * len(alone.to_bytes())


@pytest.mark.parametrize(("jobs", "segments"), [(2, 2), (3, 3)])
def test_a_chain_of_them(model: Talker, jobs: int, segments: int) -> None:
    """Cuts between answers hand nothing over."""
    found = prove_answers(model.model, model.secret, ["a", "b", "c"], max_new_tokens=2, jobs=jobs)
    assert len(found.proof.cuts) + 1 >= segments
    assert len(check(model, found.proof)) == 3


def altered(proof: AnswersProof, index: int, **changes: Any) -> AnswersProof:
    answers = list(proof.answers)
    answers[index] = replace(answers[index], **changes)
    return replace(proof, answers=tuple(answers))


def other(token: int) -> int:
    return token + 1 if token < 200 else token - 1


def lies(proof: AnswersProof) -> dict[str, AnswersProof]:
    """A false statement of each kind, with the argument for the true one."""
    first, talk, last = proof.answers
    tokens = list(last.tokens)
    tokens[-1] = other(tokens[-1])
    asked = list(first.tokens)
    at = next(i for i, t in enumerate(asked) if t == 64)  # the byte "a" of the prompt
    asked[at] = 65
    swapped = (
        replace(first, tokens=first.prompt + last.answer),
        talk,
        replace(last, tokens=last.prompt + first.answer),
    )
    said = tuple(replace(m, content=m.content + "!") for m in talk.messages)
    return {
        "another last token": altered(proof, 2, tokens=tuple(tokens)),
        "another prompt": altered(proof, 0, tokens=tuple(asked)),
        "answers exchanged": replace(proof, answers=swapped),
        "order": replace(proof, answers=(last, talk, first)),
        "one left out": replace(proof, answers=(first, talk)),
        "one twice": replace(proof, answers=(first, talk, last, last)),
        "context": replace(proof, context="case 8"),
        "no context": replace(proof, context=""),
        "other messages": altered(proof, 1, messages=said),
        "frame": altered(proof, 0, frame="raw", messages=()),
        "a shorter prompt": altered(proof, 2, prompt_length=last.prompt_length - 1),
        "a longer prompt": altered(proof, 2, prompt_length=last.prompt_length + 1),
        "cut elsewhere": replace(proof, cuts=(3,)),
    }


LIES = (
    "another last token", "another prompt", "answers exchanged", "order", "one left out",
    "one twice", "context", "no context", "other messages", "frame", "a shorter prompt",
    "a longer prompt", "cut elsewhere",
)  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_nothing_that_is_said_can_be_changed(model: Talker, proof: AnswersProof, lie: str) -> None:
    with pytest.raises((VerificationError, FormatError)):
        check(model, lies(proof)[lie])


@pytest.mark.parametrize("lie", ["context", "no context"])
def test_they_are_bound_by_the_digest_of_all_that_is_said(
    model: Talker, proof: AnswersProof, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verifier that takes the digest of the true statement accepts these."""
    true = verifier.answers_context(proof)
    monkeypatch.setattr(verifier, "answers_context", lambda given: true)
    assert check(model, lies(proof)[lie])


@pytest.mark.parametrize(
    ("expected", "what"),
    [
        ({"prompts": PROMPTS[:2]}, "number of answers"),
        ({"prompts": ["a", TALK, "hello"]}, "prompt"),
        ({"prompts": ["a", "a b", "hello world"]}, "frame"),
        ({"prompts": PROMPTS, "raw": True}, "frame"),
        ({"context": ""}, "context"),
    ],
)
def test_other_expectations_are_a_mismatch(
    model: Talker, proof: AnswersProof, expected: dict[str, Any], what: str
) -> None:
    with pytest.raises(MismatchError) as caught:
        check(model, proof, **expected)
    assert caught.value.what == what


def test_what_is_refused_before_the_argument(model: Talker, proof: AnswersProof) -> None:
    strange = altered(proof, 0, tokens=(*proof.answers[0].tokens[:-1], 10**6))
    for wrong, said in (
        (strange, "outside the vocabulary"),
        (replace(proof, commitment_digest="00" * 32), "another commitment"),
        (altered(proof, 0, tokens=proof.answers[0].prompt + (1,) * 200), "context holds"),
    ):
        with pytest.raises(VerificationError, match=said):
            check(model, wrong)
    with pytest.raises(VerificationError, match="not the one announced"):
        check(model, proof, digest="00" * 32)
    with pytest.raises(UsageError, match="as a list"):
        check(model, proof, prompts="a")
    with pytest.raises(UsageError, match="may take"):
        check(model, proof, max_time=1e-9)
    with pytest.raises(FormatError):
        check(model, replace(proof, cuts=(-1,)))
    with pytest.raises(UsageError, match="'raw' must be bool"):
        check(model, proof, raw="yes")


def test_too_many_for_one_program(model: Talker, proof: AnswersProof, monkeypatch: Any) -> None:
    monkeypatch.setattr(copies, "MAX_OPS", 2 * len(model.commitment.program.ops))
    with pytest.raises(VerificationError, match="too many for one proof"):
        check(model, proof)
    with pytest.raises(UsageError, match="too many for one proof"):
        several(model.commitment.program, 3)


@pytest.mark.parametrize("count", [0, MAX_ANSWERS + 1])
def test_none_and_too_many(model: Talker, count: int) -> None:
    with pytest.raises(UsageError, match="1 to 32"):
        several(model.commitment.program, count)
    with pytest.raises(UsageError, match="1 to 32"):
        prove_answers(model.model, model.secret, ["a"] * count)
    with pytest.raises(UsageError, match="as a list"):
        prove_answers(model.model, model.secret, "abc")
    answers = (Proof("00" * 32, "raw", (1, 2), 1, b""),) * count
    with pytest.raises(FormatError, match="answers"):
        AnswersProof.from_bytes(AnswersProof("00" * 32, answers, b"x").to_bytes())


def test_copies_compute_what_one_does(model: Talker) -> None:
    """Of several lengths, all in one program; its weights are those of one."""
    program = model.commitment.program
    given = [((3, 5, 9, 20, 7), 3), ((1, 2), 1), ((8,) * 9, 4)]
    together = several(program, 3)
    assert together.weights == program.weights
    inputs, _ = ports_of_several(given)
    lengths = {f"A@{i}": len(t) - n for i, (t, n) in enumerate(given)}
    found = execute(together, model.model.weights, inputs, lengths)
    for i, (tokens, length) in enumerate(given):
        alone = forward(program, model.model.weights, tokens[:-1], length)
        assert found.outputs[f"answer@{i}"].tolist() == alone.outputs["answer"].tolist()
        for name, value in alone.values.items():
            assert (found.values[f"{name}@{i}"] == value).all()


def test_the_command_line(model: Talker, proof: AnswersProof, tmp_path: Path) -> None:
    lines = [json.dumps(p if isinstance(p, str) else _messages(p)) for p in PROMPTS]
    prompts, out = tmp_path / "p.jsonl", tmp_path / "x.vproof"
    prompts.write_text("\n\n".join(lines))
    commitment, secret = tmp_path / "m.vcom", tmp_path / "m.vsec"
    model.commitment.save(commitment)
    model.secret.save(secret)
    run = CliRunner().invoke
    asking = ["--prompts", str(prompts), "--max-new-tokens", "3", "--out", str(out), "-q"]
    told = run(main, ["prove", str(model.path), "--secret", str(secret), *asking])
    assert told.exit_code == 0, told.output
    assert "answer 3" in told.output
    checking = ["verify", str(out), "--commitment", str(commitment), "-q"]
    shown = run(main, [*checking, "--prompts", str(prompts)])
    assert shown.exit_code == 0
    assert shown.output.startswith("ACCEPTED")
    assert "answer 2 of 3" in shown.output
    facts = json.loads(run(main, [*checking, "--json"]).output)
    assert [one["answer"] for one in facts["answers"]] == [
        one.answer for one in check(model, proof)
    ]
    (tmp_path / "q.jsonl").write_text("\n".join([*lines[:2], '"b"']))
    other_words = run(main, [*checking, "--prompts", str(tmp_path / "q.jsonl")])
    assert (other_words.exit_code, other_words.output[:8]) == (1, "REJECTED")
    assert run(main, [*checking, "--prompt", "a"]).exit_code == 2
    assert inspect_file(out)["answers"] == 3
    assert isinstance(load(out), AnswersProof)
    assert isinstance(load_proof(out.read_bytes()), AnswersProof)
    for wrong, said in (("{", "no JSON"), ("[]", "neither"), ('[{"role": "user"}]', "neither")):
        prompts.write_text(wrong)
        refused = run(main, ["prove", str(model.path), "--secret", str(secret), *asking])
        assert refused.exit_code == 2
        assert said in refused.output
    twice = run(main, ["prove", str(model.path), "--prompt", "a", *asking])
    assert "stands alone" in twice.output


def _messages(given: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in given]
