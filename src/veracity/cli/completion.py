"""The command that writes a shell's completion script."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from veracity.cli.output import emit
from veracity.errors import UsageError

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in a shell.

    \b
      bash:  veracity completion bash > ~/.local/share/bash-completion/completions/veracity
      zsh:   veracity completion zsh > "${fpath[1]}/_veracity"
      fish:  veracity completion fish > ~/.config/fish/completions/veracity.fish
    """  # noqa: D301 (click reads the backspace)
    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError(f"nothing completes commands in {shell}")
    emit(kind(ctx.find_root().command, {}, "veracity", "_VERACITY_COMPLETE").source())
