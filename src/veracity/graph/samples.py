"""The same program on several samples: a first axis more in every value.

What a program means for N samples follows from the program and N alone, so that a commitment to a
network covers every number of samples, and a verifier writes the program down by itself. Families
of ops say how they act under one more axis (``OpRule.over``); nothing mixes samples.

A program may have the axis already: its one open length comes first in every value and nowhere else
(a network that training ends with is one). Then no op can mix samples: no step of a wire goes along
an axis whose length is open (:func:`veracity.graph.wires.wire_dims`), and a product of two operands
that have one open axis each keeps it once where it is the same sample's in both, and keeps it twice
or not at all otherwise. Its number of samples is put in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from veracity.errors import UnsupportedModelError, UsageError
from veracity.graph.ops import RULES, Op, Reshape, Top
from veracity.graph.port import Output, Port
from veracity.graph.program import Program

__all__ = ["MAX_SAMPLES", "choices_over", "program_over", "sample_ports", "scores_port"]

#: Most samples of one statement.
MAX_SAMPLES = 1 << 20


def program_over(program: Program, samples: int) -> Program:
    """A program that does to each of several samples what the given one does to one.

    Parameters
    ----------
    program : Program
        Without symbols in its dims, or with one, for the samples.
    samples : int
        N, at least 1: the length of the first axis of every port.

    Raises
    ------
    UsageError
        N is out of bounds, lengths are not known, or values would be too large.
    UnsupportedModelError
        An op that mixes samples.
    """
    if not 1 <= samples <= MAX_SAMPLES:
        raise UsageError(f"a statement is about 1 to {MAX_SAMPLES} samples")
    ports = sample_ports(program)
    has_axis = bool(program.limits)

    def longer(port: Output) -> Output:
        return replace(port, dims=(samples, *(port.dims[1:] if has_axis else port.dims)))

    out = replace(
        program,
        inputs={n: replace(p, dims=(samples, *p.dims)) for n, p in ports.items()},
        outputs={n: longer(p) for n, p in program.outputs.items()},
        ops=program.ops if has_axis else tuple(_over(op, samples) for op in program.ops),
        limits={},
    )
    out.validate()
    return out


def sample_ports(program: Program) -> dict[str, Port]:
    """The inputs of one sample.

    Parameters
    ----------
    program : Program
        A network.

    Raises
    ------
    UsageError
        It has open lengths, and they are not those of one axis of samples.
    """
    if not program.limits:
        return dict(program.inputs)
    every = [p.dims for p in (*program.inputs.values(), *program.outputs.values())]
    every += program.value_dims.values()
    alone = all(
        dims[:1] == (symbol,) and symbol not in dims[1:]
        for symbol in program.limits
        for dims in every
    )
    if not alone or any(RULES[type(op)].over is None for op in program.ops):
        raise UsageError("the program's lengths are open; it has no axis of samples")
    return {n: replace(p, dims=p.dims[1:]) for n, p in program.inputs.items()}


def _over(op: Op, samples: int) -> Op:
    over = RULES[type(op)].over
    if over is None:
        raise UnsupportedModelError(
            op.name, f"{type(op).__name__} on several samples", "prove each sample by itself"
        )
    found: Op = over(op, samples)
    return found


def scores_port(program: Program, port: str | None = None) -> str:
    """The output whose largest entry is an answer: the one named, the only one or the only arg max.

    Raises
    ------
    UsageError
        There is none, or there are several.
    """
    made: Mapping[str, Op] = {op.name: op for op in program.ops}
    tops = [n for n, o in program.outputs.items() if isinstance(made[o.value], Top)]
    only = list(program.outputs) if len(program.outputs) == 1 else tops
    found = only if port is None else [port]
    if len(found) != 1 or found[0] not in program.outputs:
        known = ", ".join(sorted(program.outputs))
        raise UsageError(f"which output has the scores? one of {known}")
    return found[0]


def choices_over(program: Program, samples: int, port: str | None = None) -> tuple[Program, int]:
    """A program that shows, for each of several samples, only which class is chosen.

    The class is an output that is an arg max already, or the place of the largest of an output's
    entries, the first of equals.

    Parameters
    ----------
    program : Program
        A network that gives scores.
    samples : int
        N.
    port : str, optional
        Whose entries; the only output, or the only arg max, where not given.

    Returns
    -------
    tuple
        The program, its one output ``class`` of dims (N,), and how many classes there are.

    Raises
    ------
    UsageError
        No such output, or one without entries to choose from.
    """
    over = program_over(program, samples)
    made: Mapping[str, Op] = {op.name: op for op in over.ops}
    found = scores_port(over, port)
    shown = over.outputs[found].value
    op, dims = made[shown], over.value_dims[shown]
    if isinstance(op, Top):
        scores, ops = op.x, [o for o in over.ops if o is not op]
    else:
        scores, ops = shown, list(over.ops)
    dims = over.value_dims[scores]
    classes = 1
    for d in dims[1:]:
        classes *= d if isinstance(d, int) else 0
    if classes < 2 or (isinstance(op, Top) and dims[-1] != classes):
        raise UsageError(f"output {found}: one choice for each sample is needed, among two or more")
    names = {"flat": "class.scores", "top": "class.top"}
    if set(names.values()) & (set(made) | set(over.inputs)):
        raise UsageError("a value has a name that is needed for the choice")
    ops += [Reshape(name=names["flat"], x=scores, dims=(samples, classes))]
    ops += [Top(name=names["top"], x=names["flat"])]
    # Other arg maxes show nothing here, and no op may read them.
    ops = [o for o in ops if not isinstance(o, Top) or o.name == names["top"]]
    kept = {o.name for o in ops}
    output = Output((samples,), 0, 0, classes - 1, names["top"])
    result = replace(
        over,
        outputs={"class": output},
        ops=tuple(ops),
        exponents={n: e for n, e in over.exponents.items() if n in kept},
    )
    result.validate()
    return result, classes
