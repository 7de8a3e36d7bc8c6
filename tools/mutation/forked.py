"""A process that runs tests against one mutant after another without loading the package again.

``python -m tools.mutation.forked REQUESTS ANSWERS`` loads the package once and then reads JSON
lines ``{"path", "source", "mutated", "tests"}`` from one descriptor. For each it forks: the child
replaces the code of the functions that differ, runs pytest until a test fails and ends; the answer
on the other descriptor is a JSON line with the name of that test. Whoever asks also writes the
mutant into the file, for modules that are not loaded yet and for tests that start processes. Test
modules are loaded in the child only: kernels that run when they are loaded start threads, which a
fork would lose.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NoReturn

import pytest

__all__ = ["replace_code"]

#: Loaded before anything forks, as each child would load them again.
PRELOADED = (
    "numpy",
    "hypothesis.strategies",
    "veracity.proving",
    "veracity.proving.verify",
    "veracity.training.verify",
)
#: pytest would have loaded some of them itself.
_QUIET = ("-W", "ignore::pytest.PytestAssertRewriteWarning")


def _codes(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _codes(constant)


def replace_code(path: Path, source: bytes, mutated: bytes) -> int:
    """Give the functions of a loaded module the code of another source; how many changed.

    Where one cannot take it, the whole package is forgotten, and loads again from its files.

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
        if type(found) is not FunctionType or found.__code__.co_filename != str(path):
            continue
        code = found.__code__
        better = wanted.get((code.co_qualname, code.co_firstlineno))
        if better is not None:
            try:
                found.__code__ = better
            except ValueError:  # it closes over other variables: what is loaded is of no use
                for name in [n for n in sys.modules if n.partition(".")[0] == "veracity"]:
                    del sys.modules[name]
                return 0
            changed += 1
    return changed


class _FirstFailure:
    """A plugin that runs the tests that are asked for, in their order, and remembers a failure.

    Who asks names files or tests; a test that is not there any more is left out.
    """

    def __init__(self, tests: list[str]) -> None:
        self.place = {test: i for i, test in enumerate(tests)}
        self.name = ""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """See pytest."""
        places = [
            (self.place.get(i.nodeid, self.place.get(i.nodeid.partition("::")[0], -1)), i)
            for i in items
        ]
        items[:] = [i for place, i in sorted(places, key=lambda p: p[0]) if place >= 0]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See pytest."""
        if report.failed and not self.name:
            self.name = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """See pytest."""
        if report.failed and not self.name:
            self.name = report.nodeid


def serve(requests: int, answers: int) -> None:
    """Answer requests until there are no more.

    Parameters
    ----------
    requests, answers : int
        Descriptors.
    """
    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    for plugin in entry_points(group="pytest11"):
        with suppress(ImportError):
            plugin.load()
    with os.fdopen(requests) as lines, os.fdopen(answers, "w") as told:
        print(json.dumps({"ready": True}), file=told, flush=True)
        for line in lines:
            request = json.loads(line)
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(read)
                _run(request, write)
            os.close(write)
            print(json.dumps({"process": child}), file=told, flush=True)
            with os.fdopen(read) as said:
                text = said.read()
            _, status = os.waitpid(child, 0)
            answer = json.loads(text) if text else {"by": f"the tests end with {status}"}
            print(json.dumps(answer), file=told, flush=True)


def _keep_bytecode_of_tests() -> None:
    """Compile test files once, and the package, whose files are mutants, each time."""
    write = SourceFileLoader.set_data

    def set_data(self: SourceFileLoader, path: str, data: bytes, *, _mode: int = 0o666) -> None:
        if f"{os.sep}tests{os.sep}" in path:
            write(self, path, data, _mode=_mode)

    sys.dont_write_bytecode = False
    SourceFileLoader.set_data = set_data  # type: ignore[method-assign,assignment]


def _run(request: dict[str, Any], write: int) -> NoReturn:
    answer = {"fault": "the process ended early"}
    _keep_bytecode_of_tests()
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        if request["mutated"] != request["source"]:
            source, mutated = request["source"].encode(), request["mutated"].encode()
            replace_code(Path(request["path"]), source, mutated)
        first = _FirstFailure(request["tests"])
        files = dict.fromkeys(test.partition("::")[0] for test in request["tests"])
        options = ["-q", "-x", "-p", "no:cacheprovider", "--basetemp", request["scratch"]]
        code = pytest.main([*_QUIET, *options, *files], plugins=[first])
        by = first.name or ("" if code in (0, 5) else f"the tests do not run (exit code {code})")
        answer = {"by": by}
    except Exception as error:
        answer = {"fault": repr(error)}
    finally:
        with os.fdopen(write, "w") as said:
            said.write(json.dumps(answer))
        os._exit(0)


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
