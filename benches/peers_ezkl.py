"""One stage of EZKL on an ONNX file, in an environment of its own and a process of its own.

    python peers_ezkl.py STAGE FOLDER

``FOLDER`` holds ``network.onnx`` and ``input.json``. Prints one JSON line: seconds, processor
seconds, peak memory, and the bytes of what the stage wrote. Written for ``ezkl`` 23.0.5.
"""

from __future__ import annotations

import inspect
import json
import resource
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import ezkl


def arguments() -> Any:
    """Inputs and outputs are public, weights are not; everything else as EZKL has it."""
    found = ezkl.PyRunArgs()
    found.input_visibility = "public"
    found.output_visibility = "public"
    found.param_visibility = "private"
    return found


async def settled(found: Any) -> Any:
    """Some calls are to be awaited, some are not."""
    return await found if inspect.isawaitable(found) else found


async def run(stage: str, folder: Path) -> list[str]:
    """Run one stage; returns the names of what it wrote."""
    at = {
        name: str(folder / name)
        for name in ("network.onnx", "input.json", "settings.json", "network.compiled", "srs",
                     "vk", "pk", "witness.json", "proof.json")
    }  # fmt: skip
    model, data, settings = at["network.onnx"], at["input.json"], at["settings.json"]
    compiled, srs = at["network.compiled"], at["srs"]
    calls: dict[str, Any] = {
        "settings": lambda: ezkl.gen_settings(model, settings, py_run_args=arguments()),
        "calibrate": lambda: ezkl.calibrate_settings(data, model, settings, "resources"),
        "compile": lambda: ezkl.compile_circuit(model, compiled, settings),
        "srs": lambda: ezkl.gen_srs(
            srs, json.loads(Path(settings).read_text())["run_args"]["logrows"]
        ),
        "setup": lambda: ezkl.setup(compiled, at["vk"], at["pk"], srs_path=srs),
        "witness": lambda: ezkl.gen_witness(data, compiled, at["witness.json"]),
        "prove": lambda: ezkl.prove(
            at["witness.json"], compiled, at["pk"], at["proof.json"], srs_path=srs
        ),
        "verify": lambda: ezkl.verify(at["proof.json"], settings, at["vk"], srs_path=srs),
    }
    written = {
        "compile": ["network.compiled"], "srs": ["srs"], "setup": ["vk", "pk"],
        "witness": ["witness.json"], "prove": ["proof.json"],
    }  # fmt: skip
    found = await settled(calls[stage]())
    if found is False:
        raise SystemExit(f"{stage} failed")
    return written.get(stage, [])


def main(stage: str, folder: Path) -> None:
    """Run a stage and print its measures."""
    import asyncio

    started = time.perf_counter()
    waiting: Awaitable[list[str]] = run(stage, folder)
    names = asyncio.run(waiting)  # type: ignore[arg-type]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    measures: dict[str, Any] = {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "bytes": {name: (folder / name).stat().st_size for name in names},
    }
    settings = folder / "settings.json"
    if stage == "calibrate":
        run_args = json.loads(settings.read_text())["run_args"]
        measures |= {k: run_args[k] for k in ("logrows", "input_scale", "param_scale")}
    if stage == "prove":
        proof = json.loads((folder / "proof.json").read_text())
        measures["proof_bytes"] = (
            len(bytes(proof["proof"]))
            if isinstance(proof["proof"], list)
            else len(proof.get("hex_proof", proof["proof"]).removeprefix("0x")) // 2
        )
    print(json.dumps(measures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
