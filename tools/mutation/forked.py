"""A pytest plugin that runs tests against one mutant after another without importing them again.

``python -m pytest -p tools.mutation.forked --requests FD --answers FD ...`` collects tests once and
then reads JSON lines ``{"path", "source", "mutated", "tests"}``. For each it forks: the child
replaces the code of the functions that differ, runs the tests until one fails and ends; the
answer is a JSON line with the name of that test. Whoever asks also writes the mutant into the
file, for tests that start processes of their own.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NoReturn

import pytest

__all__ = ["replace_code"]

#: Tenths of a second that a small computation may take in a fork.
_PATIENCE = 600


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def replace_code(path: Path, source: bytes, mutated: bytes) -> int:
    """Give the functions of a loaded module the code of another source; how many changed.

    Parameters
    ----------
    path : path
        The file the module was loaded from.
    source, mutated : bytes
        The file as it was loaded, and as it is to be.
    """
    old = list(_codes(compile(source, str(path), "exec")))
    new = list(_codes(compile(mutated, str(path), "exec")))
    count: dict[str, int] = {}
    wanted: dict[tuple[str, int], CodeType] = {}
    by_name: dict[str, list[CodeType]] = {}
    for code in new:
        by_name.setdefault(code.co_qualname, []).append(code)
    for code in old:
        number = count.get(code.co_qualname, 0)
        count[code.co_qualname] = number + 1
        same = by_name.get(code.co_qualname, [])
        if number < len(same) and same[number] != code:
            wanted[code.co_qualname, code.co_firstlineno] = same[number]
    changed = 0
    for found in gc.get_objects():
        if not isinstance(found, FunctionType) or found.__code__.co_filename != str(path):
            continue
        code = found.__code__
        better = wanted.get((code.co_qualname, code.co_firstlineno))
        if better is not None:
            with suppress(ValueError):  # it closes over other variables
                found.__code__ = better
                changed += 1
    return changed


def _put_off_threads() -> None:
    """Engines that are made while tests are collected start no threads: forks would lose them."""
    with suppress(ImportError):
        kernels: Any = importlib.import_module("veracity.engine._cpu")
        kernels.use_threads = lambda threads: max(1, threads)


def _forks_compute() -> bool:
    """Whether kernels run in a fork: not if they ran here, when tests were collected."""
    child = os.fork()
    if child == 0:
        with suppress(ImportError):
            engine = importlib.import_module("veracity.engine").load_engine("cpu")
            engine.generators("veracity mutation", 1 << 12)
        os._exit(0)
    for _ in range(_PATIENCE):
        if os.waitpid(child, os.WNOHANG)[0]:
            return True
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


class _Runner:
    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._failed = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the first failure."""
        if report.failed and not self._failed:
            self._failed = report.nodeid

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Serve requests instead of running everything."""
        items = {item.nodeid: item for item in session.items}
        with os.fdopen(self._requests) as lines, os.fdopen(self._answers, "w") as answers:
            forks = "yes" if _forks_compute() else "no"
            print(json.dumps({"collected": len(items), "forks": forks}), file=answers, flush=True)
            for line in lines:
                request = json.loads(line)
                chosen = [items[name] for name in request["tests"] if name in items]
                read, write = os.pipe()
                child = os.fork()
                if child == 0:
                    os.close(read)
                    self._serve(chosen, request, write)
                os.close(write)
                print(json.dumps({"process": child}), file=answers, flush=True)
                with os.fdopen(read) as said:
                    text = said.read()
                _, status = os.waitpid(child, 0)
                by = json.loads(text)["by"] if text else f"the tests end with {status}"
                print(json.dumps({"by": by}), file=answers, flush=True)
        return True

    def _serve(self, items: list[pytest.Item], request: dict[str, Any], write: int) -> NoReturn:
        by = "the mutant cannot be loaded"
        try:
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (1, 2):
                os.dup2(nothing, stream)
            path = Path(request["path"])
            if request["mutated"] != request["source"]:
                source, mutated = request["source"].encode(), request["mutated"].encode()
                replace_code(path, source, mutated)
            for i, item in enumerate(items):
                following = items[i + 1] if i + 1 < len(items) else None
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self._failed:
                    break
            by = self._failed
        finally:
            with os.fdopen(write, "w") as said:
                said.write(json.dumps({"by": by}))
            os._exit(0)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The two ends of pipes."""
    parser.addoption("--requests", type=int, default=None, help="descriptor to read mutants from")
    parser.addoption("--answers", type=int, default=None, help="descriptor to write outcomes to")


def pytest_configure(config: pytest.Config) -> None:
    """Serve where the options are given."""
    if config.getoption("--requests") is not None:
        sys.dont_write_bytecode = True
        _put_off_threads()
        runner = _Runner(config.getoption("--requests"), config.getoption("--answers"))
        config.pluginmanager.register(runner, "mutation-runner")
