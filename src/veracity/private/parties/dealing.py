"""Dealing for one session: passes in order, in the background, once to each party."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from veracity.engine.api import Engine
from veracity.errors import PeerError, UsageError, VeracityError
from veracity.graph.program import Program
from veracity.mpc.modes import find_mode
from veracity.mpc.party import OWNER, USER
from veracity.mpc.sessions import Dealt
from veracity.mpc.weights import MaskTable
from veracity.private.parties.passes import REPETITIONS
from veracity.private.parties.spool import Piece, Spool

__all__ = ["Dealing", "Made", "Model"]

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class Model:
    """A program and the masks of its weights."""

    program: Program
    masks: MaskTable
    uses: int = 0


@dataclass(eq=False)
class Made:
    """One pass, dealt or being dealt; sizes and time once it is."""

    dealt: tuple[Dealt, Dealt]
    pieces: tuple[Piece, Piece]
    micros: int = 0
    asked: set[int] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)

    def close(self) -> None:
        """Drop what is not on its way to a party just now; that goes when it has arrived."""
        for party, piece in enumerate(self.pieces):
            if party not in self.asked:
                piece.close()


class Dealing:
    """Dealing for one session, in the background."""

    def __init__(
        self,
        engine: Engine,
        model: Model,
        mode: str,
        name: bytes,
        passes: list[tuple[int, int]],
        spool: Spool,
    ) -> None:
        self._engine = engine
        self.mode, self.name, self.passes = mode, name, passes
        self.model, self._program = model, model.program
        self._mode = find_mode(mode)
        self._side = self._mode.dealer(engine, model.program, model.masks, name)
        self._spool = spool
        self._made: dict[int, Made] = {}
        self._epoch = self._next = 0
        self._furthest, self._repeated = -1, 0
        self._asked = [-1, -1]
        self._obtained = [-1, -1]
        self._changed = asyncio.Condition()
        self._fault: VeracityError | None = None
        self._task: asyncio.Task[None] | None = None
        # Parties that do not take what is dealt must not keep the threads of others.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="dealing")
        self.joined: set[int] = set()
        self.user = ""  # who it is, for the log
        self.rows = 0  # tokens of prompts, all turns together
        self.dealt = self.bytes = 0
        self.seconds = 0.0

    async def join(self, party: int) -> None:
        """A party is there; dealing begins with the second one."""
        if party in self.joined:
            raise PeerError("this session has this party already")
        self.joined.add(party)
        if self.joined == {OWNER, USER}:
            self._task = asyncio.create_task(self._deal())

    async def extend(self, passes: list[tuple[int, int]]) -> None:
        """The owner tells of another turn; the user asks for its passes.

        Raises
        ------
        PeerError
            Before the passes of the last turn are dealt.
        """
        async with self._changed:
            if self._next < len(self.passes):
                raise PeerError("another turn begins when all passes of the last one are dealt")
            self.passes = [*self.passes, *passes]
            self._changed.notify_all()

    async def leave(self) -> None:
        """A party has gone: the session is over."""
        await self._end(PeerError("the other party has left the session"))
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for made in self._made.values():
            made.close()
        self._made.clear()
        self._pool.shutdown(wait=False)

    async def _end(self, fault: VeracityError) -> None:
        async with self._changed:
            self._fault = self._fault or fault
            self._changed.notify_all()

    async def obtain(self, party: int, epoch: int, index: int) -> Made | None:
        """A pass's material for a party; None where it belongs to an epoch that has passed.

        Parameters
        ----------
        party : int
            Who asks.
        epoch : int
            How often passes were dealt again before.
        index : int
            Number of the pass in the session.
        """
        async with self._changed:
            if epoch == self._epoch + 1 and index < self._next:
                if index > min(self._obtained):
                    raise PeerError("a repetition of what the other party does not have")
                if index > self._furthest:
                    self._furthest, self._repeated = index, 0
                self._repeated += 1
                if self._repeated > REPETITIONS:
                    raise PeerError("a pass is repeated too often")
                self._epoch, self._next = epoch, index
                for made in self._made.values():
                    made.close()
                self._made.clear()
                self._asked = [index - 1, index - 1]
                self._obtained = [index - 1, index - 1]
            elif epoch > self._epoch:
                raise PeerError("a repetition of what was not dealt yet")
            if epoch == self._epoch and index != self._asked[party] + 1:
                raise PeerError("material is asked for in order, and once")
            if epoch == self._epoch:
                self._asked[party] = index
                self._changed.notify_all()
            await self._changed.wait_for(
                lambda: epoch != self._epoch or index in self._made or self._fault
            )
            if epoch != self._epoch:
                return None
            if index not in self._made:
                raise self._fault or PeerError("the session is over")
            self._made[index].asked.add(party)
            self._obtained[party] = index
            return self._made[index]

    async def took(self, party: int, made: Made) -> None:
        """A party has its piece of a pass; with the second one it is gone."""
        made.taken.add(party)
        async with self._changed:
            if len(made.taken) == 2:
                self._made = {i: m for i, m in self._made.items() if m is not made}
            self._changed.notify_all()

    # In the background.

    async def _deal(self) -> None:
        try:
            while True:
                async with self._changed:
                    await self._changed.wait_for(
                        lambda: self._next < len(self.passes) and self._next <= max(self._asked)
                    )
                    epoch, index = self._epoch, self._next
                made = await self._begin(*self.passes[index])
                async with self._changed:
                    if epoch != self._epoch:
                        made.close()
                        continue
                    self._made[index] = made
                    self._next += 1
                    self._changed.notify_all()
                try:
                    await self._fill(made)
                except PeerError:
                    # Dropped for a repetition while it was dealt.
                    if epoch == self._epoch:
                        raise
        except VeracityError as fault:
            await self._end(fault)
        except Exception as fault:
            _LOG.error("dealing failed: %s", type(fault).__name__)
            await self._end(UsageError("the dealer cannot go on"))

    async def _begin(self, start: int, rows: int) -> Made:
        """A pass with room for its material, or for a window of it."""
        plan = await asyncio.to_thread(self._mode.plan, self._engine, self._program, rows, start)
        # An owner's share may include what the user sends it: then the file is smaller.
        cost, window = plan.cost, self._spool.window if self._mode.streams else None
        owner, user = await self._spool.take(
            cost.offline_bytes_owner, cost.offline_bytes_user, window=window
        )
        return Made(self._side.begin(start, rows), (owner, user))

    async def _fill(self, made: Made) -> None:
        """Deal a pass, as fast as the parties take it where there is room for a window alone."""
        loop, started = asyncio.get_running_loop(), time.perf_counter()
        try:
            made.dealt = await loop.run_in_executor(
                self._pool, self._side.fill, made.dealt, *made.pieces
            )
        except BaseException as fault:
            why = fault if isinstance(fault, VeracityError) else PeerError("the session is over")
            for piece in made.pieces:
                piece.fail(why)
            made.close()
            raise
        took = time.perf_counter() - started
        self.dealt += 1
        self.seconds += took
        self.bytes += sum(d.size for d in made.dealt)
        made.micros = round(took * 1e6)
        for piece in made.pieces:
            piece.end()
