"""A session that is open: what a user does with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from veracity.errors import UsageError
from veracity.private.answer import AnswerState, Token, read_apart
from veracity.private.card import Card
from veracity.private.parties.user import UserSession

__all__ = ["Conversation"]


@dataclass(eq=False)
class Conversation:
    """A session that is open: its material arrives while the prompt may not exist yet.

    Attributes
    ----------
    card : Card
        The model.
    mode : str
        How the owner evaluates it.
    prompt_tokens, max_new_tokens : int
        The lengths that were asked for, of this turn; owner and dealer know them.
    setup_bytes : int
        Masked weights that came before this session.
    """

    card: Card
    mode: str
    prompt_tokens: int
    max_new_tokens: int
    setup_bytes: int
    _session: UserSession
    _kept: int = 0

    async def material_bytes(self) -> int:
        """Bytes that the dealer makes for both parties, for all passes; nearly."""
        return await self._session.weight()

    @property
    def waits(self) -> bool:
        """Whether all passes have ended, so that another turn may follow."""
        return not self._session.left

    async def turn(self, kept: int, prompt_tokens: int, max_new_tokens: int) -> None:
        """Go on in this session, once its passes have ended; what was fed is not fed again.

        Parameters
        ----------
        kept : int
            Tokens that stay, of those fed: the others are told this number.
        prompt_tokens, max_new_tokens : int
            Tokens of the next prompt behind them, and the most tokens of the answer.

        Raises
        ------
        PeerError, UsageError
        """
        await self._session.turn(kept, prompt_tokens, max_new_tokens)
        self._kept, self.prompt_tokens, self.max_new_tokens = kept, prompt_tokens, max_new_tokens

    @property
    def stored_bytes_peak(self) -> int:
        """Most bytes of material that have waited at the user at once."""
        return self._session.stored_bytes_peak

    async def dealt(self, passes: int | None = None) -> None:
        """Wait until the material of so many passes (of all that fit) has come.

        Raises
        ------
        PeerError, UsageError
        """
        await self._session.dealt(passes)

    async def ready(self) -> None:
        """Do all of the first pass that needs no prompt.

        Raises
        ------
        PeerError, UsageError
        """
        await self._session.ready()

    def tokens(
        self, prompt: list[int], *, to_the_end: bool = False, round_length: int = 0
    ) -> AsyncGenerator[Token, None]:
        """Answer token ids; see :meth:`Client.generate`.

        Parameters
        ----------
        prompt : list of int
            Token ids, as many as the session is for, those that are kept included.
        to_the_end : bool
            Ignore the model's end of the answer.
        round_length : int
            As for :meth:`Client.generate`.

        Raises
        ------
        PeerError, UsageError
        """
        state = AnswerState(self.max_new_tokens, round_length, to_the_end)
        return read_apart(self._passes(prompt, state), state)

    async def _passes(self, prompt: list[int], state: AnswerState) -> AsyncGenerator[Token, None]:
        """Run passes until no further one is due; the tokens of the answer."""
        feed = prompt[self._kept :]
        if len(feed) != self.prompt_tokens:
            raise UsageError(
                f"this session is for a prompt of {self.prompt_tokens} tokens, "
                f"this one has {len(feed)}; open another session"
            )
        while not state.over:
            feed = [await self._session.feed(feed)]
            token = state.add(self.card, feed[0], self._session.reports[-1], self._session.fault)
            if token is not None:
                yield token
        if state.fault is not None:
            raise state.fault
