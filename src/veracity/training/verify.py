"""Checking a training proof: public files in, and what follows from them out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.engine.generators import cache_root
from veracity.errors import VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.data import DataFile
from veracity.formats.training import TrainingProof
from veracity.graph.training import Recipe
from veracity.graph.training.recipe import DECAY_BITS
from veracity.progress import Progress, silent
from veracity.training.base import public_base
from veracity.training.data import verify_data
from veracity.training.effort import require_training_effort
from veracity.work.effort import MAX_TIME
from veracity.work.well_formed import annex_seconds, remember, require_well_formed
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zkml.training.run import verify_run

__all__ = ["VerifiedTraining", "verify_training"]

PROVED = (
    "the committed weights are what this recipe makes of exactly these data sets, step by step in "
    "exact integers, from {start}, and rounded; every example is bytes "
    "with one label, and no batch was chosen, skipped or repeated"
)
NOT_PROVED = (
    "where the data came from or whether their labels are right, that this was the only run that "
    "was tried, or that the model is good"
)
NOT_OF_BASE = ", or what the model that it started from was trained on"
NO_BEACON = (
    "; without a beacon, whoever ran it may have tried many orders of the examples and start "
    "weights before publishing one"
)


@dataclass(frozen=True)
class VerifiedTraining:
    """An accepted training proof.

    Attributes
    ----------
    recipe : Recipe
        What was done.
    data : tuple of str
        Digests of the data sets, in order.
    labels : tuple of str
        What their owners call them.
    examples : int
        How many there are in all.
    commitment_digest : str
        The model that it ended with.
    init : str
        Digest of the commitment that it started from; empty for a start from a public seed.
    beacon : bytes
        Public randomness that fixed order and start.
    proof_bytes : int
        Size of the proof file.
    seconds : float
        Time of the check.
    """

    recipe: Recipe
    data: tuple[str, ...]
    labels: tuple[str, ...]
    examples: int
    commitment_digest: str
    init: str
    beacon: bytes
    proof_bytes: int
    seconds: float

    @property
    def proved(self) -> str:
        """What this proof establishes, for people."""
        seed = "weights that a public seed gives"
        return PROVED.format(start=f"the weights committed as {self.init}" if self.init else seed)

    @property
    def not_proved(self) -> str:
        """What this proof does not establish, for people."""
        base = NOT_OF_BASE if self.init else ""
        return NOT_PROVED + base + ("" if self.beacon else NO_BEACON)

    @property
    def variants(self) -> list[tuple[str, str]]:
        """Momentum, decay and rounded weights, where the recipe has them, for people."""
        recipe, rows = self.recipe, list[tuple[str, str]]()
        if recipe.momentum:
            powers = ", ".join(map(str, recipe.momentum))
            text = f"{powers} / {1 << recipe.momentum_bits}, rounded every {recipe.settle} steps"
            rows.append(("momentum", text))
        if recipe.decays:
            text = f"in all {sum(recipe.decays)} / 2^{DECAY_BITS}, every {recipe.settle} steps"
            rows.append(("weight decay", text))
        if recipe.rounded:
            rows.append(("weights", "convolutions read rounded ones; updates are exact"))
        return rows

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        rates = self.recipe.rates
        return {
            "accepted": True,
            "recipe": self.recipe.to_json(),
            "steps": self.recipe.steps,
            "examples": self.examples,
            "rates": {"least": min(rates), "greatest": max(rates), "sum": sum(rates)},
            "data": list(self.data),
            "labels": list(self.labels),
            "commitment": self.commitment_digest,
            "init": self.init,
            "beacon": self.beacon.decode("utf-8", "replace"),
            "proof_bytes": self.proof_bytes,
            "verify_s": round(self.seconds, 3),
            "proved": self.proved,
            "not_proved": self.not_proved,
        }


def require_form(engine: Engine, data: DataFile, key: CommitmentKey | None = None) -> None:
    """Check a data set's proof of form, or that this was checked before.

    Parameters
    ----------
    engine : Engine
        Backend.
    data : DataFile
        Rows and proof.
    key : CommitmentKey, optional
        Generators, if loaded already.

    Raises
    ------
    VerificationError, FormatError
    """
    verdict = cache_root() / "form" / data.content_digest
    if verdict.exists():
        return
    verify_data(engine, data, key)
    remember(verdict)


def verify_training(
    proof: TrainingProof | str | Path,
    commitment: Commitment | str | Path,
    data: Sequence[DataFile | str | Path],
    *,
    init: Commitment | str | Path | None = None,
    digest: str | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    max_time: float = MAX_TIME,
    progress: Progress = silent,
) -> VerifiedTraining:
    """Check that a committed model came from these data by the recipe in ``proof``.

    Parameters
    ----------
    proof : TrainingProof or path
        The ``.vtrain`` file.
    commitment : Commitment or path
        The model that the caller asks about; nothing in the proof can change it.
    data : sequence of DataFile or path
        Every data set that it was trained on.
    init : Commitment or path, optional
        The committed model that it started from, if it did not start from a seed.
    digest : str, optional
        The commitment's digest as its publisher announces it; any other is refused.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes.
    max_time : float
        Seconds: what may take longer is not begun.
    progress : Progress
        Called as the check advances.

    Raises
    ------
    VerificationError
        The proof is false.
    FormatError
        A file does not parse.
    UsageError
        A file cannot be read, a data set is missing, or the check may take longer than
        ``max_time``.
    """
    progress("load", 0.0)
    given = proof if isinstance(proof, TrainingProof) else TrainingProof.load(proof)
    pinned = commitment if isinstance(commitment, Commitment) else Commitment.load(commitment)
    sets = [d if isinstance(d, DataFile) else DataFile.load(d) for d in data]
    started = time.perf_counter()
    if digest is not None and digest.strip().lower() != pinned.digest:
        raise VerificationError("the commitment is not the one with the digest given", "commitment")
    if given.commitment_digest != pinned.digest:
        raise VerificationError(
            "the proof is about another commitment than the one given", "commitment"
        )
    base = init if init is None or isinstance(init, Commitment) else Commitment.load(init)
    public = None if base is None else public_base(base)
    run = given.description.run([d.commitment for d in sets], public)
    models = (pinned, *([] if base is None else [base]))
    require_training_effort(run, given, sets, max_time, sum(map(annex_seconds, models)))
    run.check()
    engine = load_engine(backend, threads=threads)
    progress("load", 1.0)
    key = load_key(engine, run.log_columns)
    for found in sets:
        require_form(engine, found, key)
    for model in models:
        require_well_formed(engine, model, key, max_time)
    verify_run(engine, key, run, pinned.model, given.proof, progress)
    return VerifiedTraining(
        run.recipe,
        tuple(d.digest.hex() for d in run.data),
        tuple(d.label for d in run.data),
        sum(d.examples for d in run.data),
        pinned.digest,
        "" if base is None else base.digest,
        run.beacon,
        len(given.to_bytes()),
        time.perf_counter() - started,
    )
