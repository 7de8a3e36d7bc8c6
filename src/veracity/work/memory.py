"""Where to cut a proof: to stay below a limit of memory, to give every process its share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod

from veracity import zkml
from veracity.engine.api import Engine
from veracity.errors import UsageError

__all__ = ["Plan", "capped_memory", "link_memory", "plan_links"]

# Peak resident memory of a process that proves, seen with stories260K, SmolLM2-135M and gpt2-124m,
# 8 to 512 tokens, and rather too many: a cap is a promise.
#: Bytes of interpreter, libraries and generators.
BASE_BYTES = 110_000_000
#: Bytes per weight that is read (two of them mapped), per lookup, per value of the witness, per
#: value that a link before hands over. Language models have a lookup for about every value, so
#: measurements hardly tell those two apart; a value's bytes hold most of a lookup's.
WEIGHT_BYTES = 2.5
LOOKUP_BYTES = 4
VALUE_BYTES = 48
RECEIVED_BYTES = 30
#: Bytes that the tree of fractions occupies for a lookup, mostly where a value's were before.
TREE_BYTES = 32
#: Bytes for each value of the largest part, where a process only runs the model.
RUN_BYTES = 24
#: Share of a limit that plans leave free, and that memory-mapped weights may occupy.
MARGIN, PAGED = 0.05, 1 / 16
#: Share of a limit that a process may keep of freed vectors; the allocator keeps as much again.
KEPT = 1 / 32
#: Share of a limit that what a plan counts may fill.
FILLED = 1 - MARGIN - 2 * KEPT


def link_memory(costs: zkml.Costs) -> int:
    """Peak memory of proving one link, in bytes."""
    return int(
        BASE_BYTES
        + WEIGHT_BYTES * costs.weights
        + LOOKUP_BYTES * costs.lookups
        + VALUE_BYTES * costs.committed_values
        + RECEIVED_BYTES * costs.received_values
    )


def capped_memory(costs: zkml.Costs, limit: int) -> int:
    """Peak memory of proving one link under a limit, with freed memory that is kept; in bytes."""
    return link_memory(costs) + int(2 * KEPT * limit)


@dataclass(frozen=True)
class Plan:
    """How a proof is made.

    Attributes
    ----------
    cuts : tuple of int
        Ops before which it is cut; none where it is not.
    memory : int or None
        Bytes for each process that proves, where there is a limit.
    tree : int
        Bytes that the memory of one link's lookups may go on to occupy during the next one, under a
        limit: what the rest of every link leaves of it.
    """

    cuts: tuple[int, ...] = ()
    memory: int | None = None
    tree: int = 0

    def keep(self, engine: Engine) -> None:
        """Let an engine keep as much freed memory as a limit leaves it, where there is one."""
        if self.memory is not None:
            engine.keep_memory(int(KEPT * self.memory), self.tree)


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
    trees = [TREE_BYTES * part.lookups for part in parts]
    if limit is None:
        if 4 * jobs * max(sizes) > 5 * sum(sizes):  # no even shares without finer parts
            places, sizes, _ = _refined(execution, places, sizes, sum(sizes) // (2 * jobs), fixed)
        return Plan(_even(places, sizes, jobs))
    share = limit
    if jobs > 1:
        runner = BASE_BYTES + RUN_BYTES * max(part.committed_values for part in parts)
        share = int((limit * (1 - PAGED) - runner) / jobs)
    room = int(share * FILLED) - BASE_BYTES - fixed
    if max(sizes) > room > 0:
        places, sizes, trees = _refined(execution, places, sizes, room, fixed)
    if max(sizes) > room:
        needed = int((max(sizes) + BASE_BYTES + fixed) / FILLED)
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
    bounds = [0, *(places.index(cut) + 1 for cut in cuts), len(sizes)]
    rest = max(0, *(sum(sizes[a:b]) - sum(trees[a:b]) for a, b in pairwise(bounds)))
    return Plan(tuple(cuts), share, max(0, room - rest))


def _refined(
    execution: zkml.Execution, places: Sequence[int], sizes: Sequence[int], room: int, fixed: int
) -> tuple[list[int], list[int], list[int]]:
    """More places, where several values cross, so that no part exceeds a room; sizes and trees."""
    program = execution.program
    across = [0] * (len(program.ops) + 1)  # values that cross a cut before each op
    for i, op in enumerate(program.ops):
        if op.name in program.last_reader:
            held = prod(program.dims_of(op.name, execution.sizes))
            for place in range(i + 1, program.last_reader[op.name] + 1):
                across[place] += held
    costs = zkml.count_ops(execution)
    each = [int(LOOKUP_BYTES * op.lookups + VALUE_BYTES * op.values) for op in costs]
    target = room
    for _ in range(4):
        finer: list[int] = []
        for (a, b), size in zip(pairwise([0, *places, len(each)]), sizes, strict=True):
            finer += [a] if a else []
            finer += _split(each, across, a, b, target) if size > room else []
        parts = zkml.count_links(replace(execution, cuts=tuple(finer)))
        found = [link_memory(part) - BASE_BYTES - fixed for part in parts]
        if max(found) <= room:
            break
        target = int(target * 0.8)
    return finer, found, [TREE_BYTES * part.lookups for part in parts]


def _split(
    each: Sequence[int], across: Sequence[int], start: int, stop: int, room: int
) -> list[int]:
    """Places between two ops: as few as it takes, each where least crosses in the room's half.

    Parameters
    ----------
    each : sequence of int
        Bytes that an op takes.
    across : sequence of int
        Values that cross a cut before an op.
    start, stop : int
        Ops from the first to before the last.
    room : int
        Bytes of a part, with the values that it receives and hands over.
    """
    cuts: list[int] = []
    while True:
        used = int(RECEIVED_BYTES * across[start])
        fits: dict[int, int] = {}  # bytes of a part up to each place
        for place in range(start + 1, stop + 1):
            used += each[place - 1]
            whole = used + (int(VALUE_BYTES * across[place]) if place < stop else 0)
            if used > room:
                break
            if whole <= room:
                fits[place] = whole
        if stop in fits:
            return cuts
        late = [p for p in fits if 2 * fits[p] >= room] or list(fits) or [start + 1]
        start = min(late, key=lambda p: (across[p], -p))
        if start >= stop:
            return cuts
        cuts.append(start)


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
