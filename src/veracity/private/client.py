"""The user: a prompt goes in, tokens come out one by one, and nobody else learns either."""

from __future__ import annotations

import codecs
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from veracity.engine import load_engine
from veracity.errors import PeerError, UsageError
from veracity.lm.text_decoder import context_of
from veracity.mpc.modes import MODES, find_mode
from veracity.mpc.token_selection.pick import greedy
from veracity.private.card import Card, store_card, stored_card
from veracity.private.connect import TIMEOUT, Address, Caller, cache_folder, identity_of
from veracity.private.parties.handshake import exchange_hellos, fetch_card, fetch_weights
from veracity.private.parties.owner import ServiceLimits
from veracity.private.parties.report import PassReport
from veracity.private.parties.spool import SharedRegistry
from veracity.private.parties.user import UserSession
from veracity.private.parties.weights import WeightCache
from veracity.private.sampling import Sampling
from veracity.progress import Progress, silent

__all__ = ["Client", "Conversation", "Token"]


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
    """

    id: int
    text: str
    report: PassReport


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
        The lengths that were asked for; owner and dealer know them.
    setup_bytes : int
        Masked weights that came before this session.
    """

    card: Card
    mode: str
    prompt_tokens: int
    max_new_tokens: int
    setup_bytes: int
    _session: UserSession

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

    async def tokens(
        self,
        prompt: list[int],
        *,
        to_the_end: bool = False,
        hide_length: bool = False,
        decoder: codecs.IncrementalDecoder | None = None,
    ) -> AsyncIterator[Token]:
        """Answer token ids; see :meth:`Client.generate`.

        With ``to_the_end`` the model's end of the answer is ignored; ``decoder`` may hold the
        beginning of a character.

        Parameters
        ----------
        prompt : list of int
            Token ids, as many as the session is for.
        to_the_end : bool
            Whether to go on behind the model's end of the answer.
        hide_length : bool
            Whether to run all passes, so that the other parties see no length.
        decoder : codecs.IncrementalDecoder, optional
            May hold the beginning of a character.
        """
        if len(prompt) != self.prompt_tokens:
            raise UsageError(
                f"this session is for a prompt of {self.prompt_tokens} tokens, "
                f"this one has {len(prompt)}; open another session"
            )
        decoder = decoder or _utf8()
        feed = prompt
        for left in reversed(range(self.max_new_tokens)):
            token = await self._session.feed(feed)
            feed = [token]
            last = left == 0 or (self.card.ends(feed) and not to_the_end)
            text = decoder.decode(self.card.piece(token), final=last)
            yield Token(token, text, self._session.reports[-1])
            if last:
                for _ in range(left if hide_length else 0):
                    await self._session.feed(feed)
                return


def _utf8() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")("replace")


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
    timeout : float
        Seconds without a sign of life after which another party counts as gone.
    wait : float
        Seconds to try where nobody listens yet.
    backend : str
        What computes; see :func:`veracity.engine.load_engine`.
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
        timeout: float = TIMEOUT,
        wait: float = 0.0,
        backend: str = "cpu",
        progress: Progress = silent,
    ) -> None:
        self._server, self._dealer = Address.parse(server), Address.parse(dealer)
        self._caller = Caller(identity_of(identity), insecure, timeout, wait)
        self._engine = load_engine(backend)
        self._mode = None if mode is None else find_mode(mode).name
        self._model = model
        self._limits = ServiceLimits(disk=cap, ahead=ahead)
        self._progress = progress
        self._folder = cache_folder(cache, "user")
        self._registry = SharedRegistry(self._folder / "ledger")

    async def generate(
        self,
        prompt: str,
        max_new_tokens: int = 32,
        *,
        raw: bool = False,
        hide_length: bool = False,
        sampling: Sampling | None = None,
        resume: int = 1,
    ) -> AsyncIterator[Token]:
        """Ask, and get the answer token by token.

        Parameters
        ----------
        prompt : str
            The user's words; the model's chat template, where it has one, is put around them.
        max_new_tokens : int
            The answer ends there if the model does not end it before.
        raw : bool
            Give the words to the model without a template.
        hide_length : bool
            Run all passes, also after the model has ended its answer: nobody learns where.
        sampling : Sampling, optional
            Draw tokens instead of taking the most likely one; not in mode ``secure``.
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
        ids: list[int] = []
        found: list[int] = []
        card: Card | None = None
        decoder = _utf8()
        while True:
            before = len(found)
            length, most = len(ids) + len(found), max_new_tokens - len(found)
            opened = self._session(prompt, length, most, raw, sampling, card)
            try:
                async with opened as (session, first):
                    ids, card = ids or first, session.card
                    answer = session.tokens(
                        [*ids, *found], hide_length=hide_length, decoder=decoder
                    )
                    async for token in answer:
                        found.append(token.id)
                        yield token
                return
            except PeerError:
                over = len(found) == max_new_tokens or (card is not None and card.ends(found))
                if over or not resume or len(found) == before:
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
        prompt: str,
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
            info = await exchange_hellos(owner)
            if self._mode not in (None, info.mode):
                raise UsageError(
                    f"the server works in mode {info.mode!r}, not {self._mode!r}; "
                    "ask another server, or for this mode"
                )
            if sampling is not None and not MODES[info.mode].samples:
                raise UsageError(
                    f"this server answers in mode {info.mode!r}, so greedily; "
                    "leave out the sampling"
                )
            wanted = self._model if same is None else same.digest
            if wanted not in (None, info.card.hex()):
                raise PeerError(
                    f"the server has another model: {info.card.hex()}; ask its owner why"
                )
            data = stored_card(self._folder, info.card)
            if data is None:
                data = await fetch_card(owner, info)
                store_card(self._folder, data)
            card = Card.from_bytes(data)
            ids = [] if length else card.prompt(prompt, raw=raw)
            rows = length or len(ids)
            passes = min(max_new_tokens, context_of(card.program) + 1 - rows)
            if passes < 1:
                most = context_of(card.program)
                raise UsageError(f"the model's context holds {most} tokens; shorten the prompt")
            # What another set's owner called by the same names is not believed.
            home = self._folder / self._caller.authority
            weight_cache = WeightCache(home, card.program, info.masks)
            setup = await fetch_weights(owner, card.program, weight_cache, self._progress)
            dealer = await self._caller.call(self._dealer, "dealer")
        except BaseException:
            await owner.close()
            raise
        session = UserSession(
            self._engine, card.program, info.mode, owner, dealer, weight_cache.load(), rows, passes,
            self._folder, self._registry, self._limits,
            greedy if sampling is None else sampling.pick(card.program),
        )  # fmt: skip
        async with session:
            yield Conversation(card, info.mode, rows, passes, setup, session), ids
