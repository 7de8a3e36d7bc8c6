"""Training with a proof behind it: window after window, each complete on the disk or not there.

A run's folder holds ``run.json`` (the public description), ``cut-NNNNN.vckpt`` (master weights
before window N and the seed of all blinds; secret), ``window-NNNNN.vwin`` (a proved window) and
``curves.jsonl`` (losses, for its owner). Every file appears under its name complete, so after a
crash at any moment the run goes on with the first window that is missing. A window that is proved
again receives and hands over the very same rows; if the integers ever differed, their blinds would,
too, because they depend on them.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veracity.codec import make_folder, read_file, write_file
from veracity.engine.api import Engine, Vec
from veracity.errors import FormatError, RangeError, UsageError
from veracity.formats.data import DataFile, DataSecret
from veracity.formats.training import Checkpoint, RunDescription, WindowFile
from veracity.graph.training import Step, Weights, train_step
from veracity.progress import Progress, silent
from veracity.training.base import Base, first_weights
from veracity.training.curves import CURVES, Examples, accuracy_lines, note, step_lines
from veracity.training.data import require_pair
from veracity.work.well_formed import require_well_formed
from veracity.zk.committed import CommittedArray
from veracity.zk.keys import load_key
from veracity.zkml.boundary import Boundary
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.training.data import row_digest
from veracity.zkml.training.run import Run, prove_window
from veracity.zkml.training.state import commit_weights, open_start
from veracity.zkml.training.window import EXAMPLES, WindowWitness, batch_spec

__all__ = ["RunFolder", "begin_run", "open_run", "told"]

DESCRIPTION = "run.json"
#: What may stand in a new run's folder.
DATA_NAMES = ("train.vdata", "train.vdsec")

Owners = Sequence[tuple[DataFile, DataSecret]]


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Let an error name layer, step and remedy: whoever trains owns all of it."""
    try:
        yield
    except RangeError as error:
        error.explain()
        raise


