"""What a prompt or a token took, measured and declared; and what a question will take.

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

__all__ = ["Estimate", "Paces", "PassReport", "Tally", "Told"]

#: Owners and models that are remembered.
MOST = 64
#: Passes, bytes of material and seconds, of the prompt and of the tokens behind it.
_Measured = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class PassReport:
    """What a prompt or a token took; bytes are payload.

    Attributes
    ----------
    start, rows : int
        Tokens fed before, and now.
    attempts : int
        Passes: one (more for a long prompt), and one more for each repetition.
    wall_s : float
        From asking for the material to the next token.
    online_s : float
        From the tokens to the next token.
    ready_s, deal_s, fetch_s : float
        Before the tokens exist: this party's own work with what it sends ahead, the dealer's
        work for both parties, the transfer of this party's material. Of a pass whose material is
        used as it comes, the last two go on during ``online_s``, and contain what it waits.
    sent_bytes, received_bytes : int
        Online, to and from the owner.
    formula_bytes : int
        Online, both ways, as declared by the operations.
    offline_bytes : int
        From the dealer to both parties, and ahead from the user to the owner.
    round_trips : float
        Measured: half the longest chain of messages.
    """

    start: int
    rows: int
    attempts: int
    wall_s: float
    online_s: float
    ready_s: float
    deal_s: float
    fetch_s: float
    sent_bytes: int
    received_bytes: int
    formula_bytes: int
    offline_bytes: int
    round_trips: float

    @property
    def offline_s(self) -> float:
        """All that happened before the tokens existed."""
        return self.ready_s + self.deal_s + self.fetch_s

    @property
    def online_bytes(self) -> int:
        """Both ways."""
        return self.sent_bytes + self.received_bytes


@dataclass
class Tally:
    """A pass's figures while it is under way, repetitions included."""

    attempts: int = 0
    wall_s: float = 0.0
    online_s: float = 0.0
    ready_s: float = 0.0
    deal_s: float = 0.0
    fetch_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    formula_bytes: int = 0
    offline_bytes: int = 0
    hops: int = 0

    def report(self, start: int, rows: int) -> PassReport:
        """The figures, once the pass has ended."""
        return PassReport(
            start, rows, self.attempts, self.wall_s, self.online_s, self.ready_s, self.deal_s,
            self.fetch_s, self.sent_bytes, self.received_bytes, self.formula_bytes,
            self.offline_bytes, self.hops / 2,
        )  # fmt: skip


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
    _kept: dict[str, _Measured] = field(default_factory=dict, init=False)

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
