"""What ``verify`` says of a training proof."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from veracity.cli.display import Bar, clock, size
from veracity.cli.output import emit_json
from veracity.cli.printable import quoted
from veracity.cli.verdict import ACCEPTED
from veracity.formats.commitment import Commitment
from veracity.work.effort import MAX_TIME

if TYPE_CHECKING:
    from veracity.formats.training import TrainingProof
    from veracity.training.verify import VerifiedTraining

__all__ = ["check_training", "tell_trained"]

SHARES = {"load": 0.2, "windows": 0.8}


def check_training(
    proof: TrainingProof | Path,
    commitment: Commitment,
    data: tuple[Path, ...],
    *,
    init: Path | None = None,
    digest: str | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    max_time: float = MAX_TIME,
    quiet: bool = False,
) -> VerifiedTraining:
    """Verify a training proof with a bar; raises what :func:`verify_training` does.

    Parameters
    ----------
    proof : TrainingProof or Path
        How the model was trained.
    commitment : Commitment
        The model.
    data : tuple of Path
        Every ``.vdata``.
    init : Path, optional
        The ``.vcom`` that it started from.
    digest : str, optional
        The commitment's digest as its publisher announces it.
    threads : int, optional
        Threads to use.
    backend : str
        The engine that computes.
    max_time : float
        Seconds: what may take longer is not begun.
    quiet : bool
        No bar.
    """
    from veracity.training.verify import verify_training

    with Bar(SHARES, quiet=quiet) as bar:
        return verify_training(
            proof, commitment, list(data), init=init, digest=digest, threads=threads,
            backend=backend, max_time=max_time, progress=bar,
        )  # fmt: skip


def tell_trained(found: VerifiedTraining, as_json: bool) -> None:
    """What an accepted training proof says.

    Parameters
    ----------
    found : VerifiedTraining
        What was checked.
    as_json : bool
        One JSON object instead of tables.
    """
    if as_json:
        emit_json(found.to_plain(), verdict=0)
        return
    ACCEPTED.begin()
    ACCEPTED.show(training_rows(found))


def training_rows(found: VerifiedTraining) -> list[tuple[str, object]]:
    """A verdict about training as rows of a table."""
    recipe, rates = found.recipe, found.recipe.rates
    names = [
        f"{digest} {quoted(label)}" if label else digest
        for digest, label in zip(found.data, found.labels, strict=True)
    ]
    return [
        (
            "network",
            f"{' x '.join(map(str, recipe.network.input))}: {', '.join(recipe.network.layers)}",
        ),
        ("trained", f"{recipe.steps:,} steps of {recipe.batch} of {found.examples:,} examples"),
        ("loss", recipe.loss.replace("_", "-")),
        (
            "learning rates",
            f"{min(rates)} to {max(rates)}, in all {sum(rates)} / 2^{recipe.rate_bits}",
        ),
        *found.variants,
        ("data", "; ".join(names)),
        ("started from", found.init or "weights that a public seed gives"),
        ("beacon", quoted(found.beacon.decode("utf-8", "replace")) if found.beacon else "none"),
        ("", ""),
        ("checked", f"in {clock(found.seconds)}, proof of {size(found.proof_bytes)}"),
        ("commitment", found.commitment_digest),
        ("proved", f"that {found.proved}"),
        ("not proved", found.not_proved),
    ]
