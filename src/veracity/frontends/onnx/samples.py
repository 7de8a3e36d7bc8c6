"""Inputs that an import observes: files of a folder, or drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.formats.images import is_image, load_image
from veracity.formats.npy import load_array

__all__ = ["DRAWN", "Samples", "described", "read_samples"]

Array = NDArray[Any]
Samples = list[dict[str, Array]]
#: How many samples are drawn at least where none are given; every fourth of these is held out.
DRAWN = 16


def read_samples(
    folder: str | Path | None, dims: Mapping[str, tuple[int, ...]], drawn: int = DRAWN
) -> Samples:
    """Inputs to observe: files of a folder (one input), or drawn from 0 .. 1.

    Parameters
    ----------
    folder : path or None
        Where they are.
    dims : mapping
        Of each input.
    drawn : int
        How many are drawn where there is no folder.

    Raises
    ------
    UsageError
        A sample has another shape, or there are fewer than four.
    """
    if folder is None:
        rng = np.random.default_rng(0)
        return [{n: rng.random(d) for n, d in dims.items()} for _ in range(drawn)]
    if len(dims) != 1:
        raise UsageError("samples of several inputs: import with drawn ones, or fix the others")
    ((name, shape),) = dims.items()
    out: Samples = []
    files = [p for p in Path(folder).iterdir() if p.suffix == ".npy" or is_image(p)]
    for path in sorted(files):
        array = np.asarray(_sample(path, shape), dtype=np.float64)
        if array.shape != shape and array.shape != shape[1:]:
            raise UsageError(f"sample {path.name!r} has the shape {array.shape}, not {shape}")
        out.append({name: array.reshape(shape)})
    if len(out) < 4:
        raise UsageError("give at least four samples, as .npy files or pictures")
    return out


def _sample(path: Path, shape: tuple[int, ...]) -> Array:
    """A file's numbers; a picture's where the dims of an input have them."""
    if not is_image(path):
        return load_array(path)
    pixels = load_image(path)
    first = len(shape) < 3 or shape[-3] == pixels.shape[2]
    array = pixels.transpose(2, 0, 1) if first else pixels
    return array.reshape(shape) if array.size == np.prod(shape) else array


def described(folder: str | Path | None, seen: Samples, held: Samples) -> dict[str, Any]:
    """Which samples were used, and a digest of them.

    Parameters
    ----------
    folder : path or None
        Where they come from.
    seen, held : list of dict
        Observed, and held out.
    """
    total = hashlib.sha256()
    for sample in (*seen, *held):
        for name in sorted(sample):
            total.update(name.encode() + np.ascontiguousarray(sample[name]).tobytes())
    kind = "given" if folder is not None else "drawn from 0 .. 1"
    return {"kind": kind, "observed": len(seen), "held_out": len(held),
            "sha256": total.hexdigest()}  # fmt: skip
