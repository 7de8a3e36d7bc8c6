"""The page of all commands: what ``-h`` prints of each, asked from the commands themselves."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from unittest.mock import patch

import click

WIDTH = 84

_HEAD = """# Commands

What `veracity COMMAND -h` prints of each. The [README](../README.md#commands) has them at a glance.
"""


def page() -> str:
    """Return the page in Markdown."""
    # Nothing is installed where only the site is built; the version stands on no help page.
    with patch.object(importlib.metadata, "version", return_value="0"):
        from veracity.cli import main
    parts = [_HEAD]
    for context in commands(main):
        name = context.command_path
        level = "##" if name.count(" ") == 1 else "###"
        parts.append(f"{level} {name}\n\n```text\n{context.get_help()}\n```\n")
    return "\n".join(parts)


def commands(group: click.Group, parent: click.Context | None = None) -> Iterator[click.Context]:
    """Yield the context of every command below ``group``, those of a group after it."""
    context = parent or context_of(group, "veracity", None)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        below = context_of(command, name, context)
        yield below
        if isinstance(command, click.Group):
            yield from commands(command, below)


def context_of(command: click.Command, name: str, parent: click.Context | None) -> click.Context:
    """Return the context in which a command prints its help."""
    return click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
