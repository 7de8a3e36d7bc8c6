"""The first line of a verdict, and tables whose loss does not change the exit code."""

from __future__ import annotations

import sys

import click

from veracity.cli.display import coloured, show_table
from veracity.cli.errors import EXIT_FALSE
from veracity.cli.output import emit
from veracity.cli.report import note_tables, note_verdict
from veracity.records import record

__all__ = ["ACCEPTED", "EXIT_PROVED", "REJECTED", "Verdict"]

EXIT_PROVED = 0


@record
class Verdict:
    """Accepted or rejected, and what is printed under it."""

    word: str
    colour: str
    code: int

    def begin(self) -> None:
        """The first line."""
        note_verdict(self.word, self.code)
        terminal = sys.stdout is not None and sys.stdout.isatty()
        line = click.style(self.word, fg=self.colour, bold=True)
        emit(line if terminal and coloured() else self.word, verdict=self.code)
        emit("", verdict=self.code)

    def show(self, rows: list[tuple[str, object]], title: str | None = None) -> None:
        """A table."""
        note_tables(rows, title)
        show_table(rows, title, self.code)


ACCEPTED = Verdict("ACCEPTED", "green", EXIT_PROVED)
REJECTED = Verdict("REJECTED", "red", EXIT_FALSE)
