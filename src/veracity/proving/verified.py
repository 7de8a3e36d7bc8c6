"""What a proof of an answer says once its argument holds: texts read by the verifier itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, field
from typing import Any

from veracity.errors import VerificationError
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.proof import Proof
from veracity.lm.text_decoder import context_of, vocabulary_of
from veracity.proving.drawn import DRAWN, NOT_DRAWN_ALONE, Draw
from veracity.proving.prompts import AskedPrompt, ReadPrompt, prompt_bytes, read_prompt
from veracity.records import record
from veracity.text.chat import Message
from veracity.text.shown import ShownAnswer
from veracity.work.effort import TEXT_S, require_time

__all__ = [
    "NOT_PROVED",
    "PROVED",
    "VerifiedAnswer",
    "accepted_answer",
    "read_answer",
    "require_commitment",
    "require_text_effort",
]

#: What an accepted proof establishes, and what it does not, in plain words.
PROVED = (
    "the committed model, run in its exact integer arithmetic, gives this answer to this prompt: "
    "every step from token ids to token ids, {choice}; its weights, "
    "fixed when it was committed, are integers"
)
GREEDY = "each token the most likely one"
#: Added to it: what the commitment's annex proves of the weights.
WEIGHTS_BOUNDED = " below 2^49"
WEIGHTS_EXACT = " within the widths that its program states"
NOT_PROVED = (
    "that this commitment is to the model its publisher promised (name, source and accuracy are "
    "the publisher's statements); that the template around the prompt, the tokens that end an "
    "answer and the table of tokens are the ones you would choose (they are the publisher's "
    "choice); or that what the answer says is true"
)
#: Added to the one where the commitment pins how text is encoded, to the other where it does not.
TOKENISATION_CHECKED = "; the prompt's token ids are the only ones that its text has"
TOKENISATION_UNCHECKED = (
    ". TOKENISATION NOT CHECKED: this model's tokenizer is of a form that the commitment cannot "
    "pin, so the prover may have chosen among many spellings of the prompt in token ids, and the "
    "answer may depend on that choice"
)


@record
class VerifiedAnswer:
    """An accepted proof, as text decoded by the verifier itself.

    Parameters
    ----------
    prompt : str
        The user's words, without the model's template: exactly the text that was encoded.
    prompt_before, prompt_after : str
        What the model read around the prompt: its template, special tokens by name. The publisher's
        choice.
    answer : str
        The whole answer; special tokens in it are shown by name. Only a special token that ends it
        is left out.
    special_tokens : tuple of (int, str)
        Where in ``answer`` special tokens stand, and their names.
    ended_by : str or None
        The token with which the model ended the answer; None where the prover cut it. Which tokens
        end an answer is the publisher's choice: where it is text, it is part of the answer.
    frame : str
        ``chat``, ``raw`` or ``messages``.
    prompt_tokens, answer_tokens : int
        Numbers of token ids, template included.
    tokenisation_checked : bool
        Whether the prompt's ids were compared with the one encoding of its text. False only for
        models whose tokenizer the commitment cannot pin.
    widths_checked : bool
        Whether every weight is proved to keep to its stated width (else: integers below 2^49).
    commitment_digest : str
        The commitment that the caller pinned.
    context : str
        What the proof is bound to beside its words; empty where its maker bound it to nothing.
    metadata : Metadata
        The publisher's statements about the model.
    proof_bytes : int
        Size of the proof file.
    seconds : float
        Time of the check.
    messages : tuple of Message
        The conversation that the prompt is, where it is one; ``prompt`` is its last message.
    draw : Draw or None
        How the answer was drawn; None where each token is the most likely one.
    """

    prompt: str
    prompt_before: str
    prompt_after: str
    answer: str
    special_tokens: tuple[tuple[int, str], ...]
    ended_by: str | None
    frame: str
    prompt_tokens: int
    answer_tokens: int
    tokenisation_checked: bool
    widths_checked: bool
    commitment_digest: str
    context: str
    metadata: Metadata = field(repr=False)
    proof_bytes: int
    seconds: float
    messages: tuple[Message, ...] = ()
    draw: Draw | None = None

    @property
    def complete(self) -> bool:
        """Whether the model ended the answer itself (else the prover cut it there)."""
        return self.ended_by is not None

    @property
    def proved(self) -> str:
        """What this proof establishes, for people."""
        weights = WEIGHTS_EXACT if self.widths_checked else WEIGHTS_BOUNDED
        proved = PROVED.format(choice=GREEDY if self.draw is None else DRAWN)
        return proved + weights + (TOKENISATION_CHECKED if self.tokenisation_checked else "")

    @property
    def not_proved(self) -> str:
        """What this proof does not establish, for people."""
        drawn = "" if self.draw is None else NOT_DRAWN_ALONE
        return NOT_PROVED + drawn + ("" if self.tokenisation_checked else TOKENISATION_UNCHECKED)

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "accepted": True,
            "prompt": self.prompt,
            **({"messages": [m.to_plain() for m in self.messages]} if self.messages else {}),
            **({"draw": asdict(self.draw)} if self.draw is not None else {}),
            "prompt_before": self.prompt_before,
            "prompt_after": self.prompt_after,
            "answer": self.answer,
            "special_tokens": [{"at": at, "name": name} for at, name in self.special_tokens],
            "complete": self.complete,
            "ended_by": self.ended_by,
            "frame": self.frame,
            "prompt_tokens": self.prompt_tokens,
            "answer_tokens": self.answer_tokens,
            "tokenisation_checked": self.tokenisation_checked,
            "widths_checked": self.widths_checked,
            "commitment": self.commitment_digest,
            "context": self.context,
            "stated": self.metadata.to_plain(),
            "proof_bytes": self.proof_bytes,
            "verify_s": round(self.seconds, 3),
            "proved": self.proved,
            "not_proved": self.not_proved,
        }


def require_commitment(digest: str, pinned: Commitment) -> None:
    """Raise :class:`VerificationError` unless a proof was made for the caller's commitment."""
    if digest != pinned.digest:
        raise VerificationError(
            "the proof was made for another commitment than the one given", "commitment"
        )


