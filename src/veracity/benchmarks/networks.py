"""A measured network: a small CNN with random weights, from import to verification.

The shape is that of the CIFAR-10 network that zkML papers measure (62,006 parameters: convolutions
of 5x5, relu, max pools, three dense layers). Costs depend on shapes only, so weights are random.
"""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from veracity import zkml
from veracity.benchmarks.proving import PhaseClock, checkout, cpu_name, timed, verify_elsewhere
from veracity.engine import load_engine
from veracity.formats.npy import save_array
from veracity.frontends.onnx import Graph, Node, Traceable, import_traceable
from veracity.graph import execute
from veracity.progress import Progress, silent
from veracity.proving.tensors import prove_tensors
from veracity.work.commit import commit

__all__ = ["NETWORKS", "bench_network"]

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


#: Measured networks by name.
NETWORKS = {"cifar-lenet": cifar_lenet}


def bench_network(
    name: str,
    *,
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
        network, import_s = timed(
            lambda: import_traceable(NETWORKS[name](), program, name, progress=progress)
        )
        (commitment, secret), commit_s = timed(
            lambda: commit(network, threads=threads, backend=backend, progress=progress)
        )
        commitment.save(folder / "model.vcom")
        x = np.random.default_rng(1).random(PICTURE)
        integers = {"x": np.floor(np.ldexp(x, network.program.inputs["x"].exponent) + 0.5)}
        inputs = {"x": integers["x"].astype(np.int64)}
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
        (port,) = proved.outputs
        save_array(folder / "y.npy", proved.outputs[port])
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
