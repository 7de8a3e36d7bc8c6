"""Dealer, owner and users of private inference in one process, over real sockets."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.programs import Example
from veracity.engine import load_engine
from veracity.mpc.weights import masked_digest
from veracity.net import Channel, Identity, Server, connect
from veracity.private.parties.dealer import DealerLimits, DealerService
from veracity.private.parties.handshake import exchange_hellos, fetch_card, fetch_weights
from veracity.private.parties.owner import OwnerService, ServiceLimits
from veracity.private.parties.report import PassReport
from veracity.private.parties.spool import SharedRegistry
from veracity.private.parties.user import UserSession
from veracity.private.parties.weights import WeightCache
from veracity.private.services import CONNECTIONS, CONNECTIONS_EACH

ENGINE = load_engine("cpu")

PLAIN: dict[str, Any] = {"identity": None, "insecure": True}


def run(session: Coroutine[Any, Any, Any], seconds: float = 30) -> Any:
    async def within() -> Any:
        async with asyncio.timeout(seconds):
            return await session

    return asyncio.run(within())


@dataclass
class Answer:
    tokens: list[int]
    reports: list[PassReport]
    setup_bytes: int


@dataclass
class Three:
    """A dealer and an owner that listen; users are made as needed."""

    example: Example
    mode: str
    folder: Path
    owner: OwnerService
    dealer: DealerService
    server_port: int
    dealer_port: int
    timeout: float
    limits: ServiceLimits
    registry: SharedRegistry = field(default_factory=SharedRegistry)
    people: Mapping[str, Identity] | None = None

    async def call(self, port: int, peer: str, who: str = "user") -> Channel:
        how = PLAIN if self.people is None else {"identity": self.people[who]}
        return await connect("127.0.0.1", port, peer=peer, timeout=self.timeout, **how)

    @asynccontextmanager
    async def session(
        self, rows: int, passes: int, *, owner_port: int | None = None, who: str = "user"
    ) -> AsyncIterator[tuple[UserSession, int]]:
        owner = await self.call(owner_port or self.server_port, "owner", who)
        offer = await exchange_hellos(owner)
        await fetch_card(owner, offer)
        program = self.example.program
        kept = WeightCache(self.folder / "user", program, offer.weights)
        setup = await fetch_weights(owner, program, kept, lambda *_: None)
        made = UserSession(
            ENGINE,
            program, self.mode, owner, lambda: self.call(self.dealer_port, "dealer", who),
            kept.load(), rows, passes,
            self.folder / "user", self.registry, self.limits,
        )  # fmt: skip
        async with made as session:
            yield session, setup

    async def ask(self, prompt: list[int], count: int, who: str = "user") -> Answer:
        async with self.session(len(prompt), count, who=who) as (session, setup):
            found = [await session.feed(prompt)]
            while len(found) < count:
                found.append(await session.feed(found[-1:]))
            return Answer(found, session.reports, setup)


@asynccontextmanager
async def three(
    example: Example,
    mode: str,
    folder: Path,
    *,
    timeout: float = 10.0,
    limits: ServiceLimits | None = None,
    dealer_limits: DealerLimits | None = None,
    people: Mapping[str, Identity] | None = None,
) -> AsyncIterator[Three]:
    limits = limits or ServiceLimits(idle=timeout)
    dealer = DealerService(ENGINE, folder / "dealer", dealer_limits)
    many = {"sessions": CONNECTIONS, "timeout": timeout}

    def as_role(role: str) -> dict[str, Any]:
        return PLAIN if people is None else {"identity": people[role]}

    async with Server(
        dealer.handle, peers=("owner", "user"), **many, **as_role("dealer")
    ) as dealing:

        async def call() -> Channel:
            return await connect(
                "127.0.0.1", dealing.port, peer="dealer", timeout=timeout, **as_role("owner")
            )

        seed = secrets.token_bytes(32)
        owner = OwnerService(
            ENGINE,
            example.program,
            example.weights,
            seed,
            mode,
            "small",
            json.dumps({"program": example.program.to_json()}).encode(),
            masked_digest(ENGINE.ring, example.program, example.weights, seed),
            call,
            folder / "owner",
            limits=limits,
        )
        async with Server(
            owner.handle, each=CONNECTIONS_EACH, **many, **as_role("owner")
        ) as serving:
            yield Three(
                *(example, mode, folder, owner, dealer, serving.port, dealing.port, timeout),
                *(limits, SharedRegistry(), people),
            )
