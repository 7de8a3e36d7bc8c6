"""The model that a run starts from, as its owner has it: fine-tuning with a proof."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from veracity.codec.files import exists
from veracity.errors import UsageError
from veracity.formats.commitment import Commitment
from veracity.formats.program import NetworkFile
from veracity.formats.secret import Secret
from veracity.graph.training import Weights
from veracity.work.programs import load_network, weights_digest
from veracity.zkml.training.base import BaseModel
from veracity.zkml.training.run import Run

__all__ = ["Base", "first_weights", "load_base", "open_base", "public_base"]


@dataclass(frozen=True)
class Base:
    """A committed network, and what opens it.

    Attributes
    ----------
    model, secret : Path
        Its ``.vprog`` and its ``.vsec``.
    network : NetworkFile
        Program and integer weights.
    opening : Secret
        What opens its commitment.
    """

    model: Path
    secret: Path
    network: NetworkFile = field(repr=False)
    opening: Secret = field(repr=False)

    @property
    def commitment(self) -> Commitment:
        """Its public side."""
        return self.opening.commitment

    @property
    def public(self) -> BaseModel:
        """What a statement about a run says of it."""
        return public_base(self.commitment)


def first_weights(run: Run, base: Base | None) -> Weights:
    """The weights before the first step: those of the base, or those that the seed gives."""
    if base is None:
        return run.start_weights
    return base.public.weights(run.recipe, base.network.weights)


def public_base(commitment: Commitment) -> BaseModel:
    """What a statement about a run says of the model that it starts from."""
    return BaseModel(commitment.program, commitment.model)


def load_base(
    commitment: str | Path, model: str | Path | None = None, secret: str | Path | None = None
) -> Base:
    """A committed network to start from.

    Parameters
    ----------
    commitment : str or path
        Its ``.vcom``, as a recipe names it.
    model, secret : str or path, optional
        Its ``.vprog`` and ``.vsec``; those beside the ``.vcom`` by default.

    Raises
    ------
    UsageError
        One of them is not there, or they do not belong together.
    FormatError
        One of them is damaged.
    """
    public = Path(commitment)
    paths = [
        Path(given) if given is not None else public.with_suffix(ending)
        for given, ending in ((model, ".vprog"), (secret, ".vsec"))
    ]
    for path in (public, *paths):
        if not exists(path):
            raise UsageError(
                f"no {path.name[:80]!r}: to start from a committed model its .vcom, .vprog and "
                ".vsec are needed"
            )
    base = open_base(*paths)
    if base.commitment.digest != Commitment.load(public).digest:
        raise UsageError("the secret of the model to start from opens another commitment")
    return base


def open_base(model: Path, secret: Path) -> Base:
    """A committed network from its own files; raises what :func:`load_base` does."""
    network, opening = load_network(model), Secret.load(secret)
    if opening.weights_digest != weights_digest(network.weights):
        raise UsageError("the program of the model to start from holds other weights")
    return Base(model.resolve(), secret.resolve(), network, opening)
