"""Work for pools of processes in tests: what their workers open."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

from veracity.errors import RangeError
from veracity.progress import Progress
from veracity.work.links import open_chain
from veracity.work.messages import Message

Work = Callable[[Message, Progress], Message]


def open_toy(setup: Message) -> Work:
    """Parts say what to do."""

    def work(part: Message, progress: Progress) -> Message:
        progress("begun", 0.5)
        match part.body.get("do", "answer"):
            case "sleep":
                time.sleep(part.body["seconds"])
            case "range":
                raise RangeError("mlp.up", "calibrate again")
            case "memory":
                raise MemoryError
            case "secret":
                raise ValueError("a secret value")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "leave":
                os._exit(7)
        facts = {
            "pid": os.getpid(),
            "threads": os.environ["RAYON_NUM_THREADS"],
            "setup": setup.body["name"],
        }
        return Message("done", facts, (*setup.parts, *part.parts))

    return work


def open_chain_without_randomness(setup: Message) -> Work:
    """Links proved where the operating system's source is broken and repeats itself."""
    setattr(os, "urandom", lambda n: bytes(n))  # noqa: B010
    return open_chain(setup)


def open_sleep(_setup: Message) -> Work:
    """Nothing is ever done."""

    def work(_part: Message, _progress: Progress) -> Message:
        time.sleep(600)
        raise TimeoutError

    return work
