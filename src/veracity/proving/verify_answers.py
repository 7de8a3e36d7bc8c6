"""Checking several answers with one proof.

Like :mod:`veracity.proving.verify`, this imports no model format, no tokenizer and no source of
randomness.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import UnsupportedModelError, UsageError, VerificationError
from veracity.formats.answers import AnswersProof, answers_context
from veracity.formats.commitment import Commitment
from veracity.formats.proof import check_context
from veracity.lm.several import ports_of_several, several
from veracity.progress import Progress, silent
from veracity.proving.discharge import discharge
from veracity.proving.prompts import Given, conversation_of
from veracity.proving.verified import (
    VerifiedAnswer,
    accepted_answer,
    read_answer,
    require_commitment,
    require_text_effort,
)
from veracity.proving.verify import (
    as_read,
    check_commitment,
    read_digest,
    require_announced,
    require_asked,
    require_same,
)
from veracity.text.chat import Message, as_messages
from veracity.work.effort import MAX_TIME

__all__ = ["verify_answers"]

NOT_SHOWN = "the proof does not show that the committed model gives these answers to these prompts"


def verify_answers(
    proof: AnswersProof | Source,
    commitment: Commitment | Source,
    *,
    prompts: Sequence[str | Given] | None = None,
    raw: bool = False,
    digest: str | None = None,
    context: str | None = None,
    max_time: float = MAX_TIME,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> tuple[VerifiedAnswer, ...]:
    """Check that the committed model gives all answers of a proof.

    Parameters
    ----------
    proof : AnswersProof, path, bytes or binary file
        The answers with their proof.
    commitment : Commitment, path, bytes or binary file
        The model that the caller trusts to be the right one.
    prompts : sequence of str or of messages, optional
        What the caller expects to have been asked, in order, as for :func:`veracity.verify`.
    raw : bool
        Words are expected without a template.
    digest : str, optional
        The commitment's digest as its publisher announces it.
    context : str, optional
        What the caller expects the proof to be bound to; empty for nothing.
    max_time : float
        Seconds that the check may take, told from the sizes of the files before it begins.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes.
    progress : Progress
        Called as the check advances.

    Returns
    -------
    tuple of VerifiedAnswer
        In the order of the proof; only ever where all are proved.

    Raises
    ------
    VerificationError
        The proof is false, or the commitment is not the one that was announced.
    MismatchError
        The proof is true, but of other prompts or another context than expected.
    FormatError
        A file is damaged, of another kind or of another version.
    UsageError
        An argument is of a wrong type, or the check may take longer than ``max_time``.
    """
    started = time.perf_counter()
    require_type("digest", digest, str, optional=True)
    require_type("context", context, str, optional=True)
    require_type("raw", raw, bool)
    require_settings(threads, backend, progress)
    if isinstance(prompts, str):
        raise UsageError("give the prompts that you expect as a list")
    expected = None if prompts is None else [_expected(one) for one in prompts]
    announced = None if digest is None else read_digest(digest)
    if context is not None:
        check_context(context)
    progress("load", 0.0)
    pinned = commitment if isinstance(commitment, Commitment) else Commitment.load(commitment)
    given = (
        as_read(proof, AnswersProof)
        if isinstance(proof, AnswersProof)
        else AnswersProof.load(proof)
    )
    check_commitment(pinned)
    require_announced(announced, pinned)
    require_commitment(given.commitment_digest, pinned)
    reading = require_text_effort(given.answers, pinned, max_time)
    readings = [read_answer(one, pinned) for one in given.answers]
    try:
        together = several(pinned.program, len(given.answers))
    except (UnsupportedModelError, UsageError) as error:
        raise VerificationError(str(error), "program") from error
    engine = load_engine(backend, threads=threads)
    statement = zkml.Statement(
        together,
        *ports_of_several([(one.tokens, one.prompt_length) for one in given.answers]),
        given.cuts,
        commitment=pinned.model,
        context=answers_context(given),
        committed=pinned.program,
    )
    discharge(
        engine, pinned, statement, given.argument, NOT_SHOWN, max_time=max_time, beside=reading,
        progress=progress,
    )  # fmt: skip
    if expected is not None:
        require_same("number of answers", str(len(expected)), str(len(readings)))
        for (words, said), one, (asked, _) in zip(expected, given.answers, readings, strict=True):
            seen = None if said is None else conversation_of(said, pinned.metadata.conversation)
            require_asked(one.frame, asked, pinned.metadata, words, seen, raw=raw)
    if context is not None:
        require_same("context", context, given.context)
    size, seconds = len(given.to_bytes()), time.perf_counter() - started
    return tuple(
        accepted_answer(
            replace(one, context=given.context), pinned, reading, proof_bytes=size, seconds=seconds
        )
        for one, reading in zip(given.answers, readings, strict=True)
    )


def _expected(given: str | Given) -> tuple[str | None, list[Message] | None]:
    """Words or a conversation."""
    return (given, None) if isinstance(given, str) else (None, as_messages(given))
