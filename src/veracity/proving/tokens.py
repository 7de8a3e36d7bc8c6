"""What an imported model's files say of its tokens, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from veracity.lm.tokenizer import Tokenizer
from veracity.text.chat import ChatFrame, Message, Part
from veracity.text.shown import show

__all__ = ["example_of", "token_facts"]

#: An example of a conversation: its first so many messages are shown.
_EXAMPLE = (
    Message("system", "(system)"), Message("user", "(user)"), Message("assistant", "(assistant)"),
    Message("user", "(user)"),
)  # fmt: skip


def token_facts(tokenizer: Tokenizer) -> dict[str, Any]:
    """How text becomes tokens, what begins and ends it, and what a conversation looks like."""
    pieces, marks = tokenizer.token_bytes, tokenizer.special_ids

    def names(ids: Sequence[int]) -> list[str]:
        return [show([i], pieces, marks).text for i in ids]

    begin, end = tokenizer.frame(chat=False) or ([], [])
    frame = tokenizer.conversation
    why = tokenizer.unpinned
    return {
        "tokens": sum(map(bool, pieces)),
        "tokenisation": "pinned: every text has one spelling in token ids"
        if not why
        else f"WARNING: not pinned, verifiers cannot check it ({why})",
        "texts_begin_with": names(begin),
        **({"texts_end_with": names(end)} if end else {}),
        "answers_end_with": names(sorted(tokenizer.stop_ids)),
        "conversation": "none" if frame is None else example_of(frame, tokenizer),
        "notes": tokenizer.notes,
    }


def example_of(frame: ChatFrame, tokenizer: Tokenizer) -> str:
    """A conversation of as many messages as the template takes."""
    first = 0 if frame.before_system is not None else 1
    last = len(_EXAMPLE) if frame.user_to_assistant is not None else 2

    def shown(part: Part) -> str:
        if isinstance(part, str):
            return part
        return show([part], tokenizer.token_bytes, tokenizer.special_ids).text

    return "".join(map(shown, frame.parts(_EXAMPLE[first:last])))
