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
from veracity.proving.inspect import inspect_file
from veracity.proving.models import calibrate, import_model
from veracity.proving.prove import answer_tokens, prove_tokens
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
    plain = {k: v for k, v in result.to_plain().items() if k != "model"}
    return repr(plain)


@pytest.mark.xfail(strict=True, reason="frames are not shown")
@pytest.mark.parametrize("side", ["before", "after"])
def test_hidden_words_in_the_raw_frame(publisher: Publisher, tmp_path: Path, side: str) -> None:
    """They are refused: nobody who asks in raw form expects a word beside their own."""
    raw = publisher.commitment.metadata.frames["raw"]
    hidden = tuple(publisher.model.encode(HIDDEN))
    frame = replace(raw, **{side: (*getattr(raw, side), *hidden)})
    other = publisher.altered(frames={"raw": frame})
    with pytest.raises(REFUSED):
        verify(other.prove(publisher.model.encode(WORDS)), other.reread(tmp_path))


@pytest.mark.xfail(strict=True, reason="frames are not shown")
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


@pytest.mark.xfail(strict=True, reason="special tokens vanish from an answer")
@pytest.mark.parametrize("word", [b" little", b" girl", b",", b" to"])
def test_a_word_that_vanishes(publisher: Publisher, tmp_path: Path, word: bytes) -> None:
    """A word that is flagged special is refused, or shown where it stands."""
    table = publisher.commitment.table
    hidden = {i for i, piece in enumerate(table.pieces) if piece == word}
    other = publisher.altered(TokenTable(table.pieces, table.special | hidden, table.rule))
    proof = other.prove(publisher.model.encode("One"))
    if not hidden & set(proof.answer):
        proof = other.prove(publisher.model.encode(WORDS), 16)
    assert hidden & set(proof.answer), "choose another word"
    try:
        result = verify(proof, other.reread(tmp_path))
    except REFUSED:
        return
    assert word.decode() in result.answer


@pytest.mark.xfail(strict=True, reason="nothing says that an answer ends with a word")
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
    facts = repr(inspect_file(tmp_path / "public.vcom"))
    assert "ends an answer" in facts or "answers_end_with" in facts


def test_the_honest_frame_is_accepted(publisher: Publisher, tmp_path: Path) -> None:
    proof = publisher.prove(publisher.model.encode(WORDS))
    assert verify(proof, publisher.reread(tmp_path), prompt=WORDS).prompt == WORDS
    assert isinstance(publisher.commitment.metadata.frames["raw"], PromptFrame)
