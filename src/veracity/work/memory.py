"""Where to cut a proof: to stay below a limit of memory, to give every process its share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from veracity import zkml
from veracity.errors import UsageError

__all__ = ["Plan", "link_memory", "plan_links"]

# Peak resident memory of a process that proves, seen with stories260K, SmolLM2-135M and gpt2-124m,
# 8 to 256 tokens: see estimation.py.
#: Bytes of interpreter, libraries and generators.
BASE_BYTES = 100_000_000
#: Bytes per weight that is read (two of them mapped), per lookup, per value of the witness.
WEIGHT_BYTES = 2.25
LOOKUP_BYTES = 32
VALUE_BYTES = 45
#: Bytes for each value of the largest part, where a process only runs the model.
RUN_BYTES = 24
#: Share of a limit that plans leave free, and that memory-mapped weights may occupy.
MARGIN, PAGED = 0.05, 1 / 16


def link_memory(costs: zkml.Costs) -> int:
    """Peak memory of proving one link, in bytes."""
    return int(
        BASE_BYTES
        + WEIGHT_BYTES * costs.weights
        + LOOKUP_BYTES * costs.lookups
        + VALUE_BYTES * costs.committed_values
    )


@dataclass(frozen=True)
class Plan:
    """How a proof is made.

    Attributes
    ----------
    cuts : tuple of int
        Ops before which it is cut; none where it is not.
    memory : int or None
        Bytes for each process that proves, where there is a limit.
    """

    cuts: tuple[int, ...] = ()
    memory: int | None = None


def plan_links(execution: zkml.Execution, limit: int | None, jobs: int = 1) -> Plan:
    """Where to cut a proof that several processes make within a limit for all of them.

    Without a limit there are as many links as jobs. Under a limit there are as many as it takes,
    and no fewer than jobs; one process more, which runs the model, has a share of its own.

    Parameters
    ----------
    execution : Execution
        What is proved.
    limit : int or None
        Bytes.
    jobs : int
        How many processes prove.

    Raises
    ------
    UsageError
        Where the smallest links need more.
    """
    if limit is None and jobs == 1:
        return Plan()
    places = zkml.cut_places(execution.program)
    parts = zkml.count_links(replace(execution, cuts=tuple(places)))
    # Every part counts tables and a projection of its own; a link has them once.
    fixed = int(VALUE_BYTES * min(part.committed_values for part in parts))
    sizes = [link_memory(part) - BASE_BYTES - fixed for part in parts]
    if limit is None:
        return Plan(_even(places, sizes, jobs))
    share = limit
    if jobs > 1:
        runner = BASE_BYTES + RUN_BYTES * max(part.committed_values for part in parts)
        share = int((limit * (1 - PAGED) - runner) / jobs)
    room = int(share * (1 - MARGIN)) - BASE_BYTES - fixed
    if max(sizes) > room:
        needed = int((max(sizes) + BASE_BYTES + fixed) / (1 - MARGIN))
        needed = needed if jobs == 1 else int((needed * jobs + runner) / (1 - PAGED))
        fewer = "" if jobs == 1 else "ask for fewer --jobs, "
        raise UsageError(
            f"one part of this proof needs {needed >> 20} MiB{' with all jobs' if fewer else ''}; "
            f"raise --memory, {fewer}or ask for fewer tokens or samples"
        )
    cuts, used = [], 0
    for place, size in zip([0, *places], sizes, strict=True):
        if used + size > room:
            cuts.append(place)
            used = 0
        used += size
    if jobs > 1:
        cuts = _rounded_up(places, sizes, cuts, room, jobs)
    return Plan(tuple(cuts), share)


def _rounded_up(
    places: Sequence[int], sizes: Sequence[int], cuts: list[int], room: int, jobs: int
) -> list[int]:
    """Links of about one size, a multiple of the jobs, where that fits; else the cuts given."""
    even = _even(places, sizes, -(-(len(cuts) + 1) // jobs) * jobs)
    bounds = [0, *(places.index(cut) + 1 for cut in even), len(sizes)]
    fits = all(sum(sizes[a:b]) <= room for a, b in pairwise(bounds))
    return list(even) if fits else cuts


def _even(places: Sequence[int], sizes: Sequence[int], links: int) -> tuple[int, ...]:
    """Cuts into at most so many links of about one size."""
    whole, used = sum(sizes), 0
    cuts: list[int] = []
    for place, before, size in zip(places, sizes, sizes[1:], strict=True):
        used += before
        # cut here if a later place would lie farther from the share that is due
        if abs(used - whole * (len(cuts) + 1) / links) <= abs(
            used + size - whole * (len(cuts) + 1) / links
        ):
            cuts.append(place)
        if len(cuts) == links - 1:
            break
    return tuple(cuts)
