"""What a proof would cost, told before it is made.

Counts are exact: they follow from the program and the number of tokens. Times come from two short
measurements of this machine (a field multiplication, a committed value), multiplied by how many of
each a lookup, a committed value and a weight take.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from veracity import zkml
from veracity.api.owner import load_program
from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.frontends import ProgramFile
from veracity.graph import Program

__all__ = ["Estimate", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """The cost of one proof on this machine; times in seconds, sizes in bytes."""

    tokens: int
    lookups: int
    committed_values: int
    proof_bytes: int
    commit_s: float
    prove_s: float
    verify_s: float
    peak_memory_bytes: int

    def to_plain(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def estimate(
    program: ProgramFile | str | Path, tokens: int, *, threads: int | None = None
) -> Estimate:
    """Tell what proving ``tokens`` positions (prompt and answer) would cost.

    Raises
    ------
    UsageError
        The program is not calibrated, or ``tokens`` is beyond its context.
    """
    loaded = load_program(program)
    if not 2 <= tokens <= loaded.program.context + 1:
        raise UsageError(f"tokens must lie between 2 and {loaded.program.context + 1}")
    return cost(loaded.program, tokens, load_engine("cpu", threads=threads))
