"""The same ONNX file proved here and by EZKL, stage by stage, on this machine.

Run ``make bench-vision-peers``, or ``.venv/bin/python benches/vision_peers.py [--minutes 30]
[--memory GIB] [--model FILE.onnx] [--threads N]``: by default the CNN of ``veracity bench
cifar-lenet`` (62,006 random weights), written as an ONNX file. EZKL (``ezkl`` on PyPI) gets an
environment of its own, ``build/ezkl``. Every stage of both runs in a process of its own; a stage
that takes longer than ``--minutes`` is stopped, one that wants more than ``--memory`` is refused
it, and the line says so, with what it had taken. Making EZKL's keys takes about 11 GB and minutes.

What differs: EZKL checks a network of 2^-scale fixed point that its calibration chooses; here
weights and activations have 16 bits. EZKL's reference string is made here, as nobody would for
use. Its verifier works from a key made by whoever made the proving key; here from a commitment.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from veracity.benchmarks.networks import PICTURE, cifar_lenet
from veracity.benchmarks.proving import checkout, cpu_name

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "build" / "ezkl"
PACKAGE = "ezkl==23.0.5"
EZKL_STAGES = ("settings", "calibrate", "compile", "srs", "setup", "witness", "prove", "verify")
HERE_STAGES = ("import", "commit", "prove", "verify")


def write_network(path: Path) -> None:
    """The CNN as an ONNX file."""
    made = cifar_lenet().graph
    # EZKL wants attributes that have defaults, too.
    usual = {"Conv": {"strides": (1, 1), "pads": (0,) * 4, "dilations": (1, 1), "group": 1},
             "MaxPool": {"pads": (0,) * 4}, "Flatten": {"axis": 1}}  # fmt: skip
    nodes = []
    for n in made.nodes:
        settings = {**usual.get(n.op, {}), **n.attributes}
        if n.op == "Conv":
            settings["kernel_shape"] = made.constants[n.inputs[1]].shape[2:]
        nodes.append(
            helper.make_node(n.op, list(n.inputs), list(n.outputs), name=n.name, **settings)
        )
    graph = helper.make_graph(
        nodes,
        made.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(PICTURE))],
        [helper.make_tensor_value_info(made.outputs[0], TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(w, n) for n, w in made.constants.items()],
    )
    opset = [helper.make_opsetid("", made.opset)]
    path.write_bytes(
        helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    )


def peer_python() -> Path | None:
    """The interpreter of EZKL's environment, made where it is not there; None if it cannot."""
    python = HOME / "bin" / "python"
    works = [str(python), "-c", "import ezkl"]
    clean = {k: v for k, v in os.environ.items() if k not in ("PIP_CONSTRAINT", "VIRTUAL_ENV")}
    if python.exists() and subprocess.run(works, capture_output=True, check=False).returncode == 0:
        return python
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], env=clean, check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", PACKAGE]
        subprocess.run(install, env=clean, check=True)
        subprocess.run(works, env=clean, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return python


def watched(process: subprocess.Popen[str], found: dict[str, int]) -> None:
    """Note the most memory that a process has held, until it ends."""
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        with contextlib.suppress(OSError):
            held = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
            if held:
                found["peak_memory_bytes"] = int(held[1]) * 1024
        time.sleep(0.2)


def measured(
    command: list[str], minutes: float, threads: int | None, memory: int
) -> dict[str, Any]:
    """One stage: what it prints, or that it did not finish and what it had taken by then.

    Parameters
    ----------
    command : list of str
        What to run.
    minutes : float
        It is stopped after these.
    threads : int or None
        For the peer's pool.
    memory : int
        Bytes of address space: it is refused more, and says so, where the machine would end it.
    """
    more = {} if threads is None else {"RAYON_NUM_THREADS": str(threads)}
    started, peak = time.perf_counter(), dict[str, int]()

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))

    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "RUST_LOG": "error", **more}, preexec_fn=limited,
    )  # fmt: skip
    watcher = threading.Thread(target=watched, args=(process, peak))
    watcher.start()
    try:
        out, errors = process.communicate(timeout=60 * minutes)
        late = False
    except subprocess.TimeoutExpired:
        process.kill()
        out, errors = process.communicate()
        late = True
    watcher.join()
    taken = {**peak, "seconds": round(time.perf_counter() - started, 1)}
    if late:
        return {"unfinished": True, **taken}
    lines = [line for line in out.splitlines() if line.startswith("{")]
    if process.returncode == 0 and lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    return {"failed": ending(process.returncode, errors), "memory_limit_bytes": memory, **taken}


