"""Helpers for tests of the command line: run it, and where its files lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from click.testing import CliRunner, Result

from veracity.cli import main

PROMPT = "Once upon a time"


@dataclass(frozen=True)
class House:
    """A folder with every kind of file, made by the command line."""

    folder: Path

    @property
    def program(self) -> Path:
        return self.folder / "stories.vprog"

    @property
    def commitment(self) -> Path:
        return self.folder / "stories.vcom"

    @property
    def secret(self) -> Path:
        return self.folder / "stories.vsec"

    @property
    def proof(self) -> Path:
        return self.folder / "answer.vproof"


def veracity(*arguments: object) -> Result:
    """Run one command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def done(*arguments: object) -> Result:
    """Run one command that has to succeed."""
    result = veracity(*arguments)
    assert result.exit_code == 0, result.output
    return result
