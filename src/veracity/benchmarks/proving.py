"""One measured workload with everything counted: nothing simulated, nothing left out.

Every stage runs as a user would run it. The proof is checked in a process of its own that is given
two files; memory is the peak of this whole process, and the commit is that of the checkout.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from veracity import zkml
from veracity.codec import make_folder
from veracity.engine import load_engine
from veracity.errors import UsageError, VeracityError
from veracity.lm.text_decoder import ports_of
from veracity.progress import Progress, silent
from veracity.proving.answering import answer_tokens
from veracity.proving.models import calibrate, import_model
from veracity.proving.prove import prove_tokens
from veracity.work.commit import commit
from veracity.work.programs import integer_program, load_program, page_weights

__all__ = ["PhaseClock", "bench", "checkout", "cpu_name", "timed", "verify_elsewhere"]

Result = TypeVar("Result")

TEXT = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. "
    "One day, she saw a big, red ball. It was very high in the sky. She wanted to play with it, "
    "but it was too high. She asked her mother to help her, and they looked for a long stick. "
)


def bench(
    model: str | Path,
    tokens: int,
    *,
    keep: str | Path | None = None,
    memory: int | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Import, calibrate, commit, prove and verify one model; returns every measure.

    Parameters
    ----------
    model : str or path
        What :func:`veracity.import_model` takes, or a calibrated ``.vprog`` file.
    tokens : int
        Positions in all: a quarter is the prompt, the rest is generated.
    keep : path, optional
        Folder to leave ``model.vcom`` and ``answer.vproof`` in.
    memory : int, optional
        Limit for proving, in bytes (:func:`veracity.prove`).
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        What computes; see :func:`veracity.engine.load_engine`.
    progress : Progress
        Called as the work advances.

    Returns
    -------
    dict
        ``workload, model, parameters, tokens, segments, lookups, committed_values, import_s,
        calibrate_s, commit_s, evaluate_s, prove_s, prove_phases, verify_first_s, verify_s,
        proof_bytes, commitment_bytes, peak_memory_bytes, threads, cpu, commit``. Times are seconds
        of wall clock.
    """
    if tokens < 8:
        raise UsageError("at least 8 tokens are needed; pass --tokens 8 or more")
    with tempfile.TemporaryDirectory(prefix="veracity-bench-") as scratch:
        folder = Path(keep) if keep is not None else Path(scratch)
        make_folder(folder)
        return _measure(model, tokens, folder, Path(scratch), memory, threads, backend, progress)


