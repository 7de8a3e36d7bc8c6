"""What a question takes, told before it is asked: bytes by the plan, seconds by the last answer.

A pass takes a time of its own, which its messages need to and fro, and one for each byte of
material. Both follow from the last answer of the same model, mode and owner: its prompt and its
tokens are two equations. They are kept in the user's cache folder.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from veracity.engine.api import Engine
from veracity.graph.program import Program
from veracity.private.parties.passes import passes_of, price_of, weight_of
from veracity.private.parties.report import PassReport

__all__ = ["Estimate", "Paces", "Told"]

#: Owners and models that are remembered.
MOST = 64
#: Passes, bytes of material and seconds, of the prompt and of the tokens behind it.
Measured = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Estimate:
    """What a question will take.

    Attributes
    ----------
    prompt_tokens, max_new_tokens : int
        Its lengths.
    passes : int
        Parts of the prompt, and one for each token behind it.
    material_bytes : int
        What the dealer makes for both parties; nearly.
    seconds : float or None
        From the session's beginning to its last pass; None where no answer of this model and owner
        was measured before.
    """

    prompt_tokens: int
    max_new_tokens: int
    passes: int
    material_bytes: int
    seconds: float | None


#: Awaited with what a question will take, before its session is asked for.
Told = Callable[[Estimate], Awaitable[None]]


@dataclass(eq=False)
class Paces:
    """How long passes took, by owner, model and mode.

    Parameters
    ----------
    path : Path
        A file that is made as needed; one that does not parse is none.
    """

    path: Path
    _kept: dict[str, Measured] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            for name, found in json.loads(self.path.read_bytes()).items():
                one = tuple(float(x) for x in found)
                if len(one) == 6 and all(0 <= x < 1e18 for x in one):
                    self._kept[name] = (one[0], one[1], one[2], one[3], one[4], one[5])

    def estimate(
        self, name: str, engine: Engine, program: Program, mode: str, rows: int, count: int
    ) -> Estimate:
        """What a question will take; plans passes, which takes a while for a long prompt.

        Parameters
        ----------
        name : str
            Owner, model and mode.
        engine : Engine
            What computes.
        program : Program
            The model.
        mode : str
            How it is evaluated.
        rows, count : int
            Tokens of the prompt and of the answer.
        """
        price = price_of(engine, program, mode)
        passes = passes_of(rows, count, price)
        weight = weight_of(passes, price)
        return Estimate(rows, count, len(passes), weight, self._seconds(name, len(passes), weight))

    def _seconds(self, name: str, passes: int, weight: int) -> float | None:
        if name not in self._kept:
            return None
        p, a, s, q, b, t = self._kept[name]
        whole = p * b - q * a
        each, byte = ((s * b - t * a) / whole, (p * t - q * s) / whole) if whole else (-1.0, 0.0)
        if each < 0 or byte < 0:  # two that do not go together
            each, byte = 0.0, (s + t) / max(1.0, a + b)
        return passes * each + weight * byte

    def note(self, name: str, reports: Sequence[PassReport]) -> None:
        """Keep what an answer took.

        Parameters
        ----------
        name : str
            Owner, model and mode.
        reports : sequence of PassReport
            Of its passes, the prompt's first.
        """

        def sums(of: Sequence[PassReport]) -> list[float]:
            found = ((r.attempts, r.offline_bytes, r.wall_s) for r in of)
            return [float(sum(column)) for column in zip(*found, strict=True)] or [0.0] * 3

        if not reports:
            return
        p, a, s, q, b, t = sums(reports[:1]) + sums(reports[1:])
        self._kept.pop(name, None)
        self._kept[name] = (p, a, s, q, b, t)
        for oldest in list(self._kept)[:-MOST]:
            del self._kept[oldest]
        new = self.path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            new.write_text(json.dumps(self._kept))
            new.chmod(0o600)
            new.replace(self.path)
