"""Several prompts answered and proved at once: one proof, smaller and quicker than one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from veracity import zkml
from veracity.codec.arguments import require_type, require_whole
from veracity.codec.files import Source
from veracity.errors import UsageError
from veracity.formats.answers import AnswersProof, answers_context
from veracity.formats.program import ProgramFile
from veracity.formats.proof import Proof
from veracity.formats.secret import Secret
from veracity.lm.several import MAX_ANSWERS, ports_of_several, several
from veracity.progress import Progress, silent
from veracity.proving.answering import (
    answer_text,
    answer_tokens,
    as_stops,
    encode_asked,
    holds_stop,
    room_for,
)
from veracity.proving.opened import Means, Opened, open_model, require_told
from veracity.proving.prompts import Given
from veracity.work.programs import integer_program

__all__ = ["ProvedAnswers", "all_answered", "check_prompts", "prove_answers"]


@dataclass(frozen=True)
class ProvedAnswers:
    """Answers as texts, in the order of the prompts, and the one proof of them."""

    answers: tuple[str, ...]
    proof: AnswersProof


def prove_answers(
    program: ProgramFile | str | Path,
    secret: Secret | Source,
    prompts: Sequence[str | Given],
    *,
    max_new_tokens: int = 32,
    raw: bool = False,
    stop: Sequence[str] = (),
    context: str = "",
    memory: int | None = None,
    jobs: int = 1,
    ray: str | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> ProvedAnswers:
    """Answer several prompts with a committed model and prove all answers with one proof.

    Who checks the proof sees all of its prompts and answers: give prompts of one user together.

    Parameters
    ----------
    program : ProgramFile or path
        The calibrated model.
    secret : Secret, path, bytes or binary file
        The opening of its commitment.
    prompts : sequence of str or of messages
        Words as :func:`veracity.prove` takes them, or conversations; at most 32.
    max_new_tokens : int
        Each answer ends there if the model does not end it before.
    raw : bool
        Give words to the model without a template.
    stop : sequence of str
        Texts that end an answer.
    context : str
        What the proof is bound to beside its words.
    memory : int, optional
        Bytes that all processes together may occupy.
    jobs : int
        Processes that prove segments side by side.
    ray : str, optional
        ``HOST:PORT`` of a Ray cluster whose machines prove the segments.
    threads : int, optional
        Threads of all processes together; all cores by default.
    backend : str
        The engine that computes.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
        Secret and program do not belong together, there are no prompts or too many, or one does not
        fit the model.
    RangeError
        A value left its calibrated range; no proof of these prompts can be made.
    """
    means = Means(memory, jobs, ray, threads, backend)
    require_told(context, progress)
    check_prompts(prompts, max_new_tokens, raw)
    stops = tuple(as_stops(stop))
    progress("load", 0.0)
    with open_model(program, secret, means) as model:
        return all_answered(
            model, prompts, max_new_tokens=max_new_tokens, raw=raw, stops=stops, context=context,
            progress=progress,
        )  # fmt: skip


def check_prompts(prompts: Sequence[str | Given], max_new_tokens: int, raw: bool) -> None:
    """Check what is asked, as far as that needs no model.

    Parameters
    ----------
    prompts, max_new_tokens, raw
        As for :func:`prove_answers`.

    Raises
    ------
    UsageError
    """
    require_type("raw", raw, bool)
    require_whole("max_new_tokens", max_new_tokens, 1)
    if isinstance(prompts, str) or not 1 <= len(prompts) <= MAX_ANSWERS:
        raise UsageError(f"one proof is of 1 to {MAX_ANSWERS} prompts, given as a list")


def all_answered(
    model: Opened[ProgramFile],
    prompts: Sequence[str | Given],
    *,
    max_new_tokens: int,
    raw: bool,
    stops: tuple[str, ...],
    context: str,
    progress: Progress,
) -> ProvedAnswers:
    """Answer several prompts and prove all answers.

    Parameters
    ----------
    model : Opened
        The model.
    prompts, max_new_tokens, raw, stops, context, progress
        As for :func:`prove_answers`.

    Raises
    ------
    UsageError, RangeError
        As there.
    """
    loaded, commitment = model.loaded, model.secret.commitment
    asked = []
    for prompt in prompts:
        words, messages = (prompt, None) if isinstance(prompt, str) else (None, prompt)
        asked.append(encode_asked(loaded, commitment, words, messages, raw=raw))
        room_for(loaded, asked[-1][2])
    progress("load", 1.0)
    ended = partial(holds_stop, stops, commitment) if stops else None
    answers = []
    for i, (frame, said, ids) in enumerate(asked):

        def report(phase: str, share: float, i: int = i) -> None:
            progress(phase, (i + share) / len(asked))

        wanted = min(max_new_tokens, room_for(loaded, ids))
        found = answer_tokens(loaded, ids, wanted, report, model.engine.integers, ended=ended)
        answers.append(
            Proof(commitment.digest, frame, (*ids, *found), len(ids), b"", messages=said)
        )
    said_all = AnswersProof(commitment.digest, tuple(answers), b"", (), context)
    proof = _proof(model, said_all, progress)
    texts = tuple(answer_text(one.answer, stops, commitment) for one in proof.answers)
    return ProvedAnswers(texts, proof)


def _proof(model: Opened[ProgramFile], said: AnswersProof, progress: Progress) -> AnswersProof:
    """Prove what is said.

    Parameters
    ----------
    model : Opened
        The model.
    said : AnswersProof
        Answers and context, without the argument.
    progress : Progress
        Called as the work advances.
    """
    program = integer_program(model.loaded)
    together = several(program, len(said.answers))
    ports = ports_of_several([(one.tokens, one.prompt_length) for one in said.answers])
    plan = model.plan(zkml.Execution(together, *ports))
    statement = zkml.Statement(
        together,
        *ports,
        plan.cuts,
        commitment=model.secret.commitment.model,
        context=answers_context(said),
        committed=program,
    )
    argument = model.argue(statement, plan, progress)
    return AnswersProof(said.commitment_digest, said.answers, argument, plan.cuts, said.context)
