"""Measured networks: a small CNN with random weights, and LCE, from import to verification.

The CNN's shape is that of the CIFAR-10 network that zkML papers measure (62,006 parameters:
convolutions of 5x5, relu, max pools, three dense layers). Costs depend on shapes only, so weights
are random.
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
from veracity.formats.npy import save_array
from veracity.formats.program import NetworkFile
from veracity.frontends.lce import network_for
from veracity.frontends.onnx import Graph, Node, Traceable, import_traceable
from veracity.graph import execute
from veracity.progress import Progress, silent
from veracity.proving.tensors import prove_tensors
from veracity.vision import TILE
from veracity.work.commit import commit

__all__ = ["NETWORKS", "bench_network"]

Reals = NDArray[np.float64]

PICTURE = (1, 3, 32, 32)
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


def _cifar(program: Path, _side: int, progress: Progress) -> tuple[NetworkFile, Reals]:
    network = import_traceable(cifar_lenet(), program, "cifar-lenet", progress=progress)
    return network, np.random.default_rng(1).random(PICTURE)


def _lce(_program: Path, side: int, _progress: Progress) -> tuple[NetworkFile, Reals]:
    """Waves and noise of this many pixels a side, in tiles of what `enhance` takes at most."""
    y, x = np.mgrid[:side, :side]
    waves = 128 + 60 * np.sin(y / 5) + 40 * np.cos(x / 7 + np.arange(3)[:, None, None])
    noisy = waves + 8 * np.random.default_rng(1).standard_normal(waves.shape)
    return network_for(side, side, TILE), np.round(np.clip(noisy, 0, 255))


#: Measured networks by name: what makes each, and an input.
NETWORKS: dict[str, Callable[[Path, int, Progress], tuple[NetworkFile, Reals]]] = {
    "cifar-lenet": _cifar,
    "lce": _lce,
}


def bench_network(
    name: str,
    *,
    tile: int = 64,
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
    with tempfile.TemporaryDirectory(prefix="veracity-bench-") as scratch:
        folder = Path(keep) if keep is not None else Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        program = Path(scratch) / "model.vprog"
        (network, x), import_s = timed(lambda: NETWORKS[name](program, tile, progress))
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
