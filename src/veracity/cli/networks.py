"""What `import` does with networks: options as numbers, the import, what a check finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from veracity.cli.display import Bar, show_table
from veracity.cli.output import emit_json
from veracity.formats.program import NetworkFile
from veracity.proving.models import check_network, import_network

__all__ = ["Cut", "numbers", "read_network", "tell_check"]

Number = TypeVar("Number", int, float)
EXIT_UNSUPPORTED = 2


@dataclass(frozen=True)
class Cut:
    """Which part of a network is imported: results, lengths, fixed inputs; whether of pictures."""

    outputs: tuple[str, ...]
    sizes: Mapping[str, int]
    constants: Mapping[str, float]
    pixels: tuple[float, float] | None = None


def numbers(entries: Sequence[str], kind: Callable[[str], Number]) -> dict[str, Number]:
    """``NAME=NUMBER`` entries."""
    found: dict[str, Number] = {}
    for entry in entries:
        name, mark, text = entry.rpartition("=")
        try:
            found[name] = kind(text)
        except ValueError:
            mark = ""
        if not mark:
            raise click.UsageError(f"{entry!r} is not NAME=NUMBER")
    return found


def read_network(
    source: str, target: Path, samples: Path | None, cut: Cut, bar: Bar
) -> NetworkFile:
    """Import an ONNX file.

    Parameters
    ----------
    source : str
        The file.
    target : Path
        Where to write.
    samples : Path or None
        Folder of inputs.
    cut : Cut
        Which part.
    bar : Bar
        Progress.
    """
    return import_network(
        source,
        target,
        samples=samples,
        outputs=cut.outputs,
        sizes=cut.sizes,
        constants=cut.constants,
        pixels=cut.pixels,
        progress=bar,
    )


def tell_check(source: str, cut: Cut, as_json: bool) -> None:
    """All nodes that cannot be proved; exit code 2 where there are any.

    Parameters
    ----------
    source : str
        The file.
    cut : Cut
        Which part.
    as_json : bool
        One object instead of tables.
    """
    if not source.endswith(".onnx"):
        raise click.UsageError("--check is for .onnx files")
    found = check_network(source, outputs=cut.outputs, sizes=cut.sizes, constants=cut.constants)
    faults = found["unsupported"]
    if as_json:
        emit_json(found)
    else:
        shapes = {n: "x".join(map(str, d)) for n, d in found["inputs"].items()}
        show_table(
            [
                ("opset", found["opset"]),
                *((f"input {n}", d) for n, d in shapes.items()),
                *((op, count) for op, count in found["ops"].items()),
                ("values to compute", f"{found['computed_values']:,}"),
                ("result", f"{len(faults)} cannot be proved" if faults else "can be imported"),
                *((f"fault {i + 1}", fault) for i, fault in enumerate(faults)),
            ]
        )
    if faults:
        raise click.exceptions.Exit(EXIT_UNSUPPORTED)