def require_text_effort(
    asked: Sequence[Proof | AskedPrompt], pinned: Commitment, max_time: float
) -> float:
    """Refuse texts that may take too long to encode again; how long they may take (seconds).

    Parameters
    ----------
    asked : sequence of Proof or AskedPrompt
        What holds the prompts.
    pinned : Commitment
        The model.
    max_time : float
        Seconds that all of them may take.

    Raises
    ------
    UsageError
        It may take longer, or ``max_time`` is no positive number.
    """
    seconds = TEXT_S * sum(prompt_bytes(one, pinned) for one in asked)
    require_time(seconds, max_time)
    return seconds


def read_answer(given: Proof, pinned: Commitment) -> tuple[ReadPrompt, ShownAnswer]:
    """Prompt and answer of a proof as texts, from its token ids and the commitment alone.

    Raises
    ------
    VerificationError
        The ids are not what they are said to be, or no ids of this model.
    """
    program, stops = pinned.program, frozenset(pinned.metadata.stop_ids)
    if any(token >= vocabulary_of(program) for token in given.tokens):
        raise VerificationError("a token id is outside the vocabulary", "tokens")
    if len(given.tokens) - 1 > context_of(program):
        raise VerificationError("more tokens than the model's context holds", "tokens")
    if stops & set(given.answer[:-1]):
        raise VerificationError("the answer goes on after the token that ends it", "answer")
    return read_prompt(given, pinned), pinned.table.show_answer(given.answer, stops)


def accepted_answer(
    given: Proof,
    pinned: Commitment,
    reading: tuple[ReadPrompt, ShownAnswer],
    *,
    proof_bytes: int,
    seconds: float,
    draw: Draw | None = None,
) -> VerifiedAnswer:
    """What is said of an answer whose argument holds.

    Parameters
    ----------
    given : Proof
        The answer.
    pinned : Commitment
        The model.
    reading : tuple
        Prompt and answer as :func:`read_answer` read them.
    proof_bytes : int
        Size of the proof file.
    seconds : float
        Time of the check.
    draw : Draw, optional
        How the answer was drawn.
    """
    asked, shown = reading
    return VerifiedAnswer(
        prompt=asked.words,
        prompt_before=asked.before,
        prompt_after=asked.after,
        answer=shown.text,
        special_tokens=shown.special,
        ended_by=shown.ended_by,
        frame=given.frame,
        prompt_tokens=given.prompt_length,
        answer_tokens=len(given.answer),
        tokenisation_checked=pinned.table.encoder is not None,
        widths_checked=bool(pinned.widths),
        commitment_digest=pinned.digest,
        context=given.context,
        metadata=pinned.metadata,
        proof_bytes=proof_bytes,
        seconds=seconds,
        messages=asked.messages,
        draw=draw,
    )
