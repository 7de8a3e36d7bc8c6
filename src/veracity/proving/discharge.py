"""What every verifier does with the statement that it has made: checks, and one refusal."""

from __future__ import annotations

from veracity import zkml
from veracity.engine.api import Engine
from veracity.errors import FormatError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.progress import Progress
from veracity.work.effort import require_effort, sides_within
from veracity.work.well_formed import annex_seconds, require_well_formed

__all__ = ["discharge"]


def discharge(
    engine: Engine,
    pinned: Commitment,
    statement: zkml.Statement,
    argument: bytes,
    not_shown: str,
    *,
    max_time: float,
    progress: Progress,
    beside: float = 0.0,
) -> None:
    """Check the work foretold, the form of the weights, and the argument for a statement.

    Parameters
    ----------
    engine : Engine
        Backend.
    pinned : Commitment
        The one that the caller trusts; the statement is about its model.
    statement : Statement
        What is claimed.
    argument : bytes
        All messages of the proof.
    not_shown : str
        What is said of a proof that does not hold; the place inside is its cause.
    max_time : float
        Seconds that the check may take.
    progress : Progress
        Called as the check advances.
    beside : float
        Seconds that were foretold for what came before.

    Raises
    ------
    VerificationError
        The proof is false, or weights are not what the commitment says.
    UsageError
        It may take longer than ``max_time``.
    """
    require_effort(statement, len(argument), max_time, beside + annex_seconds(pinned))
    progress("verify", 0.0)
    require_well_formed(engine, pinned, max_time=max_time)
    try:
        zkml.verify(engine, statement, argument, None, sides_within(max_time))
    except (VerificationError, FormatError) as error:
        raise VerificationError(not_shown, f"{error.where}: {error.reason}") from error
    progress("verify", 1.0)
