"""The table of verdicts: every mutant is in it, and none lives without a reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.mutation.runner import Outcome

__all__ = ["Table", "Verdict"]

DIES, REDUNDANT, LIVES = "dies", "redundant", "lives"


@dataclass(frozen=True)
class Verdict:
    """What is known of a mutant.

    Attributes
    ----------
    verdict : {"dies", "redundant", "lives"}
        Whether a test fails with it; a check is redundant where another one implies it.
    why : str
        The test, or the reason.
    """

    verdict: str
    why: str


@dataclass(frozen=True)
class Table:
    """Verdicts by the keys of mutants."""

    verdicts: Mapping[str, Verdict]

    @classmethod
    def load(cls, path: Path) -> Table:
        """Read a table; empty where there is none yet."""
        if not path.is_file():
            return cls({})
        body = json.loads(path.read_text(encoding="utf-8"))
        return cls({key: Verdict(**value) for key, value in body.items()})

    def save(self, path: Path) -> None:
        """Write it, sorted, a line each, so that changes can be read."""
        rows = [
            f"{json.dumps(key)}: {json.dumps({'verdict': v.verdict, 'why': v.why})}"
            for key, v in sorted(self.verdicts.items())
        ]
        path.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")

    def updated(self, keys: Iterable[str], outcomes: Iterable[Outcome]) -> Table:
        """The table of these mutants after a run: old reasons are kept while nothing dies.

        Parameters
        ----------
        keys : iterable of str
            All mutants that there are.
        outcomes : iterable of Outcome
            What a run found; the last one of a mutant counts.
        """
        found = dict(self.verdicts)
        for outcome in outcomes:
            known = found.get(outcome.key)
            if outcome.dies:
                found[outcome.key] = Verdict(DIES, outcome.by)
            elif known is None or known.verdict != REDUNDANT:
                found[outcome.key] = Verdict(LIVES, "no test fails")
        wanted = set(keys)
        return Table({key: v for key, v in found.items() if key in wanted})

    def complaints(self, keys: Iterable[str]) -> list[str]:
        """What is wrong with the table, given all mutants that there are."""
        wanted = set(keys)
        out = [f"no verdict: {key}" for key in sorted(wanted - self.verdicts.keys())]
        out += [f"no such check any more: {key}" for key in sorted(self.verdicts.keys() - wanted)]
        for key, v in sorted(self.verdicts.items()):
            if v.verdict not in (DIES, REDUNDANT):
                out.append(f"{v.verdict}: {key}")
            elif not v.why.strip():
                out.append(f"no reason: {key}")
        return out
