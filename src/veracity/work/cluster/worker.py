"""A process on a machine of a cluster: ``python -m veracity.work.cluster.worker HOST PORT JOB``.

It calls the process that asked, shows the machine's certificate, and proves links until that one
hangs up. It ends with whoever started it, because its standard input ends then: nothing that a
cluster leaves behind holds weights in memory.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import sys
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path

from veracity.errors import VeracityError
from veracity.work.cluster.files import local_file
from veracity.work.cluster.identity import ClusterIdentity
from veracity.work.cluster.wire import answer_of, keep_alive
from veracity.work.lifeline import end_with_input
from veracity.work.links import open_chain, relocated
from veracity.work.messages import Message, error_message, receive, send

__all__ = ["main"]

#: Seconds to reach the process that asked.
_CALL = 30.0


class _Gone(Exception):
    """The process that asked is gone in the middle of a file."""


def main(host: str, port: int, job: str) -> int:
    """Work until the other end is gone; 0 where it hung up, 1 where nobody was there.

    Parameters
    ----------
    host, port : str, int
        Where the process listens that asked.
    job : str
        The name of its job.
    """
    for name in ("SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    end_with_input()
    context = ClusterIdentity.from_environment().client_context()
    try:
        with (
            socket.create_connection((host, port), timeout=_CALL) as plain,
            context.wrap_socket(plain) as end,
        ):
            end.settimeout(None)
            keep_alive(end)
            said = {"job": job, "version": version("veracity"), "node": _name()}
            send(end, Message("hello", said))
            _serve(end)
    except OSError:
        return 1
    return 0


def _serve(end: ssl.SSLSocket) -> None:
    """Open the job and work on its parts; tells of every error but the end of the connection."""
    try:
        setup = receive(end)
        if setup is None or setup.kind != "open":
            return
        files = setup.body["files"]
        places = {
            path: local_file(Path(path), digest, partial(_fetched, end, path))
            for path, digest in files.items()
        }
        chain = Message("chain", setup.body["chain"], setup.parts)
        work = open_chain(relocated(chain, {p: str(found) for p, found in places.items()}))
        send(end, Message("opened"))
        while (part := receive(end)) is not None:
            send(end, work(part, lambda phase, share: _tell(end, phase, share)))
    except (_Gone, ssl.SSLError, ConnectionError):
        return
    except OSError as error:
        _complain(end, VeracityError(f"a machine cannot keep the weights: {error.strerror}"))
    except Exception as error:
        _complain(end, error)


def _complain(end: ssl.SSLSocket, error: Exception) -> None:
    with contextlib.suppress(OSError):
        send(end, error_message(error))
        receive(end)  # the other side hangs up when it has read that


def _fetched(end: ssl.SSLSocket, path: str) -> Iterator[bytes]:
    """The bytes of a file, from the process that asked."""
    send(end, Message("want", {"file": path}))
    while True:
        message = answer_of(end)
        if message is None or message.kind != "chunk" or len(message.parts) != 1:
            raise _Gone
        if not message.parts[0]:
            return
        yield message.parts[0]


def _tell(end: ssl.SSLSocket, phase: str, share: float) -> None:
    send(end, Message("progress", {"phase": phase, "share": share}))


def _name() -> str:
    return socket.gethostname()[:80]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
