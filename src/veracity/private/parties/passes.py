"""The passes of a session: all three parties derive them from public numbers.

A pass may feed several tokens of a prompt. What its material costs grows with their number and with
what was fed before, some of it with the square, so passes become shorter towards the end of a long
prompt: one never has more material than :data:`PASS_BYTES`, unless a single token has.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, pairwise

from veracity.engine.api import Engine
from veracity.graph.program import Program
from veracity.mpc.modes import find_mode

__all__ = [
    "LONGEST",
    "PASS_BYTES",
    "REPETITIONS",
    "Price",
    "heaviest",
    "passes_of",
    "price_of",
    "stored",
    "weight_of",
]

#: Tokens that one pass feeds at most: memory and the chance of a repetition grow with them.
LONGEST = 64
#: Bytes of material, for both parties, that a pass of several tokens has at most.
PASS_BYTES = 2 * 10**9

#: How often a pass may be repeated: each time a party that deviates could learn something.
REPETITIONS = 5

#: Bytes of material for both parties, from the first position of a pass and its number of tokens.
Price = Callable[[int, int], int]


@dataclass(frozen=True, eq=False)
class _Model:
    """A program in a mode; equal where their plans are."""

    engine: Engine
    program: Program
    mode: str

    def __hash__(self) -> int:
        return hash((self.program.digest, self.mode))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Model):
            return NotImplemented
        return (self.program.digest, self.mode) == (other.program.digest, other.mode)


@lru_cache(maxsize=4096)
def _bytes(model: _Model, start: int, rows: int) -> int:
    cost = find_mode(model.mode).plan(model.engine, model.program, rows, start).cost
    return cost.offline_bytes_owner + cost.offline_bytes_user


def price_of(engine: Engine, program: Program, mode: str) -> Price:
    """The price of passes in a mode, remembered by the process.

    Parameters
    ----------
    engine : Engine
        What computes.
    program : Program
        A text decoder.
    mode : str
        Name of the mode.
    """
    model = _Model(engine, program, mode)
    return lambda start, rows: _bytes(model, start, rows)


def passes_of(rows: int, count: int, price: Price, begin: int = 0) -> list[tuple[int, int]]:
    """``(start, rows)`` of the passes that feed a prompt, and of ``count - 1`` single tokens.

    Passes are as long as their material allows, by halving: it grows with the length and with the
    start, so few prices need to be known.

    Parameters
    ----------
    rows : int
        Tokens of the prompt.
    count : int
        Tokens of the answer.
    price : Price
        Bytes of material of a pass.
    begin : int
        Tokens that were fed before and stay.
    """
    prompt: list[tuple[int, int]] = []
    start, longest, end = begin, LONGEST, begin + rows
    while start < end:
        longest = min(longest, 1 << (end - start - 1).bit_length())
        starts = range(start, end, longest)

        def dear(at: int, most: int = longest) -> bool:
            return price(at, min(most, end - at)) > PASS_BYTES

        fit, whole = len(starts), (end - start) // longest
        if longest > 1 and whole and dear(starts[whole - 1]):
            fit = bisect_left(starts, True, hi=whole, key=dear)
        elif longest > 1 and whole < fit and dear(starts[-1]):
            fit = whole
        prompt += [(at, min(longest, end - at)) for at in starts[:fit]]
        start = prompt[-1][0] + prompt[-1][1] if prompt else begin
        longest //= 2
    return [*prompt, *((end + i, 1) for i in range(count - 1))]


def heaviest(passes: list[tuple[int, int]], price: Price) -> int:
    """Bytes of the pass with most material; a single token's grow with its position.

    Parameters
    ----------
    passes : list of (int, int)
        From :func:`passes_of`.
    price : Price
        Bytes of material of a pass.
    """
    longer = [one for one, after in pairwise(passes) if one[1] > after[1]]
    return max(price(*one) for one in {*longer, passes[0], passes[-1]})


def stored(passes: list[tuple[int, int]], price: Price, mode: str) -> int:
    """Bytes of material that have to wait at once.

    Those of the heaviest pass, or where material is used as it comes, those of the last token: any
    window does for a pass of several tokens, but passes of one run without threads.

    Parameters
    ----------
    passes : list of (int, int)
        From :func:`passes_of`.
    price : Price
        Bytes of material of a pass.
    mode : str
        Name of the mode.
    """
    start, rows = passes[-1]
    if find_mode(mode).streams:
        return price(start + rows - 1, 1)
    return heaviest(passes, price)


def weight_of(passes: list[tuple[int, int]], price: Price) -> int:
    """Bytes of material of all passes, nearly: of one length the first and the last are priced.

    Parameters
    ----------
    passes : list of (int, int)
        From :func:`passes_of`.
    price : Price
        Bytes of material of a pass.
    """
    whole = 0
    for _, group in groupby(passes, key=lambda one: one[1]):
        alike = list(group)
        whole += len(alike) * (price(*alike[0]) + price(*alike[-1])) // 2
    return whole
