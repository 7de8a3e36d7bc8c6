"""One pass, from the dealer's pieces to a token, for each of the three roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from veracity.engine.api import Ring
from veracity.errors import FormatError, PeerError, UsageError
from veracity.mpc.decoder import vocabulary_of
from veracity.mpc.shuffled.packing import Array, Size, Stream, join, split, total
from veracity.mpc.shuffled.plan import Plan
from veracity.mpc.shuffled.role import Dealer, Online, Owner, Shape, User
from veracity.mpc.token_selection.homomorphic import Holder, Taker
from veracity.mpc.token_selection.pick import Pick, greedy

__all__ = [
    "ahead_bytes",
    "deal_pass",
    "piece_bytes",
    "prepare_owner",
    "prepare_user",
    "run_owner",
    "run_user",
]


# Once per pass, before the prompt.


def piece_bytes(plan: Plan, shape: Shape) -> tuple[int, int]:
    """Bytes of the dealer's pieces, ``(owner, user)``."""
    return (
        sum(total(step.owner_pieces(shape)) for step in plan.steps),
        sum(total(step.user_pieces(shape)) for step in plan.steps),
    )


def ahead_bytes(plan: Plan, shape: Shape) -> int:
    """Bytes that the user sends the owner before the prompt exists."""
    return sum(total(step.sent_ahead(shape)) for step in plan.steps)


def deal_pass(
    ring: Ring,
    plan: Plan,
    shape: Shape,
    seeds: tuple[bytes, bytes],
    masks: Mapping[str, Array],
    memory: dict[str, Array],
) -> tuple[bytes, bytes]:
    """The dealer's part of one pass.

    Parameters
    ----------
    ring : Ring
        What computes.
    plan : Plan
        What is run.
    shape : Shape
        Rows, start and choices of the pass.
    seeds : tuple of bytes
        Fresh, 32 bytes each: the owner's and the user's.
    masks : dict
        U by key.
    memory : dict
        The session's masks of keys and values; grows.

    Returns
    -------
    tuple of bytes
        Explicit pieces for the owner and for the user.
    """
    _check_seeds(*seeds)
    dealer = Dealer(shape, Stream(ring, seeds[0]), Stream(ring, seeds[1]), masks, memory)
    for step in plan.steps:
        step.deal(dealer)
    return join(ring, dealer.to_owner), join(ring, dealer.to_user)


def prepare_user(
    ring: Ring,
    plan: Plan,
    shape: Shape,
    seed: bytes,
    pieces: bytes,
    masked: Mapping[str, Array],
    memory: dict[str, Array],
    *,
    pick: Pick = greedy,
    taker: Taker | None = None,
) -> tuple[User, bytes]:
    """All of the user's part of a pass that needs no input; the bytes go to the owner.

    Parameters
    ----------
    ring : Ring
        What computes.
    plan : Plan
        What is run.
    shape : Shape
        Rows, start and choices of the pass.
    seed : bytes
        The user's.
    pieces : bytes
        The user's explicit material.
    masked : mapping
        ``W - U`` by key.
    memory : dict
        The session's masks of keys and values; grows.
    pick : callable
        Chooses among the logits.
    taker : Taker, optional
        The user's end of the selection by BFV.

    Raises
    ------
    FormatError
        Where the pieces are not those of this pass.
    """
    _check_seeds(seed)
    parts = _by_step(ring, [step.user_pieces(shape) for step in plan.steps], pieces)
    user = User(shape, Stream(ring, seed), masked, parts, memory, pick, taker)
    for step in plan.steps:
        step.prepare(user)
    return user, join(ring, user.ahead)


def prepare_owner(
    ring: Ring,
    plan: Plan,
    shape: Shape,
    seed: bytes,
    pieces: bytes,
    ahead: bytes,
    weights: Mapping[str, NDArray[np.integer]],
    memory: dict[str, Array],
    peer: Online,
    holder: Holder | None = None,
) -> Owner:
    """The owner's part of a pass, ready to run.

    Parameters
    ----------
    ring : Ring
        What computes.
    plan : Plan
        What is run.
    shape : Shape
        Rows, start and choices of the pass.
    seed : bytes
        The owner's.
    pieces : bytes
        The owner's explicit material.
    ahead : bytes
        What the user sent before its prompt existed.
    weights : mapping
        Integer weights by key.
    memory : dict
        The session's shares of keys and values; grows.
    peer : Online
        The user.
    holder : Holder, optional
        The owner's end of the selection by BFV.

    Raises
    ------
    FormatError
        Where the pieces are not those of this pass.
    PeerError
        Where what the user sent ahead is not.
    """
    _check_seeds(seed)
    parts = _by_step(ring, [step.owner_pieces(shape) for step in plan.steps], pieces)
    try:
        early = _by_step(ring, [step.sent_ahead(shape) for step in plan.steps], ahead)
    except FormatError as error:
        raise PeerError(str(error)) from error
    owner = Owner(shape, Stream(ring, seed), weights, parts, early, memory, peer, holder)
    if shape.rows == 1:
        owner.early(plan.steps)
    return owner


# Online.


async def run_owner(plan: Plan, owner: Owner) -> None:
    """The owner's side of a prepared pass.

    Raises
    ------
    PeerError
    """
    for step in plan.steps:
        await step.owner(owner)


async def run_user(plan: Plan, user: User, peer: Online, tokens: Sequence[int]) -> int:
    """The user's side of a prepared pass: feeds tokens, returns the next one.

    The token means nothing where ``user.fault`` says so.

    Parameters
    ----------
    plan : Plan
        What is run.
    user : User
        From :func:`prepare_user`.
    peer : Online
        The owner.
    tokens : sequence of int
        What to feed.

    Raises
    ------
    PeerError
    UsageError
        Where the tokens do not fit the pass.
    """
    if len(tokens) != user.shape.rows or any(
        not 0 <= t < vocabulary_of(plan.program) for t in tokens
    ):
        raise UsageError("the tokens do not fit the pass that was prepared")
    user.tokens = np.asarray(tokens, dtype=np.int64)
    for step in plan.steps:
        await step.user(user, peer)
    return user.answer


def _by_step(ring: Ring, sizes: Sequence[tuple[Size, ...]], data: bytes) -> dict[int, list[Array]]:
    """Arrays by step, of bytes in the order of steps."""
    arrays = iter(split(ring, data, [size for step in sizes for size in step]))
    return {i: [next(arrays) for _ in step] for i, step in enumerate(sizes)}


def _check_seeds(*seeds: bytes) -> None:
    if any(len(seed) != 32 for seed in seeds):
        raise UsageError("a pass needs fresh seeds of 32 bytes")
