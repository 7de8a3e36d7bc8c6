"""Windows of a run proved side by side: this process trains ahead, workers prove.

A worker opens the run's folder itself, finds the weights before its window there, repeats its
steps (training is exact, and cheap beside a proof) and writes the window. What it needs beside the
folder, the data and what opens them, comes over its socket; a model that the run starts from is
read where it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from veracity.engine import load_engine
from veracity.formats.data import DataFile, DataSecret
from veracity.progress import Progress, silent
from veracity.training.base import open_base
from veracity.training.runner import Owners, RunFolder, open_run
from veracity.work.messages import Message
from veracity.work.pool import WorkerPool
from veracity.work.worker import Work

__all__ = ["open_worker", "train_with_jobs"]

_ENTRY = f"{__name__}:open_worker"


def train_with_jobs(
    folder: RunFolder,
    owners: Owners,
    jobs: int = 1,
    *,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> None:
    """Train and prove until all windows are there.

    Parameters
    ----------
    folder : RunFolder
        The run, wherever it stands.
    owners : sequence
        Data sets with what opens them.
    jobs : int
        How many processes prove; with 1 it is this one.
    threads : int, optional
        Threads of all of them together; all cores by default.
    backend : str
        The engine of each.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    RangeError
        A value leaves its range: with layer, step and remedy.
    FormatError, UsageError
        A file of the run is damaged or missing, or cannot be written.
    VeracityError
        A worker died.
    """
    ranges = folder.run.ranges()
    missing = [i for i in range(len(ranges)) if folder.window(i) is None]
    if jobs == 1 or len(missing) < 2:
        folder.train(progress)
        return
    parts = [part for a, b in owners for part in (a.to_bytes(), b.to_bytes())]
    base = folder.base
    files = None if base is None else [str(base.model), str(base.secret)]
    body = {"folder": str(folder.path.resolve()), "backend": backend, "base": files}
    done = len(ranges) - len(missing)

    def report(part: int, phase: str, share: float) -> None:
        progress(phase, min(1.0, (done + part + share) / len(ranges)))

    count = min(jobs, len(missing))
    with WorkerPool(_ENTRY, Message("run", body, tuple(parts)), count, threads) as pool:
        pool.run(_windows(folder, missing), report)
    folder.clear_checkpoints()


def _windows(folder: RunFolder, missing: Sequence[int]) -> Iterator[Message]:
    """Train from the first missing window on; a window is handed out when its start is there."""
    for index in folder.cuts(missing[0]):
        if index in missing:
            yield Message("window", {"index": index})


def open_worker(setup: Message) -> Work:
    """What a worker does: see :mod:`veracity.work.pool`.

    Parameters
    ----------
    setup : Message
        The folder, the engine's name, and the data.
    """
    pairs = zip(setup.parts[::2], setup.parts[1::2], strict=True)
    owners = [(DataFile.from_bytes(a), DataSecret.from_bytes(b)) for a, b in pairs]
    engine = load_engine(setup.body["backend"])
    files = setup.body["base"]
    base = None if files is None else open_base(*map(Path, files))
    folder = open_run(Path(setup.body["folder"]), engine, owners, base)

    def work(part: Message, progress: Progress) -> Message:
        folder.prove_window(part.body["index"], progress)
        return Message("done", {})

    return work
