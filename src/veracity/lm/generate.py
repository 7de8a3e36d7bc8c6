"""Generation with a key/value cache; the same tokens as one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Integers
from veracity.graph import Program, State
from veracity.graph.sampling import Sampling
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
    sampling: Sampling | None = None,
    ended: Callable[[Sequence[int]], bool] = lambda answer: False,
) -> list[int]:
    """The model's answer.

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
    sampling : Sampling, optional
        How tokens are drawn; greedily where not given.
    ended : callable
        Told the answer after each token; the answer ends where it says so.

    Raises
    ------
    RangeError, UsageError
    """
    answer: list[int] = []
    drawn = tokens(program, weights, prompt, max_new_tokens, stop_ids, integers, sampling)
    for token in drawn:
        answer.append(token)
        if on_token is not None:
            on_token(token)
        if ended(answer):
            break
    return answer


def tokens(
    program: Program,
    weights: Mapping[str, NDArray[np.integer]],
    prompt: Sequence[int],
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    integers: Integers | None = None,
    sampling: Sampling | None = None,
) -> Iterator[int]:
    """The model's answer, a token each time one is asked for.

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
    sampling : Sampling, optional
        How tokens are drawn; greedily where not given.

    Raises
    ------
    RangeError, UsageError
    """
    check_tokens(program, prompt)
    state, feed = State(), list(prompt)
    for _ in range(max_new_tokens):
        token = step(program, weights, feed, state, integers, sampling)
        yield token
        if token in stop_ids or state.position >= context_of(program):
            return
        feed = [token]
