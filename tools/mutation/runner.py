"""Running tests against mutants: on copies of the tree, the closest and quickest tests first."""

from __future__ import annotations

import json
import os
import queue
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from tools.mutation.mutants import Mutant
from tools.mutation.reach import Reach, read_reach, record_of

__all__ = [
    "Job",
    "Outcome",
    "Worker",
    "baseline",
    "read_log",
    "record",
    "recorded",
    "run",
    "stages",
]

#: How many tests that killed neighbours are tried first; seconds that make a test slow.
_LIKELY, _SLOW = 16, 0.2
#: What a copy of the tree does without.
LEFT_OUT = (".git", ".venv*", "target", "build", "dist", "*cache*", ".hypothesis")


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant.

    Attributes
    ----------
    key : str
        Its name.
    source : str
        Digest of the function that it was made from.
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
    reach : tuple of Reach
        What each test calls.
    workers : int
        Copies that run beside each other.
    timeout : float
        Seconds after which a run counts as failed: it does not end.
    data : Path
        Models and texts.
    budget : float or None
        Seconds of tests that a mutant may cost. Who outlives them has no outcome yet: a later
        run tries it.
    likely : bool
        Try only tests that have killed it before, or its neighbours.
    """

    root: Path
    tests: tuple[Path, ...]
    reach: tuple[Reach, ...]
    workers: int
    timeout: float
    data: Path
    budget: float | None = None
    likely: bool = False

    def pending(self, mutants: Iterable[Mutant], log: Iterable[Outcome]) -> list[Mutant]:
        """Those without an outcome for their functions as they stand."""
        known = {(o.key, o.source) for o in log}
        return [m for m in mutants if (m.key, m.source) not in known]

    def order(self, mutant: Mutant, log: Iterable[Outcome]) -> tuple[list[str], bool]:
        """The tests that call a mutant's function, and whether that is all of them.

        First those that killed it or a neighbour; then files that did, then those with the test
        that calls fewest functions, as it is about them: the quick tests of all of them, and at
        last the slow ones.
        """
        near = self._likely(mutant, log)
        if self.likely:
            return near, False
        name = f"{mutant.module}.{mutant.function}"
        reach = {one.test: one for one in self.reach if name in one.functions}
        killers = {test.partition("::")[0] for test in near}
        files: dict[str, list[Reach]] = {}
        for one in reach.values():
            files.setdefault(one.test.partition("::")[0], []).append(one)
        ranked = sorted(
            files.items(),
            key=lambda f: (f[0] not in killers, min(len(r.functions) for r in f[1]), f[0]),
        )
        order = [reach[test] for test in near if test in reach]
        for slow in (False, True):
            for _, found in ranked:
                some = [r for r in found if (r.seconds > _SLOW) is slow]
                order += sorted(some, key=lambda r: (r.seconds, r.test))
        chosen: dict[str, None] = {}
        spent = 0.0
        for one in order:
            if self.budget is not None and spent > self.budget:
                return list(chosen), False
            spent += 0.0 if one.test in chosen else one.seconds
            chosen[one.test] = None
        return list(chosen), True

    def _likely(self, mutant: Mutant, log: Iterable[Outcome]) -> list[str]:
        """Tests that killed it, or others of its function, or of its module."""
        starts = (mutant.key, f"{mutant.module}.{mutant.function}:", f"{mutant.module}.")
        killed = [o for o in log if o.dies and o.key.startswith(starts[-1])]
        found: dict[str, None] = {}
        for start in starts:
            found.update(dict.fromkeys(o.by for o in reversed(killed) if o.key.startswith(start)))
        there = [t for t in found if (self.root / t.partition("::")[0]).is_file()]
        return there[:_LIKELY]


def read_log(path: Path) -> list[Outcome]:
    """Outcomes of earlier runs; a line that was cut off by the end of one is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(Outcome(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return found


def stages(tests: Iterable[str]) -> Iterator[list[str]]:
    """Tests in their order: those of one file, then of two more, four, and so on.

    As pytest loads all files before it runs any test, few are given to it at first.
    """
    left = [list(found) for _, found in groupby(tests, key=lambda test: test.partition("::")[0])]
    count = 1
    while left:
        yield [test for found in left[:count] for test in found]
        left, count = left[count:], 2 * count


@dataclass
class Worker:
    """A process that has loaded the package from a copy of the tree."""

    job: Job
    copy: Path
    process: subprocess.Popen[str] = field(init=False)
    child: int = 0

    def __post_init__(self) -> None:
        ignored = shutil.ignore_patterns(*LEFT_OUT)
        shutil.copytree(self.job.root, self.copy, symlinks=True, ignore=ignored)
        self._start()

    def _start(self) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        copy = self.copy
        environment = {
            **os.environ,
            "PYTHONPATH": f"{copy / 'src'}{os.pathsep}{copy}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "RAYON_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "VERACITY_DATA": str(self.job.data),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tools.mutation.forked", str(theirs_in), str(theirs_out)],
            cwd=copy,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs_in, theirs_out),
            start_new_session=True,
            text=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._answers, self._unread = ours_in, b""
        self._requests = os.fdopen(ours_out, "w")
        if "ready" not in self._answer(self.job.timeout):
            raise RuntimeError("the package cannot be loaded")

    def _answer(self, timeout: float) -> dict[str, Any]:
        """The next line; empty where none comes in time, or ever."""
        end = time.monotonic() + timeout
        while b"\n" not in self._unread:
            left = max(0.0, end - time.monotonic())
            if not select.select([self._answers], [], [], left)[0]:
                return {}
            more = os.read(self._answers, 1 << 16)
            if not more:
                return {}
            self._unread += more
        line, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def first_failure(self, tests: Sequence[str], mutant: Mutant | None = None) -> str:
        """The first of some tests that fails with a mutant; empty where none does."""
        if not tests:
            return ""
        path = self.copy / (mutant.path if mutant else self.job.tests[0])
        whole = path.read_bytes()
        mutated = mutant.applied(whole) if mutant else whole
        path.write_bytes(mutated)
        try:
            body = {
                "path": str(path),
                "source": whole.decode(),
                "mutated": mutated.decode(),
                "tests": list(tests),
                "scratch": str(self.copy.with_name(self.copy.name + "-scratch")),
            }
            print(json.dumps(body), file=self._requests, flush=True)
            self.child = self._answer(self.job.timeout).get("process", 0)
            said = self._answer(self.job.timeout)
            if "by" in said:
                return str(said["by"])
            if "fault" in said:
                raise RuntimeError(f"the tests cannot be started: {said['fault']}")
            if self.process.poll() is not None:
                raise InterruptedError("the tests were ended from outside")
            self._end_child()
            self._answer(self.job.timeout)
            return "it does not end"
        finally:
            path.write_bytes(whole)

    def _end_child(self) -> None:
        if self.child:
            with suppress(ProcessLookupError):
                os.killpg(self.child, signal.SIGKILL)

    def end(self) -> None:
        """End it and whatever it has started."""
        self._end_child()
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._answers)
        self._requests.close()


def run(
    job: Job,
    mutants: Sequence[Mutant],
    log: Path,
    report: Callable[[Outcome, bool, int], None],
    earlier: Iterable[Outcome] = (),
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
        Receives each outcome, whether all tests were tried, and the number that is left.
    earlier : iterable of Outcome
        More outcomes that order the tests.

    Raises
    ------
    RuntimeError
        The package cannot be loaded, or pytest does not start.
    """
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in mutants:
        waiting.put(mutant)
    outcomes, known, lock = [], [*earlier, *read_log(log)], threading.Lock()
    failed: list[BaseException] = []
    started: list[Worker] = []
    log.parent.mkdir(parents=True, exist_ok=True)

    def work(copy: Path) -> None:
        try:
            worker = Worker(job, copy)
            started.append(worker)
            while not failed:
                try:
                    mutant = waiting.get_nowait()
                except queue.Empty:
                    return
                with lock:
                    tests, whole = job.order(mutant, known)
                begun = time.monotonic()
                by = next(
                    filter(None, (worker.first_failure(t, mutant) for t in stages(tests))), ""
                )
                seconds = round(time.monotonic() - begun, 1)
                found = Outcome(mutant.key, mutant.source, bool(by), by, seconds)
                with lock:
                    outcomes.append(found)
                    known.append(found)
                    if found.dies or whole:
                        with log.open("a", encoding="utf-8") as stream:
                            stream.write(json.dumps(asdict(found)) + "\n")
                    report(found, whole, len(mutants) - len(outcomes))
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
        finally:
            for worker in started:
                worker.end()
            for thread in threads:
                thread.join()
    if failed:
        raise failed[0]
    return outcomes


def baseline(job: Job, mutants: Iterable[Mutant], log: Sequence[Outcome]) -> str:
    """The first test that fails without any mutant; empty where none does.

    Parameters
    ----------
    job : Job
        How.
    mutants : iterable of Mutant
        Only tests that these would meet are run.
    log : sequence of Outcome
        Earlier outcomes.
    """
    tests = dict.fromkeys(test for m in mutants for test in job.order(m, log)[0])
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        worker = Worker(job, Path(folder) / "tree")
        try:
            return worker.first_failure(sorted(tests, key=lambda t: t.partition("::")[0]))
        finally:
            worker.end()


def recorded(root: Path, tests: Sequence[Path], folder: Path) -> bool:
    """Whether it is known what all these tests call.

    Parameters
    ----------
    root : path
        The tree.
    tests : sequence of path
        Test files, relative to the root.
    folder : path
        Where records are kept.
    """
    return all(record_of(root, test.as_posix(), folder).is_file() for test in tests)


def record(
    root: Path, tests: Sequence[Path], folder: Path, workers: int, data: Path
) -> list[Reach]:
    """What tests call; those of files that have changed since they were recorded are run.

    Parameters
    ----------
    root : path
        The tree.
    tests : sequence of path
        Test files, relative to the root.
    folder : path
        Where records are kept.
    workers : int
        Processes.
    data : path
        Models and texts.
    """
    wanted = {test: record_of(root, test.as_posix(), folder) for test in tests}
    for path in folder.glob("*.jsonl"):
        if path not in wanted.values():
            path.unlink()
    new = [str(test) for test, path in wanted.items() if not path.is_file()]
    if new:
        command = [
            sys.executable, "-m", "pytest", "-q", "-n", str(workers), "--dist", "loadfile", "-p",
            "no:cacheprovider", "-p", "tools.mutation.reach", "--reach", str(folder.absolute()),
        ]  # fmt: skip
        environment = {**os.environ, "VERACITY_DATA": str(data)}
        subprocess.run([*command, *new], cwd=root, env=environment)
    return read_reach(root, tests, folder)
