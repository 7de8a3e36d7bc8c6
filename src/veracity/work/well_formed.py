"""Checking once what a commitment's annex proves of its weights, and remembering the verdict.

What is remembered is that one annex proves one commitment, by the digest of both: an empty file in
the user's cache. Whoever can write there can make this user's verifier skip the check, as they
could replace the verifier itself.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

from veracity import zkml
from veracity.engine.api import Engine
from veracity.engine.generators import cache_root
from veracity.errors import FormatError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.zk.keys import CommitmentKey, load_key

__all__ = ["remember", "require_well_formed", "verdict_file"]


def remember(verdict: Path) -> None:
    """Leave an empty file for a check that held; a cache that cannot be written costs time only."""
    with contextlib.suppress(OSError):
        verdict.parent.mkdir(parents=True, exist_ok=True)
        verdict.touch()


def verdict_file(commitment: Commitment) -> Path:
    """Where the verdict about a commitment and its annex is remembered."""
    name = hashlib.sha256(
        b"veracity well-formed v3"
        + bytes.fromhex(commitment.digest)
        + hashlib.sha256(commitment.well_formed).digest()
        + hashlib.sha256(commitment.widths).digest()
    ).hexdigest()
    return cache_root() / "well-formed" / name


def require_well_formed(
    engine: Engine, commitment: Commitment, key: CommitmentKey | None = None
) -> None:
    """Check that the committed weights are integers below ``2^49``, or that this was checked.

    Where the annex says that they keep to their stated widths, that is checked, too.

    Parameters
    ----------
    engine : Engine
        Backend.
    commitment : Commitment
        With its annex.
    key : CommitmentKey, optional
        Generators, if loaded already; they may be of longer rows.

    Raises
    ------
    VerificationError
        Where the annex is missing or false.
    """
    if not commitment.well_formed:
        raise VerificationError(
            "the commitment carries no proof that its weights are integers", "commitment"
        )
    verdict = verdict_file(commitment)
    if verdict.exists():
        return
    try:
        bits = commitment.model.log_columns
        fits = key is not None and key.log_columns >= bits
        used = key.prefix(bits) if key is not None and fits else load_key(engine, bits)
        zkml.verify_well_formed(
            engine, commitment.program, commitment.model, commitment.well_formed, used
        )
        if commitment.widths:
            zkml.verify_widths(
                engine, commitment.program, commitment.model, commitment.widths, used
            )
    except (VerificationError, FormatError) as error:
        raise VerificationError(
            f"the proof about the weights, that they are integers, is false ({error})", "commitment"
        ) from error
    remember(verdict)
