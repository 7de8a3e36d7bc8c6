"""Processes that end with whoever started them, because their standard input does."""

from __future__ import annotations

import os
import sys
import threading

__all__ = ["end_with_input"]


def end_with_input() -> None:
    """Begin to watch standard input; the process ends with it, whatever it does."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
