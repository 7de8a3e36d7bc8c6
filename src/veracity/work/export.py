"""A network's integers as the floats that they stand for, for everybody else's tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.codec import write_file
from veracity.formats.program import NetworkFile
from veracity.graph.ops.contract import matrix_weights
from veracity.work.programs import load_network

__all__ = ["export_network", "float_weights"]


def float_weights(network: NetworkFile) -> dict[str, NDArray[Any]]:
    """Every weight as ``integer 2^-exponent``, exact: float32 where that holds it, else float64.

    A dense layer behind convolutions has a weight for every place of a picture; it becomes a
    matrix, as elsewhere.
    """
    out: dict[str, NDArray[Any]] = {}
    flat = matrix_weights(network.program.ops)
    for name, spec in network.program.weights.items():
        wide = np.asarray(network.weights[name]).astype(np.float64) * 2.0**-spec.exponent
        if name in flat:
            wide = wide.reshape(len(wide), -1)
        narrow = wide.astype(np.float32)
        out[name] = narrow if np.array_equal(narrow, wide) else wide
    return out


def export_network(program: NetworkFile | str | Path, path: str | Path) -> dict[str, str]:
    """Write a network's weights as a ``.safetensors`` file; returns the type of each.

    Parameters
    ----------
    program : NetworkFile or path
        A ``.vprog`` that training or an import made.
    path : str or path
        Where to; readable by its owner only, like the program.

    Raises
    ------
    UsageError
        It is no network, or the file cannot be written.
    """
    from veracity.frontends.safetensors import safetensors_bytes

    weights = float_weights(load_network(program))
    write_file(path, safetensors_bytes(weights), mode=0o600)
    return {name: str(array.dtype) for name, array in weights.items()}
