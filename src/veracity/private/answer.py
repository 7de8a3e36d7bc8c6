"""An answer, and how much of it the other parties see.

The owner's weights decide when an answer ends. If the passes ended with it, their number would
tell the owner log2(max_new_tokens) bits of any function of the prompt. So passes go on, each with
the model's own next token, whether the answer has ended or its reader has left: always to
``max_new_tokens``, or to the next multiple of a step. Only the user knows where the answer ended.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from veracity.errors import UsageError, VeracityError
from veracity.private.card import Card
from veracity.private.parties.report import PassReport

__all__ = ["AnswerState", "Token", "read_apart"]


@dataclass(frozen=True)
class Token:
    """One token of an answer.

    Attributes
    ----------
    id : int
        In the model's vocabulary.
    text : str
        What it adds to the text; may be empty in the middle of a character.
    report : PassReport
        What it took.
    ended : str or None
        With the last token, why the answer ended: ``stop``, the model ended it; ``length``, it
        has as many tokens as were asked for. Nobody else is told.
    """

    id: int
    text: str
    report: PassReport
    ended: str | None = None


def _utf8() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


@dataclass
class AnswerState:
    """How far an answer is, over all sessions that it takes.

    Parameters
    ----------
    most : int
        Tokens that were asked for.
    step : int
        Passes end at a multiple of it; 0 for all of them, 1 for as many as the answer has tokens.
    to_the_end : bool
        Ignore the model's end of the answer.
    decoder : codecs.IncrementalDecoder
        May hold the beginning of a character.

    Attributes
    ----------
    found : list of int
        What passes gave, the answer and what follows it.
    end : int or None
        Number of tokens that the answer has for its reader, once that is known.
    fault : VeracityError or None
        Why it ends there; raised once no further pass is to be run.
    """

    most: int
    step: int = 0
    to_the_end: bool = False
    decoder: codecs.IncrementalDecoder = field(default_factory=_utf8)
    found: list[int] = field(default_factory=list, init=False)
    end: int | None = field(default=None, init=False)
    fault: VeracityError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.most < 1:
            raise UsageError("an answer has at least one token; ask for 1 or more")
        if self.step < 0:
            raise UsageError("a length is rounded to a multiple of 1 or more; 0 hides it")

    def add(
        self, card: Card, token: int, report: PassReport, fault: VeracityError | None = None
    ) -> Token | None:
        """What a pass gave; a token of the answer, or None behind its end.

        Parameters
        ----------
        card : Card
            The model.
        token : int
            In its vocabulary.
        report : PassReport
            What it took.
        fault : VeracityError, optional
            Why the token means nothing: the answer ends, and the others must not see where.
        """
        self.found.append(token)
        if self.end is not None:
            return None
        if fault is not None:
            self.fault, self.end = fault, len(self.found)
            return None
        stops = card.ends([token]) and not self.to_the_end
        last = stops or len(self.found) >= self.most
        if last:
            self.end = len(self.found)
        text = self.decoder.decode(card.piece(token), final=last)
        return Token(token, text, report, "stop" if stops else "length" if last else None)

    def leave(self) -> None:
        """The reader has left: for it the answer ends here."""
        if self.end is None:
            self.end = len(self.found)

    @property
    def over(self) -> bool:
        """Whether no further pass is to be run."""
        if self.end is None or len(self.found) >= self.most:
            return len(self.found) >= self.most
        return self.step > 0 and len(self.found) >= -(-self.end // self.step) * self.step


async def read_apart(
    passes: AsyncGenerator[Token, None], state: AnswerState
) -> AsyncGenerator[Token, None]:
    """The tokens of an answer, whose passes do not wait for who reads them.

    Parameters
    ----------
    passes : async generator
        Runs one pass after another, and gives the tokens of the answer.
    state : AnswerState
        Of this answer.

    Notes
    -----
    Where the length is hidden, the passes run in a task of their own. A reader that leaves
    (``aclose``, an error, a cancellation) waits until the passes have ended; only a second
    cancellation cuts them, and then the other parties see where. Before the first token has come,
    who leaves leaves at once.
    """
    if state.step == 1:
        async with contextlib.aclosing(passes):
            async for token in passes:
                yield token
        return
    arrived: asyncio.Queue[Token | None] = asyncio.Queue()

    async def run() -> None:
        try:
            async with contextlib.aclosing(passes):
                async for token in passes:
                    arrived.put_nowait(token)
        finally:
            arrived.put_nowait(None)

    running = asyncio.create_task(run())
    try:
        while (next_one := await arrived.get()) is not None:
            yield next_one
        await asyncio.shield(running)
    except BaseException:
        state.leave()
        if not state.found:  # nothing of the answer is known yet, so leaving tells nothing of it
            running.cancel()
            await asyncio.wait((running,))
            raise
        with contextlib.suppress(VeracityError):  # who has left needs no reason
            await _to_its_end(running)
        raise


async def _to_its_end(running: asyncio.Task[None]) -> None:
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        running.cancel()
        await asyncio.wait((running,))
        raise
