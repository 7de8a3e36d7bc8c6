"""Zero-knowledge proofs that an answer came from a committed language model.

The owner of a model: :func:`import_model`, :func:`calibrate`, :func:`commit`, :func:`estimate`,
:func:`prove` (text), :func:`prove_answers` (texts with one proof), :func:`prove_tensors` and
:func:`evaluate` (a network), :class:`Prover` (one proof after another). Everybody else:
:func:`verify`, :func:`verify_answers`, :func:`verify_tensors`, :func:`verify_accuracy`. A network
that is trained with a proof: :func:`train`, :func:`verify_training`. Any file: :func:`load`.
Private inference: :mod:`veracity.private`.

Names are resolved when first used, so that a verifier never loads what only an owner needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from veracity import private as private
    from veracity.benchmarks.proving import bench
    from veracity.errors import (
        BackendUnavailable,
        FormatError,
        MismatchError,
        PeerError,
        RangeError,
        RequestError,
        UnsupportedModelError,
        UsageError,
        VeracityError,
        VerificationError,
    )
    from veracity.formats.accuracy import AccuracyProof
    from veracity.formats.answers import AnswersProof
    from veracity.formats.commitment import Commitment, Metadata
    from veracity.formats.examples import Examples
    from veracity.formats.proof import Proof
    from veracity.formats.secret import Secret
    from veracity.formats.tensor_proof import TensorProof
    from veracity.proving.accuracy import Accuracy, evaluate
    from veracity.proving.inspect import load
    from veracity.proving.models import calibrate, import_model
    from veracity.proving.prove import ProvedAnswer, prove
    from veracity.proving.prove_answers import ProvedAnswers, prove_answers
    from veracity.proving.prover import Prover
    from veracity.proving.tensors import ProvedTensors, prove_tensors
    from veracity.proving.verified import VerifiedAnswer
    from veracity.proving.verify import verify
    from veracity.proving.verify_accuracy import VerifiedAccuracy, verify_accuracy
    from veracity.proving.verify_answers import verify_answers
    from veracity.proving.verify_tensors import VerifiedTensors, verify_tensors
    from veracity.training.train import SGD, TrainedModel, train
    from veracity.training.verify import VerifiedTraining, verify_training
    from veracity.work.commit import commit
    from veracity.work.estimate import Estimate, estimate

__all__ = [
    "SGD",
    "Accuracy",
    "AccuracyProof",
    "AnswersProof",
    "BackendUnavailable",
    "Commitment",
    "Estimate",
    "Examples",
    "FormatError",
    "Metadata",
    "MismatchError",
    "PeerError",
    "Proof",
    "ProvedAnswer",
    "ProvedAnswers",
    "ProvedTensors",
    "Prover",
    "RangeError",
    "RequestError",
    "Secret",
    "TensorProof",
    "TrainedModel",
    "UnsupportedModelError",
    "UsageError",
    "VeracityError",
    "VerificationError",
    "VerifiedAccuracy",
    "VerifiedAnswer",
    "VerifiedTensors",
    "VerifiedTraining",
    "bench",
    "calibrate",
    "commit",
    "estimate",
    "evaluate",
    "import_model",
    "load",
    "prove",
    "prove_answers",
    "prove_tensors",
    "train",
    "verify",
    "verify_accuracy",
    "verify_answers",
    "verify_tensors",
    "verify_training",
]

#: Of the installed package.
__version__: str

_HOMES = {
    "benchmarks.proving": ("bench",),
    "formats.accuracy": ("AccuracyProof",),
    "formats.answers": ("AnswersProof",),
    "formats.commitment": ("Commitment", "Metadata"),
    "formats.examples": ("Examples",),
    "formats.proof": ("Proof",),
    "formats.secret": ("Secret",),
    "formats.tensor_proof": ("TensorProof",),
    "proving.accuracy": ("Accuracy", "evaluate"),
    "proving.inspect": ("load",),
    "proving.models": ("calibrate", "import_model"),
    "proving.prove": ("ProvedAnswer", "prove"),
    "proving.prove_answers": ("ProvedAnswers", "prove_answers"),
    "proving.prover": ("Prover",),
    "proving.tensors": ("ProvedTensors", "prove_tensors"),
    "proving.verify_accuracy": ("VerifiedAccuracy", "verify_accuracy"),
    "proving.verify_tensors": ("VerifiedTensors", "verify_tensors"),
    "proving.verified": ("VerifiedAnswer",),
    "proving.verify_answers": ("verify_answers",),
    "proving.verify": ("verify",),
    "training.train": ("SGD", "TrainedModel", "train"),
    "training.verify": ("VerifiedTraining", "verify_training"),
    "work.commit": ("commit",),
    "work.estimate": ("Estimate", "estimate"),
    "errors": (
        "BackendUnavailable",
        "FormatError",
        "MismatchError",
        "PeerError",
        "RangeError",
        "RequestError",
        "UnsupportedModelError",
        "UsageError",
        "VeracityError",
        "VerificationError",
    ),
}


def __getattr__(name: str) -> Any:
    if name == "private":
        return importlib.import_module("veracity.private")
    if name == "__version__":
        from importlib.metadata import version

        return version("veracity")
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"veracity.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'veracity' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "private"])
