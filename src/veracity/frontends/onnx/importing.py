"""``import model.onnx``: read, trace, observe samples, choose scales, measure, write.

All of it runs on the owner's machine; what is proved is the integer program that comes out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import RangeError, UnsupportedModelError, UsageError
from veracity.formats.program import NetworkFile, save_program_file
from veracity.frontends.onnx.bounds import with_room
from veracity.frontends.onnx.fit import Fitted, fit
from veracity.frontends.onnx.floats import FloatNetwork
from veracity.frontends.onnx.lowering import Traced, trace
from veracity.frontends.onnx.reading import Graph, read_onnx
from veracity.frontends.onnx.samples import DRAWN, Samples, described, read_samples
from veracity.frontends.onnx.settling import settle
from veracity.graph import execute

__all__ = ["Traceable", "check_onnx", "import_onnx", "import_traceable", "open_onnx"]

Array = NDArray[Any]
#: Characters of a list of labels that a report shows.
MAX_SHOWN = 1000
#: How many samples are drawn at most where none are given, and how much they may compute.
MOST_DRAWN, DRAWN_WORK = 256, 1 << 23


@dataclass(frozen=True)
class Traceable:
    """A model with the shapes of its inputs settled.

    Attributes
    ----------
    graph : Graph
        From the file.
    dims : dict
        Shape of each input that is a value.
    constants : dict
        Inputs that are fixed.
    outputs : tuple of str
        Which results are wanted.
    pixels : tuple of float or None
        Mean and deviation: inputs are bytes, of which the model reads ``(byte / 255 - mean) /
        deviation``.
    other : Traceable or None
        The same with 2 where a length was not known and 1 was supposed: some exporters drop an axis
        of one row.
    """

    graph: Graph
    dims: dict[str, tuple[int, ...]]
    constants: dict[str, Array]
    outputs: tuple[str, ...]
    pixels: tuple[float, float] | None = None
    other: Traceable | None = None

    def trace(self) -> Traced:
        """Lower it."""
        return trace(self.graph, self.dims, self.constants, self.outputs, self.pixels)

    def traced(self) -> tuple[Traceable, Traced]:
        """Lower it, with other lengths where the ones that were supposed do not do."""
        found = self.trace()
        if found.faults and self.other is not None:
            again = self.other.trace()
            if not again.faults:
                return self.other, again
        return self, found


def open_onnx(
    path: str | Path,
    *,
    outputs: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    constants: Mapping[str, float] | None = None,
    pixels: tuple[float, float] | None = None,
) -> Traceable:
    """Read a model file and settle shapes: leading lengths that are not known become 1, or else 2.

    Parameters
    ----------
    path : path
        The file.
    outputs : sequence of str
        Results to cut the model at; those of the file by default.
    sizes : mapping, optional
        Lengths that the file only names.
    constants : mapping, optional
        Inputs that are fixed, each one number.
    pixels : tuple of float, optional
        Mean and deviation, where inputs are to be bytes of pictures.

    Raises
    ------
    UsageError
        A length is not known.
    FormatError, UnsupportedModelError
    """
    graph = read_onnx(path)
    given, fixed = dict(sizes or {}), dict(constants or {})
    wanted = tuple(outputs) or graph.outputs
    computed = {n for node in graph.nodes for n in node.outputs}
    if missing := [n for n in wanted if n not in computed]:
        raise UsageError(f"no node computes {missing[0]!r}")
    if pixels is not None and not (np.isfinite(pixels).all() and pixels[1] > 0):
        raise UsageError("pixels need a mean and a deviation above zero")
    settled = [_lengths(graph, given, fixed, supposed) for supposed in (1, 2)]
    one, two = (Traceable(graph, dims, held, wanted, pixels) for dims, held in settled)
    return one if one.dims == two.dims else replace(one, other=two)


def _lengths(
    graph: Graph, given: Mapping[str, int], fixed: Mapping[str, float], supposed: int
) -> tuple[dict[str, tuple[int, ...]], dict[str, Array]]:
    """Dims of the inputs that are values, and the inputs that are fixed.

    Parameters
    ----------
    graph : Graph
        From the file.
    given : mapping
        Lengths that the file only names.
    fixed : mapping
        Inputs that are fixed, each one number.
    supposed : int
        For leading lengths that are not known.
    """
    dims, held = {}, {}
    for name, (shape, dtype) in graph.inputs.items():
        known: list[int] = []
        for i, d in enumerate(shape):
            if isinstance(d, str) and i > 0 and d not in given:
                raise UsageError(
                    f"input {name!r}: the length {d!r} is not known; give it with --size {d}=N"
                )
            known.append(given.get(d, supposed) if isinstance(d, str) else d)
        if name in fixed:
            held[name] = np.full(known, fixed[name]).astype(dtype)
        else:
            dims[name] = tuple(known)
    return dims, held


def check_onnx(model: Traceable) -> dict[str, Any]:
    """What importing would say: ops, results that are proved, every node that cannot be."""
    model, found = model.traced()
    counts: dict[str, int] = {}
    for node in model.graph.nodes:
        counts[node.op] = counts.get(node.op, 0) + 1
    entries = sum(int(np.prod(op.dims)) for op in found.net.ops)
    return {
        "opset": model.graph.opset,
        "inputs": {n: list(d) for n, d in model.dims.items()},
        "ops": dict(sorted(counts.items())),
        "unsupported": [str(f) for f in found.faults],
        "computed_values": entries,
    }


def import_onnx(
    path: str | Path,
    out: str | Path,
    *,
    samples: str | Path | None = None,
    outputs: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    constants: Mapping[str, float] | None = None,
    pixels: tuple[float, float] | None = None,
    progress: Callable[[str, float], None] = lambda _phase, _done: None,
) -> NetworkFile:
    """Import a network; writes a ``.vprog`` file with its scales.

    Parameters
    ----------
    path : path
        An ``.onnx`` file.
    out : path
        The file to write.
    samples : path, optional
        Folder of ``.npy`` inputs, or of pictures; random ones by default, which fit random inputs
        only.
    outputs, sizes, constants, pixels : optional
        As for :func:`open_onnx`.
    progress : callable
        Receives (phase, fraction done).

    Raises
    ------
    UnsupportedModelError
        Names the first node that cannot be proved.
    UsageError, FormatError
    """
    progress("load", 0.0)
    model = open_onnx(path, outputs=outputs, sizes=sizes, constants=constants, pixels=pixels)
    return import_traceable(model, out, Path(path).name, samples=samples, progress=progress)


def import_traceable(
    model: Traceable,
    out: str | Path,
    file: str,
    *,
    samples: str | Path | None = None,
    progress: Callable[[str, float], None] = lambda _phase, _done: None,
) -> NetworkFile:
    """Import what was read, or made here; writes a ``.vprog`` file.

    Parameters
    ----------
    model : Traceable
        With settled shapes.
    out : path
        The file to write.
    file : str
        Where the model came from.
    samples : path, optional
        As for :func:`import_onnx`.
    progress : callable
        Receives (phase, fraction done).
    """
    model, found = model.traced()
    if found.faults:
        raise found.faults[0]
    progress("load", 1.0)
    values = settle(found, model.outputs)
    work = sum(int(np.prod(op.dims)) for op in found.net.ops) + 1000 * len(found.net.ops)
    count = min(max(DRAWN_WORK // max(1, work), DRAWN), MOST_DRAWN)
    every = read_samples(samples, model.dims, count)
    bytes_ = model.pixels is not None
    integral = frozenset(n for n in model.dims if bytes_ or model.graph.inputs[n][1].kind in "iub")
    if samples is None and integral:
        rng = np.random.default_rng(1)
        for one in every:
            for name in integral:
                drawn = rng.integers(0, 256 if bytes_ else 2, model.dims[name])
                one[name] = drawn.astype(np.float64)
    first = len(every) if samples is not None else DRAWN
    held = every[3:first:4]
    seen = [s for i, s in enumerate(every) if i % 4 != 3 or i >= first]
    largest = observed(found.net, every, progress)
    if found.net.lower_floors(largest):
        largest = observed(found.net, every, progress)
    facts = {"name": model.graph.name, "kind": "network"}
    largest = with_room(found.net, largest)
    try:
        fitted = fit(found.net, largest, integral, values, facts)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(
            origin_of(found.net, error.node), error.op, error.remedy
        ) from None
    except UsageError as error:
        name, colon, what = str(error).partition(": ")
        raise UsageError(f"{origin_of(found.net, name)}{colon}{what}") from None
    if bytes_:
        program = fitted.program
        ports = {n: replace(p, low=0, high=255) for n, p in program.inputs.items()}
        fitted.program = replace(program, inputs=ports)
        fitted.program.validate()
    try:
        measured = accuracy(found.net, fitted, held, values)
    except RangeError as error:
        raise UnsupportedModelError(
            origin_of(found.net, error.op),
            "a result whose integers leave the range that samples show, for rounding grows in it,",
            "give more --samples, or scale the model's values",
        ) from None
    report = {"samples": described(samples, seen, held), "accuracy": measured}
    for name, words in found.words.items():
        measured[name]["labels"] = ", ".join(words)[:MAX_SHOWN]
    parameters = sum(int(a.size) for a in model.graph.constants.values())
    source = {
        "name": model.graph.name, "kind": "onnx", "file": file,
        "sha256": model.graph.sha256, "parameters": parameters,
    }  # fmt: skip
    network = NetworkFile(source, fitted.program, fitted.weights, report)
    save_program_file(Path(out), network)
    return network


def origin_of(net: FloatNetwork, name: str) -> str:
    """The node of the file that a value or a weight comes from; its own name where there is none.

    Parameters
    ----------
    net : FloatNetwork
        In floats.
    name : str
        As the program has it: with its scale behind a point or its factor behind a star.
    """
    return (
        net.origins.get(name) or net.origins.get(name.partition(".")[0].partition("*")[0]) or name
    )


def observed(
    net: FloatNetwork, samples: Samples, progress: Callable[[str, float], None]
) -> dict[str, float]:
    """Greatest magnitude of every value over all samples.

    Parameters
    ----------
    net : FloatNetwork
        In floats.
    samples : list of dict
        Inputs.
    progress : callable
        Receives (phase, fraction done).
    """
    largest: dict[str, float] = {}
    for i, sample in enumerate(samples):
        progress("observe", i / len(samples))
        for name, x in net.run(sample).items():
            largest[name] = max(largest.get(name, 0.0), float(np.abs(x).max()))
    return largest


def accuracy(
    net: FloatNetwork, fitted: Fitted, held: Samples, values: Mapping[str, str]
) -> dict[str, Any]:
    """Integers against floats on samples that were held out.

    Parameters
    ----------
    net : FloatNetwork
        In floats.
    fitted : Fitted
        In integers.
    held : list of dict
        Samples.
    values : mapping
        Value of each output.

    Returns
    -------
    dict
        ``snr_db`` and ``largest_error`` by output, as text; ``top1_agreement`` of one-row outputs.

    Raises
    ------
    RangeError
        A held-out sample leaves the range of the others.
    """
    program = fitted.program
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    worst: dict[str, float] = {}
    agreed: dict[str, int] = {}
    for sample in held:
        integers = {
            n: np.clip(np.floor(np.ldexp(x, program.inputs[n].exponent) + 0.5), -32768, 32767)
            for n, x in sample.items()
        }
        got = execute(
            program, fitted.weights, {n: x.astype(np.int64) for n, x in integers.items()}
        ).outputs
        true = net.run(sample)
        for name, value in values.items():
            real = np.ldexp(got[name].astype(np.float64), -program.outputs[name].exponent)
            error = real - true[value]
            signal[name] = signal.get(name, 0.0) + float((true[value] ** 2).sum())
            noise[name] = noise.get(name, 0.0) + float((error**2).sum())
            worst[name] = max(worst.get(name, 0.0), float(np.abs(error).max()))
            same = int(np.argmax(real) == np.argmax(true[value]))
            agreed[name] = agreed.get(name, 0) + same
    out: dict[str, Any] = {}
    for name in values:
        db = 200.0 if noise[name] == 0 else 10 * np.log10(max(signal[name], 1e-30) / noise[name])
        out[name] = {
            "snr_db": f"{min(db, 200.0):.1f}",
            "largest_error": f"{worst[name]:.4g}",
            "top1_agreement": f"{agreed[name]} of {len(held)}",
        }
    return out