def _measure(
    model: str | Path,
    tokens: int,
    folder: Path,
    scratch: Path,
    memory: int | None,
    threads: int | None,
    backend: str,
    progress: Progress,
) -> dict[str, Any]:
    engine = load_engine(backend, threads=threads)
    import_s = calibrate_s = 0.0
    program = Path(model)
    if program.suffix != ".vprog":
        program = scratch / "model.vprog"
        _, import_s = timed(lambda: import_model(model, program, progress=progress))
        _, calibrate_s = timed(lambda: calibrate(program, progress=progress))
    loaded = load_program(program)
    if memory is not None:
        loaded = page_weights(loaded, memory)
    (commitment, secret), commit_s = timed(
        lambda: commit(loaded, backend=backend, threads=threads, progress=progress)
    )
    commitment.save(folder / "model.vcom")

    frame = commitment.metadata.frames["raw"]
    # Prompt and answer are of fixed lengths, so that workloads compare.
    words = loaded.encode(TEXT * (1 + tokens // 64))
    prompt = [*frame.before, *words][: tokens // 4]
    answer, evaluate_s = timed(
        lambda: answer_tokens(loaded, prompt, tokens - len(prompt), progress, engine.integers)
    )
    if len(answer) != tokens - len(prompt):
        raise UsageError(
            f"the model ended its answer after {len(answer)} tokens; choose fewer --tokens"
        )
    clock = PhaseClock(progress)
    proof, prove_s = timed(
        lambda: prove_tokens(
            loaded,
            secret,
            prompt,
            answer,
            "raw",
            memory=memory,
            backend=backend,
            threads=threads,
            progress=clock,
        )
    )
    phases = clock.stop()
    proof.save(folder / "answer.vproof")
    progress("verify", 0.0)
    seconds = verify_elsewhere(
        folder / "answer.vproof", folder / "model.vcom", threads=threads, backend=backend
    )
    progress("verify", 1.0)
    program_of = integer_program(loaded)
    execution = zkml.Execution(program_of, *ports_of(proof.tokens, proof.prompt_length), proof.cuts)
    costs = zkml.count(execution)
    return {
        "workload": Path(model).name.removesuffix(".vprog"),
        "model": loaded.source["name"],
        "parameters": loaded.parameters,
        "tokens": tokens,
        "segments": len(proof.cuts) + 1,
        "lookups": costs.lookups,
        "committed_values": costs.committed_values,
        "import_s": round(import_s, 3),
        "calibrate_s": round(calibrate_s, 3),
        "commit_s": round(commit_s, 3),
        "evaluate_s": round(evaluate_s, 3),
        "prove_s": round(prove_s, 3),
        "prove_phases": phases,
        **seconds,
        "proof_bytes": (folder / "answer.vproof").stat().st_size,
        "commitment_bytes": (folder / "model.vcom").stat().st_size,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "threads": engine.threads,
        "cpu": cpu_name(),
        "commit": checkout(),
    }


class PhaseClock:
    """Times the phases that a progress callback is told of, and passes the calls on."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._phase = ""
        self._found: dict[str, tuple[float, float]] = {}
        self._since = self._now()

    def __call__(self, phase: str, done: float) -> None:
        """Note a change of phase."""
        if phase != self._phase:
            self._close()
            self._phase = phase
        self._progress(phase, done)

    def stop(self) -> dict[str, dict[str, float]]:
        """Seconds of wall clock and of all processors, by phase."""
        self._close()
        return {
            phase: {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3)}
            for phase, (wall, cpu) in self._found.items()
        }

    def _close(self) -> None:
        now = self._now()
        if self._phase:
            earlier = self._found.get(self._phase, (0.0, 0.0))
            self._found[self._phase] = (
                earlier[0] + now[0] - self._since[0],
                earlier[1] + now[1] - self._since[1],
            )
        self._since = now

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What work gives, and its seconds of wall clock."""
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def verify_elsewhere(
    proof: Path, commitment: Path, *more: str, threads: int | None, backend: str
) -> dict[str, float]:
    """Run ``veracity verify --json`` twice as another process; seconds are that process's own.

    Parameters
    ----------
    proof, commitment : path
        The files.
    more : str
        Further arguments.
    threads : int or None
        Threads to use.
    backend : str
        The engine that computes.

    Returns
    -------
    dict
        ``verify_first_s`` with the check of what the commitment says of its weights, and
        ``verify_s`` when that verdict is remembered.
    """
    command = [
        *(sys.executable, "-m", "veracity.cli", "verify", str(proof)),
        *("--commitment", str(commitment), "--json", "--backend", backend),
        *(("--threads", str(threads)) if threads else ()),
        *more,
    ]
    seconds = {}
    for name in ("verify_first_s", "verify_s"):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            reason = json.loads(done.stdout)["error"]["message"] if done.stdout else "no verdict"
            raise VeracityError(f"the proof was not accepted: {reason}")
        seconds[name] = float(json.loads(done.stdout)["verify_s"])
    return seconds


def cpu_name() -> str:
    """The processor, and how many cores of it the system shows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} logical cores"


def checkout() -> str:
    """The commit of the checkout that this package runs from, ``unknown`` outside one."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return "unknown"
    return done.stdout.strip() if done.returncode == 0 else "unknown"
