"""Greedy generation with a key/value cache; the same tokens as one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Integers
from veracity.graph import Program, State
from veracity.lm.text_decoder import check_tokens, context_of, step

__all__ = ["generate", "tokens"]


def generate(
    program: Program,
    weights: Mapping[str, NDArray[np.integer]],
    prompt: Sequence[int],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    on_token: Callable[[int], None] | None = None,
    integers: Integers | None = None,
) -> list[int]:
    """The model's greedy answer.

    Parameters
    ----------
    program : Program
        A text decoder.
    weights : mapping
        Integers by name.
    prompt : sequence of int
        Prompt token ids.
    max_new_tokens : int
        Most tokens of the answer (fewer where the context ends).
    stop_ids : collection of int
        Tokens that end the answer; they are part of it.
    on_token : callable, optional
        Receives every token as it comes.
    integers : Integers, optional
        The products of the engine that computes; those of ``cpu`` where not given.

    Raises
    ------
    RangeError, UsageError
    """
    answer = []
    for token in tokens(program, weights, prompt, max_new_tokens, stop_ids, integers):
        answer.append(token)
        if on_token is not None:
            on_token(token)
    return answer


def tokens(
    program: Program,
    weights: Mapping[str, NDArray[np.integer]],
    prompt: Sequence[int],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    integers: Integers | None = None,
) -> Iterator[int]:
    """The model's greedy answer, a token each time one is asked for.

    Parameters
    ----------
    program : Program
        A text decoder.
    weights : mapping
        Integers by name.
    prompt : sequence of int
        Prompt token ids.
    max_new_tokens : int
        Most tokens of the answer (fewer where the context ends).
    stop_ids : collection of int
        Tokens that end the answer; they are part of it.
    integers : Integers, optional
        The products of the engine that computes; those of ``cpu`` where not given.

    Raises
    ------
    RangeError, UsageError
    """
    check_tokens(program, prompt)
    state, feed = State(), list(prompt)
    for _ in range(max_new_tokens):
        token = step(program, weights, feed, state, integers)
        yield token
        if token in stop_ids or state.position >= context_of(program):
            return
        feed = [token]
