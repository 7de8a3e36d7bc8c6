"""What makes a program a text decoder: a list of tokens in, the greedy choice of tokens out.

Its input port ``tokens`` holds T token ids; its output port ``answer`` holds the A tokens that
follow the last A positions. Prompt and answer are one causal pass: the program reads all tokens but
the last, P of them the prompt, and answers with ``A = T - P + 1`` tokens, of which all but the last
were read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Integers
from veracity.errors import UnsupportedModelError, UsageError
from veracity.graph import Output, Port, Program, State, Trace, WeightSpec, execute
from veracity.graph.evaluate import run_ops
from veracity.graph.ops import Head, Op
from veracity.graph.ops.base import Run, rescaled
from veracity.graph.ops.head import scores
from veracity.graph.sampling import Sampling

__all__ = [
    "ANSWER",
    "TOKENS",
    "answer_of",
    "check_drawable",
    "context_of",
    "forward",
    "is_text_decoder",
    "logits",
    "ports_of",
    "scored_tokens",
    "step",
    "text_decoder",
    "vocabulary_of",
]

#: Names of the ports.
TOKENS, ANSWER = "tokens", "answer"
Weights = Mapping[str, NDArray[np.integer]]
Array = NDArray[np.int64]


def text_decoder(
    *,
    name: str,
    arch: Mapping[str, Any],
    vocab: int,
    context: int,
    ops: tuple[Op, ...],
    weights: Mapping[str, WeightSpec],
    exponents: Mapping[str, int],
) -> Program:
    """The program of a text decoder.

    Parameters
    ----------
    name : str
        For people.
    arch : mapping
        Facts for people.
    vocab, context : int
        Number of tokens; most positions.
    ops : tuple of Op
        The first reads the port ``tokens``, the last is a Head.
    weights, exponents : mapping
        As in :class:`veracity.graph.Program`.
    """
    tokens = Port(("T",), 0, 0, vocab - 1)
    answer = Output(("A",), 0, 0, vocab - 1, ops[-1].name)
    limits = {"T": context, "A": context}
    return Program(name, arch, {TOKENS: tokens}, {ANSWER: answer}, limits, ops, weights, exponents)


def is_text_decoder(program: Program) -> bool:
    """Whether a program has the ports of a text decoder."""
    return (
        set(program.inputs) == {TOKENS}
        and set(program.outputs) == {ANSWER}
        and program.inputs[TOKENS].dims == ("T",)
        and program.outputs[ANSWER].dims == ("A",)
        and bool(program.ops)
        and isinstance(program.ops[-1], Head)
    )


def vocabulary_of(program: Program) -> int:
    """Number of tokens."""
    return program.inputs[TOKENS].high + 1


def context_of(program: Program) -> int:
    """Most positions."""
    return program.limits["T"]


def scored_tokens(program: Program) -> dict[str, int]:
    """How many tokens are scored where one is chosen, by the value that is the choice.

    That is what the weights say; a port may state any range.
    """
    heads = [op for op in program.ops if isinstance(op, Head)]
    return {op.name: program.weights[op.weight].shape[0] for op in heads}


def check_drawable(program: Program) -> None:
    """Refuse to draw from a model that caps its logits.

    A cap keeps their order, so greedy answers need none and the program has none: noise would be
    added to other numbers than the model's.

    Raises
    ------
    UnsupportedModelError
    """
    if cap := program.arch.get("logit_cap"):
        raise UnsupportedModelError(
            program.name, f"drawing answers from logits with a soft cap of {cap}",
            "ask for the most likely tokens",
        )  # fmt: skip


def ports_of(
    tokens: Sequence[int], prompt_length: int
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Inputs and outputs of the statement that a prompt is answered so.

    Parameters
    ----------
    tokens : sequence of int
        Prompt and answer.
    prompt_length : int
        How many of them are the prompt.

    Raises
    ------
    UsageError
        Where there is no prompt or no answer.
    """
    if not 1 <= prompt_length < len(tokens):
        raise UsageError("a statement needs at least one prompt token and one answer token")
    every = np.asarray(tokens, dtype=np.int64)
    return {TOKENS: every[:-1]}, {ANSWER: every[prompt_length:]}


def check_tokens(program: Program, tokens: Sequence[int]) -> Array:
    """The tokens as an array; UsageError unless they fit context and vocabulary."""
    if not 1 <= len(tokens) <= context_of(program):
        raise UsageError(f"{len(tokens)} tokens do not fit the context of {context_of(program)}")
    if any(not 0 <= t < vocabulary_of(program) for t in tokens):
        raise UsageError("a token id is outside the vocabulary")
    return np.asarray(tokens, dtype=np.int64)


def forward(
    program: Program,
    weights: Weights,
    tokens: Sequence[int],
    prompt_length: int,
    span: tuple[int, int] | None = None,
    given: Mapping[str, Array] | None = None,
) -> Trace:
    """One causal pass over all positions.

    Parameters
    ----------
    program : Program
        A text decoder.
    weights : mapping
        Integers by name.
    tokens : sequence of int
        Input tokens, (T,).
    prompt_length : int
        P; the answer has ``T - P + 1`` tokens, one per row ``P-1 .. T-1``.
    span, given : optional
        As in :func:`veracity.graph.execute`.

    Raises
    ------
    RangeError, UsageError
    """
    array = check_tokens(program, tokens)
    if not 1 <= prompt_length <= len(tokens):
        raise UsageError("the prompt needs at least one token")
    sizes = {"A": len(tokens) - prompt_length + 1}
    return execute(program, weights, {TOKENS: array}, sizes, span, given)


def answer_of(trace: Trace) -> list[int]:
    """The tokens that an execution answers; none where it did not reach the head."""
    return [int(t) for t in trace.outputs.get(ANSWER, ())]


def logits(
    program: Program,
    weights: Weights,
    tokens: Sequence[int],
    integers: Integers | None = None,
) -> Array:
    """The rescaled logits at every position; keeps no intermediates.

    Parameters
    ----------
    program : Program
        A text decoder.
    weights : mapping
        Integers by name.
    tokens : sequence of int
        Input tokens, (T,).
    integers : Integers, optional
        The products of the engine that computes; those of ``cpu`` where not given.

    Returns
    -------
    int64 array, shape (T, vocabulary)

    Raises
    ------
    RangeError, UsageError
    """
    head = program.ops[-1]
    if not isinstance(head, Head):
        raise UsageError("the program has no head")
    run = Run(program.weights, weights, {"T": len(tokens)}, State(), integers)
    body = (0, len(program.ops) - 1)
    values = run_ops(program, run, {TOKENS: check_tokens(program, tokens)}, body)
    return rescaled(head, scores(head, run, values[head.x]))


def step(
    program: Program,
    weights: Weights,
    tokens: Sequence[int],
    state: State,
    integers: Integers | None = None,
    sampling: Sampling | None = None,
) -> int:
    """Feed more tokens; returns the next token. Updates ``state``.

    Parameters
    ----------
    program : Program
        A text decoder.
    weights : mapping
        Integers by name.
    tokens : sequence of int
        What comes next.
    state : State
        What was fed before.
    integers : Integers, optional
        The products of the engine that computes; those of ``cpu`` where not given.
    sampling : Sampling, optional
        How the token is drawn; greedily where not given.

    Raises
    ------
    RangeError
    """
    sizes = {"T": len(tokens), "A": 1}
    run = Run(program.weights, weights, sizes, state, integers, sampling, program.exponents)
    values = run_ops(program, run, {TOKENS: np.asarray(tokens, dtype=np.int64)})
    state.position += len(tokens)
    return int(values[program.ops[-1].name][0])
