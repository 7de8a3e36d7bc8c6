"""The weights that ship with the package, and the network for a picture's size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from veracity.errors import FormatError
from veracity.formats.program import NetworkFile
from veracity.frontends.lce.network import build

__all__ = ["network_for", "shipped_weights"]

_FOLDER = "data/lce"


def _shipped(name: str) -> bytes:
    return (files("veracity") / _FOLDER / name).read_bytes()


def shipped_weights() -> dict[str, NDArray[np.float64]]:
    """The trained weights by name.

    Raises
    ------
    FormatError
        The installation is damaged.
    """
    try:
        with np.load(BytesIO(_shipped("weights.npz")), allow_pickle=False) as found:
            return {name: found[name].astype(np.float64) for name in found.files}
    except (OSError, ValueError) as error:
        raise FormatError("weights of lce", "the installation is damaged") from error


def network_for(
    height: int,
    width: int,
    tile: int,
    show_filter: bool = False,
    floats: Mapping[str, NDArray[np.floating]] | None = None,
) -> NetworkFile:
    """The network for pictures of one size, to be run, committed to and proved.

    Parameters
    ----------
    height, width : int
        Of the picture to be enlarged, in pixels.
    tile : int
        Most pixels of a side that is computed at once.
    show_filter : bool
        Whether the correction filter is an output, too.
    floats : mapping, optional
        Other weights than those that ship.

    Raises
    ------
    UsageError
        Where the picture is too small, or the tile out of bounds.
    """
    report = json.loads(_shipped("report.json"))
    used = shipped_weights() if floats is None else floats
    program, weights = build(used, height, width, tile, show_filter)
    source = {
        "name": f"LCE x2 for {width} x {height} pixels",
        "kind": "lce",
        "file": "weights.npz",
        "sha256": _digest(used),
        "parameters": sum(int(np.size(w)) for w in used.values()),
    }
    return NetworkFile(source, program, weights, report)


def _digest(floats: Mapping[str, NDArray[np.floating]]) -> str:
    """SHA-256 of all weights, in order of name."""
    total = hashlib.sha256()
    for name in sorted(floats):
        total.update(f"{name}:{np.shape(floats[name])}\n".encode())
        total.update(np.ascontiguousarray(floats[name], dtype="<f4").tobytes())
    return total.hexdigest()
