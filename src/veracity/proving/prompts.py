"""What was asked: from words to token ids for a prover, and back for a verifier.

Both put a conversation together by one frame (:mod:`veracity.text.chat`); the proof has its
messages beside the token ids, and the verifier makes the ids again from them. So no message can be
read as two, or as part of the template.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from veracity.errors import UsageError, VerificationError
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.proof import Proof
from veracity.records import record
from veracity.text.chat import ChatFrame, Message, Part, as_messages, encode_parts
from veracity.text.shown import MAX_TEXT_BYTES
from veracity.text.table import TokenTable

__all__ = [
    "AskedPrompt",
    "Given",
    "ReadPrompt",
    "conversation_of",
    "form_of",
    "prompt_bytes",
    "read_prompt",
    "shown_messages",
]

#: Messages as a caller gives them.
Given = Sequence[Message | tuple[str, str] | dict[str, str]]


@record
class AskedPrompt:
    """A prompt as a receipt opens it, of which no proof may exist yet.

    Attributes
    ----------
    frame : str
        ``raw``, ``chat`` or ``messages``.
    prompt : tuple of int
        Token ids.
    messages : tuple of Message
        The conversation that it is; empty for other frames.
    """

    frame: str
    prompt: tuple[int, ...]
    messages: tuple[Message, ...] = ()


@record
class ReadPrompt:
    """A prompt as a verifier read it.

    Attributes
    ----------
    words : str
        The user's words; of a conversation the last message's.
    before, after : str
        What the model read around them, marks by name.
    messages : tuple of Message
        The conversation, where it was one.
    """

    words: str
    before: str
    after: str
    messages: tuple[Message, ...] = ()


def form_of(metadata: Metadata, raw: bool) -> str:
    """The frame that one prompt has: ``raw``, ``chat`` or, as one message, ``messages``."""
    if raw or ("chat" not in metadata.frames and metadata.conversation is None):
        return "raw"
    return "chat" if "chat" in metadata.frames else "messages"


def conversation_of(given: Given, frame: ChatFrame | None) -> tuple[Message, ...]:
    """Messages as the model will see them.

    Raises
    ------
    UsageError
        The model takes no conversation, or none like this.
    """
    if frame is None:
        raise UsageError("the model's files have no chat template; ask it with a prompt")
    return frame.seen(as_messages(given))


def shown_messages(messages: Sequence[Message]) -> str:
    """A conversation as one text, to compare: no two have the same, for lines go on indented."""
    return "\n".join(f"{m.role}: {m.content}".replace("\n", "\n  ") for m in messages)


def prompt_bytes(given: Proof | AskedPrompt, pinned: Commitment) -> int:
    """Most bytes of text that :func:`read_prompt` encodes again."""
    table, frame = pinned.table, pinned.metadata.conversation
    if table.encoder is None:
        return 0
    if given.frame != "messages" or frame is None:
        known = len(table.pieces)
        total = sum(len(table.pieces[i]) for i in given.prompt if i < known)
    else:
        total = sum(len(m.content.encode("utf-8")) for m in given.messages)
        total += frame.longest_joint * (len(given.messages) + 1)
    return min(total, MAX_TEXT_BYTES)  # a longer one is refused before


def read_prompt(given: Proof | AskedPrompt, pinned: Commitment) -> ReadPrompt:
    """The prompt of a proof or a receipt, read from its token ids.

    Raises
    ------
    VerificationError
        The model has no such frame, or the ids are not those of what they are said to be.
    """
    table, metadata = pinned.table, pinned.metadata
    if given.frame == "messages":
        return _read_messages(given, metadata.conversation, table)
    frame = metadata.frames.get(given.frame)
    if frame is None:
        raise VerificationError(f"the model has no {given.frame} template", "prompt")
    words = frame.words(given.prompt, table)
    return ReadPrompt(words, table.show(frame.before).text, table.show(frame.after).text)


def _read_messages(
    given: Proof | AskedPrompt, frame: ChatFrame | None, table: TokenTable
) -> ReadPrompt:
    if frame is None:
        raise VerificationError("the model has no chat template", "prompt")
    if sum(len(m.content.encode("utf-8")) for m in given.messages) > MAX_TEXT_BYTES:
        raise VerificationError(f"the messages have more than {MAX_TEXT_BYTES} bytes", "prompt")
    try:
        if frame.seen(given.messages) != given.messages:
            raise VerificationError("the model would have seen other messages than these", "prompt")
        parts = frame.parts(given.messages)
        if sum(len(part) for part in parts if isinstance(part, str)) > MAX_TEXT_BYTES:
            raise VerificationError("the template makes too long a text of the messages", "prompt")
        expected = (
            None if table.encoder is None else encode_parts(parts, table.encoder.encode_exactly)
        )
    except UsageError as error:
        raise VerificationError(str(error), "prompt") from None
    if expected is None:
        fits = _spelled(parts) == _split(given.prompt, table)
    else:
        fits = expected == list(given.prompt)
    if not fits:
        raise VerificationError(
            "the prompt's token ids are not those of the messages; "
            "whoever made the proof chose other messages, or another tokenisation",
            "prompt",
        )
    last = len(parts) - len(frame.after_user) - 1
    return ReadPrompt(
        given.messages[-1].content,
        _shown(parts[:last], table),
        _shown(parts[last + 1 :], table),
        given.messages,
    )


def _shown(parts: Sequence[Part], table: TokenTable) -> str:
    return "".join(p if isinstance(p, str) else table.show([p]).text for p in parts)


def _spelled(parts: Sequence[Part]) -> list[bytes | int]:
    """Marks, and the bytes between them."""
    return _runs(p if isinstance(p, int) else p.encode("utf-8") for p in parts)


def _split(ids: Sequence[int], table: TokenTable) -> list[bytes | int]:
    """The same of token ids."""
    return _runs(table.pieces[i] if table.is_text(i) else i for i in ids)


def _runs(parts: Iterable[bytes | int]) -> list[bytes | int]:
    """Bytes between marks as wholes; each joined once, for a stranger says how many there are."""
    out: list[bytes | int] = []
    for is_bytes, run in groupby(parts, lambda part: isinstance(part, bytes)):
        if is_bytes:
            out.append(b"".join(part for part in run if isinstance(part, bytes)))
        else:
            out += run
    return out
