"""A prover who chooses among the spellings of a prompt in token ids, and proves it honestly.

One text has exponentially many spellings. The model answers them differently, so that a prover
could try them until the answer pleases. Every argument below is true of its token ids; what has
to fail is the claim that they are the user's words.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.test_frontends_huggingface import GPT2, write_folder
from veracity import zkml
from veracity.engine import load_engine
from veracity.errors import UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.program import ProgramFile, load_program_file
from veracity.formats.proof import Proof, statement_context
from veracity.formats.secret import Secret
from veracity.lm.text_decoder import ports_of
from veracity.progress import silent
from veracity.proving.answering import answer_tokens
from veracity.proving.inspect import inspect_file
from veracity.proving.models import calibrate, import_model
from veracity.proving.prove import prove, prove_tokens
from veracity.proving.verify import verify
from veracity.work.commit import commit

PROMPT = "Once upon a time"


@dataclass(frozen=True)
class Owner:
    """A committed model, and what it takes to prove anything true of it."""

    model: ProgramFile
    commitment: Commitment
    secret: Secret

    def prove_ids(self, words: Sequence[int]) -> Proof:
        """The model's honest answer to any ids between the frame's, proved."""
        frame = self.commitment.metadata.frames["raw"]
        prompt = [*frame.before, *words, *frame.after]
        answer = answer_tokens(self.model, prompt, 3, silent)
        return prove_tokens(self.model, self.secret, prompt, answer, "raw")

    def check_argument(self, proof: Proof) -> None:
        """The argument without the words: true of the token ids, whatever they spell."""
        context = statement_context(self.commitment.digest, proof.frame)
        statement = zkml.Statement(
            self.commitment.program,
            *ports_of(proof.tokens, proof.prompt_length),
            proof.cuts,
            commitment=self.commitment.model,
            context=context,
        )
        zkml.verify(load_engine("cpu"), statement, proof.argument)


def owner_of(source: str | Path, folder: Path, text: str | None = None) -> Owner:
    path = folder / "model.vprog"
    import_model(source, path)
    sample = folder / "sample.txt"
    if text is not None:
        sample.write_text(text, encoding="utf-8")
    calibrate(path, text=None if text is None else sample)
    model = load_program_file(path)
    public, secret = commit(model)
    return Owner(model, Commitment.from_bytes(public.to_bytes()), secret)


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    return owner_of("stories260k", tmp_path_factory.mktemp("stories"))


def letters(owner: Owner, text: str) -> list[int]:
    """One id for every letter."""
    plain = {piece: i for i, piece in enumerate(owner.model.token_bytes) if i > 2}
    return [plain[c.encode()] for c in text]


def test_the_one_spelling_is_accepted(stories: Owner) -> None:
    proof = stories.prove_ids(stories.model.encode(PROMPT))
    result = verify(proof, stories.commitment, prompt=PROMPT)
    assert result.prompt == PROMPT
    assert result.tokenisation_checked
    assert "token ids are the only ones" in result.proved
    assert "TOKENISATION" not in result.not_proved
    for other in (" " + PROMPT, PROMPT + "\n", PROMPT.lower()):
        with pytest.raises(VerificationError, match="another prompt"):
            verify(proof, stories.commitment, prompt=other)


def spellings(owner: Owner) -> dict[str, list[int]]:
    """Ids that decode to the prompt, give or take white space, and are not its encoding."""
    honest = owner.model.encode(PROMPT)
    space, piece = letters(owner, " ")[0], owner.model.token_bytes[honest[0]].decode()
    return {
        "a letter at a time": letters(owner, " " + PROMPT),
        "one word in letters": [*letters(owner, piece), *honest[1:]],
        "without the space before": [*letters(owner, PROMPT[:4]), *owner.model.encode(PROMPT[5:])],
        "bytes for letters": [*honest[:-1], *(3 + b for b in owner.model.token_bytes[honest[-1]])],
        "half a character after it": [*honest, 3 + 0xC3],
        "a space in two tokens": [space, *letters(owner, piece), *honest[1:]],
    }


@pytest.mark.parametrize(
    "name",
    [
        "a letter at a time",
        "one word in letters",
        "without the space before",
        "bytes for letters",
        "half a character after it",
        "a space in two tokens",
    ],
)
def test_another_spelling_is_refused(stories: Owner, name: str) -> None:
    ids = spellings(stories)[name]
    proof = stories.prove_ids(ids)
    stories.check_argument(proof)
    for said in (None, PROMPT, " " + PROMPT):
        with pytest.raises(VerificationError, match=r"another tokenisation|spell no text"):
            verify(proof, stories.commitment, prompt=said)


def test_spellings_change_the_answer(stories: Owner) -> None:
    """That is why they matter."""
    start = stories.commitment.metadata.frames["raw"].before
    prompts = [stories.model.encode(PROMPT), *list(spellings(stories).values())[:3]]
    answers = [answer_tokens(stories.model, [*start, *ids], 8, silent) for ids in prompts]
    assert len(set(map(tuple, answers))) > 1


@pytest.mark.parametrize("words", ["  " + PROMPT, PROMPT + "  ", "\n\n" + PROMPT, PROMPT + "\n"])
def test_white_space_at_the_ends_is_another_prompt(stories: Owner, words: str) -> None:
    """Canonically spelled, it is proved and read as what it is, and not as the prompt without."""
    proof = stories.prove_ids(stories.model.encode(words))
    assert verify(proof, stories.commitment, prompt=words).prompt == words
    with pytest.raises(VerificationError, match="another prompt"):
        verify(proof, stories.commitment, prompt=PROMPT)


def test_an_owner_cannot_prove_what_is_no_text(stories: Owner) -> None:
    with pytest.raises(UsageError, match="Unicode"):
        prove(stories.model, stories.secret, "Once\udcff", max_new_tokens=2)


def test_a_model_whose_tokenizer_cannot_be_pinned_says_so(tmp_path: Path) -> None:
    """Letters in lower case: a form that only the library knows."""
    folder = tmp_path / "model"
    write_folder(folder, GPT2)
    path = folder / "tokenizer.json"
    body = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**body, "normalizer": {"type": "Lowercase"}}), encoding="utf-8")
    owner = owner_of(folder, tmp_path, "the quick brown fox jumps over the lazy dog. " * 40)
    assert owner.commitment.table.rule is None
    owner.commitment.save(tmp_path / "model.vcom")
    assert inspect_file(tmp_path / "model.vcom")["tokenisation"].startswith("not pinned")

    with pytest.raises(UsageError, match="give it as 'the fox'"):
        prove(owner.model, owner.secret, "The FOX", max_new_tokens=2)
    proof = prove(owner.model, owner.secret, "the fox", max_new_tokens=2).proof
    result = verify(proof, owner.commitment, prompt="the fox")
    assert not result.tokenisation_checked
    assert "TOKENISATION NOT CHECKED" in result.not_proved
    assert "TOKENISATION NOT CHECKED" in result.to_plain()["not_proved"]
    assert "only ones" not in result.proved
