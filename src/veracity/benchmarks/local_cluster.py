"""The three parties as separate processes on this machine: started, watched, ended, measured."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from veracity.errors import PeerError, UsageError
from veracity.private.connect import Address

__all__ = ["Cluster", "LocalCluster", "Party", "command", "facts_of", "scratch"]

#: Seconds for a service to be up: it may load a large model.
START = 120.0
#: Seconds for a service to end by itself.
STOP = 20.0


def command(*arguments: object) -> list[str]:
    """The command line of this package, in a process of its own."""
    return [sys.executable, "-m", "veracity.cli", *map(str, arguments)]


@dataclass(eq=False)
class Party:
    """One process.

    Parameters
    ----------
    name : str
        For messages.
    arguments : list of str
        The command.
    log : Path
        Where its standard error goes.

    Attributes
    ----------
    peak_memory_bytes : int
        Once it has ended.
    """

    name: str
    arguments: list[str]
    log: Path
    peak_memory_bytes: int = 0
    _process: subprocess.Popen[str] | None = field(default=None, init=False)

    def start(self) -> Party:
        """Start it."""
        with self.log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        return self

    def address(self) -> Address:
        """Where it listens, once it says so in its first line.

        Raises
        ------
        PeerError
            Where it ends or stays silent instead.
        """
        found: list[str] = []
        reader = threading.Thread(target=lambda: found.extend(self._line()), daemon=True)
        reader.start()
        reader.join(START)
        words = found[0].split() if found else []
        if words[:2] != ["listening", "at"]:
            raise PeerError(f"the {self.name} did not start: {self.last_words()}")
        return Address.parse(words[2])

    def _line(self) -> Iterator[str]:
        if self._process is not None and self._process.stdout is not None:
            yield self._process.stdout.readline()

    def lines(self) -> Iterator[str]:
        """Its standard output, line by line, to the end."""
        if self._process is not None and self._process.stdout is not None:
            for line in self._process.stdout:
                self._note_memory()
                yield line

    def _note_memory(self) -> None:
        """Remember its peak so far.

        What ``wait4`` tells at the end is at least the memory of the process that started it.
        """
        if self._process is None:
            return
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.peak_memory_bytes = max(self.peak_memory_bytes, int(line.split()[1]) << 10)

    def last_words(self) -> str:
        """The last error it wrote, on one line."""
        text = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        wrong = [line for line in text if line.startswith("error")] or text[-1:]
        return wrong[-1].removeprefix("error: ") if wrong else "it said nothing"

    def wait(self, seconds: float | None = None) -> int:
        """Wait for its end; returns the exit code and notes its memory.

        Raises
        ------
        PeerError
            Where it does not end in time.
        """
        process = self._process
        if process is None or process.returncode is not None:
            return 0 if process is None else int(process.returncode)
        latest = None if seconds is None else time.monotonic() + seconds
        while True:
            done, status, usage = os.wait4(process.pid, 0 if latest is None else os.WNOHANG)
            if done:
                break
            if latest is not None and time.monotonic() >= latest:
                raise PeerError(f"the {self.name} does not end")
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.peak_memory_bytes = self.peak_memory_bytes or usage.ru_maxrss << 10
        if process.stdout is not None:
            process.stdout.close()
        return process.returncode

    @property
    def pid(self) -> int:
        """Of the process, while it runs.

        Raises
        ------
        UsageError
        """
        if self._process is None or self._process.returncode is not None:
            raise UsageError(f"the {self.name} does not run; start it")
        return self._process.pid

    @property
    def processor_s(self) -> float:
        """Processor seconds so far, of a process that runs; 0 where the system does not tell."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="ascii", errors="replace")
        except OSError:
            return 0.0
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End it: politely, then not."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        self._note_memory()
        os.kill(process.pid, signal.SIGTERM)  # `send_signal` might reap it unmeasured
        try:
            self.wait(STOP)
        except PeerError:
            os.kill(process.pid, signal.SIGKILL)
            self.wait()


@dataclass(frozen=True)
class Cluster:
    """A dealer and an owner that listen, and what a user needs to call them."""

    folder: Path
    owner: Party
    dealer: Party
    server: Address
    dealing: Address

    def user(self, *arguments: object) -> Party:
        """A user's process, started; ``arguments`` follow `veracity private`."""
        return Party("user", command("private", *arguments), self.folder / "user.log").start()

    @property
    def identity(self) -> Path:
        """The user's certificates."""
        return self.folder / "parties" / "user"


class LocalCluster:
    """Run a dealer and an owner while the block lasts.

    Parameters
    ----------
    program : Path
        The calibrated model.
    mode : str
        The owner's.
    folder : Path
        Theirs: certificates, caches, logs.
    ahead : int
        Passes whose material waits at the owner.
    cap_mb : int
        Most MB of material that wait, at each of both.
    memory_mb : int
        MB of weights' masks that the dealer keeps in memory.
    timeout : float
        Seconds without a sign of life.
    backend : str
        What computes at both.
    """

    def __init__(
        self,
        program: Path,
        mode: str,
        folder: Path,
        *,
        ahead: int = 8,
        cap_mb: int = 8192,
        memory_mb: int = 8192,
        timeout: float = 120.0,
        backend: str = "cpu",
    ) -> None:
        self._backend = backend
        self._program, self._mode, self._folder = program, mode, folder
        self._ahead, self._cap_mb, self._timeout = ahead, cap_mb, timeout
        self._memory_mb = memory_mb
        self._parties: list[Party] = []

    def __enter__(self) -> Cluster:
        try:
            return self._start()
        except BaseException:
            self.__exit__(None, None, None)
            raise

    def _start(self) -> Cluster:
        from veracity.private.certificates import make_certificates

        parties = self._folder / "parties"
        if not parties.exists():
            make_certificates(parties, days=1)
        dealer = self._launch("dealer", "dealer", "--memory", self._memory_mb)
        dealing = dealer.address()
        owner = self._launch(
            "owner", "serve", self._program, "--dealer", dealing, "--mode", self._mode,
            "--ahead", self._ahead,
        )  # fmt: skip
        return Cluster(self._folder, owner, dealer, owner.address(), dealing)

    def _launch(self, name: str, *arguments: object) -> Party:
        options = (
            "--listen", "127.0.0.1:0", "--identity", self._folder / "parties" / name,
            "--cache", self._folder / "cache", "--timeout", self._timeout,
            "--cap", self._cap_mb, "--backend", self._backend,
        )  # fmt: skip
        log = self._folder / f"{name}-{self._mode}.log"
        party = Party(name, command("private", *arguments, *options), log)
        self._parties.append(party)
        return party.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        for party in reversed(self._parties):
            party.stop()


def scratch(name: str) -> contextlib.AbstractContextManager[str]:
    """A folder for one run."""
    return tempfile.TemporaryDirectory(prefix=f"veracity-{name}-")


def facts_of(party: Party, on_line: Callable[[dict[str, Any]], None] | None = None) -> list[Any]:
    """The JSON lines that a process writes; raises where it fails.

    Raises
    ------
    PeerError
    """
    found = []
    for line in party.lines():
        found.append(json.loads(line))
        if on_line is not None and "error" not in found[-1]:
            on_line(found[-1])
    if party.wait() != 0:
        told = found[-1].get("error", {}).get("message") if found else None
        raise PeerError(f"the {party.name} failed: {told or party.last_words()}")
    return found
