"""The turns of a conversation in one session, as long as that goes.

What the model has read stays, in shares, in the caches of both parties: a turn feeds only what is
new since the last prompt. That the turns belong together, and the number of new tokens, is seen by
the others; a longest common prefix of two prompts never is, so anything else than a whole last
prompt at the beginning opens another session.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType

from veracity.errors import PeerError, UsageError
from veracity.lm.text_decoder import context_of
from veracity.private.answer import AnswerState, Token, read_apart
from veracity.private.card import Card, Prompt
from veracity.private.client import Client
from veracity.private.conversation import Conversation
from veracity.private.sampling import Sampling

__all__ = ["Talk"]


@dataclass
class _Kept:
    """A session that waits for another turn."""

    session: Conversation
    stack: AsyncExitStack
    sampling: Sampling | None
    read: list[int]

    async def turn(
        self, ids: list[int], most: int, sampling: Sampling | None, card: Card | None
    ) -> bool:
        """Go on with a prompt that begins with the last one; whether that works."""
        kept = len(self.read)
        if ids[:kept] != self.read or len(ids) <= kept or sampling != self.sampling:
            return False
        if card is not None and card.digest != self.session.card.digest:
            return False
        most = min(most, context_of(self.session.card.program) + 1 - len(ids))
        if most < 1:
            return False
        try:
            await self.session.turn(kept, len(ids) - kept, most)
        except (PeerError, UsageError):  # the owner needed the place, or is gone
            return False
        return True


class Talk:
    """A user's side of conversations, one after the other: ``async with``, then :meth:`answer`.

    Parameters
    ----------
    client : Client
        Asks the owner.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: _Kept | None = None

    def answer(
        self,
        prompt: list[int],
        max_new_tokens: int = 32,
        *,
        round_length: int = 0,
        sampling: Sampling | None = None,
        resume: int = 1,
        card: Card | None = None,
    ) -> AsyncGenerator[Token, None]:
        """Answer token ids; as :meth:`Client.answer`, in the session of the last turn if it fits.

        Parameters
        ----------
        prompt : list of int
            All that the model reads, from :meth:`Card.prompt`: the whole conversation.
        max_new_tokens, round_length, sampling, resume
            As for :meth:`Client.generate`.
        card : Card, optional
            As for :meth:`Client.answer`.

        Raises
        ------
        PeerError, RangeError, UsageError
        """
        if not prompt:
            raise UsageError("the prompt has no tokens; ask something")
        state = AnswerState(max_new_tokens, round_length)
        passes = self._client._passes(
            "", False, sampling, resume, state, prompt, partial(self._session, prompt), card
        )
        return read_apart(passes, state)

    async def close(self) -> None:
        """End the session that waits, if there is one."""
        kept, self._kept = self._kept, None
        if kept is not None:
            with contextlib.suppress(PeerError):
                await kept.stack.aclose()

    async def __aenter__(self) -> Talk:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: object, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def _session(
        self,
        ids: list[int],
        prompt: Prompt,
        length: int,
        most: int,
        raw: bool,
        sampling: Sampling | None,
        same: Card | None,
    ) -> AsyncIterator[tuple[Conversation, list[int]]]:
        """The session of the last turn, or another one; kept where all its passes were run."""
        kept, self._kept = self._kept, None
        broke_off = length != len(ids)  # then the answer begins anew
        if kept is not None and (broke_off or not await kept.turn(ids, most, sampling, same)):
            with contextlib.suppress(PeerError):
                await kept.stack.aclose()
            kept = None
        if kept is None:
            stack = AsyncExitStack()
            session, _ = await stack.enter_async_context(
                self._client._session(prompt, length, most, raw, sampling, same)
            )
            kept = _Kept(session, stack, sampling, ids)
        try:
            yield kept.session, []
        except BaseException:
            with contextlib.suppress(PeerError):
                await kept.stack.aclose()
            raise
        await self.close()  # of a turn that went beside this one
        if kept.session.waits and not broke_off:
            kept.read, self._kept = ids, kept
        else:
            await kept.stack.aclose()
