"""A network that reads arrays, not text, in a ``.vprog`` file: program, integer weights, report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from veracity.errors import FormatError
from veracity.formats.archive import FORMAT, open_archive, write_archive
from veracity.graph import Program

__all__ = ["NetworkFile", "load_network", "save_network"]


@dataclass(frozen=True)
class NetworkFile:
    """An integer program over arrays, with its weights.

    Attributes
    ----------
    source : dict
        Where the network came from: name, kind, digests.
    program : Program
        The integer program.
    weights : mapping
        Integer weights, memory-mapped; secret.
    report : dict
        What is known of its accuracy.
    """

    source: dict[str, Any]
    program: Program = field(repr=False)
    weights: Mapping[str, NDArray[Any]] = field(repr=False)
    report: dict[str, Any] = field(repr=False, default_factory=dict)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(prod(spec.shape) for spec in self.program.weights.values())


def save_network(path: Path, content: NetworkFile) -> None:
    """Write a network, complete or not at all; raises UsageError where it cannot."""
    texts = {
        "meta.json": {"format": FORMAT, "kind": "network", "source": content.source},
        "program.json": content.program.to_json(),
        "report.json": content.report,
    }
    write_archive(path, texts, {"int": content.weights})


def load_network(path: str | Path) -> NetworkFile:
    """Open a network; raises UsageError where there is none, FormatError where it is damaged."""
    path = Path(path)
    with open_archive(path) as archive:
        meta = archive.meta()
        if meta.get("kind") != "network":
            raise FormatError(path.name, "its model reads text, a network over arrays is needed")
        source = meta["source"]
        if not isinstance(source, dict):
            raise FormatError(path.name, "its source is not a JSON object")
        program, weights = archive.program()
        return NetworkFile(source, program, weights, archive.json("report.json"))
