"""What comes before a proof of an answer: token ids of what is asked, and the model's tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from veracity.engine.api import Integers
from veracity.errors import UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.program import ProgramFile
from veracity.graph.sampling import Sampling
from veracity.lm.generate import generate
from veracity.lm.text_decoder import context_of
from veracity.progress import Progress
from veracity.proving.prompts import Given, conversation_of, form_of
from veracity.text.chat import Message
from veracity.text.table import PromptFrame, TokenTable
from veracity.work.programs import integer_program

__all__ = [
    "answer_text",
    "answer_tokens",
    "as_stops",
    "check_prompt",
    "encode_asked",
    "holds_stop",
    "room_for",
]


def encode_asked(
    loaded: ProgramFile,
    commitment: Commitment,
    prompt: str | None,
    messages: Given | None = None,
    *,
    raw: bool = False,
) -> tuple[str, tuple[Message, ...], list[int]]:
    """Frame, messages and token ids of what is asked, as a verifier will read them.

    Parameters
    ----------
    loaded : ProgramFile
        The model.
    commitment : Commitment
        What is published of it.
    prompt : str or None
        The user's words.
    messages : sequence of (role, content), optional
        A conversation instead.
    raw : bool
        Without a template.

    Raises
    ------
    UsageError
        The model takes no such conversation, or the words cannot be spelled exactly.
    """
    name = "messages" if messages is not None else form_of(commitment.metadata, raw)
    if name == "messages":
        between = commitment.metadata.conversation
        said = conversation_of([("user", prompt or "")] if messages is None else messages, between)
        parts = between.parts(said) if between is not None else []
        return name, said, loaded.tokenizer.encode_parts(parts)
    frame = commitment.metadata.frames[name]
    ids = [*frame.before, *loaded.encode(prompt or ""), *frame.after]
    check_prompt(prompt or "", ids, frame, commitment.table)
    return name, (), ids


def room_for(loaded: ProgramFile, ids: Sequence[int]) -> int:
    """How many tokens an answer may have after a prompt of these.

    Raises
    ------
    UsageError
        There is no prompt, or none that fits.
    """
    if not ids:
        raise UsageError("the prompt is empty; give at least one word")
    most = context_of(integer_program(loaded))
    if len(ids) > most:
        raise UsageError(
            f"the prompt has {len(ids)} tokens, the model's context holds "
            f"{most}; shorten the prompt"
        )
    return most + 1 - len(ids)


def as_stops(given: Sequence[str]) -> list[str]:
    """Texts that end an answer; raises :class:`UsageError` unless they are some."""
    if isinstance(given, str) or not all(isinstance(text, str) and text for text in given):
        raise UsageError("stop texts are a list of texts, none of them empty")
    return list(given)


def holds_stop(stops: Sequence[str], commitment: Commitment, answer: Sequence[int]) -> bool:
    """Whether an answer holds one of the texts that end it.

    Parameters
    ----------
    stops : sequence of str
        The texts.
    commitment : Commitment
        Says how tokens are shown.
    answer : sequence of int
        Token ids so far.
    """
    shown = commitment.table.show(answer).text
    return any(text in shown for text in stops)


def answer_text(answer: Sequence[int], stops: Sequence[str], commitment: Commitment) -> str:
    """The text of an answer, up to the first text that ends one.

    Parameters
    ----------
    answer : sequence of int
        Token ids.
    stops : sequence of str
        Texts that end an answer.
    commitment : Commitment
        Says how tokens are shown.
    """
    shown = commitment.table.show_answer(answer, commitment.metadata.stop_ids).text
    places = [place for text in stops if (place := shown.find(text)) >= 0]
    return shown[: min(places)] if places else shown


def check_prompt(prompt: str, ids: list[int], frame: PromptFrame, table: TokenTable) -> None:
    """Raise :class:`UsageError` unless a verifier will read ``prompt`` in ``ids``.

    Parameters
    ----------
    prompt : str
        What the user wrote.
    ids : list of int
        Token ids of the framed prompt.
    frame : PromptFrame
        What stands before and after the words.
    table : TokenTable
        The model's tokens.
    """
    try:
        read = frame.words(ids, table)
    except VerificationError as error:
        raise UsageError(f"this prompt cannot be proved: {error.reason}") from None
    if read != prompt:
        raise UsageError(
            f"the model's tokenizer makes other words of this prompt; give it as {read[:80]!r}"
        )


def answer_tokens(
    loaded: ProgramFile,
    prompt: list[int],
    wanted: int,
    progress: Progress,
    integers: Integers | None = None,
    sampling: Sampling | None = None,
    ended: Callable[[Sequence[int]], bool] | None = None,
) -> list[int]:
    """The answer, one call of ``progress`` a token.

    Parameters
    ----------
    loaded : ProgramFile
        A calibrated model.
    prompt : list of int
        Token ids of the framed prompt.
    wanted : int
        Most tokens of the answer.
    progress : Progress
        Called once a token.
    integers : Integers, optional
        The products of the engine that computes; those of ``cpu`` where not given.
    sampling : Sampling, optional
        How tokens are drawn; greedily where not given.
    ended : callable, optional
        Told the answer after each token; says whether it ends there.
    """
    done = 0

    def count(token: int) -> None:
        nonlocal done
        done += 1
        progress("evaluate", done / wanted)

    progress("evaluate", 0.0)
    return generate(
        integer_program(loaded),
        loaded.weights,
        prompt,
        wanted,
        frozenset(loaded.stop_ids),
        on_token=count,
        integers=integers,
        sampling=sampling,
        ended=ended or (lambda answer: False),
    )
