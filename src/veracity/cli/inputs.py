"""What commands are given beside options: prompts from files, files from pipes, finite numbers."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from veracity.codec import read_file
from veracity.codec.files import Source
from veracity.errors import UsageError
from veracity.text.chat import ROLES
from veracity.text.shown import MAX_TEXT_BYTES

__all__ = [
    "FiniteFloat",
    "NewFile",
    "given_messages",
    "given_prompts",
    "given_words",
    "message_option",
    "prompt_file_option",
    "prompts_option",
    "standard_input",
    "stream",
]

Command = TypeVar("Command", bound=Callable[..., Any])
DASH = "-"


class NewFile(click.Path):
    """A file to be written. Standard output is none, but for commands that say so."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path.

        Parameters
        ----------
        value : object
            What stands on the command line.
        param : click.Parameter or None
            The option, for errors.
        ctx : click.Context or None
            The call, for errors.
        """
        if str(value) == DASH:
            self.fail("standard output cannot take this file; give it a name", param, ctx)
        return super().convert(value, param, ctx)


class FiniteFloat(click.FloatRange):
    """A number in a range; neither infinite nor NaN, which compares with no bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number.

        Parameters
        ----------
        value : object
            What stands on the command line.
        param : click.Parameter or None
            The option, for errors.
        ctx : click.Context or None
            The call, for errors.
        """
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number that can be used here", param, ctx)
        return number


def prompt_file_option(command: Command) -> Command:
    """``--prompt-file``: the prompt's words in a file."""
    return click.option(
        "--prompt-file",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Take the prompt from this file, UTF-8, every character of it; - is standard input.",
    )(command)


def message_option(command: Command) -> Command:
    """``--message``: one message of a conversation."""
    return click.option(
        "--message",
        "messages",
        multiple=True,
        metavar="ROLE:TEXT",
        help="A message of a conversation instead of a prompt; ROLE is system, user or assistant. "
        "Give one for each, in order.",
    )(command)


def prompts_option(command: Command) -> Command:
    """``--prompts``: several prompts in a file."""
    return click.option(
        "--prompts",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.jsonl",
        help="Several prompts with one proof: a line of JSON for each, a text in quotes or a list "
        'of messages, {"role": ..., "content": ...} each.',
    )(command)


def given_prompts(file: Path) -> list[str | list[tuple[str, str]]]:
    """Prompts and conversations of a file, a line of JSON each.

    Raises
    ------
    UsageError
        The file cannot be read, or a line is neither.
    """
    data = read_file(stream(file), MAX_TEXT_BYTES, "prompts")
    out: list[str | list[tuple[str, str]]] = []
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise UsageError(f"line {number} of the prompts is no JSON") from None
        if isinstance(found, str):
            out.append(found)
        elif isinstance(found, list) and found and all(map(_is_message, found)):
            out.append([(one["role"], one["content"]) for one in found])
        else:
            raise UsageError(
                f"line {number} of the prompts is neither a text in quotes nor a list of messages"
            )
    return out


def _is_message(given: object) -> bool:
    return (
        isinstance(given, dict)
        and given.keys() == {"role", "content"}
        and all(isinstance(value, str) for value in given.values())
    )


def given_messages(given: Sequence[str]) -> list[tuple[str, str]] | None:
    """The messages of a conversation; None where none is given.

    Raises
    ------
    UsageError
        One does not begin with a role.
    """
    out = []
    for one in given:
        role, colon, text = one.partition(":")
        if not colon or role not in ROLES:
            begins = ", ".join(f"{name}:" for name in ROLES)
            raise UsageError(f"a message begins with one of {begins} not with {one[:40]!r}")
        out.append((role, text))
    return out or None


def given_words(text: str | None, file: Path | None) -> str | None:
    """A prompt as it was given: on the command line, in a file, or not at all.

    Raises
    ------
    UsageError
        It was given twice, or its file cannot be read or is no text.
    """
    if file is None:
        return text
    if text is not None:
        raise UsageError("the prompt is given twice; give --prompt or --prompt-file")
    data = read_file(stream(file), MAX_TEXT_BYTES, "prompt")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the prompt file is not UTF-8 text (byte {error.start}); convert it first"
        ) from None


def stream(file: Path) -> Source:
    """The file of this name; standard input for ``-``."""
    return standard_input() if str(file) == DASH else file


def standard_input() -> IO[bytes]:
    """Standard input as bytes.

    Raises
    ------
    UsageError
        It is closed.
    """
    if sys.stdin is None:
        raise UsageError("standard input is closed; name a file instead of -")
    return sys.stdin.buffer
