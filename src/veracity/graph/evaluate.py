"""The integer meaning of a program, exact and fast, in one pass or position by position."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Integers
from veracity.errors import UsageError
from veracity.graph.ops import RULES, Op
from veracity.graph.ops.base import Array, Run, State
from veracity.graph.program import Program
from veracity.graph.sampling import Sampling
from veracity.records import record

__all__ = ["State", "Trace", "apply", "execute", "run_ops"]

Weights = Mapping[str, NDArray[np.integer]]


@record
class Trace:
    """One execution.

    Attributes
    ----------
    values : dict
        Result of every op, and the inputs.
    details : dict
        Intermediates of an op by key, for the prover.
    outputs : dict
        Results by output port; those that were computed.
    """

    values: dict[str, Array] = field(repr=False)
    details: dict[str, dict[str, Array]] = field(repr=False)
    outputs: dict[str, Array] = field(repr=False)


def apply(op: Op, run: Run, values: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
    """One op: its result and the details that a prover needs.

    Parameters
    ----------
    op : Op
        What to compute.
    run : Run
        Weights, sizes, positions before.
    values : mapping
        At least the op's operands.

    Raises
    ------
    RangeError
    """
    return RULES[type(op)].evaluate(op, run, [values[name] for name in op.inputs()])


def execute(
    program: Program,
    weights: Weights,
    inputs: Mapping[str, NDArray[np.integer]],
    sizes: Mapping[str, int] | None = None,
    span: tuple[int, int] | None = None,
    given: Mapping[str, Array] | None = None,
    integers: Integers | None = None,
    sampling: Sampling | None = None,
    keep: Collection[str] | None = None,
) -> Trace:
    """Run a program, all ops or some.

    Parameters
    ----------
    program : Program
        What to run.
    weights : mapping
        Integers by name.
    inputs : mapping
        Integers by input port.
    sizes : mapping, optional
        What symbols stand for that no input binds (how many answers, say).
    span : tuple of int, optional
        Run ops ``start .. stop-1`` only.
    given : mapping, optional
        Results of earlier ops that these read.
    integers : Integers, optional
        The products of the engine that computes; those of ``cpu`` where not given.
    sampling : Sampling, optional
        How tokens are drawn; greedily where not given.
    keep : collection of str, optional
        Values that are wanted after their last use, beside outputs; all where not given.

    Raises
    ------
    RangeError
        If a value leaves its calibrated range.
    UsageError
        If the inputs do not fit the program.
    """
    bound = program.check_inputs(inputs)
    if sizes is not None:
        program.check_sizes(sizes)
        bound |= sizes
    run = Run(program.weights, weights, bound, State(), integers, sampling, program.exponents)
    values = {name: np.asarray(x, dtype=np.int64) for name, x in inputs.items()}
    values.update(given or {})
    details: dict[str, dict[str, Array]] = {}
    start, stop = (0, len(program.ops)) if span is None else span
    kept = None if keep is None else {*keep, *[o.value for o in program.outputs.values()]}
    for i, op in enumerate(program.ops[start:stop], start):
        values[op.name], details[op.name] = apply(op, run, values)
        if kept is not None:
            _drop_read(program, op, i, values, kept)
    outputs = {n: values[o.value] for n, o in program.outputs.items() if o.value in values}
    return Trace(values, details, outputs)


def run_ops(
    program: Program,
    run: Run,
    given: Mapping[str, Array],
    span: tuple[int, int] | None = None,
    keep: Collection[str] = (),
) -> dict[str, Array]:
    """Run ops, dropping every value after its last use; returns those that are left.

    Parameters
    ----------
    program : Program
        What to run.
    run : Run
        Weights, sizes and positions before (which the caller advances).
    given : mapping
        Integers by input port, and the results of earlier ops that are still read.
    span : tuple of int, optional
        Run ops ``start .. stop-1`` only.
    keep : collection of str
        Values that are wanted after their last use.

    Raises
    ------
    RangeError
    """
    start, stop = (0, len(program.ops)) if span is None else span
    values = dict(given)
    for i, op in enumerate(program.ops[start:stop], start):
        values[op.name], _ = apply(op, run, values)
        _drop_read(program, op, i, values, keep)
    return values


def _drop_read(
    program: Program, op: Op, place: int, values: dict[str, Array], keep: Collection[str]
) -> None:
    """Drop what an op was the last to read.

    Parameters
    ----------
    program : Program
        Of which it is an op.
    op : Op
        What was computed.
    place : int
        Its index.
    values : dict
        Results by name.
    keep : collection of str
        Values that are wanted later.
    """
    for name in op.inputs():
        if program.last_reader[name] == place and name not in keep:
            values.pop(name, None)


def pointwise(op: Op, values: Mapping[str, Array]) -> Array:
    """The result of an op that needs neither weights nor sizes nor positions.

    Raises
    ------
    RangeError
    UsageError
        For an op that reads weights.
    """
    if op.weight_names():
        raise UsageError(f"{op.name}: {type(op).__name__} is more than a function of its operands")
    return apply(op, Run({}, {}, {}, State()), values)[0]
