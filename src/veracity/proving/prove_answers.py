"""Several prompts answered and proved at once: one proof, smaller and quicker than one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type, require_whole
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.formats.answers import AnswersProof, answers_context
from veracity.formats.program import ProgramFile
from veracity.formats.proof import Proof, check_context
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
from veracity.proving.prompts import Given
from veracity.proving.prove import check_pair, load_secret
from veracity.work.links import Workers, prove_chain
from veracity.work.memory import plan_links
from veracity.work.programs import integer_program, load_program, page_weights

__all__ = ["ProvedAnswers", "prove_answers"]


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
    require_type("context", context, str)
    require_type("raw", raw, bool)
    require_whole("max_new_tokens", max_new_tokens, 1)
    require_whole("memory", memory, 1, optional=True)
    require_whole("jobs", jobs, 1)
    require_type("ray", ray, str, optional=True)
    require_settings(threads, backend, progress)
    check_context(context)
    if isinstance(prompts, str) or not 1 <= len(prompts) <= MAX_ANSWERS:
        raise UsageError(f"one proof is of 1 to {MAX_ANSWERS} prompts, given as a list")
    stops = tuple(as_stops(stop))
    progress("load", 0.0)
    engine = load_engine(backend, threads=threads)
    opened = secret if isinstance(secret, Secret) else load_secret(secret)
    loaded = load_program(program)
    if memory is not None:
        loaded = page_weights(loaded, memory)
    check_pair(loaded, opened)
    commitment = opened.commitment
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
        found = answer_tokens(loaded, ids, wanted, report, engine.integers, ended=ended)
        answers.append(
            Proof(commitment.digest, frame, (*ids, *found), len(ids), b"", messages=said)
        )
    proof = _prove(
        loaded, opened, AnswersProof(commitment.digest, tuple(answers), b"", (), context),
        Workers(jobs, threads, backend, memory, ray), progress,
    )  # fmt: skip
    texts = tuple(answer_text(one.answer, stops, commitment) for one in proof.answers)
    return ProvedAnswers(texts, proof)


def _prove(
    loaded: ProgramFile,
    opened: Secret,
    said: AnswersProof,
    workers: Workers,
    progress: Progress,
) -> AnswersProof:
    """Prove what is said.

    Parameters
    ----------
    loaded : ProgramFile
        The model.
    opened : Secret
        Its commitment's secret.
    said : AnswersProof
        Answers and context, without the argument.
    workers : Workers
        Processes, and what all of them together may occupy.
    progress : Progress
        Called as the work advances.
    """
    engine = load_engine(workers.backend, threads=workers.threads)
    program = integer_program(loaded)
    together = several(program, len(said.answers))
    ports = ports_of_several([(one.tokens, one.prompt_length) for one in said.answers])
    plan = plan_links(zkml.Execution(together, *ports), workers.memory, workers.jobs)
    if workers.memory is not None:
        engine.keep_memory(0)
    statement = zkml.Statement(
        together,
        *ports,
        plan.cuts,
        commitment=opened.commitment.model,
        context=answers_context(said),
        committed=program,
    )
    each = Workers(workers.jobs, workers.threads, workers.backend, plan.memory, workers.cluster)
    argument = prove_chain(engine, statement, loaded.weights, opened.opening, each, progress)
    return AnswersProof(said.commitment_digest, said.answers, argument, plan.cuts, said.context)
