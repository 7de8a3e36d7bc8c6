"""A pytest plugin that notes which functions of the package each test calls, and its time.

``python -m pytest -p tools.mutation.reach --reach DIR ...`` writes a JSON line per test, into a
file for each test file as it stands. What is called while fixtures are made counts for every
later test of the same file, as fixtures of a wider scope are made once.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType

import pytest

__all__ = ["Reach", "read_reach", "record_of"]

PACKAGE = "src/veracity/"


@dataclass(frozen=True)
class Reach:
    """What a test calls.

    Attributes
    ----------
    test : str
        Its node id.
    seconds : float
        Time of the test itself.
    functions : frozenset of str
        Dotted names, ``module.Class.function``.
    """

    test: str
    seconds: float
    functions: frozenset[str]


def record_of(root: Path, test: str, folder: Path) -> Path:
    """The file that holds what the tests of a file call, for the file as it stands."""
    digest = hashlib.sha256((root / test).read_bytes()).hexdigest()[:16]
    return folder / f"{test.removesuffix('.py').replace('/', '-')}-{digest}.jsonl"


def read_reach(root: Path, tests: Iterable[Path], folder: Path) -> list[Reach]:
    """What is recorded of some test files.

    Parameters
    ----------
    root : path
        The tree.
    tests : iterable of path
        Test files, relative to the root.
    folder : path
        Where records are.
    """
    found: dict[str, Reach] = {}
    for test in tests:
        path = record_of(root, test.as_posix(), folder)
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
            body = json.loads(line)
            found[body["test"]] = Reach(body["test"], body["seconds"], frozenset(body["functions"]))
    return list(found.values())


def function_name(code: CodeType) -> str:
    """The dotted name of a function of the package; empty for all others."""
    path = code.co_filename.replace("\\", "/")
    at = path.rfind(PACKAGE)
    if at < 0:
        return ""
    module = path[at + 4 :].removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return f"{module}.{code.co_qualname.replace('.<locals>', '')}"


@dataclass(eq=False)
class _Recorder:
    root: Path
    folder: Path
    names: dict[CodeType, str] = field(default_factory=dict)
    seen: set[CodeType] = field(default_factory=set)
    set_up: dict[str, set[str]] = field(default_factory=dict)  # by test file

    def _trace(self, frame: FrameType, _event: str, _argument: object) -> None:
        self.seen.add(frame.f_code)

    def _taken(self) -> set[str]:
        for code in self.seen:
            if code not in self.names:
                self.names[code] = function_name(code)
        found = {self.names[code] for code in self.seen} - {""}
        self.seen = set()
        return found

    def _watch(self, on: bool) -> None:
        trace = self._trace if on else None
        sys.settrace(trace)
        threading.settrace(trace)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None]:
        """Note what fixtures call."""
        self._watch(True)
        yield
        self._watch(False)
        self.set_up.setdefault(item.nodeid.partition("::")[0], set()).update(self._taken())

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None]:
        """Note what the test calls, and write the line."""
        started = time.perf_counter()
        self._watch(True)
        yield
        self._watch(False)
        seconds = round(time.perf_counter() - started, 3)
        test = item.nodeid.partition("::")[0]
        functions = self._taken() | self.set_up.get(test, set())
        body = {"test": item.nodeid, "seconds": seconds, "functions": sorted(functions)}
        with record_of(self.root, test, self.folder).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(body) + "\n")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option that names the folder."""
    parser.addoption("--reach", type=Path, default=None, help="folder for what tests call")


def pytest_configure(config: pytest.Config) -> None:
    """Record where the option is given."""
    folder = config.getoption("--reach")
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        config.pluginmanager.register(_Recorder(config.rootpath, folder), "reach-recorder")
