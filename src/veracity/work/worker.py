"""The process at the other end of :mod:`veracity.work.pool`: ``python -m veracity.work.worker FD``.

A thread of its own reads the socket. When the parent is gone, however it ended, the process ends at
once: it has nothing to clear up. Ctrl-C and the end of a terminal are the parent's business, which
ends its workers.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable

from veracity.errors import FormatError
from veracity.progress import Progress
from veracity.threads import let_caller_compute
from veracity.work.messages import Message, error_message, receive, send

__all__ = ["Work", "main"]

#: What an entry returns: the result of one part.
Work = Callable[[Message, Progress], Message]


def main(descriptor: int) -> None:
    """Work until the parent is gone."""
    for name in ("SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    let_caller_compute()
    end = socket.socket(fileno=descriptor)
    inbox: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(end, inbox), daemon=True).start()
    try:
        work = _open(inbox.get())
        while True:
            message = inbox.get()
            if message.kind == "open":
                del work  # before there is more
                work = _open(message)
            else:
                send(end, work(message, lambda phase, share: _tell(end, phase, share)))
    except BaseException as error:
        if os.environ.get("VERACITY_TRACEBACK") == "1":
            traceback.print_exc()
        with contextlib.suppress(OSError):  # nobody listens any more: end
            send(end, error_message(error))
            inbox.get()  # the parent ends this process when it has read that


def _open(message: Message) -> Work:
    module, _, name = message.body["entry"].partition(":")
    entry = getattr(importlib.import_module(module), name)
    work: Work = entry(Message(message.body["setup"], message.body["body"], message.parts))
    return work


def _tell(end: socket.socket, phase: str, share: float) -> None:
    send(end, Message("progress", {"phase": phase, "share": share}))


def _listen(end: socket.socket, inbox: queue.SimpleQueue[Message]) -> None:
    """Put what arrives into the inbox; end the process when nothing more can."""
    while True:
        try:
            message = receive(end)
        except (OSError, FormatError):
            message = None
        if message is None:
            os._exit(1)
        inbox.put(message)


if __name__ == "__main__":
    main(int(sys.argv[1]))
