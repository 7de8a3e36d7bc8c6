"""Import, prove and verify every ONNX model of a folder; a JSON line for each.

    python benches/onnx_models.py DIR [NAME ...]

Inputs are random: of 0 .. 1, or 0 and 1 where an input is of whole numbers.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from veracity import commit, prove_tensors, verify_tensors
from veracity.errors import VeracityError
from veracity.formats.program import NetworkFile
from veracity.proving.models import import_network


def example(network: NetworkFile) -> dict[str, np.ndarray]:
    """An input that none of the samples is."""
    rng = np.random.default_rng(7)
    ports = network.program.inputs
    return {
        name: rng.random(port.dims)  # type: ignore[arg-type]
        if port.exponent
        else rng.integers(0, 2, port.dims)  # type: ignore[arg-type]
        for name, port in ports.items()
    }


def measure(path: Path) -> dict[str, Any]:
    """One model."""
    facts: dict[str, Any] = {
        "name": path.stem, "imported": False, "message": "", "snr_db": None, "prove_s": None,
        "verify_s": None, "proof_bytes": None, "verified": False,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="veracity-onnx-") as folder:
        try:
            network = import_network(path, Path(folder) / "net.vprog")
            facts["imported"] = True
            facts["snr_db"] = min(float(a["snr_db"]) for a in network.accuracy.values())
            commitment, secret = commit(network)
            inputs = example(network)
            started = time.perf_counter()
            proved = prove_tensors(network, secret, inputs)
            facts["prove_s"] = round(time.perf_counter() - started, 3)
            started = time.perf_counter()
            verify_tensors(proved.proof, commitment, inputs, proved.outputs)
            facts["verify_s"] = round(time.perf_counter() - started, 3)
            facts["proof_bytes"] = len(proved.proof.to_bytes())
            facts["verified"] = True
        except VeracityError as error:
            facts["message"] = str(error)
    return facts


def main() -> None:
    """All models, and how many verify."""
    folder, *names = sys.argv[1:]
    paths = sorted(p for p in Path(folder).glob("*.onnx") if not names or p.stem in names)
    verified = 0
    for path in paths:
        facts = measure(path)
        verified += facts["verified"]
        print(json.dumps(facts), flush=True)
    print(f"{verified} of {len(paths)} verified", file=sys.stderr)


if __name__ == "__main__":
    main()
