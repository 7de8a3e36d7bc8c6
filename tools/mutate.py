"""Delete one deciding check of the verifier at a time and see whether a test dies with it.

``make mutate`` or ``python -m tools.mutate``. What has a verdict in the table, or an outcome in the
log of an earlier run, for its function as it stands is not tried again: after an edit, minutes
remain. A mutant first meets the tests that killed it or its neighbours before. For who outlives
them, a run of the tests notes which functions each of them calls (again where a test file has
changed since), and it meets all that call its own. ``--budget SECONDS``
(``MUTATE_ARGS="--budget 60"``) leaves whoever outlives so much of them for a later run. Runs can be
interrupted. Frozen vectors and counts are left out on purpose: bytes that change are no attack.
``--record`` writes the verdicts into the table; there, who lives may be called ``redundant`` or the
``prover``'s, with the reason.
"""

from __future__ import annotations

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from tools.mutation.mutants import Mutant, find_mutants
from tools.mutation.runner import Job, Outcome, baseline, read_log, record, recorded, run
from tools.mutation.sources import closure
from tools.mutation.verdicts import LIVES, Table

#: What a verifier starts from.
ENTRIES = (
    "veracity.proving.verify",
    "veracity.proving.inspect",
    "veracity.proving.verify_answers",
    "veracity.proving.verify_tensors",
    "veracity.proving.verify_accuracy",
    "veracity.proving.receipts",
    "veracity.proving.audit",
    "veracity.proving.log",
    "veracity.training.verify",
    "veracity.training.exclusion",
    "veracity.training.data",
)
#: What a verifier's modules import and only provers run.
PROVERS = (
    "veracity.proving.answering",
    "veracity.proving.opened",
    "veracity.proving.prove",
    "veracity.training.curves",
    "veracity.training.runner",
    "veracity.work.cluster",
    "veracity.work.kept",
    "veracity.work.links",
    "veracity.work.memory",
    "veracity.work.messages",
    "veracity.work.pool",
)
#: Where attacks and hostile inputs are; slow and frozen tests are not among them.
SUITE = (
    "tests/soundness",
    "tests/unit",
    "tests/graph",
    "tests/fuzz",
    "tests/zero_knowledge",
    "tests/conformance",
    "tests/e2e/test_cli_faults.py",
)
#: Of other things, or of frozen numbers: a count that changes is no attack.
APART = (
    "tests/unit/mpc",
    "tests/unit/net",
    "tests/unit/private",
    "tests/unit/test_mutation.py",
    "tests/unit/test_worked_example.py",
    "tests/zero_knowledge/test_reckoning.py",
)
_APART = tuple(f"{name}." for name in PROVERS)
TABLE = Path("tests/data/mutants.json")
LOG = Path("build/mutants.jsonl")
REACH = Path("build/reach")


def all_mutants(root: Path) -> list[Mutant]:
    """Every mutant of the verifier's modules."""
    modules = closure(root / "src", ENTRIES).items()
    return find_mutants(root, [m for m in modules if not f"{m[0]}.".startswith(_APART)])


def suite(root: Path) -> tuple[Path, ...]:
    """Test files, relative to the root."""
    found: list[Path] = []
    for name in SUITE:
        path = root / name
        found += [path] if path.is_file() else sorted(path.rglob("test_*.py"))
    names = [path.relative_to(root) for path in found]
    return tuple(n for n in names if not n.as_posix().startswith(APART))


def changed(root: Path, revision: str, mutants: Iterable[Mutant]) -> list[Mutant]:
    """Those whose functions have lines that are not the same as at a revision.

    Parameters
    ----------
    root : path
        The checkout.
    revision : str
        A commit.
    mutants : iterable of Mutant
        To choose from.
    """
    done = subprocess.run(
        ["git", "diff", "--unified=0", "--no-color", "--relative", revision, "--", "src"],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    lines: dict[str, list[tuple[int, int]]] = {}
    path = ""
    for line in done.stdout.splitlines():
        if line.startswith("+++ "):
            path = line[4:].removeprefix("b/")
        elif hunk := re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line):
            first, count = int(hunk[1]), int(hunk[2] or 1)
            lines.setdefault(path, []).append((first, first + max(count, 1) - 1))

    def touched(m: Mutant) -> bool:
        spans = lines.get(m.path.as_posix(), [])
        return any(first <= m.lines[1] and m.lines[0] <= last for first, last in spans)

    return [m for m in mutants if touched(m)]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; 1 where a mutant lives."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name holds this text")
    parser.add_argument("--changed", default="", metavar="REV", help="in functions changed since")
    parser.add_argument("--list", action="store_true", help="print names, run nothing")
    parser.add_argument("--again", action="store_true", help="also what has an outcome already")
    parser.add_argument("--living", action="store_true", help="also what lived")
    parser.add_argument("--record", action="store_true", help="write outcomes into the table")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help="of tests for a mutant")
    parser.add_argument("--unchecked", action="store_true", help="do not try the tests first")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=1200, help="seconds for a run of tests")
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--reach", type=Path, default=REACH)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    given = parser.parse_args(arguments)
    root = Path.cwd()
    every = all_mutants(root)
    mutants = changed(root, given.changed, every) if given.changed else every
    mutants = [m for m in mutants if given.only in m.key]
    if given.list:
        for mutant in mutants:
            print(f"{mutant.path}:{mutant.line}  {mutant.key}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    table = Table.load(given.table)
    log = [*table.outcomes(), *(o for o in read_log(given.log) if o.dies or not given.living)]
    try:
        _try(given, root, mutants, log)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    return _conclude(given, every, mutants)


def _try(given: argparse.Namespace, root: Path, mutants: list[Mutant], log: list[Outcome]) -> None:
    """First the tests that are known to kill, then all that call a mutant's function."""
    tests, data = suite(root), given.data.resolve()
    job = Job(root, tests, (), given.workers, given.timeout, data, given.budget, likely=True)
    pending = mutants if given.again else job.pending(mutants, log)
    print(f"{len(mutants)} mutants, {len(pending)} to try", flush=True)
    for likely in (False,) if recorded(root, tests, given.reach) else (True, False):
        if pending and not likely:
            reach = record(root, tests, given.reach, given.workers, data)
            job = replace(job, reach=tuple(reach), likely=False)
        if pending and not given.unchecked and (by := baseline(job, pending, log)):
            raise ValueError(f"the tests fail without a mutant: {by}")
        found = run(job, pending, given.log, _report, log)
        dead = {o.key for o in found if o.dies}
        pending = [m for m in pending if m.key not in dead]


def _report(outcome: Outcome, whole: bool, left: int) -> None:
    if not (outcome.dies or whole):
        return
    word = f"dies by {outcome.by}" if outcome.dies else "LIVES"
    print(f"{left:4} left, {outcome.seconds:5.0f} s  {outcome.key}: {word}", flush=True)


def _conclude(given: argparse.Namespace, every: list[Mutant], mutants: list[Mutant]) -> int:
    """Write the table where that is asked for, and tell who lives."""
    names = {m.key: m for m in mutants}
    outcomes = [o for o in read_log(given.log) if o.key in names]
    table = Table.load(given.table).updated(every, outcomes)
    if given.record:
        given.table.parent.mkdir(parents=True, exist_ok=True)
        table.save(given.table)
    found = {key: table.verdicts[key].verdict for key in names if key in table.verdicts}
    alive = [key for key, verdict in found.items() if verdict == LIVES]
    print(f"{len(found)} of {len(names)} with a verdict, {len(alive)} live")
    for key in alive:
        print(f"{names[key].path}:{names[key].line}  {key}")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
