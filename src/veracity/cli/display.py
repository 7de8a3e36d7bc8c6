"""What the command line shows: a live bar, and tables of text that cannot drive the terminal.

What draws is loaded when something is drawn: a check in a pipe ends before it would be there.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from veracity.cli.output import complain, emit
from veracity.cli.printable import printable
from veracity.progress import Forecast

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

__all__ = [
    "Bar",
    "clock",
    "coloured",
    "date",
    "flatten",
    "show_columns",
    "show_table",
    "size",
]

#: Longest name of a row (characters); names may come from a file.
LONGEST_LABEL = 200
#: A phase that takes longer than this is worth telling about (seconds).
WORTH_TELLING = 2.0


def size(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("bytes", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def date(seconds: int) -> str:
    """A time that somebody else states, in seconds since 1970; one beyond calendars as it is."""
    try:
        return str(datetime.fromtimestamp(seconds, UTC))
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s after 1970"


def clock(seconds: float) -> str:
    """A duration for people."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds * 1000:.0f} ms"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def show_table(
    rows: Iterable[tuple[str, object]], title: str | None = None, verdict: int | None = None
) -> None:
    """Two columns on standard output: what, and how much.

    In a pipe nothing is wrapped, so that digests stay whole.

    Parameters
    ----------
    rows : iterable
        Names and values.
    title : str, optional
        A line above.
    verdict : int, optional
        Exit code where it cannot be written, as in :func:`veracity.cli.output.emit`.
    """
    cells = [(_label(name), printable(str(value))) for name, value in rows]
    if not _terminal():
        emit("\n".join(_aligned(cells, title)), verdict=verdict)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in cells:
        table.add_row(Text(name), Text(value))
    _print(table, title, verdict)


def _label(name: str) -> str:
    """What a row is called, which strangers may say: short, and never a row of its own."""
    short = name if len(name) <= LONGEST_LABEL else name[:LONGEST_LABEL] + "..."
    return printable(short).translate({ord(c): "\N{REPLACEMENT CHARACTER}" for c in "\n\t"})


def _aligned(cells: Sequence[tuple[str, str]], title: str | None) -> Iterator[str]:
    """Lines in two columns, not padded to the longest: one text may have many, and a long one."""
    if title:
        yield from ("", title)
    width = max((len(name) for name, _ in cells), default=0) + 3
    for name, value in cells:
        first, *others = value.expandtabs().split("\n")
        yield f"{name:<{width}}{first}".rstrip()
        yield from (f"{'':<{width}}{line}".rstrip() for line in others)


def _terminal() -> bool:
    """Whether somebody looks at standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def show_columns(
    names: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> None:
    """A table with a heading; the first column is a name, the others are numbers.

    Parameters
    ----------
    names : sequence of str
        Heads of the columns.
    rows : iterable
        Cells, as many in each row as there are names.
    title : str, optional
        A line above.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 3, 0, 0), show_edge=False, header_style="bold")
    for i, name in enumerate(names):
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*[Text(printable(cell)) for cell in row])
    _print(table, title)


def _print(table: Table, title: str | None, verdict: int | None = None) -> None:
    from rich.console import Console
    from rich.text import Text

    terminal = _terminal()
    console = Console(
        file=sys.stdout,
        highlight=False,
        width=None if terminal else 1 << 21,
        color_system="standard" if terminal and coloured() else None,
    )
    with console.capture() as capture:
        if title:
            console.print(Text(f"\n{title}", style="bold underline"))
        console.print(table)
    lines = capture.get().removesuffix("\n").split("\n")
    emit("\n".join(line if terminal else line.rstrip() for line in lines), verdict=verdict)


def coloured() -> bool:
    """Whether a terminal may be given styles: ``NO_COLOR`` refuses them."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class Bar:
    """A progress callback that draws a live bar with the phase and the time left.

    On a terminal it draws on standard error and leaves no trace. Elsewhere it writes one line for
    each phase that took longer than two seconds.

    Parameters
    ----------
    shares : mapping of str to float
        Phases in their order with their usual share of the time; they need not add up to one.
    quiet : bool
        Show nothing.
    """

    def __init__(self, shares: Mapping[str, float], *, quiet: bool) -> None:
        self._forecast = Forecast(shares)
        self._quiet = quiet
        self._live: Progress | None = None
        self._task: TaskID | None = None
        self._started = self._phase_started = 0.0
        self._phase: str | None = None

    def __enter__(self) -> Bar:
        self._started = time.monotonic()
        if not self._quiet and sys.stderr is not None and sys.stderr.isatty():
            self._live = _live_bar()
            self._task = self._live.add_task("starting", total=1.0, left="")
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._tell_phase()
        if self._live is not None:
            self._live.stop()

    def __call__(self, phase: str, share: float) -> None:
        """Note that ``share`` (0 to 1) of ``phase`` is done."""
        if phase != self._phase:
            self._tell_phase()
            self._phase, self._phase_started = phase, time.monotonic()
        if self._live is None or self._task is None:
            return
        done = self._forecast.note(phase, share)
        elapsed = time.monotonic() - self._started
        seconds = self._forecast.left(elapsed) if elapsed > WORTH_TELLING else None
        left = "" if seconds is None else f"about {clock(seconds)} left"
        self._live.update(self._task, description=phase, completed=done, left=left)

    def _tell_phase(self) -> None:
        took = time.monotonic() - self._phase_started
        if self._phase and not self._quiet and self._live is None and took > WORTH_TELLING:
            complain(f"{self._phase}: {clock(took)}")


def _live_bar() -> Progress:
    """A bar on standard error that leaves no trace."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=36),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=Console(stderr=True),
        transient=True,
    )


def flatten(facts: Mapping[str, Any], before: str = "") -> list[tuple[str, object]]:
    """Rows of a table from nested facts: ``{"a": {"b": 1}}`` gives ``("a b", 1)``."""
    rows: list[tuple[str, object]] = []
    for name, value in facts.items():
        title = f"{before} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            rows += flatten(value, title)
        else:
            rows.append((title, value))
    return rows
