"""A network over tensors as files: what an import leaves, and what is committed."""

from __future__ import annotations

from pathlib import Path

from tests.support.toy_vision import network
from veracity.formats.program import NetworkFile, save_program_file


def network_file() -> NetworkFile:
    toy = network()
    report = {"samples": {"count": 0}, "accuracy": {"snr_db": "0"}}
    source = {"name": "toy", "kind": "test", "sha256": "0" * 64, "parameters": 111}
    return NetworkFile(source, toy.program, toy.weights, report)


def save_network(folder: Path) -> Path:
    path = folder / "toy.vprog"
    save_program_file(path, network_file())
    return path
