"""Proofs of any kind: what reads one is loaded when one of its kind is met."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from veracity.codec import read_file, sniff
from veracity.codec.files import Source, kind_of, name_of, stored_at
from veracity.formats.commitment import MAX_FILE, MAX_ROWS

if TYPE_CHECKING:
    from veracity.formats.accuracy import AccuracyProof
    from veracity.formats.answers import AnswersProof
    from veracity.formats.proof import Proof
    from veracity.formats.tensor_proof import TensorProof
    from veracity.formats.training import TrainingProof

    AnyProof = Proof | AnswersProof | TensorProof | AccuracyProof | TrainingProof

__all__ = ["MAX_ANY", "load_proof"]

#: The largest file that is not left on disk, a secret.
MAX_ANY = MAX_FILE + MAX_ROWS
#: Module and class by the kind that a file states; anything else is read as a proof of an answer,
#: and refused there.
_HOMES: dict[bytes | None, tuple[str, str]] = {
    b"VANS": ("answers", "AnswersProof"),
    b"VPRT": ("tensor_proof", "TensorProof"),
    b"VACC": ("accuracy", "AccuracyProof"),
    b"VTRN": ("training", "TrainingProof"),
}


def load_proof(source: Source) -> AnyProof:
    """Read a proof of any kind; pipes are read once.

    Raises
    ------
    FormatError, UsageError
    """
    path = stored_at(source)
    if path is not None:
        return _class_of(sniff(path)).load(path)
    data = read_file(source, MAX_ANY, "proof")
    return _class_of(kind_of(data)).from_bytes(data, name_of(source, "proof"))


def _class_of(kind: bytes | None) -> type[AnyProof]:
    module, name = _HOMES.get(kind, ("proof", "Proof"))
    return cast("type[AnyProof]", getattr(import_module(f"veracity.formats.{module}"), name))
