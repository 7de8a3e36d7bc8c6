"""Checking a proved answer: two files in, the text it proves out.

Nothing here (nor below) imports a model format, a tokenizer, a device library or a source of
randomness: an architecture test runs it where those cannot be imported.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import TypeVar

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import FormatError, MismatchError, UsageError, VerificationError
from veracity.formats.answers import AnswersProof
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.drawing import read_nonce, read_temperature
from veracity.formats.proof import Proof, check_context, statement_context
from veracity.lm.text_decoder import is_text_decoder, ports_of, vocabulary_of
from veracity.progress import Progress, silent
from veracity.proving.discharge import discharge
from veracity.proving.drawn import Draw, compare_drawing
from veracity.proving.prompts import (
    Given,
    ReadPrompt,
    conversation_of,
    form_of,
    shown_messages,
)
from veracity.proving.verified import (
    VerifiedAnswer,
    accepted_answer,
    read_answer,
    require_commitment,
    require_text_effort,
)
from veracity.text.chat import Message, as_messages
from veracity.work.effort import MAX_TIME
from veracity.zk.keys import MAX_LOG_COLUMNS, MIN_LOG_COLUMNS

__all__ = ["verify"]

Answers = TypeVar("Answers", Proof, AnswersProof)

#: What is said of an argument that fails; the place that found it is told apart.
NOT_SHOWN = "the proof does not show that the committed model gives this answer to this prompt"


def verify(
    proof: Proof | Source,
    commitment: Commitment | Source,
    *,
    prompt: str | None = None,
    answer: str | None = None,
    messages: Given | None = None,
    raw: bool = False,
    temperature: float | str | None = None,
    nonce: str | None = None,
    server_nonce: str | None = None,
    digest: str | None = None,
    context: str | None = None,
    max_time: float = MAX_TIME,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> VerifiedAnswer:
    """Check that the committed model gives the answer in ``proof``.

    Parameters
    ----------
    proof : Proof, path, bytes or binary file
        The answer with its proof.
    commitment : Commitment, path, bytes or binary file
        The model that the caller trusts to be the right one; nothing in the proof can change it.
    prompt : str, optional
        Words the caller expects to have been asked: every character counts, white space at the ends
        included. They are expected in the model's chat template, where it has one, unless ``raw``.
    answer : str, optional
        Words the caller expects as the answer, up to white space at both ends (models begin answers
        with a space; nobody chose it).
    messages : sequence of (role, content), optional
        The conversation that the caller expects to have been answered.
    raw : bool
        The prompt is expected without a template.
    temperature : float or str, optional
        At which the caller expects the answer to have been drawn; 0 for the most likely tokens.
    nonce : str, optional
        The caller's own nonce, hexadecimal: without it the prover may have chosen another.
    server_nonce : str, optional
        The digest that the server told of its nonce before it knew the caller's, 64 hexadecimal
        digits.
    digest : str, optional
        The commitment's digest as its publisher announces it, 64 hexadecimal digits; any other
        commitment is refused.
    context : str, optional
        What the caller expects the proof to be bound to, such as the nonce of its request; empty
        for nothing.
    max_time : float
        Seconds that the check may take, told from the sizes of the files before it begins.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes: ``"cpu"``, or ``"reference"``, which is slow and runs everywhere.
    progress : Progress
        Called as the check advances.

    Returns
    -------
    VerifiedAnswer
        Only ever for an accepted proof.

    Raises
    ------
    VerificationError
        The proof is false, or the commitment is not the one that was announced.
    MismatchError
        The proof is true, but of another prompt, answer, frame or context than expected.
    FormatError
        A file is damaged, of another kind or of another version.
    UsageError
        An argument is of a wrong type, a path cannot be read, no backend has this name,
        ``digest`` is none, or the check may take longer than ``max_time``.
    BackendUnavailable
        The backend is not built here.
    """
    started = time.perf_counter()
    for name, text in (("prompt", prompt), ("answer", answer), ("digest", digest)):
        require_type(name, text, str, optional=True)
    require_type("context", context, str, optional=True)
    require_type("raw", raw, bool)
    require_settings(threads, backend, progress)
    if messages is not None and prompt is not None:
        raise UsageError("expect a prompt or messages, one of them")
    expected = None if messages is None else as_messages(messages)
    wanted = None
    if temperature is not None:
        wanted = 0 if str(temperature) in ("0", "0.0") else read_temperature(temperature)
    own = None if nonce is None else read_nonce(nonce)
    told = None if server_nonce is None else read_digest(server_nonce, "server's nonce")
    announced = None if digest is None else read_digest(digest)
    if context is not None:
        check_context(context)
    progress("load", 0.0)
    pinned = commitment if isinstance(commitment, Commitment) else Commitment.load(commitment)
    given = as_read(proof, Proof) if isinstance(proof, Proof) else Proof.load(proof)
    check_commitment(pinned)
    require_announced(announced, pinned)
    require_commitment(given.commitment_digest, pinned)
    metadata = pinned.metadata
    reading = require_text_effort([given], pinned, max_time)
    asked, shown = read_answer(given, pinned)
    if expected is not None:
        expected = list(conversation_of(expected, metadata.conversation))

    engine = load_engine(backend, threads=threads)
    statement = zkml.Statement(
        pinned.program,
        *ports_of(given.tokens, given.prompt_length),
        given.cuts,
        None if given.drawing is None else given.drawing.sampling(pinned.digest, given.prompt),
        commitment=pinned.model,
        context=statement_context(
            pinned.digest, given.frame, given.context, given.drawing, given.messages
        ),
    )
    discharge(
        engine, pinned, statement, given.argument, NOT_SHOWN, max_time=max_time, beside=reading,
        progress=progress,
    )  # fmt: skip
    # Words are compared last: "not what you expected" is said of true proofs only.
    require_asked(given.frame, asked, metadata, prompt, expected, raw=raw)
    compare_drawing(given.drawing, wanted, own, told)
    words = prompt if messages is None else messages
    given_by_caller = {
        "nonce": own, "server nonce": told, "temperature": wanted, "prompt": words,
    }  # fmt: skip
    insisted = frozenset(name for name, value in given_by_caller.items() if value is not None)
    if answer is not None:
        require_same("answer", answer.strip(), shown.text.strip())
    if context is not None:
        require_same("context", context, given.context)
    return accepted_answer(
        given,
        pinned,
        (asked, shown),
        proof_bytes=len(given.to_bytes()),
        seconds=time.perf_counter() - started,
        draw=None if given.drawing is None else Draw.of(given.drawing, insisted),
    )


def require_asked(
    frame: str,
    asked: ReadPrompt,
    metadata: Metadata,
    prompt: str | None,
    messages: Sequence[Message] | None = None,
    *,
    raw: bool = False,
) -> None:
    """Raise :class:`MismatchError` unless a proof is of what its reader expected to be asked.

    Parameters
    ----------
    frame : str
        The proof's.
    asked : ReadPrompt
        What was asked.
    metadata : Metadata
        The model's.
    prompt : str or None
        Expected words; None for any.
    messages : sequence of Message, optional
        An expected conversation.
    raw : bool
        The words are expected without a template.
    """
    if prompt is not None:
        form = form_of(metadata, raw)
        if form == "messages":
            messages = [Message("user", prompt)]
        else:
            require_same("frame", form, frame)
            require_same("prompt", prompt, asked.words)
    if messages is not None:
        require_same("frame", "messages", frame)
        require_same("messages", shown_messages(messages), shown_messages(asked.messages))


def require_announced(announced: str | None, pinned: Commitment) -> None:
    """Raise :class:`VerificationError` where a commitment is not the one that was announced."""
    if announced not in (None, pinned.digest):
        raise VerificationError(
            f"the commitment given is not the one announced: its digest is {pinned.digest}",
            "commitment",
        )


def require_same(what: str, expected: str, proved: str) -> None:
    """Raise :class:`MismatchError` unless what is proved is what was expected.

    Parameters
    ----------
    what : str
        What is compared.
    expected : str
        The caller's text.
    proved : str
        The proof's.
    """
    if expected != proved:
        raise MismatchError(what, expected, proved)


def read_digest(text: str, what: str = "digest") -> str:
    """A digest as somebody copied it; raises :class:`UsageError` where it is none."""
    digits = text.strip().lower()
    if re.fullmatch("[0-9a-f]{64}", digits) is None:
        who = "publisher announces" if what == "digest" else "server gave"
        raise UsageError(f"the {what} is not one: give the 64 hexadecimal digits that the {who}")
    return digits


def as_read(proof: Answers, kind: type[Answers]) -> Answers:
    """A proof that was built in memory, as its file would be read.

    Parameters
    ----------
    proof : Proof or AnswersProof
        The proof.
    kind : type
        What it is read as.

    Raises
    ------
    FormatError
        No file holds such a proof.
    """
    try:
        data = proof.to_bytes()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        reason = "a field is of a wrong type or out of range"
        raise FormatError("proof", reason) from None
    return kind.from_bytes(data)


def check_commitment(pinned: Commitment) -> None:
    """What a commitment that was built in memory may lack; those from files were checked.

    Raises
    ------
    FormatError
    """
    if not MIN_LOG_COLUMNS <= pinned.model.log_columns <= MAX_LOG_COLUMNS:
        raise FormatError("commitment", "row length out of bounds")
    if not is_text_decoder(pinned.program):
        raise FormatError("commitment", "its program is no text decoder")
    if len(pinned.table.pieces) != vocabulary_of(pinned.program):
        raise FormatError("commitment", "program and token table have different vocabularies")
    if "raw" not in pinned.metadata.frames:
        raise FormatError("commitment", "it has no raw frame")
    pinned.metadata.frames["raw"].require_wordless(pinned.table, "commitment")
