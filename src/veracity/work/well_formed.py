"""Checking once what a commitment's annex proves of its weights, and remembering the verdict.

What is remembered is that one annex proves one commitment, by the digest of both: an empty file in
the user's cache. Whoever can write there can make this user's verifier skip the check, as they
could replace the verifier itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from pathlib import Path

from veracity import zkml
from veracity.engine.api import POINT_BYTES, Engine
from veracity.engine.generators import cache_root
from veracity.errors import FormatError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.work.effort import LINK_BYTES, sides_within, verification_seconds
from veracity.zk.keys import CommitmentKey, load_key

__all__ = ["annex_seconds", "remember", "require_well_formed", "verdict_file"]


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


def annex_seconds(commitment: Commitment) -> float:
    """Seconds that :func:`require_well_formed` may take, told from sizes; 0 where it has an answer.

    Sides of long weights are counted when they are known, before anything is drawn for them.
    """
    if verdict_file(commitment).exists():
        return 0.0
    model, widths = commitment.model, len(commitment.widths)
    specs = commitment.program.weights.values()
    lookups = sum(math.prod(spec.shape) * -(-spec.bits // 16) for spec in specs)
    # All links of two that follow each other are half full.
    links = 1 + min(widths // LINK_BYTES, 2 * lookups // zkml.WIDTHS_LIMIT + 1)
    messages = (len(commitment.well_formed) + widths) // POINT_BYTES
    rows = len(model.rows) // POINT_BYTES * (2 if widths else 1)
    return verification_seconds(links, messages + rows, messages << model.log_columns)


def require_well_formed(
    engine: Engine,
    commitment: Commitment,
    key: CommitmentKey | None = None,
    max_time: float = math.inf,
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
    max_time : float
        Seconds that it may take, beside what :func:`annex_seconds` says.

    Raises
    ------
    VerificationError
        Where the annex is missing or false.
    UsageError
        It may take longer.
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
        most = None if max_time == math.inf else sides_within(max_time)
        zkml.verify_well_formed(
            engine, commitment.program, commitment.model, commitment.well_formed, used, most
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
