"""Measured networks: two CNNs and LCE, from import to verification.

The small CNN's shape is that of the CIFAR-10 network that zkML papers measure (62,006 parameters:
convolutions of 5x5, relu, max pools, three dense layers); the large one is VDSR (20 convolutions of
3x3, 64 channels, 664,704 parameters) on a patch of 41x41. Costs depend on shapes only, so weights
are random where none are given.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity import zkml
from veracity.benchmarks.proving import PhaseClock, checkout, cpu_name, timed, verify_elsewhere
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.formats.npy import save_array
from veracity.formats.program import NetworkFile
from veracity.frontends.lce import network_for
from veracity.frontends.onnx import Graph, Node, Traceable, import_traceable
from veracity.frontends.safetensors import read_safetensors
from veracity.graph import execute
from veracity.progress import Progress, silent
from veracity.proving.tensors import prove_tensors
from veracity.vision import TILE
from veracity.work.commit import commit

__all__ = ["NETWORKS", "bench_network"]

Reals = NDArray[np.float64]
#: Makes a network and an input: from a path to write to, a side in pixels, and weights or None.
Maker = Callable[[Path, int, Path | None, Progress], tuple[NetworkFile, Reals]]

PICTURE = (1, 3, 32, 32)
#: A patch of luma for VDSR; its convolutions and channels.
PATCH, DEPTH, CHANNELS = (1, 1, 41, 41), 20, 64
#: Kernels and biases by name.
SHAPES = {
    "c1": (6, 3, 5, 5), "c1.bias": (6,), "c2": (16, 6, 5, 5), "c2.bias": (16,),
    "f1": (120, 400), "f1.bias": (120,), "f2": (84, 120), "f2.bias": (84,),
    "f3": (10, 84), "f3.bias": (10,),
}  # fmt: skip


def cifar_lenet() -> Traceable:
    """The network, as a reader of model files would give it."""
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.standard_normal(s) * np.sqrt(2 / max(1, int(np.prod(s[1:]))))).astype(np.float32)
        for name, s in SHAPES.items()
    }
    pool = {"kernel_shape": (2, 2), "strides": (2, 2)}
    nodes: list[Node] = []

    def add(op: str, *reads: str, **attributes: Any) -> str:
        made = f"v{len(nodes)}"
        nodes.append(Node(f"{op}_{made}", op, reads, (made,), attributes))
        return made

    x = "x"
    for name in ("c1", "c2"):
        x = add("Conv", x, name, f"{name}.bias")
        x = add("MaxPool", add("Relu", x), **pool)
    x = add("Flatten", x)
    for name in ("f1", "f2", "f3"):
        x = add("Gemm", x, name, f"{name}.bias", transB=1)
        x = x if name == "f3" else add("Relu", x)
    inputs = {"x": (PICTURE, np.dtype(np.float32))}
    graph = Graph("cifar-lenet", "0" * 64, 17, tuple(nodes), weights, inputs, (x,))
    return Traceable(graph, {"x": PICTURE}, {}, (x,))


def vdsr(weights: Path | None) -> Traceable:
    """VDSR: what its convolutions give is added to the picture.

    Parameters
    ----------
    weights : path or None
        A safetensors file with ``input.weight``, ``residual_layer.N.conv.weight`` and
        ``output.weight``; random ones where None.

    Raises
    ------
    UsageError
        The file holds other tensors.
    """
    inner = [f"residual_layer.{i}.conv.weight" for i in range(DEPTH - 2)]
    names = ["input.weight", *inner, "output.weight"]
    shapes = [
        (1 if i == DEPTH - 1 else CHANNELS, 1 if i == 0 else CHANNELS, 3, 3) for i in range(DEPTH)
    ]
    if weights is None:
        rng = np.random.default_rng(0)
        held = {
            n: (rng.standard_normal(s) * np.sqrt(2 / (9 * s[1]))).astype(np.float32)
            for n, s in zip(names, shapes, strict=True)
        }
    else:
        held = read_safetensors(weights)
        if {n: x.shape for n, x in held.items()} != dict(zip(names, shapes, strict=True)):
            raise UsageError(f"{weights.name} does not hold the weights of VDSR")
    nodes: list[Node] = []
    x = "x"
    for i, name in enumerate(names):
        nodes.append(Node(f"conv.{i}", "Conv", (x, name), (f"c{i}",), {"pads": (1, 1, 1, 1)}))
        x = f"c{i}"
        if i < DEPTH - 1:
            nodes.append(Node(f"relu.{i}", "Relu", (x,), (f"r{i}",), {}))
            x = f"r{i}"
    nodes.append(Node("add", "Add", (x, "x"), ("y",), {}))
    inputs = {"x": (PATCH, np.dtype(np.float32))}
    graph = Graph("vdsr", "0" * 64, 17, tuple(nodes), dict(held), inputs, ("y",))
    return Traceable(graph, {"x": PATCH}, {}, ("y",))


def _vdsr(
    program: Path, _side: int, weights: Path | None, progress: Progress
) -> tuple[NetworkFile, Reals]:
    network = import_traceable(vdsr(weights), program, "vdsr", progress=progress)
    return network, np.random.default_rng(1).random(PATCH)


def _cifar(
    program: Path, _side: int, weights: Path | None, progress: Progress
) -> tuple[NetworkFile, Reals]:
    _no_weights(weights)
    network = import_traceable(cifar_lenet(), program, "cifar-lenet", progress=progress)
    return network, np.random.default_rng(1).random(PICTURE)


def _no_weights(weights: Path | None) -> None:
    if weights is not None:
        raise UsageError("this workload has weights of its own; --weights is for vdsr")


def _lce(
    _program: Path, side: int, weights: Path | None, _progress: Progress
) -> tuple[NetworkFile, Reals]:
    """Waves and noise of this many pixels a side, in tiles of what `enhance` takes at most."""
    _no_weights(weights)
    y, x = np.mgrid[:side, :side]
    waves = 128 + 60 * np.sin(y / 5) + 40 * np.cos(x / 7 + np.arange(3)[:, None, None])
    noisy = waves + 8 * np.random.default_rng(1).standard_normal(waves.shape)
    return network_for(side, side, TILE), np.round(np.clip(noisy, 0, 255))


#: Measured networks by name: what makes each, and an input.
NETWORKS: dict[str, Maker] = {
    "cifar-lenet": _cifar,
    "lce": _lce,
    "vdsr": _vdsr,
}


def bench_network(
    name: str,
    *,
    tile: int = 64,
    weights: str | Path | None = None,
    keep: str | Path | None = None,
    memory: int | None = None,
    backend: str = "cpu",
    threads: int | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Import, commit, prove and verify one network; returns every measure.

    Parameters
    ----------
    name : str
        Of :data:`NETWORKS`.
    tile : int
        Side of the picture that ``lce`` makes larger, in pixels.
    weights : path, optional
        Of ``vdsr``, as safetensors; random ones by default.
    keep : path, optional
        Folder to leave the files in.
    memory : int, optional
        Limit for proving, in bytes.
    backend : str
        The engine that computes.
    threads : int, optional
        Threads to use; all cores by default.
    progress : Progress
        Called as the work advances.

    Returns
    -------
    dict
        As of :func:`veracity.bench`, without tokens. Times are seconds of wall clock.
    """
    given = None if weights is None else Path(weights)
    with tempfile.TemporaryDirectory(prefix="veracity-bench-") as scratch:
        folder = Path(keep) if keep is not None else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        program = Path(scratch) / "model.vprog"
        (network, x), import_s = timed(lambda: NETWORKS[name](program, tile, given, progress))
        (commitment, secret), commit_s = timed(
            lambda: commit(network, threads=threads, backend=backend, progress=progress)
        )
        commitment.save(folder / "model.vcom")
        ((port, held),) = network.program.inputs.items()
        inputs = {port: np.floor(np.ldexp(x, held.exponent) + 0.5).astype(np.int64)}
        trace, evaluate_s = timed(lambda: execute(network.program, network.weights, inputs))
        clock = PhaseClock(progress)
        proved, prove_s = timed(
            lambda: prove_tensors(
                network, secret, x, memory=memory, threads=threads, backend=backend, progress=clock
            )
        )
        phases = clock.stop()
        proved.proof.save(folder / "y.vproof")
        save_array(folder / "x.npy", x)
        (shown,) = proved.outputs.values()
        save_array(folder / "y.npy", shown)
        progress("verify", 0.0)
        seconds = verify_elsewhere(
            folder / "y.vproof",
            folder / "model.vcom",
            *("--input", str(folder / "x.npy"), "--output", str(folder / "y.npy")),
            threads=threads,
            backend=backend,
        )
        progress("verify", 1.0)
        costs = zkml.count(zkml.Execution(network.program, inputs, trace.outputs))
        return {
            "workload": name,
            "parameters": network.parameters,
            "segments": len(proved.proof.cuts) + 1,
            "lookups": costs.lookups,
            "committed_values": costs.committed_values,
            "import_s": round(import_s, 3),
            "commit_s": round(commit_s, 3),
            "evaluate_s": round(evaluate_s, 3),
            "prove_s": round(prove_s, 3),
            "prove_phases": phases,
            **seconds,
            "proof_bytes": (folder / "y.vproof").stat().st_size,
            "commitment_bytes": (folder / "model.vcom").stat().st_size,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "threads": load_engine(backend, threads=threads).threads,
            "cpu": cpu_name(),
            "commit": checkout(),
        }
