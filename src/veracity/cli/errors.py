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
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from veracity.cli.output import complain, emit_json, lose_output
from veracity.cli.printable import printable
from veracity.codec.files import reason_of
from veracity.errors import (
    BackendUnavailable,
    FormatError,
    MismatchError,
    PeerError,
    RangeError,
    RequestError,
    UnsupportedModelError,
    UsageError,
    VeracityError,
    VerificationError,
)
from veracity.records import record

__all__ = [
    "EXIT_FALSE",
    "EXIT_INTERNAL",
    "EXIT_USAGE",
    "CarefulGroup",
    "error_facts",
    "explained",
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
    (RequestError, "docs/service.md lists what requests may ask for"),
    (UsageError, "`veracity{} -h` explains the options"),
)

#: What a standard output answers that is full or no output at all.
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EBADF, errno.EIO)

#: The extra that brings a package, where it is not `import`.
EXTRAS = {"cryptography": "private", "matplotlib": "plot"}


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
    return facts_of(type(error).__name__, one_line(error), hint(error, command), code)


def facts_of(kind: str, message: str, advice: str, code: int) -> dict[str, Any]:
    """What ``--json`` says of every fault.

    Parameters
    ----------
    kind : str
        Name of the kind of error.
    message : str
        What went wrong.
    advice : str
        What to do next.
    code : int
        Exit code.
    """
    return {"error": {"kind": kind, "message": message, "hint": advice, "exit": code}}


@record
class Call:
    """How a command was called, as far as its faults depend on it."""

    group: click.Group
    given: tuple[str, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """The words before ``--``."""
        end = self.given.index("--") if "--" in self.given else len(self.given)
        return self.given[:end]

    @property
    def command(self) -> str:
        """The name of the command, with its group: `private ask`."""
        names: list[str] = []
        at: click.Command | None = self.group
        for word in self.given:
            try:
                at = (
                    at.get_command(click.Context(at), word) if isinstance(at, click.Group) else None
                )
            except ImportError:
                at = None
            if at is None:
                break
            names.append(word)
        return " ".join(names)

    def fail(self, error: VeracityError, code: int) -> NoReturn:
        """Tell the error and its hint, and leave with ``code``."""
        self.leave(error_facts(error, code, self.command))

    def leave(self, facts: dict[str, Any], before: str = "error: ") -> NoReturn:
        """Tell a fault: as JSON where JSON was asked for, else on standard error."""
        fault = facts["error"]
        if not {"--json", "--lines"}.isdisjoint(self.options):
            try:
                emit_json(
                    facts, verdict=fault["exit"], indent=0 if "--lines" in self.options else 2
                )
            except click.exceptions.Exit:  # the exit code tells
                sys.exit(fault["exit"])
        else:
            complain(f"{before}{fault['message']}")
            if fault["hint"]:
                complain(f"hint: {fault['hint']}")
        sys.exit(fault["exit"])


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
        given = args[0] if args and args[0] else extra.get("args") or sys.argv[1:]
        call = Call(self, tuple(map(str, given)))
        try:
            with ending_like_an_interrupt():
                left = super().main(*args, **extra)
        except click.exceptions.Exit as leave:
            sys.exit(leave.exit_code)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(EXIT_USAGE)
        except click.Abort:
            told = "interrupted; no half-written file was left"
            call.leave(facts_of("Interrupted", told, "", EXIT_INTERRUPTED), before="")
        except click.ClickException as error:
            call.fail(UsageError(plain(error.format_message())), EXIT_USAGE)
        except VeracityError as error:
            call.fail(error, EXIT_USAGE)
        except MemoryError:
            advice = "not enough memory; ask for fewer tokens or see `veracity estimate`"
            call.fail(UsageError(advice), EXIT_USAGE)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("veracity"):
                raise
            brings = EXTRAS.get(error.name.partition(".")[0], "import")
            advice = f"the Python package {error.name!r} is missing; install 'veracity[{brings}]'"
            call.fail(UsageError(advice), EXIT_USAGE)
        except SystemExit as leave:
            # Where the reader of a help text has gone, click puts another output in place and
            # leaves with 1, which means "false" here.
            sys.exit(leave.code if sys.stdout is output else 0)
        except OSError as error:
            if error.filename is not None:  # a name that no command foresaw
                name = Path(os.fsdecode(error.filename)).name[:80]
                call.fail(UsageError(f"cannot use {name!r}: {reason_of(error)}"), EXIT_USAGE)
            if error.errno not in UNWRITABLE:
                fail_inside(error, call)
            lose_output(error)  # a help text; what commands print is caught where it is written
            sys.exit(EXIT_USAGE)
        except Exception as error:
            fail_inside(error, call)
        sys.exit(left if isinstance(left, int) else 0)


def plain(message: str) -> str:
    """A message of click's in our form: no capital, no full stop."""
    text = " ".join(message.split()).removesuffix(".")
    return text[:1].lower() + text[1:]


def fail_inside(error: Exception, call: Call) -> NoReturn:
    """Leave because of a fault of this package."""
    if os.environ.get("VERACITY_TRACEBACK") == "1":
        traceback.print_exception(error)
    # Only type and place: an unforeseen message might hold private values.
    place = traceback.extract_tb(error.__traceback__)[-1]
    told = f"internal error: {type(error).__name__} in {place.name}, line {place.lineno}"
    advice = "set VERACITY_TRACEBACK=1 to see where, and report it"
    call.leave(facts_of("InternalError", told, advice, EXIT_INTERNAL), before="")
