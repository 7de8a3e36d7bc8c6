"""The user's side of a session: what it keeps, asks for and feeds, and what passes took."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from veracity.engine.api import Engine
from veracity.errors import PeerError, UsageError, VeracityError
from veracity.graph.program import Program
from veracity.lm.text_decoder import vocabulary_of
from veracity.mpc.modes import find_mode
from veracity.mpc.party import USER, Array
from veracity.mpc.token_selection.pick import GREEDY, Chooser
from veracity.mpc.weights import user_weights
from veracity.net import Channel
from veracity.private.parties.owner import ServiceLimits
from veracity.private.parties.passes import REPETITIONS, passes_of, price_of, weight_of
from veracity.private.parties.preprocessing_client import PassMaterial, PreprocessingClient
from veracity.private.parties.report import PassReport, Tally
from veracity.private.parties.spool import SharedRegistry, Spool
from veracity.private.parties.thread_adapter import SessionThread, ThreadAdapter, at_home
from veracity.private.parties.weights import paged
from veracity.private.parties.wire import (
    PROTOCOL,
    MessageTag,
    digest_of,
    in_time,
    receive_object,
    send_object,
)

__all__ = ["UserSession"]


@dataclass(frozen=True)
class _Ready:
    """A pass that waits for its tokens."""

    pass_material: PassMaterial
    side: Any


@dataclass(eq=False)
class UserSession:
    """One session: ``async with``, then :meth:`feed` as often as passes were asked for.

    Parameters
    ----------
    engine : Engine
        What computes.
    program : Program
        The model.
    mode : str
        The owner's.
    owner : Channel
        Open; the owner has been met and has no question open. Closed at the end.
    dealer : callable
        Connects to the dealer. Called once the session is registered there: a dealer that meets a
        model for the first time is at work for longer than it waits for a caller's first word.
    masked : mapping
        From :meth:`WeightCache.load`.
    rows, passes : int
        Tokens of the prompt, and the most tokens of an answer.
    folder : Path
        Where material waits.
    registry : SharedRegistry
        Of all sessions.
    chooser : Chooser
        How the user chooses tokens.

    Attributes
    ----------
    fault : VeracityError or None
        Why tokens mean nothing from some pass on. The session goes on: where it broke off would
        tell the owner, whose model or share may have led there, about the prompt.
    """

    engine: Engine
    program: Program
    mode: str
    owner: Channel
    dealer: Callable[[], Awaitable[Channel]]
    masked: dict[str, Array] = field(repr=False)
    rows: int
    passes: int
    folder: Path
    registry: SharedRegistry
    limits: ServiceLimits = field(default_factory=ServiceLimits)
    chooser: Chooser = GREEDY
    reports: list[PassReport] = field(default_factory=list, init=False)
    fault: VeracityError | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._mode = find_mode(self.mode)
        self._passes: list[tuple[int, int]] = []  # known when the session has begun
        self._apart = SessionThread(self.owner)
        self._preprocessing: PreprocessingClient | None = None
        self._ready: _Ready | None = None
        self._dealing: Channel | None = None
        self._tally = Tally()
        self._first = self._done = 0  # of the turn, and in all

    async def __aenter__(self) -> UserSession:
        try:
            await self._begin()
        except BaseException:
            await self._part()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: object, trace: TracebackType | None
    ) -> None:
        await self._part()

    async def _part(self) -> None:
        """Leave both, and drop what waits."""
        if self._ready is not None:
            self._ready.pass_material.piece.close()
        if self._preprocessing is not None:
            await self._preprocessing.close()
        elif self._dealing is not None:
            await self._dealing.close()
        await self.owner.close()
        await self._apart.close()

    async def _begin(self) -> None:
        await send_object(
            self.owner, MessageTag.ASK, what="session", rows=self.rows, passes=self.passes
        )
        answer = await receive_object(
            self.owner, MessageTag.ANSWER, {"session": str}, timeout=max(300.0, self.owner.timeout)
        )
        name = digest_of(answer, "session", 16)
        self._dealing = dealer = await self.dealer()
        await send_object(
            dealer, MessageTag.HELLO, protocol=PROTOCOL, party="user", session=name.hex()
        )
        await receive_object(dealer, MessageTag.ANSWER, {"ok": bool})
        price = price_of(self.engine, self.program, self.mode)
        self._passes = await asyncio.to_thread(passes_of, self.rows, self.passes, price)
        spool = Spool(self.folder, self.limits.disk)
        self._preprocessing = PreprocessingClient(
            dealer, spool, self._passes, self.limits.ahead, self._mode.streams
        )
        self._preprocessing.start()
        weights = paged(user_weights(self.program, self.masked))
        self._bridge = ThreadAdapter(self.owner, asyncio.get_running_loop())
        self._side = self._mode.party(
            self.engine,
            USER,
            self.program,
            self._bridge,
            weights,
            {},
            self.registry,
            name,
            self.chooser,
        )
        await self._apart(self._side.introduce())

    async def dealt(self, count: int | None = None) -> None:
        """Wait until the material of ``count`` passes (of all that may wait) is here.

        Raises
        ------
        PeerError, UsageError
        """
        most = min(self.left, self.limits.ahead)
        await self._opened.full(most if count is None else min(count, most))

    async def weight(self) -> int:
        """Bytes of material of all passes, for both parties, nearly."""
        price = price_of(self.engine, self.program, self.mode)
        return await asyncio.to_thread(weight_of, self._passes, price)

    async def turn(self, start: int, rows: int, passes: int) -> None:
        """Go on in this session, once its passes have ended: the caches of what was fed live on.

        Parameters
        ----------
        start : int
            How many of the tokens that were fed stay.
        rows, passes : int
            Tokens that are fed behind them, and the most tokens of an answer.

        Raises
        ------
        PeerError
            Where the owner does not go on; begin another session.
        UsageError
            Where passes are left.
        """
        if self.left:
            raise UsageError("another turn begins when all passes of the last one have ended")
        price = price_of(self.engine, self.program, self.mode)
        more = await asyncio.to_thread(passes_of, rows, passes, price, start)
        await send_object(self.owner, MessageTag.ASK, start=start, rows=rows, passes=passes)
        await receive_object(
            self.owner, MessageTag.ANSWER, {"ok": bool}, timeout=max(300.0, self.owner.timeout)
        )
        await self._opened.extend(more)
        self._first, self.rows, self._passes = self._done, rows, [*self._passes, *more]
        self.fault = None  # of a pass behind the last answer's end; else there is no other turn

    @property
    def _opened(self) -> PreprocessingClient:
        if self._preprocessing is None:
            raise UsageError("a session is used in an `async with` block")
        return self._preprocessing

    @property
    def left(self) -> int:
        """Passes that were asked for and not run."""
        return len(self._passes) - self._done

    @property
    def stored_bytes_peak(self) -> int:
        """Most bytes of material that have waited here at once."""
        return self._opened.stored_bytes_peak

    async def ready(self) -> None:
        """All of the next pass that needs no tokens; otherwise :meth:`feed` does it.

        Raises
        ------
        PeerError, UsageError
        """
        if self._ready is not None:
            return
        if not self.left:
            raise UsageError("all passes of this session are used; begin another one")
        async with in_time(self.limits.material):
            pass_material = await self._opened.next()
        try:
            async with in_time(self.limits.material):
                while (turn := await self.owner.receive(MessageTag.TURN, 1)) != b"\x01":
                    if turn != b"\x00":
                        raise PeerError("the owner sent something else than its turn")
            before, started = self.owner.traffic, time.perf_counter()
            side = await self._apart(
                self._side.ready(pass_material.label, pass_material.material(self.engine.ring))
            )
        except BaseException:
            pass_material.piece.close()
            raise
        tally = self._tally
        tally.ready_s += time.perf_counter() - started
        tally.offline_bytes += (self.owner.traffic - before).sent_bytes
        self._ready = _Ready(pass_material, side)

    async def feed(self, tokens: Sequence[int]) -> int:
        """Run the passes for these tokens, the prompt or one; returns the token that follows.

        It means nothing where :attr:`fault` says so.

        Raises
        ------
        PeerError
            Where the owner or the dealer is gone.
        UsageError
        """
        begin = self._done
        whole = [n for _, n in self._passes[begin:]]
        if not whole:
            raise UsageError("all passes of this session are used; begin another one")
        if len(tokens) != (self.rows if begin == self._first else 1):
            raise UsageError(f"{len(tokens)} tokens do not fit this session; begin another one")
        at, token, asked = 0, 0, time.perf_counter()
        while at < len(tokens):
            rows = self._passes[self._done][1]
            token = await self._pass(tokens[at : at + rows])
            at += rows
        tally, self._tally = self._tally, Tally()
        tally.wall_s = time.perf_counter() - asked
        self.reports.append(tally.report(self._passes[begin][0], len(tokens)))
        return token

    async def _pass(self, tokens: Sequence[int]) -> int:
        """Run the next pass, again where it has no result."""
        failed = 0
        while True:
            await self.ready()
            if self._ready is None:
                raise UsageError("a session is fed by one task")
            ready, self._ready = self._ready, None
            start, rows = self._passes[self._done]
            before, begun = self.owner.traffic, time.perf_counter()
            try:
                run = self._side.run(ready.side, tokens)
                # A user's loop has nobody else to serve.
                home = at_home(self._mode, rows, alone=ready.pass_material.piece.whole)
                outcome = await (run if home else self._apart(run))
            finally:
                ready.pass_material.piece.close()
            tally, traffic = self._tally, self.owner.traffic - before
            tally.online_s += time.perf_counter() - begun
            tally.deal_s += ready.pass_material.deal_s
            tally.fetch_s += ready.pass_material.fetch_s
            tally.offline_bytes += ready.pass_material.both
            tally.attempts += 1
            tally.sent_bytes += traffic.sent_bytes
            tally.received_bytes += traffic.received_bytes
            tally.hops += traffic.hops
            plan = await asyncio.to_thread(self._mode.plan, self.engine, self.program, rows, start)
            tally.formula_bytes += plan.cost.online_bytes
            if outcome.done and outcome.token is not None:
                break
            failed += 1
            if failed > REPETITIONS:
                raise PeerError("a pass had no result too often; the other parties may deviate")
            await self._opened.repeat(self._done)
        token, size = outcome.token, vocabulary_of(self.program)
        fault = outcome.fault
        if not 0 <= token < size:
            fault = fault or PeerError("the pass gave a token that does not exist")
        self.fault = self.fault or fault
        self._done += 1
        return token % size
