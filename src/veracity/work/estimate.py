"""What a proof would cost, told before it is made, and where to cut it to hold less in memory.

Counts and sizes follow from the program and the number of tokens. Times and memory are linear in
the counts, with the coefficients below; times are scaled by two short measurements of this machine
(a field multiplication, a committed 16-bit value). `make bench-estimate` compares them with what is
measured; docs/performance.md has the last comparison.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type, require_whole
from veracity.engine import load_engine
from veracity.engine.api import POINT_BYTES, Engine
from veracity.errors import UsageError
from veracity.formats.program import NetworkFile
from veracity.frontends.shapes import read_shape
from veracity.graph import Program
from veracity.graph.port import Port
from veracity.graph.samples import program_over
from veracity.lm.text_decoder import context_of, ports_of
from veracity.work.memory import capped_memory, link_memory, plan_links
from veracity.work.programs import AnyProgram, integer_program, load_any

__all__ = ["Estimate", "OpRow", "estimate", "estimate_ops"]

# Seen on two cores with stories260K, SmolLM2-135M and gpt2-124m, 8 to 512 tokens, some under caps.
#: Seconds a segment takes beside what its counts say; the last with a small CNN.
SEGMENT_S, NETWORK_SEGMENT_S = 0.22, 0.2
#: Field multiplications' worth of time per lookup, and per weight that is read.
PER_LOOKUP = 10.5
PER_WEIGHT = 0.62
#: A generator of rows that are longer than the model's, against a committed 16-bit value.
PER_GENERATOR = 5
#: A value of the witness against one of long rows of 16-bit values.
PER_VALUE = 2.05
#: Seconds of committing to a model beside its weights, and a weight against a 16-bit value.
COMMIT_S = 0.17
PER_COMMITTED_WEIGHT = 0.985
#: Seconds of a check: always, for a segment, per row of the model's, per 32 bytes of the proof, per
#: generator of a segment's longest row. What a verifier allows
#: (:mod:`veracity.work.effort`) is more.
VERIFY_S, VERIFY_SEGMENT_S = 0.0187, 0.0071
PER_MODEL_ROW_S, PER_POINT_S, PER_GENERATOR_S = 3.35e-6, 4.9e-5, 1.25e-6
#: Bytes per value of what a network's values free, which is kept where there is no limit.
NETWORK_KEPT_BYTES = 22


@dataclass(frozen=True)
class Estimate:
    """The cost of one proof on this machine; times in seconds, sizes in bytes.

    One of tokens and samples is zero, or both are where a network has no axis of samples.
    """

    tokens: int
    samples: int
    segments: int
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
class OpRow:
    """What all ops of one kind and role add to a proof."""

    op: str
    count: int
    lookups: int
    committed_values: int
    product_values: int


@dataclass(frozen=True)
class Speed:
    """Seconds for one field multiplication and for committing to one 16-bit value."""

    multiplication: float
    committed_value: float


def _subject(
    program: AnyProgram | str | Path | None, shape: str | Path | None
) -> tuple[Program, bool]:
    """What is estimated, and whether it is a network over tensors.

    Parameters
    ----------
    program : ProgramFile, NetworkFile or path, optional
        A calibrated model.
    shape : str or path, optional
        Or a shape without weights.
    """
    require_type("shape", shape, str, os.PathLike, optional=True)
    if (program is None) == (shape is None):
        raise UsageError("give a program or a shape; one of them")
    if shape is not None:
        return read_shape(shape).program, False
    loaded = load_any(program)  # type: ignore[arg-type]
    return integer_program(loaded), isinstance(loaded, NetworkFile)


def _execution(integers: Program, network: bool, tokens: int, samples: int) -> zkml.Execution:
    """An execution of so many positions or samples; what their values are does not matter.

    Parameters
    ----------
    integers : Program
        What is run.
    network : bool
        Whether it is a network over tensors.
    tokens, samples : int
        As for :func:`estimate`.
    """
    if network:
        if samples:
            integers = program_over(integers, samples)
        return zkml.Execution(integers, _any(integers.inputs), _any(integers.outputs))
    if samples:
        raise UsageError("samples are for networks; a language model has tokens")
    if not 2 <= tokens <= context_of(integers) + 1:
        raise UsageError(f"tokens must lie between 2 and {context_of(integers) + 1}")
    return zkml.Execution(integers, *ports_of((0,) * tokens, max(1, tokens // 4)))


def _any(ports: Mapping[str, Port]) -> dict[str, NDArray[np.int64]]:
    """Integers that fit ports; what they are changes no cost."""
    return {
        n: np.full([int(d) for d in p.dims], max(p.low, min(p.high, 0)), dtype=np.int64)
        for n, p in ports.items()
    }


def estimate(
    program: AnyProgram | str | Path | None = None,
    tokens: int = 32,
    *,
    shape: str | Path | None = None,
    samples: int = 0,
    memory: int | None = None,
    threads: int | None = None,
    backend: str = "cpu",
) -> Estimate:
    """Tell what proving ``tokens`` positions (prompt and answer), or a network, would cost.

    Parameters
    ----------
    program : ProgramFile, NetworkFile or path
        The calibrated model.
    tokens : int
        Positions of a language model; a quarter of them are taken to be the prompt.
    shape : str or path, optional
        In place of a program a shape without weights: ``llama-2-7b`` or another that is known, or a
        ``config.json``. What calibration would see is supposed
        (:data:`veracity.lm.shapes.SUPPOSED`).
    samples : int
        Samples of a network, in one statement; 0 for a statement without an axis of samples.
    memory : int, optional
        Limit of the prover's memory in bytes, as for :func:`veracity.prove`.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes: ``"cpu"``, or ``"reference"``, which is slow and runs everywhere.

    Raises
    ------
    UsageError
        The program is not calibrated, ``tokens`` is beyond its context, or no segment fits
        ``memory``.
    UnsupportedModelError
        No program has the shape.
    """
    require_whole("tokens", tokens, 2)
    require_whole("memory", memory, 1, optional=True)
    require_settings(threads, backend)
    require_whole("samples", samples, 0)
    integers, network = _subject(program, shape)
    execution = _execution(integers, network, tokens, samples)
    if memory is not None:
        execution = replace(execution, cuts=plan_links(execution, memory).cuts)
    parts = zkml.count_links(execution)
    costs = zkml.Costs.sum(parts)
    parameters = sum(prod(spec.shape) for spec in execution.program.weights.values())
    speed = measure_speed(load_engine(backend, threads=threads))
    rows = zkml.model_rows(execution.program)
    return Estimate(
        tokens=0 if network else tokens,
        samples=samples,
        segments=len(parts),
        lookups=costs.lookups,
        committed_values=costs.committed_values,
        proof_bytes=costs.proof_bytes,
        commit_s=round(COMMIT_S + parameters * PER_COMMITTED_WEIGHT * speed.committed_value, 2),
        prove_s=round(proving_seconds(parts, speed, 1 << execution.log_columns, network), 2),
        verify_s=round(checking_seconds(parts, rows), 2),
        peak_memory_bytes=max(peak_memory(part, memory, network) for part in parts),
    )


def proving_seconds(
    parts: Sequence[zkml.Costs], speed: Speed, usual: int, network: bool = False
) -> float:
    """Seconds of proving.

    Parameters
    ----------
    parts : sequence of Costs
        Counts of every segment.
    speed : Speed
        Of this machine.
    usual : int
        Entries of the model's rows.
    network : bool
        Whether it is a network over tensors.
    """
    costs = zkml.Costs.sum(parts)
    longer = sum(part.generators for part in parts if part.generators > usual)
    return (
        (NETWORK_SEGMENT_S if network else SEGMENT_S) * len(parts)
        + (costs.lookups * PER_LOOKUP + costs.weights * PER_WEIGHT) * speed.multiplication
        + (costs.committed_values * PER_VALUE + longer * PER_GENERATOR) * speed.committed_value
    )


def checking_seconds(parts: Sequence[zkml.Costs], rows: int) -> float:
    """Seconds of a check by somebody who has checked before.

    Parameters
    ----------
    parts : sequence of Costs
        Counts of every segment.
    rows : int
        Row commitments of the model.
    """
    costs = zkml.Costs.sum(parts)
    return (
        VERIFY_S
        + VERIFY_SEGMENT_S * len(parts)
        + PER_MODEL_ROW_S * rows
        + PER_POINT_S * (costs.proof_bytes // POINT_BYTES)
        + PER_GENERATOR_S * costs.generators
    )


def peak_memory(part: zkml.Costs, limit: int | None, network: bool = False) -> int:
    """Peak memory of proving a segment, in bytes.

    Parameters
    ----------
    part : Costs
        Counts of the segment.
    limit : int or None
        What it has to keep to, in bytes.
    network : bool
        Whether it is one of a network over tensors.
    """
    if limit is not None:
        return capped_memory(part, limit)
    return link_memory(part) + (NETWORK_KEPT_BYTES * part.committed_values if network else 0)


def estimate_ops(
    program: AnyProgram | str | Path | None,
    tokens: int = 32,
    samples: int = 0,
    shape: str | Path | None = None,
) -> list[OpRow]:
    """Lookups and values by kind of op, over all layers, the costliest first.

    Parameters
    ----------
    program : ProgramFile, NetworkFile or path
        The calibrated model.
    tokens, samples, shape
        As for :func:`estimate`.
    """
    execution = _execution(*_subject(program, shape), tokens, samples)
    kinds: dict[str, list[zkml.OpCosts]] = {}
    for op in zkml.count_ops(execution):
        role = re.sub(r"^layers\.\d+\.", "", op.name)
        kinds.setdefault(f"{role} ({op.kind})", []).append(op)
    rows = [
        OpRow(
            name,
            len(ops),
            sum(op.lookups for op in ops),
            sum(op.values for op in ops),
            sum(op.products for op in ops),
        )
        for name, ops in kinds.items()
    ]
    whole = zkml.count(execution)
    shared = OpRow(
        "tables and projection",
        1,
        whole.lookups - sum(r.lookups for r in rows),
        whole.committed_values - sum(r.committed_values for r in rows),
        0,
    )
    return [*sorted(rows, key=lambda r: -r.lookups), shared]


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
    for _ in range(9):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)