def ending(status: int, errors: str) -> str:
    """How a stage ended that failed, in a line."""
    name = f"ended with {status}"
    if status < 0:
        name = f"ended by {signal.Signals(-status).name}"
        name += " (out of memory?)" if -status == signal.SIGKILL else ""
    said = errors.strip().splitlines()
    return f"{name}: {said[-1][:200]}" if said else name


def here(stage: str, folder: Path) -> None:
    """One stage of this project, in this process; prints its measures."""
    from veracity import commit, prove_tensors, verify_tensors
    from veracity.formats.commitment import Commitment
    from veracity.formats.npy import load_array, save_array
    from veracity.formats.tensor_proof import TensorProof
    from veracity.proving.models import import_network

    started = time.perf_counter()
    x = np.asarray(json.loads((folder / "input.json").read_text())["input_data"][0])
    program, proof = folder / "network.vprog", folder / "y.vproof"
    written: list[Path] = []
    if stage == "import":
        import_network(folder / "network.onnx", program)
        written = [program]
    elif stage == "commit":
        public, secret = folder / "network.vcom", folder / "network.vsec"
        _, opening = commit(program)
        opening.save_pair(secret, public)
        written = [public, secret]
    elif stage == "prove":
        made = prove_tensors(program, folder / "network.vsec", x.reshape(PICTURE))
        made.proof.save(proof)
        (y,) = made.outputs.values()
        save_array(folder / "y.npy", y)
        written = [proof]
    else:
        outputs = load_array(folder / "y.npy")
        public = Commitment.load(folder / "network.vcom")
        verify_tensors(TensorProof.load(proof), public, x.reshape(PICTURE), outputs)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "seconds": round(time.perf_counter() - started, 2),
                "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
                "peak_memory_bytes": usage.ru_maxrss * 1024,
                "bytes": {path.name: path.stat().st_size for path in written},
            }
        )
    )


def compare(model: Path | None, minutes: float, threads: int | None, memory: int) -> dict[str, Any]:
    """Both systems on one file."""
    systems: dict[str, dict[str, Any]] = {"veracity": {}, "EZKL": {}}
    with tempfile.TemporaryDirectory(prefix="veracity-peers-") as scratch:
        folder = Path(scratch)
        if model is None:
            write_network(folder / "network.onnx")
        else:
            (folder / "network.onnx").write_bytes(model.read_bytes())
        made = onnx.load(folder / "network.onnx").graph.input[0].type.tensor_type.shape.dim
        size = int(np.prod([d.dim_value or 1 for d in made]))
        values = np.random.default_rng(1).random(size).tolist()
        (folder / "input.json").write_text(json.dumps({"input_data": [values]}))
        for stage in HERE_STAGES:
            command = [sys.executable, __file__, "--stage", stage, "--folder", scratch]
            systems["veracity"][stage] = measured(command, minutes, threads, memory)
        python = peer_python()
        if python is None:
            print(f"{PACKAGE} cannot be installed here: only this project is measured",
                  file=sys.stderr)  # fmt: skip
        for stage in EZKL_STAGES if python else ():
            script = str(ROOT / "benches" / "peers_ezkl.py")
            found = measured([str(python), script, stage, scratch], minutes, threads, memory)
            systems["EZKL"][stage] = found
            print(json.dumps({stage: found}), file=sys.stderr, flush=True)
            if "unfinished" in found or "failed" in found:
                break
    return {
        "network": "cifar-lenet" if model is None else model.name,
        "peer": PACKAGE,
        "threads": threads or os.cpu_count(),
        "cpu": cpu_name(),
        "commit": checkout(),
        "systems": systems,
    }


def main() -> None:
    """Measure, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="most for a stage")
    parser.add_argument("--model", type=Path, help="another ONNX file with one input")
    parser.add_argument("--threads", type=int, help="threads of each stage; all cores by default")
    parser.add_argument("--memory", type=float, help="most GiB for a stage; by default 9 tenths")
    parser.add_argument("--stage", choices=HERE_STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.stage:
        here(given.stage, given.folder)
    else:
        room = 0.9 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        memory = int(room if given.memory is None else given.memory * 2**30)
        found = compare(given.model, given.minutes, given.threads, memory)
        print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
