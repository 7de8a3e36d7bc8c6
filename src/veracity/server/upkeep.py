"""What a server does now and then: forget what it promised to forget, keep its disk bounded."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from veracity.server.desk import Desk
from veracity.server.proofs import Proofs

__all__ = ["Upkeep"]

LOG = logging.getLogger("veracity.server")
#: Seconds between two rounds.
PERIOD = 60.0


@dataclass(frozen=True)
class Upkeep:
    """The rounds of a server.

    Attributes
    ----------
    desk : Desk or None
        Whose kept receipts end.
    proofs : Proofs or None
        Whose files are bounded.
    keep : float
        Seconds for which a proof stays; 0 for as long as there is room.
    room : int
        Bytes of all proofs together; 0 for no bound.
    """

    desk: Desk | None
    proofs: Proofs | None
    keep: float = 0.0
    room: int = 0

    def once(self, now: float) -> None:
        """One round."""
        if self.desk is not None:
            self.desk.shelf.forget(int(now))
        if self.proofs is not None and (self.keep or self.room):
            self.proofs.tidy(now - self.keep if self.keep else 0.0, self.room)

    async def run(self) -> None:
        """Rounds until cancelled; one that fails is a line in the log, and the next one comes."""
        while True:
            try:
                await asyncio.to_thread(self.once, time.time())
            except Exception as error:
                LOG.warning("upkeep failed: %s", type(error).__name__)
            await asyncio.sleep(PERIOD)
