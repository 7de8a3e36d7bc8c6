"""Zero-knowledge proofs that an answer came from a committed language model.

The owner of a model: :func:`import_model`, :func:`calibrate`, :func:`commit`, :func:`estimate`,
:func:`prove`. Everybody else: :func:`verify`. Any file: :func:`load`. Private inference:
:mod:`veracity.api.private`, also as ``veracity.private``.

Names are resolved when first used, so that a verifier never loads what only an owner needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from veracity.api.benchmark import bench
    from veracity.api.commitment import Commitment, Metadata
    from veracity.api.estimation import Estimate, estimate
    from veracity.api.inspection import load
    from veracity.api.owner import ProvedAnswer, calibrate, commit, import_model, prove
    from veracity.api.proof import Proof
    from veracity.api.secret import Secret
    from veracity.api.verification import VerifiedAnswer, verify
    from veracity.errors import (
        BackendUnavailable,
        FormatError,
        PeerError,
        RangeError,
        UnsupportedModelError,
        UsageError,
        VeracityError,
        VerificationError,
    )

__all__ = [
    "BackendUnavailable",
    "Commitment",
    "Estimate",
    "FormatError",
    "Metadata",
    "PeerError",
    "Proof",
    "ProvedAnswer",
    "RangeError",
    "Secret",
    "UnsupportedModelError",
    "UsageError",
    "VeracityError",
    "VerificationError",
    "VerifiedAnswer",
    "bench",
    "calibrate",
    "commit",
    "estimate",
    "import_model",
    "load",
    "prove",
    "verify",
]

_HOMES = {
    "api.benchmark": ("bench",),
    "api.commitment": ("Commitment", "Metadata"),
    "api.estimation": ("Estimate", "estimate"),
    "api.inspection": ("load",),
    "api.owner": ("ProvedAnswer", "calibrate", "commit", "import_model", "prove"),
    "api.proof": ("Proof",),
    "api.secret": ("Secret",),
    "api.verification": ("VerifiedAnswer", "verify"),
    "errors": (
        "BackendUnavailable",
        "FormatError",
        "PeerError",
        "RangeError",
        "UnsupportedModelError",
        "UsageError",
        "VeracityError",
        "VerificationError",
    ),
}


def __getattr__(name: str) -> Any:
    if name == "private":
        return importlib.import_module("veracity.api.private")
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(importlib.import_module(f"veracity.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module 'veracity' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "private"])
