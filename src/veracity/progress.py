"""How long work tells that it advances: a function of the phase and the share of it done."""

from __future__ import annotations

from collections.abc import Callable, Mapping

__all__ = ["PHASES", "Forecast", "Progress", "silent"]

#: ``progress(phase, share)`` with ``share`` from 0 to 1 within that phase.
Progress = Callable[[str, float], None]

#: Phases of a proof in their order, each with its share of the whole time, as
#: ``make bench-forecasts PROGRAMS=smollm2.vprog`` measures it.
PHASES: dict[str, float] = {
    "load": 0.08,
    "evaluate": 0.30,
    "commit": 0.20,
    "lookups": 0.23,
    "products": 0.14,
    "opening": 0.05,
}


def silent(phase: str, share: float) -> None:
    """Report nothing."""


class Forecast:
    """The share of the whole work that is done, from the usual shares of its phases.

    Phases come in their order, or again and again where work is done part by part: a part then
    tells how far the phase has come over all parts. A phase that nothing was told of counts as
    done as soon as a later one has begun.

    Parameters
    ----------
    shares : mapping of str to float
        Phases in their order with their usual share of the time; they need not add up to one.
    """

    def __init__(self, shares: Mapping[str, float]) -> None:
        self._shares = dict(shares)
        self._done: dict[str, float] = {}
        self._whole = 0.0

    def note(self, phase: str, share: float) -> float:
        """Note that ``share`` (0 to 1) of ``phase`` is done; the share of the whole, growing.

        Parameters
        ----------
        phase : str
            Its name; an unknown one counts a tenth.
        share : float
            How much of it is done.
        """
        self._shares.setdefault(phase, 0.1)
        self._done[phase] = max(self._done.get(phase, 0.0), min(max(share, 0.0), 1.0))
        begun = max(i for i, name in enumerate(self._shares) if name in self._done)
        done = sum(
            weight * self._done.get(name, float(i < begun))
            for i, (name, weight) in enumerate(self._shares.items())
        )
        self._whole = max(self._whole, min(1.0, done / sum(self._shares.values())))
        return self._whole

    def left(self, elapsed: float) -> float | None:
        """Seconds that are left; None where it is too early to say."""
        if not 0.01 < self._whole < 1:
            return None
        return elapsed * (1 - self._whole) / self._whole
