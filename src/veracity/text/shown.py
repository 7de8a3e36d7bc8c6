"""Token ids as people read them: every token is seen, at its place.

Tokens are text or marks. A mark is a token flagged as special, or one that stands for no bytes:
left out, it would have had its say unseen. It is shown by its name where it has the look of one
(``<|im_end|>``), else by number and bytes, so that plain words are not taken for text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence

from veracity.errors import VerificationError
from veracity.records import record

__all__ = ["MAX_TEXT_BYTES", "Shown", "ShownAnswer", "has_name", "name_of", "show", "show_answer"]

MAX_TEXT_BYTES = 1 << 20  # of a prompt or an answer: no proof of a longer one can be made
_NAME = re.compile(r"<[^<>\s\\]+>|\[[A-Z_0-9]+\]")


@record
class Shown:
    """Text with the marks in it.

    Parameters
    ----------
    text : str
        Everything, marks by name; bytes that are no UTF-8 are U+FFFD.
    special : tuple of (int, str)
        The marks: where they begin in the text, and their names.
    """

    text: str
    special: tuple[tuple[int, str], ...]


@record
class ShownAnswer(Shown):
    """An answer.

    Parameters
    ----------
    ended_by : str or None
        The token that ended it; None where it was cut. A mark at the end is not part of ``text``,
        a token that is text is.
    """

    ended_by: str | None


def has_name(piece: bytes) -> bool:
    """Whether a token's bytes look like a mark's name, and not like words."""
    text = piece.decode("utf-8", errors="replace")
    return text.isprintable() and _NAME.fullmatch(text) is not None


def name_of(token: int, piece: bytes) -> str:
    """How a mark is called."""
    if not piece:
        return f"<token {token}>"
    text = piece.decode("utf-8", errors="replace")
    return text if has_name(piece) else f"<token {token}: {text!r}>"


def show(ids: Sequence[int], pieces: Sequence[bytes], special: Collection[int]) -> Shown:
    """The text of token ids.

    Parameters
    ----------
    ids : sequence of int
        Below the number of pieces.
    pieces : sequence of bytes
        Bytes of every token.
    special : collection of int
        Tokens that are marks.

    Raises
    ------
    VerificationError
        The text is longer than any that can be proved.
    """
    is_mark = _marks(pieces, special)
    names = {i: name_of(i, pieces[i]) for i in set(ids) if is_mark(i)}
    if sum(len(names[i]) if i in names else len(pieces[i]) for i in ids) > MAX_TEXT_BYTES:
        raise VerificationError(f"the text is longer than {MAX_TEXT_BYTES} bytes", "answer")
    parts: list[str] = []
    found: list[tuple[int, str]] = []
    run: list[bytes] = []
    length = 0

    def add(text: str) -> None:
        nonlocal length
        parts.append(text)
        length += len(text)

    for i in ids:
        if i not in names:
            run.append(pieces[i])
            continue
        add(b"".join(run).decode("utf-8", errors="replace"))
        run.clear()
        found.append((length, names[i]))
        add(names[i])
    add(b"".join(run).decode("utf-8", errors="replace"))
    return Shown("".join(parts), tuple(found))


def show_answer(
    ids: Sequence[int],
    pieces: Sequence[bytes],
    special: Collection[int],
    stop_ids: Collection[int],
) -> ShownAnswer:
    """The text of an answer, and what ended it.

    Parameters
    ----------
    ids : sequence of int
        At least one.
    pieces : sequence of bytes
        Bytes of every token.
    special : collection of int
        Tokens that are marks.
    stop_ids : collection of int
        Tokens that end an answer.

    Raises
    ------
    VerificationError
        The text is longer than any that can be proved.
    """
    last = ids[-1]
    ended = last in stop_ids
    mark = _marks(pieces, special)(last)
    shown = show(ids[:-1] if ended and mark else ids, pieces, special)
    name = name_of(last, pieces[last]) if mark else pieces[last].decode("utf-8", errors="replace")
    return ShownAnswer(shown.text, shown.special, name if ended else None)


def _marks(pieces: Sequence[bytes], special: Collection[int]) -> Callable[[int], bool]:
    return lambda token: token in special or not pieces[token]
