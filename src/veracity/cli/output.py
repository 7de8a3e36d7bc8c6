"""Writing to standard output and standard error, which may be closed, full, or read by nobody.

The exit code of a command tells what came of its work, whatever becomes of its output.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import click

from veracity.cli.printable import escaped
from veracity.codec.files import reason_of

__all__ = ["complain", "emit", "emit_bytes", "emit_json", "lose_output"]

EXIT_LOST = 2


def emit(text: str, *, verdict: int | None = None, newline: bool = True) -> None:
    """Text on standard output.

    Parameters
    ----------
    text : str
        What is written.
    verdict : int, optional
        Exit code where it cannot be written. By default 2, but 0 where its reader has left: the
        work is done and nobody waits for more.
    newline : bool
        End the line.

    Raises
    ------
    click.exceptions.Exit
        It could not be written.
    """
    fault: OSError | None = None
    try:
        if sys.stdout is not None:
            click.echo(spelled(text, sys.stdout), nl=newline)
            return
    except OSError as error:
        fault = error
    lose_output(fault)
    left = 0 if isinstance(fault, BrokenPipeError) else EXIT_LOST
    raise click.exceptions.Exit(left if verdict is None else verdict)


def emit_bytes(data: bytes) -> None:
    """Bytes on standard output; as :func:`emit`, but lost bytes are never a success."""
    fault: OSError | None = None
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            return
    except OSError as error:
        fault = error
    lose_output(fault)
    raise click.exceptions.Exit(EXIT_LOST)


def emit_json(value: Mapping[str, Any], *, verdict: int | None = None, indent: int = 2) -> None:
    """One JSON object on standard output.

    Parameters
    ----------
    value : mapping
        Plain data.
    verdict : int, optional
        As in :func:`emit`.
    indent : int
        Spaces of a level; 0 puts it on one line.
    """
    plain = str(getattr(sys.stdout, "encoding", None) or "utf-8").lower().startswith("utf")
    text = json.dumps(value, indent=indent or None, ensure_ascii=not plain, default=str)
    emit(escaped(text), verdict=verdict)


def complain(text: str) -> None:
    """A line on standard error, if anybody can read it."""
    try:
        click.echo(text if sys.stderr is None else spelled(text, sys.stderr), err=True)
    except OSError:
        discard(sys.stderr)


def spelled(text: str, stream: TextIO) -> str:
    """Text as a stream can hold it: what its encoding lacks is escaped."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def lose_output(error: OSError | None) -> None:
    """Standard output is closed or failed; say so, unless its reader has left."""
    discard(sys.stdout)
    if not isinstance(error, BrokenPipeError):
        reason = "it is closed" if error is None else reason_of(error)
        complain(f"error: cannot write to standard output: {reason}")
        complain("hint: the exit code tells the outcome; free space or choose another output")


def discard(stream: TextIO | None) -> None:
    """Let what is still buffered go nowhere, so that it cannot fail again at the end."""
    with contextlib.suppress(OSError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
        finally:
            os.close(nowhere)
