"""Every check of the verifier has a verdict: a test that fails without it, or a reason."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from tools.mutate import TABLE, all_mutants
from tools.mutation.verdicts import Table

ROOT = Path(__file__).resolve().parents[2]
WHAT_TO_DO = "run `make mutate MUTATE_ARGS='--changed main --record'`, see tools/mutate.py"


@lru_cache(maxsize=512)
def functions(path: str) -> frozenset[str]:
    """Names of the functions of a test file; none where there is no such file."""
    file = ROOT / path
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    return frozenset(re.findall(r"^ *def (\w+)\(", text, re.MULTILINE))


def test_every_check_has_a_verdict() -> None:
    found = Table.load(ROOT / TABLE).complaints(all_mutants(ROOT))
    assert not found, "\n".join([*found[:20], f"{len(found)} in all; {WHAT_TO_DO}"])


def test_the_tests_that_kill_are_there() -> None:
    gone = []
    for key, verdict in Table.load(ROOT / TABLE).verdicts.items():
        path, _, name = verdict.why.partition("::")
        if verdict.verdict == "dies" and name.partition("[")[0] not in functions(path):
            gone.append(f"{key}: {verdict.why} is gone")
    assert not gone, "\n".join([*gone[:20], f"{len(gone)} in all; {WHAT_TO_DO}"])
