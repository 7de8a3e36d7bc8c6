"""Several answers of one text decoder as one program: a copy of its ops for each, the same weights.

What the program means for N answers follows from the program and N alone, so that a commitment to a
model covers every number of answers, and a verifier writes the program down by itself. Copies share
no value: prompts and answers may have any lengths, and the proof can be cut between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UnsupportedModelError, UsageError
from veracity.graph import Program
from veracity.graph.ops import Op
from veracity.graph.port import Dims
from veracity.graph.program import MAX_OPS
from veracity.lm.text_decoder import ports_of

__all__ = ["MAX_ANSWERS", "ports_of_several", "several"]

#: Most answers of one statement.
MAX_ANSWERS = 32
#: Fields of ops that name values, and those that name lengths.
_VALUES, _LENGTHS = ("x", "a", "b", "q", "k", "v"), ("axis", "rows")


def several(program: Program, count: int) -> Program:
    """A text decoder for several prompts at once.

    Parameters
    ----------
    program : Program
        A text decoder.
    count : int
        N, 1 to 32. Copy ``i`` of a value, a length or a port is called ``NAME@i``.

    Raises
    ------
    UsageError
        N is out of bounds, or the program would be too large.
    UnsupportedModelError
        An op that cannot be copied.
    """
    if not 1 <= count <= MAX_ANSWERS:
        raise UsageError(f"one proof is of 1 to {MAX_ANSWERS} answers; make several proofs")
    if count * len(program.ops) > MAX_OPS:
        raise UsageError(f"{count} answers of this model are too many for one proof; take fewer")
    copies = [_copy(program, f"@{i}") for i in range(count)]
    out = replace(
        program,
        inputs=_together([c.inputs for c in copies]),
        outputs=_together([c.outputs for c in copies]),
        limits=_together([c.limits for c in copies]),
        ops=tuple(op for c in copies for op in c.ops),
        exponents=_together([c.exponents for c in copies]),
    )
    out.validate()
    return out


def _copy(program: Program, mark: str) -> Program:
    """The program with all names but those of its weights marked."""
    values = {*program.inputs, *(op.name for op in program.ops)}

    def dims(of: Dims) -> Dims:
        return tuple(d + mark if isinstance(d, str) else d for d in of)

    def op_copy(op: Op) -> Op:
        changes: dict[str, Any] = {"name": op.name + mark}
        for name in (*_VALUES, *_LENGTHS):
            old = getattr(op, name, None)
            if isinstance(old, str) and old in (values if name in _VALUES else program.limits):
                changes[name] = old + mark
        made = replace(op, **changes)
        if set(made.inputs()) != {old + mark for old in op.inputs()}:
            kind = f"{type(op).__name__} in a proof of several answers"
            raise UnsupportedModelError(op.name, kind, "prove each answer by itself")
        return made

    return replace(
        program,
        inputs={n + mark: replace(p, dims=dims(p.dims)) for n, p in program.inputs.items()},
        outputs={
            n + mark: replace(p, dims=dims(p.dims), value=p.value + mark)
            for n, p in program.outputs.items()
        },
        limits={n + mark: most for n, most in program.limits.items()},
        ops=tuple(op_copy(op) for op in program.ops),
        exponents={n + mark if n in values else n: e for n, e in program.exponents.items()},
    )


def _together(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {name: value for part in parts for name, value in part.items()}


def ports_of_several(
    answers: Sequence[tuple[Sequence[int], int]],
) -> tuple[dict[str, NDArray[np.int64]], dict[str, NDArray[np.int64]]]:
    """Inputs and outputs of the statement that prompts are answered so.

    Parameters
    ----------
    answers : sequence of (tokens, prompt length)
        Prompt and answer of each, and how many of the tokens are the prompt.

    Raises
    ------
    UsageError
        One has no prompt or no answer.
    """
    inputs: dict[str, NDArray[np.int64]] = {}
    outputs: dict[str, NDArray[np.int64]] = {}
    for i, (tokens, prompt_length) in enumerate(answers):
        given, answered = ports_of(tokens, prompt_length)
        inputs |= {f"{name}@{i}": value for name, value in given.items()}
        outputs |= {f"{name}@{i}": value for name, value in answered.items()}
    return inputs, outputs
