"""The table of verdicts: every mutant is in it, and none lives without a reason."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from tools.mutation.mutants import Mutant
from tools.mutation.runner import Outcome

__all__ = ["LIVES", "Table", "Verdict"]

DIES, REDUNDANT, PROVER, LIVES = "dies", "redundant", "prover", "lives"
#: Verdicts that are given by hand, with a reason.
_STATED = (REDUNDANT, PROVER)


@dataclass(frozen=True)
class Verdict:
    """What is known of a mutant.

    Attributes
    ----------
    verdict : {"dies", "redundant", "prover", "lives"}
        Whether a test fails with it. A check is redundant where another one implies it, and the
        prover's where no verifier runs it: it spares a prover time or words.
    why : str
        The test, or the reason.
    source : str
        Digest of the function that it was found in.
    """

    verdict: str
    why: str
    source: str = ""


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
            f"{json.dumps(k)}: {json.dumps(asdict(v))}" for k, v in sorted(self.verdicts.items())
        ]
        path.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")

    def outcomes(self) -> list[Outcome]:
        """What the table knows, as a run would have found it; who lives is not known."""
        return [
            Outcome(key, v.source, v.verdict == DIES, v.why if v.verdict == DIES else "", 0.0)
            for key, v in self.verdicts.items()
            if v.verdict != LIVES
        ]

    def updated(self, mutants: Iterable[Mutant], outcomes: Iterable[Outcome]) -> Table:
        """The table of these mutants after a run: old reasons are kept while nothing dies.

        Parameters
        ----------
        mutants : iterable of Mutant
            All that there are.
        outcomes : iterable of Outcome
            What a run found; the last one of a mutant counts.
        """
        found = dict(self.verdicts)
        wanted = {m.key: m.source for m in mutants}
        for outcome in outcomes:
            if wanted.get(outcome.key) != outcome.source:
                continue
            known = found.get(outcome.key)
            if outcome.dies:
                found[outcome.key] = Verdict(DIES, outcome.by, outcome.source)
            elif known is not None and known.verdict in _STATED:
                found[outcome.key] = replace(known, source=outcome.source)
            else:
                found[outcome.key] = Verdict(LIVES, "no test fails", outcome.source)
        return Table({key: v for key, v in found.items() if key in wanted})

    def complaints(self, mutants: Iterable[Mutant]) -> list[str]:
        """What is wrong with the table, given all mutants that there are."""
        wanted = {m.key: m.source for m in mutants}
        out = [f"no verdict: {key}" for key in sorted(wanted.keys() - self.verdicts.keys())]
        out += [f"no such check any more: {key}" for key in sorted(self.verdicts.keys() - wanted)]
        for key, v in sorted(self.verdicts.items()):
            if v.verdict not in (DIES, *_STATED):
                out.append(f"{v.verdict}: {key}")
            elif not v.why.strip():
                out.append(f"no reason: {key}")
            elif key in wanted and v.source != wanted[key]:
                out.append(f"its function has changed: {key}")
        return out