@dataclass
class RunFolder:
    """A run on the disk, with the data it is on.

    Attributes
    ----------
    path : Path
        Its folder.
    engine : Engine
        Backend.
    run : Run
        What is proved.
    secrets : sequence of DataSecret
        What opens the data, owner after owner.
    base : Base, optional
        The model that it starts from.
    held_out : tuple of array, optional
        Inputs and labels that are never trained on: what the curves tell the accuracy on.
    """

    path: Path
    engine: Engine
    run: Run
    secrets: Sequence[DataSecret] = field(repr=False)
    base: Base | None = None
    held_out: Examples | None = field(default=None, repr=False)

    @cached_property
    def digest(self) -> bytes:
        """Digest of the description."""
        return RunDescription.of(self.run).digest

    @cached_property
    def start(self) -> dict[str, CommittedTensor]:
        """The first weights under rows that everybody can compute."""
        return self.run.start(self.engine, load_key(self.engine, self.run.log_columns))

    def _opened_start(self, weights: Weights) -> dict[str, Boundary]:
        """The first weights with what opens their rows: no blinds where a seed gives them."""
        recipe, base = self.run.recipe, self.base
        if base is not None:
            held, opening = base.network.weights, base.opening.opening
            return base.public.boundaries(self.engine, recipe, held, opening)
        return open_start(self.engine, self.start, weights)

    @property
    def start_weights(self) -> Weights:
        """The first weights."""
        return first_weights(self.run, self.base)

    @cached_property
    def _examples(self) -> NDArray[np.int16]:
        classes = self.run.recipe.classes
        return np.concatenate([s.examples(classes) for s in self.secrets])

    def window_path(self, index: int) -> Path:
        """Where a window stands."""
        return self.path / f"window-{index:05d}.vwin"

    def checkpoint_path(self, index: int) -> Path:
        """Where the weights before a window stand."""
        return self.path / f"cut-{index:05d}.vckpt"

    def window(self, index: int) -> WindowFile | None:
        """A proved window of this run; None where there is none yet.

        Raises
        ------
        FormatError
            The file is damaged, or another run's.
        """
        path = self.window_path(index)
        if not path.exists():
            return None
        found = WindowFile.load(path)
        if found.run != self.digest or found.index != index:
            raise FormatError(path.name, "it belongs to another run; use a folder for each")
        return found

    def done(self) -> int:
        """How many windows are proved, from the first one on."""
        count = len(self.run.ranges())
        return next((i for i in range(count) if self.window(i) is None), count)

    def checkpoint(self, index: int) -> Checkpoint:
        """The weights before a window; the first ones before the first window."""
        path = self.checkpoint_path(index)
        if index == 0 and not path.exists():
            if any(self.path.glob("window-*.vwin")):  # under blinds of another seed
                raise FormatError(
                    path.name, "it is missing, and windows hang on it; begin the run again"
                )
            checkpoint = Checkpoint(self.digest, 0, os.urandom(32), self.start_weights)
            self.keep(checkpoint)
            return checkpoint
        found = Checkpoint.load(path, self.run.recipe)
        if found.run != self.digest or found.index != index:
            raise FormatError(path.name, "it belongs to another run; use a folder for each")
        return found

    def keep(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, readable by its owner only."""
        write_file(self.checkpoint_path(checkpoint.index), checkpoint.to_bytes(), mode=0o600)

    def committed(self, checkpoint: Checkpoint) -> dict[str, Boundary]:
        """The weights of a checkpoint under their rows: always the same ones for it."""
        if checkpoint.index == 0:
            return self._opened_start(checkpoint.weights)
        total = hashlib.sha256()
        for name in sorted(checkpoint.weights):
            total.update(np.ascontiguousarray(checkpoint.weights[name]).tobytes())
        number = checkpoint.index.to_bytes(8, "little")
        domain = b"training cut " + self.digest + number + total.digest()
        key = load_key(self.engine, self.run.log_columns)
        recipe = self.run.recipe
        return commit_weights(self.engine, key, recipe, checkpoint.weights, checkpoint.seed, domain)

    def train(self, progress: Progress = silent) -> None:
        """Train and prove until all windows are there.

        Raises
        ------
        RangeError
            A value leaves its range: with layer, step and remedy.
        FormatError, UsageError
            A file of the run is damaged or missing, or cannot be written.
        """
        ranges, first = self.run.ranges(), self.done()
        if first == len(ranges):
            return
        checkpoint = self.checkpoint(first)
        before = self.committed(checkpoint)
        self._check_rows(first, before)
        for index in range(first, len(ranges)):

            def report(phase: str, done: float, index: int = index) -> None:
                progress(phase, (index + done) / len(ranges))

            if self.window(index) is None:
                checkpoint, before = self._window(index, checkpoint, before, report)
                continue
            weights, _ = self._steps(index, checkpoint, report)  # proved before, out of turn
            checkpoint = Checkpoint(self.digest, index + 1, checkpoint.seed, weights)
            self.keep(checkpoint)
            before = self.committed(checkpoint)
        self.clear_checkpoints()

    def cuts(self, first: int) -> Iterator[int]:
        """Every window from ``first`` on, as soon as its start is kept; trains on when asked again.

        Parameters
        ----------
        first : int
            The first window that is missing; the weights before it are on the disk.
        """
        checkpoint = self.checkpoint(first)
        for index in range(first, len(self.run.ranges())):
            yield index
            weights, _ = self._steps(index, checkpoint, silent)
            checkpoint = Checkpoint(self.digest, index + 1, checkpoint.seed, weights)
            self.keep(checkpoint)
            last = self.run.ranges()[index][1]
            told = accuracy_lines(self.run.recipe, weights, last, self.held_out)
            note(self.path / CURVES, told)

    def prove_window(self, index: int, progress: Progress = silent) -> None:
        """Prove a window whose start is kept.

        Parameters
        ----------
        index : int
            Which one.
        progress : Progress
            Called as the work advances.
        """
        checkpoint = self.checkpoint(index)
        self._window(index, checkpoint, self.committed(checkpoint), progress)

    def clear_checkpoints(self) -> None:
        """Remove the weights before windows that are proved."""
        for index in range(self.done()):
            self.checkpoint_path(index).unlink(missing_ok=True)

    def _steps(
        self, index: int, checkpoint: Checkpoint, report: Progress
    ) -> tuple[Weights, list[Step]]:
        """Weights after a window, and all of its steps."""
        first, last = self.run.ranges()[index]
        examples = self._examples[self._rows(index)]
        weights, steps = dict(checkpoint.weights), []
        for t in range(first, last):
            with told():
                steps.append(train_step(self.run.recipe, t, weights, examples[t - first]))
            report("train", (t + 1 - first) / (last - first))
        return weights, steps

    def _rows(self, index: int) -> NDArray[np.int64]:
        """Numbers of the examples of a window."""
        return self.run.rows(self.start, *self.run.ranges()[index])

    def _check_rows(self, index: int, before: Mapping[str, Boundary]) -> None:
        if index == 0:
            return
        last = self.window(index - 1)
        rows = b"".join(before[name].tensor.data for name in sorted(before))
        if last is None or last.rows != rows:
            raise FormatError(
                self.checkpoint_path(index).name,
                "it does not open what the window before hands over; begin the run again",
            )

    def _window(
        self,
        index: int,
        checkpoint: Checkpoint,
        before: Mapping[str, Boundary],
        report: Progress,
    ) -> tuple[Checkpoint, dict[str, Boundary]]:
        """Train the steps of a window, keep the cut, prove it, keep the proof."""
        run, engine = self.run, self.engine
        first, last = run.ranges()[index]
        started = time.perf_counter()
        weights, steps = self._steps(index, checkpoint, report)
        trained = time.perf_counter()
        rows = self._rows(index)
        examples = self._examples[rows]
        after = Checkpoint(self.digest, index + 1, checkpoint.seed, weights)
        self.keep(after)
        handed = self.committed(after)
        shape = batch_spec(run.recipe, last - first).shape(EXAMPLES)
        array = CommittedArray(shape, examples, self._blinds(rows))
        witness = WindowWitness(examples, checkpoint.weights, weights, steps)
        key = load_key(engine, run.log_columns)
        proof = prove_window(
            engine, key, run, (first, last), (self.start, before, handed), array, witness,
            checkpoint.seed, report,
        )  # fmt: skip
        data = b"".join(handed[name].tensor.data for name in sorted(handed))
        times = {"train_s": trained - started, "prove_s": time.perf_counter() - trained}
        told = [*step_lines(run.recipe, steps), {"steps": last, **times}]
        note(self.path / CURVES, told + accuracy_lines(run.recipe, weights, last, self.held_out))
        write_file(self.window_path(index), WindowFile(self.digest, index, data, proof).to_bytes())
        with contextlib.suppress(OSError):  # a secret that is not needed any more
            self.checkpoint_path(index).unlink()
        return after, handed

    def _blinds(self, rows: NDArray[np.int64]) -> Vec:
        """Blinds of rows that are counted over all owners."""
        starts = np.cumsum([0, *[len(s.labels) for s in self.secrets]])
        owners = np.searchsorted(starts, rows.reshape(-1), side="right") - 1
        digests = [
            row_digest(self.secrets[i].seed, j - int(starts[i]))
            for i, j in zip(owners.tolist(), rows.reshape(-1).tolist(), strict=True)
        ]
        return self.engine.from_wide_bytes(b"".join(digests))

    def last_weights(self) -> tuple[Weights, dict[str, Boundary]]:
        """Master weights after the last step, and their rows.

        Raises
        ------
        UsageError
            The run is not at its end.
        """
        count, done = len(self.run.ranges()), self.done()
        if done < count:
            raise UsageError(
                f"{done} of {count} windows are proved; go on with `veracity train --resume`"
            )
        checkpoint = self.checkpoint(count)
        committed = self.committed(checkpoint)
        self._check_rows(count, committed)
        return checkpoint.weights, committed


def begin_run(
    path: str | Path,
    engine: Engine,
    run: Run,
    owners: Owners,
    notes: Mapping[str, bytes] | None = None,
    base: Base | None = None,
) -> RunFolder:
    """A new folder for a run.

    Parameters
    ----------
    path : str or path
        The folder; it must be new or empty.
    engine : Engine
        Backend.
    run : Run
        What is to be proved.
    owners : sequence
        Data sets with what opens them, in the run's order.
    notes : mapping, optional
        Files of the owner's that stand beside the run; they are there before it begins.
    base : Base, optional
        The model that the run starts from.

    Raises
    ------
    UsageError
        The folder holds something, or run and data do not fit together.
    VerificationError
        The base carries no proof that its weights are integers.
    """
    run.check()
    if base is not None:
        require_well_formed(engine, base.commitment)
    folder = Path(path)
    try:
        make_folder(folder)
        known = {*DATA_NAMES, *(notes or {})}
        taken = any(p.name not in known for p in folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot make the folder {folder.name!r}: {error.strerror}") from None
    if taken:
        raise UsageError(
            f"the folder {folder.name!r} is not empty; `veracity train --resume` goes on with a run"
        )
    secrets = _secrets(run, owners)
    for name, content in (notes or {}).items():
        write_file(folder / name, content, mode=0o600)
    write_file(folder / DESCRIPTION, RunDescription.of(run).encoded)
    return RunFolder(folder, engine, run, secrets, base)


def open_run(
    path: str | Path, engine: Engine, owners: Owners, base: Base | None = None
) -> RunFolder:
    """A run that was begun before.

    Parameters
    ----------
    path : str or path
        Its folder.
    engine : Engine
        Backend.
    owners : sequence
        Data sets with what opens them.
    base : Base, optional
        The model that the run starts from.

    Raises
    ------
    UsageError
        There is no run, or the data are not those it began with.
    FormatError
        Its description is damaged.
    """
    folder = Path(path)
    if not (folder / DESCRIPTION).is_file():
        raise UsageError(f"there is no run in {folder.name!r}; begin one with `veracity train`")
    data = read_file(folder / DESCRIPTION, 1 << 24, "run description")
    description = RunDescription.parse(data, DESCRIPTION)
    public = None if base is None else base.public
    run = description.run([d.commitment for d, _ in owners], public)
    run.check()
    return RunFolder(folder, engine, run, _secrets(run, owners), base)


def _secrets(run: Run, owners: Owners) -> list[DataSecret]:
    by_digest = {}
    for data, secret in owners:
        require_pair(data, secret)
        if len(secret.labels) != data.commitment.examples:
            raise UsageError("the data secret holds another number of examples than its .vdata")
        by_digest[data.commitment.digest] = secret
    return [by_digest[d.digest] for d in run.data]
