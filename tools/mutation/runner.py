"""Running tests against mutants: on copies of the tree, the closest tests first."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tools.mutation.mutants import Mutant
from tools.mutation.sources import related_tests

__all__ = ["Job", "Outcome", "read_log", "run"]

#: What a copy of the tree does without.
LEFT_OUT = (".git", ".venv*", "target", "build", "dist", "*cache*", ".hypothesis")
#: Test files that are tried before all others.
CLOSEST = 8


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes
    ----------
    key : str
        Its name.
    source : str
        Digest of the file that it was made from.
    dies : bool
        Whether a test failed.
    by : str
        The test that failed first.
    seconds : float
        Time.
    """

    key: str
    source: str
    dies: bool
    by: str
    seconds: float


@dataclass(frozen=True)
class Job:
    """How mutants are run.

    Attributes
    ----------
    root : Path
        The tree.
    tests : tuple of Path
        Test files of the whole suite, relative to the root.
    workers : int
        Copies that run beside each other.
    timeout : float
        Seconds after which a run counts as failed: it does not end.
    data : Path
        Models and texts.
    near : bool
        Run the closest tests only. Who outlives them has no outcome yet: a later run tries it.
    """

    root: Path
    tests: tuple[Path, ...]
    workers: int
    timeout: float
    data: Path
    near: bool = False

    def pending(self, mutants: Iterable[Mutant], log: Iterable[Outcome]) -> list[Mutant]:
        """Those without an outcome for the source as it stands."""
        known = {(o.key, o.source) for o in log}
        return [m for m in mutants if (m.key, source_digest(self.root, m)) not in known]

    def order(self, mutant: Mutant, log: Iterable[Outcome]) -> tuple[list[Path], list[Path]]:
        """The closest test files, and all others; files that killed a neighbour come first."""
        near = related_tests(self.root, [self.root / t for t in self.tests], mutant.module)
        killers = [
            self.root / o.by.partition("::")[0]
            for o in log
            if o.dies and o.key.startswith(f"{mutant.module}.") and "::" in o.by
        ]
        usual = sorted(set(killers), key=lambda path: (-killers.count(path), str(path)))
        first = list(dict.fromkeys([*[p for p in usual if p.is_file()], *near]))[:CLOSEST]
        chosen = [path.relative_to(self.root) for path in first]
        return chosen, [] if self.near else [t for t in self.tests if t not in chosen]


def source_digest(root: Path, mutant: Mutant) -> str:
    """Digest of the file that a mutant is made from."""
    return hashlib.sha256((root / mutant.path).read_bytes()).hexdigest()[:16]


def read_log(path: Path) -> list[Outcome]:
    """Outcomes of earlier runs; a line that was cut off by the end of one is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(Outcome(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def run(
    job: Job, mutants: Sequence[Mutant], log: Path, report: Callable[[Outcome, int], None]
) -> list[Outcome]:
    """Try mutants; writes a line to the log after each.

    Parameters
    ----------
    job : Job
        How.
    mutants : sequence of Mutant
        Which.
    log : path
        JSON lines; earlier outcomes there order the tests.
    report : callable
        Receives each outcome and the number that is left.

    Raises
    ------
    RuntimeError
        The tests fail without any mutant.
    """
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    outcomes, known, lock = [], read_log(log), threading.Lock()
    failed: list[BaseException] = []
    children = Children()
    log.parent.mkdir(parents=True, exist_ok=True)

    def work(copy: Path) -> None:
        try:
            shutil.copytree(job.root, copy, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
            while not failed:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                with lock:
                    order = job.order(mutant, known)
                found = _try(job, copy, mutant, order, children)
                with lock:
                    outcomes.append(found)
                    known.append(found)
                    if found.dies or not job.near:
                        with log.open("a", encoding="utf-8") as stream:
                            stream.write(json.dumps(asdict(found)) + "\n")
                    report(found, len(mutants) - len(outcomes))
        except BaseException as error:
            failed.append(error)

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        threads = [
            threading.Thread(target=work, args=(Path(folder) / str(i),), daemon=True)
            for i in range(job.workers)
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        except BaseException as error:  # interrupted: leave nothing behind
            failed.append(error)
            children.end()
            for thread in threads:
                thread.join()
    if failed:
        raise failed[0]
    return outcomes


def baseline(job: Job) -> str:
    """The first test that fails without any mutant; empty where none does."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder) / "tree"
        shutil.copytree(job.root, copy, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
        children = Children()
        try:
            return _first_failure(job, copy, job.tests, children)
        finally:
            children.end()


class Children:
    """The processes that run now, each the leader of its own group."""

    def __init__(self) -> None:
        self._running: set[int] = set()
        self._ended = False

    def start(self, command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        """Start a process that writes text to a pipe."""
        if self._ended:
            raise InterruptedError("ended")
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options,
        )
        self._running.add(process.pid)
        return process

    def forget(self, process: subprocess.Popen[str]) -> None:
        """It has ended."""
        self._running.discard(process.pid)

    def end(self) -> None:
        """End all, and start no more."""
        self._ended = True
        for pid in list(self._running):
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)


def _try(
    job: Job,
    copy: Path,
    mutant: Mutant,
    order: tuple[list[Path], list[Path]],
    children: Children,
) -> Outcome:
    path, started = copy / mutant.path, time.monotonic()
    whole = path.read_bytes()
    path.write_bytes(mutant.applied(whole))
    try:
        by = ""
        for tests in order:
            by = by or _first_failure(job, copy, tests, children)
    finally:
        path.write_bytes(whole)
    seconds = round(time.monotonic() - started, 1)
    return Outcome(mutant.key, source_digest(job.root, mutant), bool(by), by, seconds)


def _first_failure(job: Job, copy: Path, tests: Sequence[Path], children: Children) -> str:
    """The first test that fails; empty where none does.

    Raises
    ------
    InterruptedError
        Somebody ended the tests.
    """
    if not tests:
        return ""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{copy / 'src'}{os.pathsep}{copy}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RAYON_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "VERACITY_DATA": str(job.data),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--no-header"]
    process = children.start([*command, *map(str, tests)], cwd=copy, env=environment)
    try:
        said, _ = process.communicate(timeout=job.timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return "it does not end"
    finally:
        children.forget(process)
    if process.returncode in (0, 5):  # 5: nothing was selected
        return ""
    if -process.returncode in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        raise InterruptedError("the tests were ended from outside")
    named = [line for line in said.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    if named:
        return named[0].split(" - ")[0].partition(" ")[2]
    return f"the tests do not run (exit code {process.returncode})"
