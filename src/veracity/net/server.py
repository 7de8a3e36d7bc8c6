"""A listener that outlives its clients: several at once and after one another.

Each connection is a task of its own: TLS, role, greeting, then the caller's handler. Whatever a
client does ends its task and nothing else. Everything is limited: sessions, those of one
certificate, connections that have not got so far yet, and the time for each step. Who says nothing
makes room for who comes next, so idle connections keep nobody out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import traceback
from collections.abc import Awaitable, Callable, Collection, Container, Iterator
from types import TracebackType

from veracity.errors import PeerError, UsageError, VeracityError
from veracity.net.channel import TIMEOUT, Channel
from veracity.net.link import Link
from veracity.net.person import Person, Quota, person_of
from veracity.net.tls import PARTING, ROLES, Identity, role_of, secured

__all__ = ["Server"]

#: Seconds for a client to finish TLS and the greeting.
HANDSHAKE = 5.0
#: Connections on their way to a session; another one closes the oldest of them.
WAITING = 256
#: Pause before a caller is refused for want of room, so that asking again and again costs little.
PAUSE = 0.5
#: Pause after the machine could not accept a connection, say for want of descriptors (seconds).
BREATH = 0.1

_LOG = logging.getLogger(__name__)


class Server:
    """Listens for other parties and gives each session to a handler.

    Parameters
    ----------
    handler : callable
        ``await handler(channel)`` is one session; the channel is closed afterwards. An error that
        it raises ends the session, never the server. What computes for long belongs into a thread
        (``asyncio.to_thread``): other sessions wait meanwhile, and then look silent.
    host, port
        Where to listen; port 0 lets the system choose (see :attr:`port`).
    identity : Identity or None
        Who listens; None together with ``insecure`` only.
    insecure : bool
        Speak plain TCP.
    peers : collection of str
        The roles that may call.
    sessions, each : int
        Sessions at once, and of one certificate; another caller is refused and told so.
    denied : container of Person
        Whose certificates are refused.
    timeout : float
        Of each channel (seconds).
    grace : float
        Time for running sessions to end when the server stops (seconds).

    Examples
    --------
    >>> async def main():  # doctest: +SKIP
    ...     async with Server(handler, identity=Identity(folder), peers=("user",)) as server:
    ...         print(server.port)
    ...         await server.serve()  # until a signal ends it
    """

    def __init__(
        self,
        handler: Callable[[Channel], Awaitable[None]],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        identity: Identity | None,
        insecure: bool = False,
        peers: Collection[str] = ("user",),
        sessions: int = 4,
        each: int | None = None,
        denied: Container[Person] = (),
        timeout: float = TIMEOUT,
        grace: float = 5.0,
    ) -> None:
        if sessions < 1 or not peers or not set(peers) <= set(ROLES):
            raise UsageError(
                f"a server needs a session at least and peers among {', '.join(ROLES)}"
            )
        self._handler = handler
        self._context = secured(identity, insecure, server=True)
        self._peers = frozenset(peers)
        self._quota = Quota("sessions", sessions, sessions if each is None else each)
        self._denied = denied
        self._timeout = timeout
        self._grace = grace
        self._host = host
        self._port = port
        self._listener: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._active = 0
        self._stopped = asyncio.Event()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        if self._listener is None:
            raise UsageError("the server does not listen; start it first")
        return int(self._listener.getsockname()[1])

    @property
    def active(self) -> int:
        """Sessions that run now."""
        return self._active

    async def start(self) -> None:
        """Listen, and accept callers in the background.

        Raises
        ------
        UsageError
            Where the address cannot be listened on.
        """
        try:
            found = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, _, _, _, address = found[0]
            self._listener = socket.create_server(address[:2], family=family, backlog=128)
        except (OSError, OverflowError) as error:
            raise UsageError(f"cannot listen at {self._host}:{self._port} ({error})") from None
        self._listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept(self._listener))

    async def serve(self) -> None:
        """Serve until SIGINT, SIGTERM, SIGHUP, :meth:`stop` or cancellation; then stop cleanly."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in signals:
            loop.add_signal_handler(number, self._stopped.set)
        try:
            await self._stopped.wait()
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
            await self.stop()

    async def stop(self) -> None:
        """Accept nobody more, let sessions end for the grace time, then end them."""
        self._stopped.set()
        if self._accepting is not None:
            self._accepting.cancel()
            await asyncio.wait((self._accepting,))
            self._accepting = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._grace if self._active else 0)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _accept(self, listener: socket.socket) -> None:
        """Take connections for ever."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                _LOG.warning("no connection could be accepted: %s", error)
                await asyncio.sleep(BREATH)
                continue
            if len(self._waiting) >= WAITING:
                oldest = next(iter(self._waiting))
                del self._waiting[oldest]
                oldest.cancel()  # no word for those who have not shown who they are
            task = asyncio.create_task(self._meet(connection))
            self._tasks.add(task)
            self._waiting[task] = None
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda done: self._waiting.pop(done, None))

    async def _meet(self, connection: socket.socket) -> None:
        """One connection, from TLS to its end; raises nothing but cancellation."""
        link: Link | None = None
        try:
            async with contextlib.AsyncExitStack() as entered, asyncio.timeout(HANDSHAKE) as limit:
                _, link = await asyncio.get_running_loop().connect_accepted_socket(
                    Link,
                    connection,
                    ssl=self._context,
                    ssl_shutdown_timeout=PARTING if self._context else None,
                )
                person = person_of(link)
                channel = Channel(link, timeout=self._timeout, peer=role_of(link), person=person)
                if self._context is not None and channel.peer not in self._peers:
                    await channel.refuse("this role has no business here")
                    return
                if person is not None and person in self._denied:
                    _LOG.warning("refused: the certificate of %s is denied", person)
                    await channel.refuse("this certificate is not valid any more")
                    return
                full = self._quota.full(person)
                if full is not None:
                    await asyncio.sleep(PAUSE)
                    await channel.refuse(full)
                    return
                entered.enter_context(self._quota.held(person))
                entered.enter_context(self._counted())
                await channel.greet()
                limit.reschedule(None)
                await self._session(channel)
        except TimeoutError:
            _LOG.info("a caller did not finish its handshake within %g s", HANDSHAKE)
        except (OSError, PeerError) as error:
            _LOG.info("a caller did not get in: %s", error or type(error).__name__)
        finally:
            if link is None:
                connection.close()
            else:
                link.abort()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        task = asyncio.current_task()
        if task is not None:
            self._waiting.pop(task, None)
        self._active += 1
        try:
            yield
        finally:
            self._active -= 1

    async def _session(self, channel: Channel) -> None:
        """Run the handler; its errors end here."""
        try:
            await self._handler(channel)
        except asyncio.CancelledError:
            await channel.refuse("the server is shutting down")
            raise
        except PeerError as error:
            _LOG.info("a session ended: %s", error)
        except VeracityError as error:
            _LOG.warning("a session failed: %s", error)
            await channel.refuse("the session cannot go on")
        except Exception as error:
            # Only type and place: an unforeseen message might hold private values.
            place = traceback.extract_tb(error.__traceback__)[-1]
            _LOG.error(
                "a session failed: %s in %s, line %d",
                type(error).__name__,
                place.name,
                place.lineno,
            )
            await channel.refuse("the session cannot go on")
        finally:
            with contextlib.suppress(asyncio.CancelledError):
                await channel.close()
