"""One picture: the program for its size, run in integers, by hand or by whoever proves it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.formats.program import NetworkFile
from veracity.frontends.lce import SCALE, network_for
from veracity.graph.evaluate import State, apply
from veracity.graph.ops.base import Run
from veracity.progress import Progress, silent

__all__ = ["TILE", "Enhanced", "Runner", "enhance_picture", "run"]

Pixels = NDArray[np.uint8]
Integers = NDArray[np.integer]
#: Runs a network on its inputs: integers by port in, integers by port out.
Runner = Callable[[NetworkFile, Mapping[str, Integers], Progress], Mapping[str, Integers]]
#: Most pixels of a side that is computed at once, where nobody says otherwise.
TILE = 96
#: Most pixels of a picture.
MOST = 1 << 22


@dataclass(frozen=True)
class Enhanced:
    """An enlarged picture.

    Attributes
    ----------
    pixels : uint8 array, (2 height, 2 width, 3)
        What the network made.
    filter : float array or None, (15, 15)
        The correction: the corrected picture is the picture plus the picture convolved with it.
    network : NetworkFile
        What was run.
    """

    pixels: Pixels = field(repr=False)
    filter: NDArray[np.float64] | None = field(repr=False)
    network: NetworkFile = field(repr=False)

    @property
    def tiles(self) -> int:
        """In how many parts it was computed."""
        return int(self.network.program.arch["tiles"])


def run(
    network: NetworkFile, inputs: Mapping[str, Integers], progress: Progress = silent
) -> dict[str, Integers]:
    """Run a network without a proof; every value is dropped once nobody reads it any more.

    Parameters
    ----------
    network : NetworkFile
        The program and its weights.
    inputs : mapping
        Integers by port.
    progress : Progress
        Told of the phase ``evaluate``.

    Raises
    ------
    RangeError
        A value left its range.
    """
    program = network.program
    sizes = program.check_inputs(inputs)
    context = Run(program.weights, network.weights, sizes, State())
    values = {name: np.asarray(x, dtype=np.int64) for name, x in inputs.items()}
    shown = {port.value: name for name, port in program.outputs.items()}
    outputs: dict[str, Integers] = {}
    for i, op in enumerate(program.ops):
        progress("evaluate", i / len(program.ops))
        values[op.name], _ = apply(op, context, values)
        if op.name in shown:
            outputs[shown[op.name]] = values[op.name]
        for name in op.inputs():
            if program.last_reader[name] == i:
                values.pop(name, None)
    progress("evaluate", 1.0)
    return outputs


def enhance_picture(
    pixels: Pixels,
    *,
    tile: int = TILE,
    show_filter: bool = False,
    runner: Runner = run,
    progress: Progress = silent,
) -> Enhanced:
    """Make a picture twice as large.

    Parameters
    ----------
    pixels : uint8 array, (height, width, 1 or 3)
        Grey pictures are computed in three equal channels.
    tile : int
        Most pixels of a side that is computed at once.
    show_filter : bool
        Whether to tell the correction filter.
    runner : Runner
        Runs the network: by default without a proof.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
        The picture is too small or too large.
    RangeError
        A value left its range, which photographs do not.
    """
    height, width, channels = pixels.shape
    if height * width > MOST:
        raise UsageError(f"a picture has at most {MOST:,} pixels; cut it into parts")
    network = network_for(height, width, tile, show_filter)
    coloured = np.broadcast_to(pixels, (height, width, 3)) if channels == 1 else pixels
    planes = np.ascontiguousarray(coloured.transpose(2, 0, 1), dtype=np.int64)
    outputs = runner(network, {"picture": planes}, progress)
    found = outputs["enlarged"].transpose(1, 2, 0).astype(np.uint8)
    if found.shape != (SCALE * height, SCALE * width, 3):
        raise UsageError("the network gave a picture of another size")
    h = outputs["filter"] if show_filter else None
    exponent = network.program.outputs["filter"].exponent if show_filter else 0
    return Enhanced(
        found,
        None if h is None else np.ldexp(h.astype(np.float64), -exponent),
        network,
    )
