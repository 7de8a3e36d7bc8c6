"""A pool on a cluster from its address."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from veracity.errors import UsageError
from veracity.work.cluster.files import digest_of
from veracity.work.cluster.identity import ClusterIdentity
from veracity.work.cluster.launcher import RayLauncher, split_address
from veracity.work.cluster.pool import ClusterPool
from veracity.work.messages import Message
from veracity.work.pool import threads_each

__all__ = ["connect", "own_address"]


def connect(
    address: str,
    setup: Message,
    files: Iterable[str],
    *,
    workers: int,
    threads: int | None = None,
    memory: int | None = None,
) -> ClusterPool:
    """A pool of workers on the machines of a Ray cluster.

    Parameters
    ----------
    address : str
        ``HOST:PORT`` of the cluster's head; this machine belongs to the cluster.
    setup : Message
        What all parts share.
    files : iterable of str
        Files that it names.
    workers : int
        How many processes.
    threads : int, optional
        Threads of all of them together; their share of a machine's cores each where not given.
    memory : int, optional
        Bytes that each of them may occupy.

    Raises
    ------
    UsageError
        The address is none, or the cluster is open to others.
    """
    host, port = split_address(address)
    identity = ClusterIdentity.from_environment()
    identity.client_context()  # says now what is wrong with the files
    each = None if threads is None else threads_each(workers, threads)
    launcher = RayLauncher(address, workers, each, memory)
    digests = {path: digest_of(Path(path)) for path in files}
    return ClusterPool(setup, digests, launcher, own_address(host, port), identity)


def own_address(host: str, port: int) -> str:
    """Address of this machine on the way to another; nothing is sent."""
    try:
        kind, _, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(kind, socket.SOCK_DGRAM) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except OSError:
        raise UsageError(f"the cluster's head {host!r} cannot be reached from here") from None
