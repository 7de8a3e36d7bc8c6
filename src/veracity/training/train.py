"""Training from Python: a network, numbers, and a folder in; a proved model out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from veracity.codec import atomic_outputs, make_folder
from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.formats.commitment import Commitment
from veracity.formats.data import DataFile, DataSecret
from veracity.formats.secret import Secret
from veracity.formats.training import TrainingProof
from veracity.progress import Progress, silent
from veracity.training.base import Base, load_base
from veracity.training.curves import check_held_out
from veracity.training.data import checked_examples, commit_examples
from veracity.training.finish import finish_run, save_finished
from veracity.training.recipe import Plan, layers_of
from veracity.training.runner import DESCRIPTION, Owners, RunFolder, begin_run, open_run
from veracity.zkml.training.base import BaseModel
from veracity.zkml.training.data import DataCommitment
from veracity.zkml.training.run import Run
from veracity.zkml.training.state import weight_row_bits

__all__ = ["SGD", "TrainedModel", "run_of", "run_on", "train"]

#: Logarithm of the row length of windows, at least.
LOG_COLUMNS = 14


@dataclass(frozen=True)
class SGD:
    """Stochastic gradient descent.

    Attributes
    ----------
    lr : float
        Greatest learning rate.
    schedule : str
        ``constant``, ``cosine`` or ``linear``.
    momentum, weight_decay : float
        As ``torch.optim.SGD`` has them, but decay is decoupled from the gradient.
    settle : int
        Steps of a block, at whose end momentum is rounded and weights decay.
    """

    lr: float = 0.1
    schedule: str = "cosine"
    momentum: float = 0.0
    weight_decay: float = 0.0
    settle: int = 16


@dataclass(frozen=True)
class TrainedModel:
    """What a finished run leaves.

    Attributes
    ----------
    model : Path
        Program and integer weights, ``.vprog``; private.
    commitment : Commitment
        What to publish.
    secret : Secret
        What to keep.
    proof : TrainingProof
        What everybody can check.
    """

    model: Path
    commitment: Commitment
    secret: Secret
    proof: TrainingProof


def run_of(plan: Plan, owners: Owners, base: Base | None = None) -> Run:
    """The run of a plan on data sets.

    Parameters
    ----------
    plan : Plan
        What is wanted.
    owners : sequence
        Data sets with what opens them.
    base : Base, optional
        The model to start from.

    Raises
    ------
    UsageError
        They do not fit together.
    """
    if not owners:
        raise UsageError("training needs data; give at least one data set")
    return run_on(plan, [d.commitment for d, _ in owners], None if base is None else base.public)


def run_on(plan: Plan, sets: Sequence[DataCommitment], base: BaseModel | None = None) -> Run:
    """The same, from what everybody sees of the data.

    Parameters
    ----------
    plan : Plan
        What is wanted.
    sets : sequence of DataCommitment
        Data, owner after owner.
    base : BaseModel, optional
        The model to start from.

    Raises
    ------
    UsageError
        They do not fit together.
    """
    first, examples = sets[0], sum(d.examples for d in sets)
    recipe = plan.recipe(examples, first.inputs, first.classes)
    block = recipe.settle or 1
    window = min(plan.window, -(-recipe.steps // block) * block)
    columns = max(LOG_COLUMNS, weight_row_bits(recipe))
    run = Run(recipe, tuple(sets), window, columns, plan.beacon, base)
    run.check()
    return run


def train(
    net: Any,
    data: Any,
    *,
    out: str | Path,
    input_shape: Sequence[int] = (),
    loss: str = "cross_entropy",
    optimizer: SGD | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    batch: int = 64,
    window: int = 64,
    weights: str = "exact",
    beacon: str = "",
    init: str | Path | None = None,
    held_out: tuple[Any, Any] | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> TrainedModel:
    """Train a network with a proof, or go on where an earlier call was cut off.

    Parameters
    ----------
    net : list of str or torch.nn.Sequential
        Layers: ``["conv 16 3x3 stride 2", "relu", "flatten", "dense 10"]``, or modules of these
        kinds. Their weights are not taken over; a run starts from a public seed.
    data : tuple, or list of tuples
        Inputs (bytes, one row per example) and labels; or a :class:`DataFile` with its
        :class:`DataSecret`; or the paths of a ``.vdata`` and its ``.vdsec``. Several owners in a
        list.
    out : str or path
        Folder of the run; the results are written there, too.
    input_shape : sequence of int
        (height, width, channels) of an example, where convolutions read it.
    loss : str
        ``cross_entropy`` or ``square``.
    optimizer : SGD, optional
        Learning rate and schedule.
    epochs, steps : int, optional
        How long; one epoch by default.
    batch : int
        Examples per step.
    window : int
        Steps that are proved together: more of them make the proof smaller and take more memory.
    weights : str
        ``exact``, or ``rounded``: convolutions read rounded ones, which are cheaper to prove.
    beacon : str
        Public randomness from after data and recipe were fixed.
    init : str or path, optional
        The ``.vcom`` of a model to start from, with its ``.vprog`` and ``.vsec`` beside it.
    held_out : tuple, optional
        Inputs and labels that are not trained on: the run's curves then tell the accuracy on them.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
        Network, data and numbers do not fit, or the folder holds something else.
    RangeError
        A value leaves its range: with layer, step and remedy.
    """
    optimizer = optimizer or SGD()
    engine, folder = load_engine(backend, threads=threads), Path(out)
    resuming = (folder / DESCRIPTION).is_file()
    owners = [_owner(engine, d, folder, progress) for d in _as_list(data)]
    plan = Plan(
        tuple(layers_of(net)), loss, batch, optimizer.lr, optimizer.schedule, epochs, steps,
        tuple(input_shape), beacon=beacon.encode(), window=window,
        momentum=optimizer.momentum, weight_decay=optimizer.weight_decay, settle=optimizer.settle,
        weights=weights,
    )  # fmt: skip
    base = None if init is None else load_base(init)
    run = run_of(plan, owners, base)
    if resuming:
        opened = open_run(folder, engine, owners, base)
        if opened.run != run:
            raise UsageError(f"the folder {folder.name!r} holds another run; choose another folder")
    else:
        opened = begin_run(folder, engine, run, owners, base=base)
    if held_out is not None:
        apart = checked_examples("held_out", np.asarray(held_out[0]), np.asarray(held_out[1]))
        opened.held_out = check_held_out(apart, run.recipe)
    return complete(opened, progress)


def complete(opened: RunFolder, progress: Progress = silent) -> TrainedModel:
    """Train and prove to the end, round, commit, and write the results beside the run.

    Parameters
    ----------
    opened : RunFolder
        A run, wherever it stands.
    progress : Progress
        Called as the work advances.
    """
    opened.train(progress)
    finished = finish_run(opened, progress)
    path = opened.path / "net.vprog"
    save_finished(finished, path, *(path.with_suffix(end) for end in (".vcom", ".vsec", ".vtrain")))
    return TrainedModel(path, *finished[1:])


def _as_list(data: Any) -> list[Any]:
    return list(data) if isinstance(data, list) else [data]


def _owner(
    engine: Engine, given: Any, folder: Path, progress: Progress
) -> tuple[DataFile, DataSecret]:
    if not isinstance(given, Sequence) or len(given) != 2:
        raise UsageError("data is a pair: inputs and labels, or a data set and its secret")
    first, second = given
    if isinstance(first, str | Path):
        return DataFile.load(first), DataSecret.load(second)
    if isinstance(first, DataFile):
        return first, second
    kept = folder / "train.vdata", folder / "train.vdsec"
    inputs, labels = checked_examples("data", np.asarray(first), np.asarray(second))
    if all(path.is_file() for path in kept):
        data, secret = DataFile.load(kept[0]), DataSecret.load(kept[1])
        if not (np.array_equal(secret.inputs, inputs) and np.array_equal(secret.labels, labels)):
            raise UsageError(f"the folder {folder.name!r} holds a run on other data")
        return data, secret
    data, secret = commit_examples(
        engine, (inputs, labels), int(labels.max()) + 1, progress=progress
    )
    make_folder(folder)
    with atomic_outputs((kept[1], 0o600), (kept[0], 0o644)) as streams:
        streams[0].write(secret.to_bytes())
        streams[1].write(data.to_bytes())
    return data, secret
