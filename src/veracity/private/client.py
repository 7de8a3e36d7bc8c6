"""The user: a prompt goes in, tokens come out one by one, and nobody else learns either."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import PeerError, UsageError
from veracity.lm.text_decoder import context_of
from veracity.mpc.modes import find_mode
from veracity.mpc.token_selection.pick import GREEDY
from veracity.net import Channel
from veracity.private.answer import AnswerState, Token, read_apart
from veracity.private.card import Card, Prompt, store_card, stored_card
from veracity.private.connect import TIMEOUT, Address, Caller, cache_folder, identity_of
from veracity.private.conversation import Conversation
from veracity.private.parties.handshake import (
    ServerInfo,
    exchange_hellos,
    fetch_card,
    fetch_weights,
)
from veracity.private.parties.owner import ServiceLimits
from veracity.private.parties.report import Paces, Told
from veracity.private.parties.spool import SharedRegistry
from veracity.private.parties.user import UserSession
from veracity.private.parties.weights import WeightCache
from veracity.private.sampling import Sampling
from veracity.progress import Progress, silent

if TYPE_CHECKING:
    from veracity.private.committed import Pinned

__all__ = ["Client", "Token"]

#: Opens a session for a prompt, or for one of a known length.
Opener = Callable[
    [Prompt, int, int, bool, "Sampling | None", "Card | None"],
    AbstractAsyncContextManager[tuple["Conversation", list[int]]],
]


class Client:
    """Asks a model that somebody else serves.

    Parameters
    ----------
    server, dealer : str
        ``HOST:PORT`` of the owner and of the dealer.
    identity : path, optional
        Folder of the user's certificates, from `veracity private certificates`.
    insecure : bool
        Plain TCP instead: for measurements on one machine.
    cache : path, optional
        Where masked weights and waiting material are kept; the user's cache folder by default.
    cap : int
        Most bytes of material that wait on disk.
    ahead : int
        Most passes whose material waits.
    mode : str, optional
        Insist on ``secure`` or ``shuffled``.
    model : str, optional
        Insist on the model with this card digest (hexadecimal).
    commitment : path, bytes or binary file, optional
        Insist on the model of this ``.vcom`` file: its program, its tokens, and the masked weights
        that its publisher names in it.
    timeout : float
        Seconds without a sign of life after which another party counts as gone.
    wait : float
        Seconds to try where nobody listens yet.
    backend : str
        What computes; see :func:`veracity.engine.load_engine`.
    on_estimate : callable, optional
        Awaited with what a question will take (:class:`~veracity.private.parties.report.Estimate`),
        before its session is asked for.
    progress : Progress
        Called with the phases ``weights`` and ``material``.

    Raises
    ------
    UsageError, BackendUnavailable

    Examples
    --------
    >>> async def ask():  # doctest: +SKIP
    ...     client = Client("model.example:7001", "dealer.example:7000", identity="parties/user")
    ...     async for token in client.generate("What is a prime number?"):
    ...         print(token.text, end="", flush=True)
    """

    def __init__(
        self,
        server: str | Address,
        dealer: str | Address,
        *,
        identity: str | Path | None = None,
        insecure: bool = False,
        cache: str | Path | None = None,
        cap: int = ServiceLimits.disk,
        ahead: int = ServiceLimits.ahead,
        mode: str | None = None,
        model: str | None = None,
        commitment: Source | None = None,
        timeout: float = TIMEOUT,
        wait: float = 0.0,
        backend: str = "cpu",
        on_estimate: Told | None = None,
        progress: Progress = silent,
    ) -> None:
        self._on_estimate = on_estimate
        self._server, self._dealer = Address.parse(server), Address.parse(dealer)
        self._caller = Caller(identity_of(identity), insecure, timeout, wait)
        self._engine = load_engine(backend)
        self._mode = None if mode is None else find_mode(mode).name
        self._model = model
        self._pinned: Pinned | None = None
        if commitment is not None:
            from veracity.private.committed import Pinned

            self._pinned = Pinned.by(commitment)
        self._limits = ServiceLimits(disk=cap, ahead=ahead)
        self._progress = progress
        self._folder = cache_folder(cache, "user")
        self._registry = SharedRegistry(self._folder / "ledger")
        self._paces = Paces(self._folder / "paces.json")

    async def generate(
        self,
        prompt: Prompt,
        max_new_tokens: int = 32,
        *,
        raw: bool = False,
        round_length: int = 0,
        sampling: Sampling | None = None,
        resume: int = 1,
    ) -> AsyncGenerator[Token, None]:
        """Ask, and get the answer token by token.

        Parameters
        ----------
        prompt : str or sequence of messages
            The user's words; the model's chat template, where it has one, is put around them. Or
            the messages of a conversation, as for :func:`veracity.prove`.
        max_new_tokens : int
            The answer ends there if the model does not end it before.
        raw : bool
            Give the words to the model without a template.
        round_length : int
            0 runs ``max_new_tokens`` passes whenever the answer ends, so that nobody learns its
            length, also where the reader leaves before. A larger number stops at the next
            multiple of it; 1 shows the length.
        sampling : Sampling, optional
            Draw tokens instead of taking the most likely one.
        resume : int
            How often an answer that broke off is taken up in a new session, which begins with the
            tokens so far.

        Yields
        ------
        Token

        Raises
        ------
        PeerError
            Where another party is gone, refuses, or is not the one that was called.
        RangeError
            Where a value leaves the range that calibration fixed (``shuffled`` only).
        UsageError
        """
        state = AnswerState(max_new_tokens, round_length)
        passes = self._passes(prompt, raw, sampling, resume, state)
        async with contextlib.aclosing(read_apart(passes, state)) as answer:
            async for token in answer:
                yield token

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
        """Answer token ids, from :meth:`Card.prompt`; otherwise as :meth:`generate`.

        Parameters
        ----------
        prompt : list of int
            All that the model reads.
        max_new_tokens, round_length, sampling, resume
            As for :meth:`generate`.
        card : Card, optional
            Insist on this model: to another one the ids mean other words.
        """
        if not prompt:
            raise UsageError("the prompt has no tokens; ask something")
        state = AnswerState(max_new_tokens, round_length)
        passes = self._passes("", False, sampling, resume, state, prompt, card=card)
        return read_apart(passes, state)

    async def _passes(
        self,
        prompt: Prompt,
        raw: bool,
        sampling: Sampling | None,
        resume: int,
        state: AnswerState,
        ids: Sequence[int] = (),
        open_session: Opener | None = None,
        card: Card | None = None,
    ) -> AsyncGenerator[Token, None]:
        """Run an answer's passes, in another session where one breaks off.

        Whether it is taken up depends on what all parties see, not on whether the answer has
        ended: else who cuts a session would learn that.
        """
        while True:
            before = len(state.found)
            length, most = len(ids) + before, state.most - before
            opened = (open_session or self._session)(prompt, length, most, raw, sampling, card)
            try:
                async with opened as (session, first):
                    ids, card = ids or first, session.card
                    state.most = before + session.max_new_tokens
                    answer = session._passes([*ids, *state.found], state)
                    async with contextlib.aclosing(answer):
                        async for token in answer:
                            yield token
                return
            except PeerError:
                if state.over or not resume or len(state.found) == before:
                    raise
                resume -= 1

    @asynccontextmanager
    async def session(
        self, prompt_tokens: int, max_new_tokens: int = 32, *, sampling: Sampling | None = None
    ) -> AsyncIterator[Conversation]:
        """Open a session before the prompt exists, for a prompt of a known length.

        Parameters
        ----------
        prompt_tokens : int
            Length of the prompt, in tokens.
        max_new_tokens : int
            Most tokens of the answer.
        sampling : Sampling, optional
            How tokens are chosen; greedy by default.

        Raises
        ------
        PeerError, UsageError
        """
        if prompt_tokens < 1:
            raise UsageError("a prompt has at least one token; say how many")
        opened = self._session("", prompt_tokens, max_new_tokens, False, sampling, None)
        async with opened as (session, _):
            yield session

    @asynccontextmanager
    async def _session(
        self,
        prompt: Prompt,
        length: int,
        max_new_tokens: int,
        raw: bool,
        sampling: Sampling | None,
        same: Card | None,
    ) -> AsyncIterator[tuple[Conversation, list[int]]]:
        if max_new_tokens < 1:
            raise UsageError("an answer has at least one token; pass --max-new-tokens 1 or more")
        owner = await self._caller.call(self._server, "owner")
        try:
            info, card = await self._meet(owner, same)
            chooser = GREEDY if sampling is None else sampling.chooser(card.program, info.mode)
            ids = [] if length else card.prompt(prompt, raw=raw)
            rows = length or len(ids)
            passes = min(max_new_tokens, context_of(card.program) + 1 - rows)
            if passes < 1:
                most = context_of(card.program)
                raise UsageError(f"the model's context holds {most} tokens; shorten the prompt")
            # What another set's owner called by the same names is not believed.
            home = self._folder / self._caller.authority
            weight_cache = WeightCache(home, card.program, info.weights)
            setup = await fetch_weights(owner, card.program, weight_cache, self._progress)
            masked = await asyncio.to_thread(weight_cache.load)
            pace = f"{self._server} {card.digest} {info.mode}"
            if self._on_estimate is not None:
                what = (pace, self._engine, card.program, info.mode, rows, passes)
                await self._on_estimate(await asyncio.to_thread(self._paces.estimate, *what))
        except BaseException:
            await owner.close()
            raise
        session = UserSession(
            self._engine, card.program, info.mode, owner,
            lambda: self._caller.call(self._dealer, "dealer"), masked, rows, passes,
            self._folder, self._registry, self._limits,
            chooser,
        )  # fmt: skip
        async with session:
            opened = Conversation(card, info.mode, rows, passes, setup, session)
            yield opened, ids
            await asyncio.to_thread(self._paces.note, pace, session.reports)

    async def card(self) -> tuple[Card, str]:
        """What the owner serves, and in which mode; no session begins.

        Raises
        ------
        PeerError, UsageError
        """
        async with await self._caller.call(self._server, "owner") as owner:
            info, card = await self._meet(owner, None)
        return card, info.mode

    async def _meet(self, owner: Channel, same: Card | None) -> tuple[ServerInfo, Card]:
        """Hellos and card, with all that this client insists on."""
        info = await exchange_hellos(owner)
        if self._mode not in (None, info.mode):
            raise UsageError(
                f"the server works in mode {info.mode!r}, not {self._mode!r}; "
                "ask another server, or for this mode"
            )
        wanted = (self._model, None if same is None else same.digest)
        if any(one not in (None, info.card.hex()) for one in wanted):
            raise PeerError(f"the server has another model: {info.card.hex()}; ask its owner why")
        data = stored_card(self._folder, info.card)
        if data is None:
            data = await fetch_card(owner, info)
            store_card(self._folder, data)
        card = Card.from_bytes(data)
        if card.weights != info.weights.hex():
            raise PeerError("the owner names other weights than its card")
        if self._pinned is not None:
            self._pinned.check(card)
        return info, card
