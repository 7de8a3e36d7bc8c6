"""What a model's owner does with a prompt: answer it, and prove the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from veracity import zkml
from veracity.codec.arguments import require_type, require_whole
from veracity.codec.files import Source
from veracity.errors import UsageError
from veracity.formats.drawing import Drawing, ServerNonce, read_nonce, read_temperature
from veracity.formats.program import ProgramFile
from veracity.formats.proof import Proof, statement_context
from veracity.formats.secret import Secret
from veracity.graph.sampling import check_scale
from veracity.lm.text_decoder import check_drawable, ports_of
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
from veracity.text.chat import Message
from veracity.work.programs import integer_program

__all__ = [
    "ProvedAnswer",
    "Question",
    "answered",
    "proof_of",
    "prove",
    "prove_tokens",
    "question_of",
]


@dataclass(frozen=True)
class ProvedAnswer:
    """An answer as text, and its proof."""

    answer: str
    proof: Proof


@dataclass(frozen=True)
class Question:
    """What is asked, and how it is to be answered; checked as far as that needs no model."""

    prompt: str | None
    messages: Given | None
    max_new_tokens: int
    raw: bool
    stops: tuple[str, ...]
    drawing: Drawing | None
    context: str


def prove(
    program: ProgramFile | str | Path,
    secret: Secret | Source,
    prompt: str | None = None,
    *,
    messages: Given | None = None,
    max_new_tokens: int = 32,
    raw: bool = False,
    stop: Sequence[str] = (),
    temperature: float | str | None = None,
    nonce: str = "",
    server_nonce: ServerNonce | Source | None = None,
    context: str = "",
    memory: int | None = None,
    jobs: int = 1,
    ray: str | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> ProvedAnswer:
    """Answer ``prompt`` with a committed model and prove the answer.

    Parameters
    ----------
    program : ProgramFile or path
        The calibrated model.
    secret : Secret, path, bytes or binary file
        The opening of its commitment.
    prompt : str, optional
        The user's words, encoded exactly as they are, white space at their ends included; the
        model's chat template, where it has one, is put around them.
    messages : sequence of (role, content), optional
        A conversation instead of a prompt: perhaps a ``system`` message, then ``user`` and
        ``assistant`` in turn, the last one the user's; in the model's chat template.
    max_new_tokens : int
        The answer ends there if the model does not end it before.
    raw : bool
        Give the words to the model without a template.
    stop : sequence of str
        Texts that end the answer. The proof holds the token that completes one; the answer as text
        ends before it. To a verifier the answer was cut there.
    temperature : float or str, optional
        Draw the answer at this temperature, 0.001 .. 4; the most likely tokens by default.
    nonce : str
        What the user gives to the seed of the draw, at most 64 bytes in hexadecimal digits.
    server_nonce : ServerNonce or path, optional
        What the server gives to it; whoever was told its digest can check that it was fixed before.
    context : str
        What the proof is bound to beside its words, so that it answers one request and no other: a
        nonce or a case number of who asks. At most 4096 bytes; part of the proof, public.
    memory : int, optional
        Bytes that all processes together may occupy; the proof is made in as many segments as that
        takes.
    jobs : int
        Processes that prove segments side by side; a proof has at least so many segments where the
        model can be cut so often.
    ray : str, optional
        ``HOST:PORT`` of a Ray cluster whose machines prove the segments; this one alone by default.
    threads : int, optional
        Threads of all processes together; all cores by default.
    backend : str
        The engine that computes: ``"cpu"``, or ``"reference"``, which is slow and runs everywhere.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
        Secret and program do not belong together, the prompt does not fit the model or cannot be
        spelled in its tokens exactly, or no segment fits ``memory``.
    RangeError
        A value left its calibrated range; no proof of this prompt can be made.
    VeracityError
        A process that proves was ended from outside.
    """
    means = Means(memory, jobs, ray, threads, backend)
    require_told(context, progress)
    question = question_of(
        prompt,
        messages=messages,
        max_new_tokens=max_new_tokens,
        raw=raw,
        stop=stop,
        temperature=temperature,
        nonce=nonce,
        server_nonce=server_nonce,
        context=context,
    )
    progress("load", 0.0)
    with open_model(program, secret, means) as model:
        return answered(model, question, progress)


def question_of(
    prompt: str | None,
    *,
    messages: Given | None,
    max_new_tokens: int,
    raw: bool,
    stop: Sequence[str],
    temperature: float | str | None,
    nonce: str,
    server_nonce: ServerNonce | Source | None,
    context: str,
) -> Question:
    """Check what is asked.

    Parameters
    ----------
    prompt, messages, max_new_tokens, raw, stop, temperature, nonce, server_nonce, context
        As for :func:`prove`.

    Raises
    ------
    UsageError
    """
    require_type("prompt", prompt, str, optional=True)
    require_type("nonce", nonce, str)
    require_type("raw", raw, bool)
    require_whole("max_new_tokens", max_new_tokens, 1)
    if (prompt is None) == (messages is None) or (messages is not None and raw):
        raise UsageError("give a prompt, or messages, which have no raw form; one of them")
    drawing = drawing_of(temperature, nonce, server_nonce)
    return Question(prompt, messages, max_new_tokens, raw, tuple(as_stops(stop)), drawing, context)


def answered(
    model: Opened[ProgramFile], question: Question, progress: Progress = silent
) -> ProvedAnswer:
    """Answer a question and prove the answer.

    Parameters
    ----------
    model : Opened
        The model.
    question : Question
        What is asked.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError, RangeError, VeracityError
        As :func:`prove`.
    """
    loaded, commitment = model.loaded, model.secret.commitment
    asked, drawing = question, question.drawing
    name, said, ids = encode_asked(loaded, commitment, asked.prompt, asked.messages, raw=asked.raw)
    wanted = min(asked.max_new_tokens, room_for(loaded, ids))
    progress("load", 1.0)
    sampling = None if drawing is None else drawing.sampling(commitment.digest, ids)
    if sampling is not None:
        check_drawable(commitment.program)
        head = commitment.program.ops[-1].name
        check_scale(sampling, commitment.program.exponents.get(head, -1))
    ended = partial(holds_stop, asked.stops, commitment) if asked.stops else None
    answer = answer_tokens(
        loaded, ids, wanted, progress, model.engine.integers, sampling=sampling, ended=ended
    )
    proof = proof_of(
        model, ids, answer, name, messages=said, drawing=drawing, context=asked.context,
        progress=progress,
    )  # fmt: skip
    return ProvedAnswer(answer_text(answer, asked.stops, commitment), proof)


def drawing_of(
    temperature: float | str | None, nonce: str, server_nonce: ServerNonce | Source | None
) -> Drawing | None:
    """How an answer is to be drawn; None for the most likely one.

    Parameters
    ----------
    temperature : float or str, optional
        The temperature.
    nonce : str
        The user's nonce, hexadecimal; empty for none.
    server_nonce : ServerNonce or path, optional
        The server's.

    Raises
    ------
    UsageError
        A nonce is given and no temperature, or one of them is none.
    """
    if temperature is None:
        if nonce or server_nonce is not None:
            raise UsageError("nonces are for answers that are drawn; give a temperature, too")
        return None
    server = b""
    if server_nonce is not None:
        found = server_nonce
        server = (found if isinstance(found, ServerNonce) else ServerNonce.load(found)).nonce
    return Drawing(read_temperature(temperature), read_nonce(nonce) if nonce else b"", server)


def prove_tokens(
    loaded: ProgramFile,
    opened: Secret,
    prompt: list[int],
    answer: list[int],
    frame: str,
    *,
    messages: tuple[Message, ...] = (),
    drawing: Drawing | None = None,
    context: str = "",
    memory: int | None = None,
    jobs: int = 1,
    ray: str | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> Proof:
    """Prove that the committed model answers ``prompt`` with ``answer``, both in token ids.

    Parameters
    ----------
    loaded : ProgramFile
        A calibrated model.
    opened : Secret
        Its commitment's secret.
    prompt : list of int
        Token ids of the framed prompt.
    answer : list of int
        Token ids of the answer.
    frame : str
        Name of the frame around the prompt.
    messages : tuple of Message
        The conversation that the prompt is.
    drawing : Drawing, optional
        How the answer was drawn; greedily where not given.
    context : str
        What the proof is bound to beside its words.
    memory : int, optional
        Limit of the memory of all processes together, in bytes.
    jobs : int
        Processes that prove side by side.
    ray : str, optional
        Cluster whose machines they run on.
    threads : int, optional
        Threads of all processes together; all cores by default.
    backend : str
        The engine that computes: ``"cpu"``, or ``"reference"``, which is slow and runs everywhere.
    progress : Progress
        Called as the work advances.
    """
    with Opened(loaded, opened, Means(memory, jobs, ray, threads, backend)) as model:
        return proof_of(
            model, prompt, answer, frame, messages=messages, drawing=drawing, context=context,
            progress=progress,
        )  # fmt: skip


def proof_of(
    model: Opened[ProgramFile],
    prompt: list[int],
    answer: list[int],
    frame: str,
    *,
    messages: tuple[Message, ...] = (),
    drawing: Drawing | None = None,
    context: str = "",
    progress: Progress = silent,
) -> Proof:
    """:func:`prove_tokens` with a model that is open.

    Parameters
    ----------
    model : Opened
        The model.
    prompt, answer, frame, messages, drawing, context, progress
        As there.
    """
    commitment, program = model.secret.commitment, integer_program(model.loaded)
    tokens = tuple(prompt + answer)
    inputs, outputs = ports_of(tokens, len(prompt))
    sampling = None if drawing is None else drawing.sampling(commitment.digest, prompt)
    plan = model.plan(zkml.Execution(program, inputs, outputs))
    statement = zkml.Statement(
        program,
        inputs,
        outputs,
        plan.cuts,
        sampling,
        commitment=commitment.model,
        context=statement_context(commitment.digest, frame, context, drawing, messages),
    )
    argument = model.argue(statement, plan, progress)
    return Proof(
        commitment.digest, frame, tokens, len(prompt), argument, plan.cuts, context, messages,
        drawing,
    )  # fmt: skip
