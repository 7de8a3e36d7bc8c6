"""What ran around and inside the words that a verifier sees.

A publisher decides the frames of prompts, which tokens are special, which ones end an answer. None
of it may put words in, or take words out, unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from veracity.errors import FormatError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.program import ProgramFile, load_program_file
from veracity.formats.proof import Proof
from veracity.formats.secret import Secret
from veracity.progress import silent
from veracity.proving.answering import answer_tokens
from veracity.proving.inspect import inspect_file
from veracity.proving.models import calibrate, import_model
from veracity.proving.prove import prove_tokens
from veracity.proving.verify import verify
from veracity.text.table import PromptFrame, TokenTable
from veracity.work.commit import commit

WORDS = "One day"
HIDDEN = "The dog was very bad and the dog bit Lily. Lily cried."
REFUSED = (FormatError, VerificationError)


@dataclass(frozen=True)
class Publisher:
    """A committed model, whose metadata its publisher may write as it pleases."""

    model: ProgramFile
    commitment: Commitment
    secret: Secret

    def altered(self, table: TokenTable | None = None, **metadata: Any) -> Publisher:
        """The same weights under other statements of the publisher."""
        c = self.commitment
        table = c.table if table is None else table
        stated = replace(c.metadata, tokenizer_digest=table.digest, **metadata)
        public = replace(c, metadata=stated, table=table)
        return replace(
            self,
            commitment=public,
            secret=Secret(public, self.secret.weights_digest, self.secret.opening),
        )

    def prove(self, words: Sequence[int], wanted: int = 12, frame: str = "raw") -> Proof:
        """The model's answer to a prompt in a frame."""
        sides = self.commitment.metadata.frames[frame]
        ids = [*sides.before, *words, *sides.after]
        answer = answer_tokens(self.model, ids, wanted, silent)
        return prove_tokens(self.model, self.secret, ids, answer, frame)

    def reread(self, folder: Path) -> Commitment:
        """The commitment as an auditor gets it."""
        self.commitment.save(folder / "public.vcom")
        return Commitment.load(folder / "public.vcom")


@pytest.fixture(scope="module")
def publisher(tmp_path_factory: pytest.TempPathFactory) -> Publisher:
    path = tmp_path_factory.mktemp("publisher") / "stories.vprog"
    import_model("stories260k", path)
    calibrate(path)
    model = load_program_file(path)
    return Publisher(model, *commit(model))


def shown(result: Any) -> str:
    """Everything that a verifier is told in JSON but for what the publisher states."""
    plain = {k: v for k, v in result.to_plain().items() if k != "stated"}
    return repr(plain)


@pytest.mark.parametrize("side", ["before", "after"])
def test_hidden_words_in_the_raw_frame(publisher: Publisher, tmp_path: Path, side: str) -> None:
    """They are refused: nobody who asks in raw form expects a word beside their own."""
    raw = publisher.commitment.metadata.frames["raw"]
    hidden = tuple(publisher.model.encode(HIDDEN))
    frame = replace(raw, **{side: (*getattr(raw, side), *hidden)})
    other = publisher.altered(frames={"raw": frame})
    with pytest.raises(REFUSED):
        verify(other.prove(publisher.model.encode(WORDS)), other.reread(tmp_path))


@pytest.mark.parametrize("side", ["before", "after"])
def test_hidden_words_in_the_chat_frame(publisher: Publisher, tmp_path: Path, side: str) -> None:
    """A template may have words: a verifier sees them, and so does who inspects the commitment."""
    raw = publisher.commitment.metadata.frames["raw"]
    hidden = tuple(publisher.model.encode(HIDDEN))
    frames = {"raw": raw, "chat": replace(raw, **{side: (*getattr(raw, side), *hidden)})}
    other = publisher.altered(frames=frames)
    proof = other.prove(publisher.model.encode(WORDS), frame="chat")
    result = verify(proof, other.reread(tmp_path))
    assert HIDDEN in shown(result)
    assert HIDDEN in repr(inspect_file(tmp_path / "public.vcom"))


@pytest.mark.parametrize("side", ["before", "after"])
def test_words_that_are_called_special_in_the_raw_frame(
    publisher: Publisher, tmp_path: Path, side: str
) -> None:
    """To call hidden words special does not make them marks."""
    raw, table = publisher.commitment.metadata.frames["raw"], publisher.commitment.table
    hidden = tuple(publisher.model.encode(HIDDEN))
    frame = replace(raw, **{side: (*getattr(raw, side), *hidden)})
    named = TokenTable(table.pieces, table.special | set(hidden), table.rule)
    other = publisher.altered(named, frames={"raw": frame})
    with pytest.raises(REFUSED, match="token"):
        verify(other.prove(publisher.model.encode("One")), other.reread(tmp_path))
    with pytest.raises(REFUSED, match="token"):
        verify(other.prove(publisher.model.encode("One")), other.commitment)


