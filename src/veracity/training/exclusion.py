"""Showing that an example is *not* in the data of a run, and checking that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from veracity.engine.api import Engine
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats.data import DataFile
from veracity.formats.exclusion import ExclusionProof
from veracity.formats.images import is_image, load_image
from veracity.formats.npy import load_array
from veracity.formats.training import TrainingProof
from veracity.progress import Progress, silent
from veracity.training.data import form_key, require_pair
from veracity.training.runner import Owners
from veracity.training.verify import require_form
from veracity.zkml.training.exclusion import prove_exclusion, verify_exclusion

__all__ = ["check_exclusion", "exclude_input", "read_input", "require_whole_run"]


def read_input(path: str | Path) -> bytes:
    """An input in a ``.npy`` file or a picture, entry by entry.

    Raises
    ------
    UsageError, FormatError
        The file cannot be read, or holds something else than bytes.
    """
    array = load_image(path) if is_image(path) else load_array(path)
    if array.dtype != np.uint8:
        raise FormatError(
            Path(path).name, f"it has type {array.dtype}; an input is bytes (uint8), as committed"
        )
    return np.ascontiguousarray(array).tobytes()


def exclude_input(
    engine: Engine, owners: Owners, content: bytes, progress: Progress = silent
) -> ExclusionProof:
    """Prove that no row of any of some data sets holds an input, under any label.

    Parameters
    ----------
    engine : Engine
        Backend.
    owners : sequence
        Data sets with what opens them: all that a run was on.
    content : bytes
        The input; it becomes public.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
        A row holds it, or it has another size.
    """
    if not owners:
        raise UsageError("give the data sets that are to be searched, each with its secret")
    if len({data.digest for data, _ in owners}) != len(owners):
        raise UsageError("one data set is named twice")
    digests, proofs = [], []
    for data, secret in owners:
        require_pair(data, secret)
        commitment = data.commitment
        key = form_key(engine, commitment)
        examples = secret.examples(commitment.classes)
        proofs.append(
            prove_exclusion(engine, key, commitment, examples, secret.seed, content, progress)
        )
        digests.append(commitment.digest)
    return ExclusionProof(content, tuple(digests), tuple(proofs))


def check_exclusion(
    engine: Engine,
    sets: Sequence[DataFile],
    proof: ExclusionProof,
    content: bytes | None = None,
) -> None:
    """Check that exactly these data sets do not hold an input, under any label.

    Parameters
    ----------
    engine : Engine
        Backend.
    sets : sequence of DataFile
        The public sides, which the caller trusts.
    proof : ExclusionProof
        What was handed out.
    content : bytes, optional
        The input that the caller asks about; that of the proof by default.

    Raises
    ------
    VerificationError
        The proof is false, about another input or about other data.
    """
    if content is not None and content != proof.content:
        raise VerificationError("the proof is about another input", "input")
    known = {data.commitment.digest: data for data in sets}
    if set(known) != set(proof.data):
        raise VerificationError("the proof is about other data sets than those given", "data")
    for digest, messages in zip(proof.data, proof.proofs, strict=True):
        data = known[digest]
        require_form(engine, data)
        key = form_key(engine, data.commitment)
        verify_exclusion(engine, key, data.commitment, messages, proof.content)


def require_whole_run(proof: ExclusionProof, trained: TrainingProof) -> None:
    """Raise VerificationError unless all data of a run were searched, and no other."""
    if set(proof.data) != set(trained.description.data):
        raise VerificationError("the run was on other data sets than those searched", "data")
