"""Memory of the three parties for a model whose weights under masks do not fit.

Run ``.venv/bin/python benches/private_memory.py [--mode secure]``, and with
``--width 2048 --heads 32 --layers 22`` for 1.1 billion weights.
Three processes, mutual TLS: `veracity private bench` on a decoder of random weights, with material
used as it is dealt. Beside the peak of each process stands what it holds of the weights: the owner
2 bytes a weight on disk, the user 8 on disk, the dealer 8 in memory up to ``--memory``. Mapped
pages count as memory while a process holds them. The folder needs 10 bytes a weight.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from synthetic import Dimensions, program_file

from veracity.benchmarks.private import bench
from veracity.formats.program import load_program_file
from veracity.mpc.weights import largest_masked_bytes, masked_bytes
from veracity.work.programs import integer_program


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=("shuffled", "secure"), default="secure")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--heads", type=int, default=16)
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--context", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=2)
    parser.add_argument("--memory", type=int, default=512, help="MB of masks at the dealer")
    parser.add_argument("--cap", type=int, default=512, help="MB of material at each party")
    parser.add_argument("--folder", help="on a disk with room")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = Path(folder) / "model.vprog"
        program_file(path, Dimensions(given.width, given.heads, given.layers))
        program = integer_program(load_program_file(path))
        found = bench(
            path, mode=given.mode, context=given.context, tokens=given.tokens, rtt_ms=0.0,
            mbps=10_000.0, cap_mb=given.cap, memory_mb=given.memory, folder=Path(folder) / "run",
        )  # fmt: skip
    masked = masked_bytes(program)
    print(
        json.dumps(
            {
                "mode": given.mode,
                "weights": masked // 8,
                "on_disk": {"owner": masked // 4, "user": masked, "dealer": 0},
                "largest_matrix_masked": largest_masked_bytes(program),
                "dealer_memory_mb": given.memory,
                "peak_memory_bytes": found["peak_memory_bytes"],
                "online_s_per_token": found["online_s_per_token"],
                "offline_s_per_token": found["offline_s_per_token"],
                "formula_met": found["online_bytes_per_token"] == found["formula_bytes_per_token"],
                "cpu": found["cpu"],
                "commit": found["commit"],
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
