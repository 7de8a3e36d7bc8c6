"""From an exception to one line, one hint and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import click

from veracity.cli.output import complain, lose_output
from veracity.cli.printable import printable
from veracity.errors import (
    BackendUnavailable,
    FormatError,
    MismatchError,
    PeerError,
    RangeError,
    UnsupportedModelError,
    UsageError,
    VeracityError,
    VerificationError,
)

__all__ = [
    "EXIT_FALSE",
    "EXIT_INTERNAL",
    "EXIT_USAGE",
    "CarefulGroup",
    "error_facts",
    "explained",
    "fail",
    "hint",
]

EXIT_FALSE = 1
EXIT_USAGE = 2
EXIT_INTERNAL = 3
EXIT_INTERRUPTED = 130

HINTS: tuple[tuple[type[VeracityError], str], ...] = (
    (
        MismatchError,
        "compare it with what you asked; ask for a proof of that if this is not what you meant",
    ),
    (
        VerificationError,
        "do not rely on this answer; check which commitment the publisher announces, "
        "then ask for a new proof",
    ),
    (FormatError, "`veracity inspect FILE` tells what a file is; fetch or make it again"),
    (
        RangeError,
        "calibrate on text that is more like this prompt: `veracity calibrate -h`; "
        "`prove --explain` tells the owner which value it was",
    ),
    (UnsupportedModelError, "GPT-2 and LLaMA type decoders can be imported: `veracity import -h`"),
    (PeerError, "see what the other party says; when it runs again, begin a new session"),
    (BackendUnavailable, "build the extension with `make env`"),
    (UsageError, "`veracity{} -h` explains the options"),
)

#: What a standard output answers that is full or no output at all.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO)

#: The extra that brings a package, where it is not `import`.
EXTRAS = {"cryptography": "private"}


def hint(error: VeracityError, command: str = "") -> str:
    """What to do next about ``error``."""
    text = next((text for kind, text in HINTS if isinstance(error, kind)), "")
    return text.format(f" {command}" if command else "")


def one_line(error: BaseException) -> str:
    """A message that fits on a line and cannot drive a terminal."""
    return " ".join(printable(str(error)).split())


def error_facts(error: VeracityError, code: int, command: str = "") -> dict[str, Any]:
    """An error as plain data, the same for all commands.

    Parameters
    ----------
    error : VeracityError
        What went wrong.
    code : int
        Exit code.
    command : str
        The command that failed, for a hint that names it.
    """
    return {
        "error": {
            "kind": type(error).__name__,
            "message": one_line(error),
            "hint": hint(error, command),
            "exit": code,
        }
    }


def fail(error: VeracityError, code: int, command: str = "") -> NoReturn:
    """Print the error and its hint on standard error, and leave with ``code``.

    Parameters
    ----------
    error : VeracityError
        What went wrong.
    code : int
        Exit code.
    command : str
        The command that failed, for a hint that names it.
    """
    complain(f"error: {one_line(error)}")
    if advice := hint(error, command):
        complain(f"hint: {advice}")
    sys.exit(code)


@contextmanager
def explained(wanted: bool) -> Iterator[None]:
    """Let an error name the op that left its range, where the owner wants to know."""
    try:
        yield
    except RangeError as error:
        if wanted:
            error.explain()
        raise


@contextmanager
def ending_like_an_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does: files, folders and children are cleared.

    What the caller has told the process to ignore (``nohup``) stays ignored.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough: let it clear up
        signal.default_int_handler(number, frame)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class CarefulGroup(click.Group):
    """A command group in which no mistake of the user ends in a traceback.

    Exit codes: 0 done, 1 a false proof, 2 a usage error, 3 a fault of this package, 130
    interrupted.
    """

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run a command and turn errors into exit codes."""
        extra["standalone_mode"] = False
        output = sys.stdout
        given = list(args[0] if args and args[0] else extra.get("args") or sys.argv[1:])
        command = given[0] if given and given[0] in self.list_commands(click.Context(self)) else ""
        try:
            with ending_like_an_interrupt():
                left = super().main(*args, **extra)
        except click.exceptions.Exit as leave:
            sys.exit(leave.exit_code)
        except click.Abort:
            complain("interrupted; no half-written file was left")
            sys.exit(EXIT_INTERRUPTED)
        except click.ClickException as error:
            error.show()
            sys.exit(EXIT_USAGE)
        except VeracityError as error:
            fail(error, EXIT_USAGE, command)
        except MemoryError:
            fail(
                UsageError("not enough memory; ask for fewer tokens or see `veracity estimate`"),
                EXIT_USAGE,
            )
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("veracity"):
                raise
            brings = EXTRAS.get(error.name.partition(".")[0], "import")
            advice = f"the Python package {error.name!r} is missing; install 'veracity[{brings}]'"
            fail(UsageError(advice), EXIT_USAGE, command)
        except SystemExit as leave:
            # Where the reader of a help text has gone, click puts another output in place and
            # leaves with 1, which means "false" here.
            sys.exit(leave.code if sys.stdout is output else 0)
        except OSError as error:
            if error.filename is not None or error.errno not in UNWRITABLE:
                fail_inside(error)
            lose_output(error)  # a help text; what commands print is caught where it is written
            sys.exit(EXIT_USAGE)
        except Exception as error:
            fail_inside(error)
        sys.exit(left if isinstance(left, int) else 0)


def fail_inside(error: Exception) -> NoReturn:
    """Leave because of a fault of this package."""
    # Only type and place: an unforeseen message might hold private values.
    place = traceback.extract_tb(error.__traceback__)[-1]
    complain(f"internal error: {type(error).__name__} in {place.name}, line {place.lineno}")
    complain("hint: set VERACITY_TRACEBACK=1 to see where, and report it")
    if os.environ.get("VERACITY_TRACEBACK") == "1":
        traceback.print_exception(error)
    sys.exit(EXIT_INTERNAL)
