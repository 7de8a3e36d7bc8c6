"""Where to cut a proof so that the process that makes it stays below a limit of memory."""

from __future__ import annotations

from dataclasses import replace

from veracity import zkml
from veracity.errors import UsageError

__all__ = ["link_memory", "plan_cuts"]

# Peak resident memory of a process that proves, seen with stories260K, SmolLM2-135M and gpt2-124m,
# 8 to 256 tokens: see estimation.py.
#: Bytes of interpreter, libraries and generators.
BASE_BYTES = 100_000_000
#: Bytes per weight that is read (two of them mapped), per lookup, per value of the witness.
WEIGHT_BYTES = 2.25
LOOKUP_BYTES = 32
VALUE_BYTES = 45
#: Share of a limit that plans leave free.
MARGIN = 0.05


def link_memory(costs: zkml.Costs) -> int:
    """Peak memory of proving one link, in bytes."""
    return int(
        BASE_BYTES
        + WEIGHT_BYTES * costs.weights
        + LOOKUP_BYTES * costs.lookups
        + VALUE_BYTES * costs.committed_values
    )


def plan_cuts(execution: zkml.Execution, limit: int) -> tuple[int, ...]:
    """Cuts that hold every link below ``limit`` bytes; none where none are needed.

    Raises
    ------
    UsageError
        Where the smallest links need more.
    """
    places = zkml.cut_places(execution.program)
    parts = zkml.count_links(replace(execution, cuts=tuple(places)))
    room = int(limit * (1 - MARGIN))
    needed = max(link_memory(part) for part in parts)
    if needed > room:
        raise UsageError(
            f"one part of this proof needs {int(needed / (1 - MARGIN)) >> 20} MiB; "
            "raise --memory, or ask for fewer tokens"
        )
    # Every part counts tables and a projection of its own; a link has them once.
    fixed = min(part.committed_values for part in parts)
    cuts, group = [], [parts[0]]
    for place, part in zip(places, parts[1:], strict=True):
        together = zkml.Costs.sum([*group, part])
        saved = int(VALUE_BYTES * fixed * len(group))
        if link_memory(together) - saved > room:
            cuts.append(place)
            group = []
        group.append(part)
    return tuple(cuts)