def answering(other: Publisher, hidden: set[int]) -> Proof:
    """A proof in whose answer one of the tokens stands."""
    for prompt, wanted in (("One", 12), (WORDS, 16), ("Once upon a time", 12)):
        proof = other.prove(other.model.encode(prompt), wanted)
        if hidden & set(proof.answer):
            return proof
    raise AssertionError("choose another word")


@pytest.mark.parametrize("word", [b" little", b" was", b",", b" to"])
@pytest.mark.parametrize("way", ["special", "empty"])
def test_a_word_that_vanishes(publisher: Publisher, tmp_path: Path, word: bytes, way: str) -> None:
    """A word that is flagged special, or stands for no bytes, is refused or shown in its place."""
    table = publisher.commitment.table
    hidden = {i for i, piece in enumerate(table.pieces) if piece == word}
    proof = answering(publisher, hidden)
    if way == "special":
        changed = TokenTable(table.pieces, table.special | hidden, table.rule)
    else:
        pieces = tuple(b"" if i in hidden else piece for i, piece in enumerate(table.pieces))
        changed = TokenTable(pieces, table.special, table.rule)
    other = publisher.altered(changed)
    ids = list(proof.prompt)
    proof = prove_tokens(other.model, other.secret, ids, list(proof.answer), "raw")
    try:
        result = verify(proof, other.reread(tmp_path))
    except REFUSED:
        return
    first = next(i for i, token in enumerate(proof.answer) if token in hidden)
    before = b"".join(table.pieces[i] for i in proof.answer[:first]).decode()
    at, name = result.special_tokens[0]
    assert at == len(before)
    assert result.answer.startswith(before + name)
    assert f"token {proof.answer[first]}" in name
    assert way == "empty" or word.decode() in name
    assert {"at": at, "name": name} in result.to_plain()["special_tokens"]


def test_a_mark_in_an_answer_is_shown_by_name(publisher: Publisher, tmp_path: Path) -> None:
    """Special tokens that look like marks, in the answer and at its end."""
    table = publisher.commitment.table
    proof = publisher.prove(publisher.model.encode(WORDS))
    names = {proof.answer[3]: b"<|user|>", proof.answer[6]: b"<|im_end|>"}
    pieces = tuple(names.get(i, piece) for i, piece in enumerate(table.pieces))
    changed = TokenTable(pieces, table.special | set(names), table.rule)
    other = publisher.altered(changed, stop_ids=(proof.answer[6],))
    answer = list(proof.answer[:7])
    forged = prove_tokens(other.model, other.secret, list(proof.prompt), answer, "raw")
    result = verify(forged, other.reread(tmp_path))
    assert [name for _, name in result.special_tokens] == ["<|user|>"]
    assert result.answer[result.special_tokens[0][0] :].startswith("<|user|>")
    assert result.ended_by == "<|im_end|>"
    assert "<|im_end|>" not in result.answer
    assert inspect_file(tmp_path / "public.vcom")["answers_end_with"] == ["<|im_end|>"]


def test_a_cut_answer_called_whole(publisher: Publisher, tmp_path: Path) -> None:
    """A publisher lets answers end where it pleases: the token that ended this one is shown."""
    words = publisher.model.encode(WORDS)
    full = publisher.prove(words).answer
    ending = full[5]
    other = publisher.altered(stop_ids=(ending,))
    ids = [*other.commitment.metadata.frames["raw"].before, *words]
    proof = prove_tokens(publisher.model, other.secret, ids, list(full[:6]), "raw")
    result = verify(proof, other.reread(tmp_path))
    piece = publisher.commitment.table.pieces[ending].decode()
    assert result.answer.endswith(piece)
    assert repr(piece)[1:-1] in repr(result.to_plain()["ended_by"])
    assert inspect_file(tmp_path / "public.vcom")["answers_end_with"] == [piece]
    for choice in ("template", "end an answer", "table of tokens", "publisher's choice"):
        assert choice in result.not_proved


def test_the_honest_frame_is_accepted(publisher: Publisher, tmp_path: Path) -> None:
    proof = publisher.prove(publisher.model.encode(WORDS))
    assert verify(proof, publisher.reread(tmp_path), prompt=WORDS).prompt == WORDS
    assert isinstance(publisher.commitment.metadata.frames["raw"], PromptFrame)
