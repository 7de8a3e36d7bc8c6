"""What a proof would cost, told before it is made.

Counts and sizes follow from the program and the number of tokens. Times are counts multiplied by
two short measurements of this machine (a field multiplication, a committed 16-bit value) and by how
many of each the prover was seen to take per lookup, per committed value and per weight.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from veracity import zkml
from veracity.api.owner import integer_program, load_program
from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.frontends import ProgramFile

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


@dataclass(frozen=True)
class Speed:
    """Seconds for one field multiplication and for committing to one 16-bit value."""

    multiplication: float
    committed_value: float


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
    integers = integer_program(loaded)
    if not 2 <= tokens <= integers.context + 1:
        raise UsageError(f"tokens must lie between 2 and {integers.context + 1}")
    # Token ids do not change the cost, only how many there are.
    costs = zkml.count(integers, [0] * tokens, max(1, tokens // 4))
    speed = measure_speed(load_engine("cpu", threads=threads))
    weights, lookups, values = costs.parameters, costs.lookups, costs.committed_values
    multiplications = lookups * PER_LOOKUP + weights * PER_WEIGHT
    return Estimate(
        tokens=tokens,
        lookups=lookups,
        committed_values=values,
        proof_bytes=costs.proof_bytes,
        commit_s=round(0.1 + weights * speed.committed_value, 1),
        prove_s=round(
            0.5
            + multiplications * speed.multiplication
            + values * PER_VALUE * speed.committed_value,
            1,
        ),
        verify_s=round(0.1 + 1.5e-5 * (costs.model_rows + costs.witness_rows), 1),
        peak_memory_bytes=BASE_BYTES + lookups * LOOKUP_BYTES + weights * WEIGHT_BYTES,
    )


# Seen on two cores with SmolLM2-135M and stories260K; docs/performance.md says how.
PER_LOOKUP = 20  # field multiplications' worth of time a lookup
PER_WEIGHT = 3  # the same a weight: answering, executing, binding
PER_VALUE = 2.5  # a witness value against one of long rows of 16-bit values
BASE_BYTES = 250_000_000
LOOKUP_BYTES = 95
WEIGHT_BYTES = 13


def measure_speed(engine: Engine) -> Speed:
    """Time both operations on this machine, for about a tenth of a second each."""
    count = 1 << 16
    vector = engine.random(count)
    rows, width = 32, 1 << 11
    values = np.resize(np.arange(-30_000, 30_000, 7, dtype=np.int16), (rows, width))
    index = np.arange(width, dtype=np.int64)
    bases = engine.generators("veracity speed", width)
    return Speed(
        multiplication=_best(lambda: engine.mul(vector, vector)) / count,
        committed_value=_best(lambda: engine.commit_rows(values, index, bases)) / values.size,
    )


def _best(work: Callable[[], object]) -> float:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
