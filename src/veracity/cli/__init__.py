"""The command line: arguments in, text out; every decision is taken in :mod:`veracity.api`."""

from __future__ import annotations

import importlib.metadata

import click

from veracity.cli.bench import bench
from veracity.cli.check import inspect, verify
from veracity.cli.faults import CarefulGroup
from veracity.cli.owner import calibrate, commit, estimate, import_, prove

__all__ = ["main"]


@click.group(
    cls=CarefulGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(importlib.metadata.version("veracity"), prog_name="veracity")
def main() -> None:
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


for command in (import_, calibrate, commit, estimate, prove, verify, inspect, bench):
    main.add_command(command)
