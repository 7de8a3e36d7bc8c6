"""The command line: arguments in, text out; every decision is taken in :mod:`veracity.proving`."""

from __future__ import annotations

import atexit
import gc
import importlib
import os

import click

from veracity.cli.errors import CarefulGroup
from veracity.threads import let_caller_compute

__all__ = ["main"]

# NumPy asks for huge pages, which some virtual machines take five times longer to make than the
# small ones they replace; it reads this when it is first imported.
os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")

# What a proof is checked with lives as long as the command: seldom look for cycles in it.
gc.set_threshold(500_000)

# The interpreter looks for cycles as it ends, in all that was loaded, though the system takes the
# memory back anyway. Only then is everything set apart: commands that run in a test's process,
# one after the other, leave nothing behind.
atexit.register(gc.freeze)

#: Where each command lives; loaded when used, so that `verify` needs nothing of an owner's.
COMMANDS = {
    "import": "proving.import_",
    "models": "models.models",
    "calibrate": "proving.calibrate",
    "commit": "proving.commit",
    "estimate": "estimate.estimate",
    "prove": "prove.prove",
    "nonce": "prove.nonce",
    "evaluate": "evaluate.evaluate",
    "verify": "verify.verify",
    "inspect": "inspect.inspect",
    "serve": "serve.serve",
    "api-key": "serve.api_key",
    "proxy": "proxy.proxy",
    "sign": "sign.sign",
    "receipt": "receipt.receipt",
    "log": "log.log",
    "audit": "audit.audit",
    "bench": "bench.bench",
    "private": "private.private",
    "completion": "completion.completion",
    "data": "data.data",
    "train": "train.train",
    "export": "export.export",
    "enhance": "enhance.enhance",
}

#: Commands in which threads of their own compute, for who asks.
SERVICES = ("serve", "proxy", "private")


class LazyGroup(CarefulGroup):
    """Finds a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order of their use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load one command."""
        home = COMMANDS.get(cmd_name)
        if home is None:
            return None
        module, name = home.split(".")
        command: click.Command = getattr(importlib.import_module(f"veracity.cli.{module}"), name)
        return command


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="veracity", prog_name="veracity")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Prove that an answer came from a committed language model; check such a proof.

    The owner of a private model runs `import`, `calibrate` and `commit` once and publishes the
    .vcom file; `prove` answers a prompt and proves the answer. Anybody runs `verify` with the
    .vcom file and the .vproof file: no weights, no trust in the owner.

    \b
      veracity import smollm2 --out smollm2.vprog
      veracity calibrate smollm2.vprog
      veracity commit smollm2.vprog --out smollm2.vcom --secret smollm2.vsec
      veracity prove smollm2.vprog --secret smollm2.vsec --prompt "What is a prime number?" \\
          --out answer.vproof
      veracity verify answer.vproof --commitment smollm2.vcom
    """  # noqa: D301 (click reads the backspace)
    if ctx.invoked_subcommand not in SERVICES:
        let_caller_compute()
