"""Listening: on this machine alone, or for others with keys and TLS."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import uvicorn

from veracity.codec.files import reason_of, require_private
from veracity.errors import UsageError
from veracity.private.client import Client
from veracity.server.app import make_app
from veracity.server.desk import Desk
from veracity.server.evaluator import Evaluator
from veracity.server.http import Frame
from veracity.server.keeper import Keeps
from veracity.server.limits import Doors, read_keys
from veracity.server.metrics import Metrics, serve_metrics
from veracity.server.model import ServedModel
from veracity.server.private_proxy import PrivateProxy, make_proxy
from veracity.server.proofs import Proofs
from veracity.server.proxy import make_checking_proxy
from veracity.server.request import Limits
from veracity.server.upkeep import Upkeep
from veracity.server.upstream import Upstream
from veracity.server.verifier import Bounds, make_verifier

__all__ = ["Listen", "Settings", "serve", "serve_private", "serve_proxy", "serve_verifier"]

#: Open connections at a time; seconds that a connection may be idle; bytes of a request's head.
_CONNECTIONS, _IDLE, _HEAD = 512, 30, 1 << 16
_HERE = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True)
class Listen:
    """Where and for whom.

    Attributes
    ----------
    host, port : str, int
        The address; port 0 lets the system choose.
    keys : Path, optional
        The keys file; everybody on this machine may ask without one.
    certificate, key : Path, optional
        Of TLS, PEM.
    hosts : sequence of str
        More names under which the server may be called.
    auditors : frozenset of str
        Names of keys that may audit.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    keys: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    hosts: Sequence[str] = ()
    auditors: frozenset[str] = frozenset()

    def check(self) -> None:
        """Raise :class:`UsageError` unless strangers need a key and cannot listen in."""
        if (self.certificate is None) != (self.key is None):
            raise UsageError("TLS takes both: --tls-certificate and --tls-key")
        if self.key is not None:
            require_private(self.key, "make a new one")
        if self.local:
            return
        if self.keys is None or self.certificate is None:
            raise UsageError(
                "others than this machine are served only with --keys and TLS "
                "(--tls-certificate, --tls-key); or listen at 127.0.0.1"
            )

    @property
    def local(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def names(self) -> frozenset[str] | None:
        """Names under which the server may be called; None for any."""
        if not self.local and not self.hosts:
            return None
        own = f"[{self.host}]" if ":" in self.host else self.host
        return _HERE | {own} | {name.lower() for name in self.hosts}


@dataclass(frozen=True)
class Settings:
    """How much.

    Attributes
    ----------
    limits : Limits
        Of one request.
    slots, waiting : int
        Answers evaluated at a time, and waiting for that.
    timeout : float
        Seconds for an answer, waiting included.
    rate, concurrency : int
        Requests of one key, in a minute and at a time.
    grace : int
        Seconds for running answers when the server is told to end.
    metrics_port : int or None
        Where this machine may read numbers; nowhere by default.
    keep_proofs : float
        Seconds for which proofs stay on the disk; 0 for no end.
    proofs_room : int
        Bytes of all proofs together; 0 for no bound.
    """

    limits: Limits = field(default_factory=Limits)
    slots: int = 2
    waiting: int = 64
    timeout: float = 300.0
    rate: int = 60
    concurrency: int = 4
    grace: int = 30
    metrics_port: int | None = None
    keep_proofs: float = 0.0
    proofs_room: int = 0


class _Server(uvicorn.Server):
    """Tells when it listens."""

    def __init__(self, config: uvicorn.Config, told: Callable[[], None]) -> None:
        super().__init__(config)
        self._told = told

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        # A terminal that is closed ends a server in order, as the end of a command does; where the
        # server is a thread of a program, signals are the program's.
        ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # as `nohup` has it
        if not ignored and threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGHUP, self.handle_exit, signal.SIGTERM, None)
        self._told()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """SIGTERM is how a server is told to end: doing so is no failure. Ctrl-C interrupts it."""
        if sig == signal.SIGTERM:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)


def serve(
    model: ServedModel,
    listen: Listen,
    settings: Settings,
    on_listen: Callable[[str], None],
    desk: Desk | None = None,
    proofs: Proofs | None = None,
) -> None:
    """Serve until the process is told to end; running answers are finished then.

    Parameters
    ----------
    model : ServedModel
        What answers.
    listen : Listen
        Where and for whom.
    settings : Settings
        How much.
    on_listen : callable
        Told the URL once connections are accepted.
    desk : Desk, optional
        Where receipts are signed; answers have none where not given.
    proofs : Proofs, optional
        Where proofs of receipts are ordered.

    Raises
    ------
    UsageError
        The address cannot be had, or is open to strangers without keys and TLS.
    """
    listen.check()
    keys = None if listen.keys is None else read_keys(listen.keys)
    evaluator = Evaluator(
        model, slots=settings.slots, waiting=settings.waiting, timeout=settings.timeout
    )
    unknown = listen.auditors - set((keys or {}).values())
    if unknown:
        raise UsageError(f"no key of an auditor called {min(unknown)[:64]!r}; see --keys")
    doors = Doors(keys, settings.rate, settings.concurrency)
    metrics = Metrics([_gauges(evaluator, desk, proofs)])
    app = make_app(
        *(model, evaluator, doors, settings.limits, desk, proofs),
        hosts=listen.names,
        auditors=listen.auditors,
        metrics=metrics,
        upkeep=Upkeep(desk, proofs, settings.keep_proofs, settings.proofs_room),
    )
    _run(app, listen, settings, on_listen, metrics)


