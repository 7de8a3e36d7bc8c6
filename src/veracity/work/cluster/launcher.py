"""Asking a Ray cluster for workers, from a process that Ray cannot end."""

from __future__ import annotations

import json
import os
import queue
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from veracity.errors import UsageError, VeracityError

__all__ = ["Launcher", "RayLauncher", "split_address"]


class Launcher(Protocol):
    """What gets workers to call back, wherever they run."""

    def start(self, host: str, port: int, job: str) -> None:
        """Ask for workers that call back; again where it was asked before.

        Parameters
        ----------
        host, port : str, int
            Where they call.
        job : str
            What they name.
        """

    def troubles(self) -> str:
        """The last trouble told of, empty for none; raises VeracityError for one without end."""

    def end(self) -> None:
        """Ask for nothing more, and end what was started."""


def split_address(address: str) -> tuple[str, int]:
    """Host and port of a cluster; raises :class:`UsageError` where they are none."""
    found = re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", address)
    if found is None or not 0 < int(found[2]) < 1 << 16:
        raise UsageError(f"{address[:80]!r} is no address of a cluster; give HOST:PORT of its head")
    return found[1].strip("[]"), int(found[2])


@dataclass
class RayLauncher:
    """Workers as tasks of Ray.

    Attributes
    ----------
    address : str
        ``HOST:PORT`` of the cluster's head.
    workers : int
        How many.
    threads : int or None
        Cores that each asks for; its share of a machine's where None.
    memory : int or None
        Bytes that each asks for.
    """

    address: str
    workers: int
    threads: int | None = None
    memory: int | None = None
    _process: subprocess.Popen[str] | None = field(default=None, init=False, repr=False)
    _said: queue.SimpleQueue[dict[str, object]] = field(
        default_factory=queue.SimpleQueue, init=False, repr=False
    )
    _trouble: str = field(default="", init=False, repr=False)

    def start(self, host: str, port: int, job: str) -> None:
        """Start the process that talks to Ray.

        Parameters
        ----------
        host, port : str, int
            Where workers call.
        job : str
            What they name.
        """
        self.end()
        paths = [str(Path(p).resolve()) for p in sys.path if p]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "veracity.work.cluster.submit"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            text=True,
        )
        given = {
            "address": self.address,
            "host": host,
            "port": port,
            "job": job,
            "workers": self.workers,
            "threads": self.threads,
            "memory": self.memory,
        }
        stream, said = self._process.stdin, self._process.stdout
        if stream is None or said is None:
            return
        threading.Thread(target=self._listen, args=(said,), daemon=True).start()
        try:
            stream.write(json.dumps(given) + "\n")
            stream.flush()
        except OSError:
            self._trouble = "the process that talks to Ray ended at once"

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            try:
                said = json.loads(line)
            except ValueError:  # Ray itself may print
                continue
            if isinstance(said, dict):
                self._said.put(said)

    def troubles(self) -> str:
        """The last trouble told of; raises VeracityError where no waiting helps."""
        while not self._said.empty():
            said = self._said.get()
            if "fatal" in said:
                raise VeracityError(str(said["fatal"]))
            self._trouble = str(said.get("error", ""))
        return self._trouble

    def end(self) -> None:
        """End the process that talks to Ray; its tasks end with it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
