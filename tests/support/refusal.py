"""What it costs to refuse a pair of hostile files, measured in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.publisher import setting
from veracity.formats.commitment import Commitment
from veracity.formats.proof import Proof
from veracity.proving.verify import verify

#: What a refusal may cost: processor seconds; bytes, and bytes for each byte of the files.
SECONDS = 10.0
MEMORY, MEMORY_FACTOR = 100 << 20, 64
#: Where the process is ended: far beyond, and far below what the machine has.
LIMIT_SECONDS, LIMIT_MEMORY = 60, 6 << 30


@dataclass(frozen=True)
class Refusal:
    """How a verifier ended: name and text of the error, processor seconds, peak of memory."""

    kind: str
    message: str
    seconds: float
    memory: int


def refusal(folder: Path, commitment: Commitment, proof: Proof) -> Refusal:
    """Verify a pair of files in a fresh process.

    Parameters
    ----------
    folder : path
        Where to write them.
    commitment, proof
        The files.
    """
    paths = folder / "hostile.vcom", folder / "hostile.vproof"
    commitment.save(paths[0])
    proof.save(paths[1])
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.refusal", *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * LIMIT_SECONDS,
        env={**os.environ, "RAYON_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    )
    if done.returncode:
        return Refusal("killed", done.stderr[-200:], LIMIT_SECONDS, LIMIT_MEMORY)
    return Refusal(**json.loads(done.stdout))


def allowed_memory(folder: Path) -> int:
    """What refusing the files in a folder may occupy."""
    sizes = sum(path.stat().st_size for path in folder.iterdir())
    return MEMORY + MEMORY_FACTOR * sizes


def peak(forget: bool = False) -> int:
    """The most memory that this process has had, in bytes; optionally only from now on."""
    if forget:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


def main(commitment: str, proof: str) -> None:
    setting()
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_MEMORY, LIMIT_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS))
    before, started = peak(forget=True), time.process_time()
    kind, message = "accepted", ""
    try:
        verify(proof, commitment)
    except Exception as error:
        kind, message = type(error).__name__, str(error)
    out = {
        "kind": kind,
        "message": message[:2000],
        "seconds": time.process_time() - started,
        "memory": peak() - before,
    }
    sys.stdout.write(json.dumps(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
