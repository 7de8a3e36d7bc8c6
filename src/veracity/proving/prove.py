"""What a model's owner does: import, calibrate, commit, prove.

Model formats and tokenizers are read through :mod:`veracity.frontends` only, and only here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type, require_whole
from veracity.codec.files import Source, exists
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.formats.drawing import Drawing, ServerNonce, read_nonce, read_temperature
from veracity.formats.program import ProgramFile
from veracity.formats.proof import Proof, check_context, statement_context
from veracity.formats.secret import Secret
from veracity.graph.sampling import check_scale
from veracity.lm.text_decoder import ports_of
from veracity.progress import Progress, silent
from veracity.proving.answering import (
    answer_text,
    answer_tokens,
    as_stops,
    encode_asked,
    holds_stop,
    room_for,
)
from veracity.proving.drawn import check_drawable
from veracity.proving.prompts import Given
from veracity.text.chat import Message
from veracity.work.links import Workers, prove_chain
from veracity.work.memory import plan_links
from veracity.work.programs import integer_program, load_program, page_weights, weights_digest

__all__ = ["ProvedAnswer", "prove"]


@dataclass(frozen=True)
class ProvedAnswer:
    """An answer as text, and its proof."""

    answer: str
    proof: Proof


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
    require_type("prompt", prompt, str, optional=True)
    require_type("nonce", nonce, str)
    require_type("context", context, str)
    require_type("raw", raw, bool)
    require_whole("max_new_tokens", max_new_tokens, 1)
    require_whole("memory", memory, 1, optional=True)
    require_whole("jobs", jobs, 1)
    require_type("ray", ray, str, optional=True)
    require_settings(threads, backend, progress)
    check_context(context)
    if (prompt is None) == (messages is None) or (messages is not None and raw):
        raise UsageError("give a prompt, or messages, which have no raw form; one of them")
    stops = tuple(as_stops(stop))
    drawing = drawing_of(temperature, nonce, server_nonce)
    progress("load", 0.0)
    engine = load_engine(backend, threads=threads)
    opened = secret if isinstance(secret, Secret) else load_secret(secret)
    loaded = load_program(program)
    if memory is not None:
        loaded = page_weights(loaded, memory)
    commitment = opened.commitment
    check_pair(loaded, opened)
    name, said, ids = encode_asked(loaded, commitment, prompt, messages, raw=raw)
    wanted = min(max_new_tokens, room_for(loaded, ids))
    progress("load", 1.0)
    sampling = None if drawing is None else drawing.sampling(commitment.digest, ids)
    if sampling is not None:
        check_drawable(commitment.program)
        head = commitment.program.ops[-1].name
        check_scale(sampling, commitment.program.exponents.get(head, -1))
    ended = partial(holds_stop, stops, commitment) if stops else None
    answer = answer_tokens(
        loaded, ids, wanted, progress, engine.integers, sampling=sampling, ended=ended
    )
    proof = prove_tokens(
        loaded,
        opened,
        ids,
        answer,
        name,
        messages=said,
        drawing=drawing,
        context=context,
        memory=memory,
        jobs=jobs,
        ray=ray,
        threads=threads,
        backend=backend,
        progress=progress,
    )
    return ProvedAnswer(answer_text(answer, stops, commitment), proof)


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
    commitment = opened.commitment
    tokens = tuple(prompt + answer)
    inputs, outputs = ports_of(tokens, len(prompt))
    engine = load_engine(backend, threads=threads)
    sampling = None if drawing is None else drawing.sampling(commitment.digest, prompt)
    plan = plan_links(zkml.Execution(integer_program(loaded), inputs, outputs), memory, jobs)
    if memory is not None:
        engine.keep_memory(0)
    statement = zkml.Statement(
        integer_program(loaded),
        inputs,
        outputs,
        plan.cuts,
        sampling,
        commitment=commitment.model,
        context=statement_context(commitment.digest, frame, context, drawing, messages),
    )
    workers = Workers(jobs, threads, backend, plan.memory, ray)
    argument = prove_chain(engine, statement, loaded.weights, opened.opening, workers, progress)
    cuts = plan.cuts
    return Proof(
        commitment.digest, frame, tokens, len(prompt), argument, cuts, context, messages, drawing
    )


def load_secret(source: Source) -> Secret:
    """Read a ``.vsec`` file; says what to do where there is none."""
    if isinstance(source, str | os.PathLike) and not exists(source):
        name = Path(source).name[:80]
        raise UsageError(
            f"no secret opening {name!r}; give --secret, or run `veracity commit` first"
        )
    return Secret.load(source)


def check_pair(loaded: ProgramFile, opened: Secret) -> None:
    """Raise :class:`UsageError` unless ``opened`` opens a commitment to exactly this model."""
    if opened.commitment.metadata.program_digest != integer_program(loaded).digest:
        raise UsageError(
            "the secret belongs to another program (calibrated again since?); "
            "run `veracity commit` for this one"
        )
    if opened.weights_digest != weights_digest(loaded.weights):
        raise UsageError(
            "the secret belongs to other weights of the same program; "
            "use the program file that was committed"
        )
