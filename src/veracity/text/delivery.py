"""From token ids to the text that is sent, while the ids still come.

The text is :func:`veracity.text.shown.show_answer`'s, cut before the first text that ends it.
Bytes that are no whole character yet are held back, and so is whatever may become such an end.
"""

from __future__ import annotations

import codecs
from collections.abc import Collection, Sequence

from veracity.text.shown import name_of
from veracity.text.table import TokenTable

__all__ = ["Delivery", "delivered"]


class Delivery:
    """The text of one answer.

    Parameters
    ----------
    table : TokenTable
        The model's tokens.
    stop_ids : collection of int
        Tokens that end an answer; a mark among them is not sent.
    stops : sequence of str
        Texts that end it; not sent.
    """

    def __init__(
        self, table: TokenTable, stop_ids: Collection[int], stops: Sequence[str] = ()
    ) -> None:
        self._table, self._stop_ids, self._stops = table, stop_ids, stops
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        #: Why the answer ended: ``stop``, or None while nothing ended it.
        self.finish: str | None = None

    def push(self, token: int) -> str:
        """What may be sent after one more token."""
        if self.finish is not None:
            return ""
        ends = token in self._stop_ids
        if self._table.is_text(token):
            self._held += self._decoder.decode(self._table.pieces[token])
        else:
            self._held += self._decoder.decode(b"", final=True)
            self._decoder.reset()
            if not ends:
                self._held += name_of(token, self._table.pieces[token])
        if ends:
            return self.end("stop")
        return self._release(final=False)

    def end(self, finish: str) -> str:
        """What is left to send when no token follows."""
        if self.finish is not None:
            return ""
        self._held += self._decoder.decode(b"", final=True)
        text = self._release(final=True)
        self.finish = self.finish or finish
        return text

    def _release(self, final: bool) -> str:
        found = [at for at in map(self._held.find, self._stops) if at >= 0]
        if found:
            self.finish = "stop"
            text, self._held = self._held[: min(found)], ""
            return text
        keep = 0 if final else max((self._begun(s) for s in self._stops), default=0)
        cut = len(self._held) - keep
        text, self._held = self._held[:cut], self._held[cut:]
        return text

    def _begun(self, stop: str) -> int:
        """Length of the longest end of what is held that begins a stop text."""
        longest = min(len(self._held), len(stop) - 1)
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)


def delivered(
    ids: Sequence[int],
    table: TokenTable,
    stop_ids: Collection[int],
    stops: Sequence[str],
    finish: str,
) -> str:
    """The whole text that is sent for an answer.

    Parameters
    ----------
    ids : sequence of int
        The answer.
    table : TokenTable
        The model's tokens.
    stop_ids : collection of int
        Tokens that end an answer.
    stops : sequence of str
        Texts that end it.
    finish : str
        Why it ended where none of these did.
    """
    delivery = Delivery(table, stop_ids, stops)
    return "".join([*map(delivery.push, ids), delivery.end(finish)])
