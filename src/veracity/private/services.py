"""The owner and the dealer: services that run until they are told to stop."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from veracity.codec import read_file, write_file
from veracity.codec.arguments import require_number
from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.errors import FormatError
from veracity.formats.program import ProgramFile
from veracity.mpc.weights import masked_digest
from veracity.net import Channel, Server
from veracity.net.person import DenyList, Quota
from veracity.private.card import Card
from veracity.private.connect import TIMEOUT, Address, Caller, cache_folder, identity_of
from veracity.private.parties.dealer import DealerLimits, DealerService
from veracity.private.parties.owner import OwnerService, ServiceLimits
from veracity.private.parties.spool import SharedRegistry
from veracity.private.parties.weights import paged
from veracity.work.programs import integer_program, load_program, weights_digest

__all__ = ["deal", "serve"]

#: Connections at once, and of one certificate: most of them have no session.
CONNECTIONS, CONNECTIONS_EACH = 128, 16

Told = Callable[[Address], None]


def _silent(_address: Address) -> None:
    """Nobody wants to know where we listen."""


async def deal(
    listen: str | Address,
    *,
    identity: str | Path | None = None,
    insecure: bool = False,
    cache: str | Path | None = None,
    limits: DealerLimits | None = None,
    deny: str | Path | None = None,
    timeout: float = TIMEOUT,
    backend: str = "cpu",
    on_listen: Told = _silent,
) -> None:
    """Be the dealer until SIGINT or SIGTERM.

    Parameters
    ----------
    listen : str
        ``HOST:PORT``; port 0 lets the system choose.
    identity : path, optional
        Folder of the dealer's certificates.
    insecure : bool
        Plain TCP instead: for measurements on one machine.
    cache : path, optional
        Where material waits.
    limits : DealerLimits, optional
        What each session gets.
    deny : path, optional
        File with serial numbers of certificates that are refused, one in a line; read again at
        every connection.
    timeout : float
        Seconds without a sign of life after which a party counts as gone.
    backend : str
        What computes; see :func:`veracity.engine.load_engine`.
    on_listen : callable
        Gets the address once it is listened on.

    Raises
    ------
    UsageError
    BackendUnavailable
        Where the compiled module is missing.
    """
    require_number("timeout", timeout)
    address = Address.parse(listen)
    limits = limits or DealerLimits()
    service = DealerService(load_engine(backend), cache_folder(cache, "dealer"), limits)
    server = Server(
        service.handle,
        host=address.host,
        port=address.port,
        identity=identity_of(identity),
        insecure=insecure,
        peers=("owner", "user"),
        sessions=CONNECTIONS,
        each=limits.sessions + CONNECTIONS_EACH,
        denied=() if deny is None else DenyList(Path(deny)),
        timeout=timeout,
    )
    async with server:
        on_listen(Address(address.host, server.port))
        await server.serve()


async def serve(
    program: ProgramFile | str | Path,
    listen: str | Address,
    dealer: str | Address,
    *,
    mode: str = "secure",
    identity: str | Path | None = None,
    insecure: bool = False,
    cache: str | Path | None = None,
    limits: ServiceLimits | None = None,
    sessions: int = 4,
    each: int | None = None,
    deny: str | Path | None = None,
    timeout: float = TIMEOUT,
    backend: str = "cpu",
    on_listen: Callable[[Address, Card], None] | None = None,
) -> None:
    """Serve a model to users until SIGINT or SIGTERM.

    Parameters
    ----------
    program : ProgramFile or path
        The calibrated model.
    listen, dealer : str
        ``HOST:PORT`` where users call, and of the dealer.
    mode : str
        ``secure`` shows a user nothing but the answer; ``shuffled`` is faster and shows the user
        values of the hidden layers in a random order.
    identity, insecure, cache, deny, timeout, backend
        As for :func:`deal`.
    limits : ServiceLimits, optional
        What each session gets.
    sessions, each : int
        Sessions at once, and of one certificate (half of them where not given).
    on_listen : callable, optional
        Gets the address and the model's card once users can call.

    Raises
    ------
    UsageError
        The program was not calibrated, or the address cannot be listened on.
    UnsupportedModelError
        Where the mode cannot evaluate the program.
    BackendUnavailable
        Where the compiled module is missing.
    """
    address, to_dealer = Address.parse(listen), Address.parse(dealer)
    loaded = load_program(program)
    loaded = replace(loaded, weights=paged(loaded.weights))
    folder, engine = cache_folder(cache, "owner"), load_engine(backend)
    seed, card = masked_model(engine, folder, loaded)
    caller = Caller(identity_of(identity), insecure, timeout)

    async def call() -> Channel:
        return await caller.call(to_dealer, "dealer")

    service = OwnerService(
        engine=engine,
        program=card.program,
        weights=loaded.weights,
        seed=seed,
        mode=mode,
        name=card.name,
        card=card.to_bytes(),
        masked=bytes.fromhex(card.weights),
        dealer=call,
        folder=folder,
        registry=SharedRegistry(folder / "ledger"),
        limits=limits or ServiceLimits(),
        sessions=Quota("sessions", sessions, (sessions + 1) // 2 if each is None else each),
    )
    server = Server(
        service.handle,
        host=address.host,
        port=address.port,
        identity=caller.identity,
        insecure=insecure,
        sessions=CONNECTIONS,
        each=CONNECTIONS_EACH,
        denied=() if deny is None else DenyList(Path(deny)),
        timeout=timeout,
    )
    async with server:
        if on_listen is not None:
            on_listen(Address(address.host, server.port), card)
        await server.serve()


def masked_model(engine: Engine, folder: Path, loaded: ProgramFile) -> tuple[bytes, Card]:
    """The seed of a model's masks, and its card.

    Parameters
    ----------
    engine : Engine
        What computes.
    folder : path
        Where seeds are kept.
    loaded : ProgramFile
        The calibrated model.

    Raises
    ------
    UsageError, FormatError
    """
    program = integer_program(loaded)
    seed = masks_seed(folder, program.digest, weights_digest(loaded.weights))
    return seed, Card.of(loaded, masked_digest(engine.ring, program, loaded.weights, seed))


def masks_seed(folder: Path, program: str, weights: bytes) -> bytes:
    """The seed of the masks of these very weights, made when they are served for the first time.

    Other weights under the same masks would show a user the difference of both, so a seed
    belongs to one program with one set of weights. It is kept (mode 0600), so that users need the
    masked weights only once.

    Parameters
    ----------
    folder : path
        Where seeds are kept.
    program : str
        Its digest.
    weights : bytes
        Digest of the integer weights.

    Raises
    ------
    UsageError, FormatError
    """
    digest = bytes.fromhex(program) + weights
    path = folder / f"{hashlib.sha256(digest).hexdigest()[:40]}.masks"
    if not path.exists():
        fresh = path.with_name(f".{path.name}.{os.urandom(6).hex()}.part")
        write_file(fresh, secrets.token_bytes(32), mode=0o600)
        with contextlib.suppress(FileExistsError):  # another server was quicker
            os.link(fresh, path)
        fresh.unlink()
    seed = read_file(path, 32, "seed of masks")
    if len(seed) != 32:
        raise FormatError(path.name, "damaged; remove it, and users will fetch weights again")
    return seed