def serve_verifier(
    listen: Listen, settings: Settings, bounds: Bounds, on_listen: Callable[[str], None]
) -> None:
    """Serve the verifier of proofs until the process is told to end.

    Parameters
    ----------
    listen : Listen
        Where and for whom.
    settings : Settings
        How much.
    bounds : Bounds
        What one check may take.
    on_listen : callable
        Told the URL once connections are accepted.

    Raises
    ------
    UsageError
        The address cannot be had, or is open to strangers without keys and TLS.
    """
    listen.check()
    keys = None if listen.keys is None else read_keys(listen.keys)
    doors, metrics = Doors(keys, settings.rate, settings.concurrency), Metrics()
    app = make_verifier(
        *(doors, bounds),
        slots=settings.slots,
        waiting=settings.waiting,
        hosts=listen.names,
        metrics=metrics,
    )
    _run(app, listen, settings, on_listen, metrics)


def serve_proxy(
    upstream: Upstream,
    keeper: Keeps,
    listen: Listen,
    on_listen: Callable[[str], None],
    *,
    key: str = "",
    hold: bool = False,
) -> None:
    """Serve a proxy for this machine until the process is told to end.

    Parameters
    ----------
    upstream : Upstream
        The server behind it.
    keeper : Keeps
        Takes receipts.
    listen : Listen
        Where; loopback only, as whoever reaches the proxy uses its key.
    on_listen : callable
        Told the URL once connections are accepted.
    key : str
        The bearer key for the server.
    hold : bool
        Send nothing of a stream before its receipt is checked.

    Raises
    ------
    UsageError
        The address cannot be had, or is not this machine's alone.
    """
    if not listen.local:
        raise UsageError("a proxy is for this machine alone: let it listen at 127.0.0.1")
    app = make_checking_proxy(upstream, keeper, key=key, hold=hold, hosts=listen.names)
    _run(app, listen, Settings(), on_listen, Metrics())


def serve_private(
    listen: Listen,
    settings: Settings,
    client: Client,
    on_listen: Callable[[str], None],
    *,
    round_length: int = 0,
) -> None:
    """Answer programs of this machine by private inference, until the process is told to end.

    Passes that are under way are finished then, so that nobody learns where the process stopped.

    Parameters
    ----------
    listen : Listen
        Where; an address of this machine, since prompts arrive in clear.
    settings : Settings
        How much.
    client : Client
        Asks the owner.
    on_listen : callable
        Told the URL once connections are accepted.
    round_length : int
        As for :meth:`Client.generate`.

    Raises
    ------
    UsageError
        The address cannot be had, or others than this machine could reach it.
    """
    listen.check()
    if not listen.local:
        raise UsageError("prompts arrive here in clear; listen at 127.0.0.1")
    keys = None if listen.keys is None else read_keys(listen.keys)
    doors = Doors(keys, settings.rate, settings.concurrency)
    proxy = PrivateProxy(
        client, doors, settings.limits, round_length=round_length, waiting=settings.waiting
    )
    _run(make_proxy(proxy, listen.names), listen, settings, on_listen, Metrics())


def _run(
    app: Frame,
    listen: Listen,
    settings: Settings,
    on_listen: Callable[[str], None],
    metrics: Metrics,
) -> None:
    """Accept connections until the process is told to end."""
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=settings.grace,
        h11_max_incomplete_event_size=_HEAD,
        ssl_certfile=listen.certificate,
        ssl_keyfile=listen.key,
    )
    with _bound(listen) as listener:
        port = listener.getsockname()[1]
        scheme = "http" if listen.certificate is None else "https"
        host = f"[{listen.host}]" if ":" in listen.host else listen.host
        counting = None
        if settings.metrics_port is not None:
            counting = serve_metrics(metrics, settings.metrics_port)
        try:
            _Server(config, lambda: on_listen(f"{scheme}://{host}:{port}")).run([listener])
        finally:
            if counting is not None:
                counting.shutdown()
                counting.server_close()


def _gauges(
    evaluator: Evaluator, desk: Desk | None, proofs: Proofs | None
) -> Callable[[], Mapping[str, float]]:
    """What is asked when somebody looks."""

    def ask() -> Mapping[str, float]:
        found: dict[str, float] = {"veracity_answers_admitted": evaluator.admitted}
        if desk is not None:
            found["veracity_receipts"] = desk.shelf.summary()[0]
        if proofs is not None:
            for state, count in proofs.queue.counts().items():
                found[f'veracity_jobs{{state="{state}"}}'] = count
        return found

    return ask


def _bound(listen: Listen) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise UsageError(f"cannot listen at {listen.host[:80]}: {reason_of(error)}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise UsageError(f"cannot listen at port {listen.port}: {reason_of(error)}") from None
    return listener
