"""The tool that deletes checks: what it finds, what it leaves alone, how it judges."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tools.mutate import all_mutants, changed, suite
from tools.mutation.mutants import Edit, Mutant, find_mutants
from tools.mutation.runner import Job, Outcome, baseline, read_log, record, run
from tools.mutation.sources import closure
from tools.mutation.verdicts import Table, Verdict

ROOT = Path(__file__).resolve().parents[2]

DECIDES = '''
from veracity.errors import FormatError


def read(reader, limit):
    size = reader.u32("size", limit)
    if size == 0 or size > 9:
        raise FormatError("size", "no such size")
    elif not 1 <= reader.kind < 4:
        note = "é"
        raise FormatError("kind", note)
    if size == 7:
        return None
    return reader.raw(size)


class Sum:
    def check(self, total):
        """Not a statement: "check(total)"."""
        parts = [b"label", total]
        self.zeros.append(total)
        if total:
            self.fail("total", "not zero")

    def verify(self, total):
        self.check(total)
        value = self.check(total)
        return b"".join(parts), value
'''


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A package of three modules with tests, one of which misses a check."""
    files = {
        "src/veracity/__init__.py": "",
        "src/veracity/errors.py": "class FormatError(Exception):\n    pass\n",
        "src/veracity/decides.py": DECIDES,
        "src/veracity/entry.py": "from veracity.decides import read\n",
        "src/veracity/apart.py": "from veracity.decides import Sum\n",
        "tests/near.py": "from veracity.decides import read\n",
        "tests/unit/test_far.py": "import json\n\n\ndef test_far():\n    pass\n",
        "tests/unit/test_near.py": (
            "import pytest\nfrom veracity.decides import read\n"
            "from veracity.errors import FormatError\n\n\n"
            "class Reader:\n    kind = 2\n\n    def u32(self, _, limit):\n        return 0\n\n\n"
            "def test_near():\n    with pytest.raises(FormatError):\n        read(Reader(), 5)\n"
        ),
        "tests/unit/test_through.py": "from tests.near import read\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def found(tree: Path) -> list[Mutant]:
    return find_mutants(tree, closure(tree / "src", ["veracity.entry"]).items())


def test_the_closure_is_what_entries_reach(tree: Path) -> None:
    names = list(closure(tree / "src", ["veracity.entry"]))
    assert names == ["veracity", "veracity.decides", "veracity.entry", "veracity.errors"]


def test_every_decision_is_a_mutant(tree: Path) -> None:
    keys = [m.key.removeprefix("veracity.decides.") for m in found(tree)]
    assert keys == [
        "read: refusal: if size == 0 or size > 9",
        "read: part: size == 0 in if size == 0 or size > 9",
        "read: part: size > 9 in if size == 0 or size > 9",
        "read: refusal: if not 1 <= reader.kind < 4",
        "read: part: 1 <= reader.kind < 4 in if not 1 <= reader.kind < 4",
        "read: part: 1 <= reader.kind < 4 in if not 1 <= reader.kind < 4 (2)",
        "read: limit: reader.u32('size', limit)",
        "Sum.check: entry: b'label' in parts = [b'label', total]",
        "Sum.check: entry: total in parts = [b'label', total]",
        "Sum.check: entry: self.zeros.append(total)",
        "Sum.check: refusal: if total",
        "Sum.verify: call: self.check(total)",
    ]


def test_a_mutant_lacks_its_decision_and_nothing_else(tree: Path) -> None:
    source = (tree / "src/veracity/decides.py").read_bytes()
    made = {
        m.key.removeprefix("veracity.decides."): m.applied(source).decode() for m in found(tree)
    }
    for text in made.values():
        ast.parse(text)
    assert (
        "if size == 0 or size > 9:\n        pass\n    elif"
        in made["read: refusal: if size == 0 or size > 9"]
    )
    assert "if False or size > 9:" in made["read: part: size == 0 in if size == 0 or size > 9"]
    assert (
        "elif not (reader.kind < 4):"
        in made["read: part: 1 <= reader.kind < 4 in if not 1 <= reader.kind < 4"]
    )
    assert 'u32("size", (1 << 32) - 1)' in made["read: limit: reader.u32('size', limit)"]
    assert 'parts = [b"label", *[]]' in made["Sum.check: entry: total in parts = [b'label', total]"]
    assert "        pass\n        value" in made["Sum.verify: call: self.check(total)"]


def test_names_do_not_change_with_lines_elsewhere(tree: Path) -> None:
    before = found(tree)
    path = tree / "src/veracity/decides.py"
    path.write_text("# more\n# lines\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    after = found(tree)
    assert [m.key for m in after] == [m.key for m in before]
    assert [m.source for m in after] == [m.source for m in before]
    assert after[0].line > 4


def job(tree: Path, budget: float | None = None) -> Job:
    """A job that has noted what the tests call."""
    for name in ("__init__.py", "mutation/__init__.py", "mutation/forked.py", "mutation/reach.py"):
        (tree / "tools" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "tools" / name, tree / "tools" / name)
    tests = tuple(sorted(p.relative_to(tree) for p in (tree / "tests/unit").glob("test_*.py")))
    path = os.pathsep.join([str(tree / "src"), str(tree)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        reach = tuple(record(tree, tests, tree / "build/reach", 0, tree))
    return Job(tree, tests, reach, 1, 60.0, tree, budget)


def test_tests_are_known_by_what_they_call(tree: Path) -> None:
    reach = {r.test.rpartition("::")[2]: r.functions for r in job(tree).reach}
    assert reach["test_near"] == {"veracity.decides.read"}
    assert reach["test_far"] == set()
    (tree / "tests/unit/test_far.py").write_text("def test_new():\n    pass\n", encoding="utf-8")
    assert {r.test.rpartition("::")[2] for r in job(tree).reach} == {"test_near", "test_new"}


def test_a_first_pass_leaves_what_outlives_its_budget(tree: Path) -> None:
    every, log = found(tree)[1:3], tree / "build/log.jsonl"
    near = job(tree, budget=-1.0)
    outcomes = run(near, every, log, lambda *_: None)
    assert [o.dies for o in outcomes] == [False, False]
    assert near.order(every[0], []) == ([], False)
    assert near.pending(every, read_log(log)) == every


def test_a_run_tells_who_dies_and_goes_on_where_it_stopped(tree: Path) -> None:
    every, log, whole = found(tree)[:3], tree / "build/log.jsonl", job(tree)
    outcomes = {o.key: o for o in run(whole, every, log, lambda *_: None)}
    dies = [outcomes[m.key].dies for m in every]
    assert dies == [True, True, False]  # nothing tries a size above nine
    assert outcomes[every[0].key].by == "tests/unit/test_near.py::test_near"
    assert (tree / "src/veracity/decides.py").read_text(encoding="utf-8") == DECIDES

    with log.open("a", encoding="utf-8") as stream:
        stream.write('{"key": "cut o')
    known = read_log(log)
    assert len(known) == 3
    assert whole.pending(every, known) == []
    assert whole.order(every[2], known) == (["tests/unit/test_near.py::test_near"], True)
    path = tree / "src/veracity/decides.py"
    path.write_text(DECIDES.replace("value =", "sum ="), encoding="utf-8")
    assert whole.pending(found(tree)[:3], known) == []
    path.write_text(DECIDES.replace("return None", "return 0"), encoding="utf-8")
    assert whole.pending(found(tree)[:3], known) == found(tree)[:3]


def test_a_test_that_does_not_end_kills(tree: Path) -> None:
    loop = DECIDES.replace("if size == 7:", "while size == 0:\n        pass\n    if size == 7:")
    (tree / "src/veracity/decides.py").write_text(loop, encoding="utf-8")
    first = found(tree)[0]
    quick = replace(job(tree), timeout=20.0)
    outcomes = run(replace(quick, timeout=6.0), [first], tree / "build/log.jsonl", lambda *_: None)
    assert [(o.dies, o.by) for o in outcomes] == [(True, "it does not end")]


def test_words_about_a_function_are_not_its_source(tree: Path) -> None:
    path = tree / "src/veracity/decides.py"
    before = {m.key: m.source for m in found(tree)}
    path.write_text(DECIDES.replace("Not a statement", "A text"), encoding="utf-8")
    assert {m.key: m.source for m in found(tree)} == before
    path.write_text(DECIDES.replace("not zero", "zero"), encoding="utf-8")
    after = {m.key: m.source for m in found(tree)}
    assert {k.split(":")[0] for k in before if after[k] != before[k]} == {
        "veracity.decides.Sum.check"
    }


def test_changed_functions_only(tree: Path) -> None:
    def git(*arguments: str) -> None:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", *who, *arguments], cwd=tree, check=True, capture_output=True)

    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "start")
    assert changed(tree, "HEAD", found(tree)) == []
    path = tree / "src/veracity/decides.py"
    path.write_text(DECIDES.replace("value = self.check(total)", "value = 1"), encoding="utf-8")
    assert {m.function for m in changed(tree, "HEAD", found(tree))} == {"Sum.verify"}


def named(key: str, source: str) -> Mutant:
    return Mutant(Path("m.py"), "m", key, "call", "c()", 1, (1, 2), source, Edit(0, 0, ""))


def test_the_table_complains() -> None:
    a, b, d = (named(k, "s") for k in "abd")
    table = Table(
        {
            a.key: Verdict("dies", "t", "s"),
            b.key: Verdict("lives", "?", "s"),
            "c": Verdict("dies", "", "s"),
        }
    )
    assert table.complaints([a, b, d]) == [
        "no verdict: m.d: call: c()",
        "no such check any more: c",
        "no reason: c",
        "lives: m.b: call: c()",
    ]
    assert Table({a.key: Verdict("redundant", "b implies it", "s")}).complaints([a]) == []
    other = named("a", "new")
    assert "its function has changed: m.a: call: c()" in table.complaints([other, b, d])


def test_a_run_updates_the_table(tmp_path: Path) -> None:
    a, b, c, d = (named(k, "s") for k in "abcd")
    old = Table(
        {
            a.key: Verdict("redundant", "implied", "before"),
            b.key: Verdict("dies", "t1", "s"),
            d.key: Verdict("dies", "t3", "before"),
            "gone": Verdict("dies", "t", "s"),
        }
    )
    run = [
        Outcome(a.key, "s", False, "", 1.0),
        Outcome(b.key, "s", False, "", 1.0),
        Outcome(c.key, "s", True, "t2", 1.0),
        Outcome(d.key, "older", True, "t4", 1.0),
    ]
    new = old.updated([a, b, c, d], run)
    assert new.verdicts == {
        a.key: Verdict("redundant", "implied", "s"),
        b.key: Verdict("lives", "no test fails", "s"),
        c.key: Verdict("dies", "t2", "s"),
        d.key: Verdict("dies", "t3", "before"),
    }
    path = tmp_path / "table.json"
    new.save(path)
    assert Table.load(path) == new
    assert list(json.loads(path.read_text(encoding="utf-8"))) == [a.key, b.key, c.key, d.key]
    assert {o.key: o.dies for o in new.outcomes()} == {a.key: False, c.key: True, d.key: True}
    assert Table.load(tmp_path / "none.json").verdicts == {}


def test_what_killed_a_neighbour_is_tried_first(tree: Path) -> None:
    near, log = job(tree), tree / "build/log.jsonl"
    first = replace(near, reach=(), likely=True)
    size, over = found(tree)[1:3]
    gone = "tests/unit/test_near.py::test_that_is_gone"
    killed = [
        Outcome(over.key, "", True, "tests/unit/test_far.py::test_far", 1.0),
        Outcome(size.key, "", True, "tests/unit/test_gone.py::test_gone", 1.0),
        Outcome(size.key, "", True, "tests/unit/test_near.py::test_near", 1.0),
        Outcome(size.key, "", True, gone, 1.0),
    ]
    tests, whole = first.order(size, killed)
    assert not whole
    assert tests == [gone, "tests/unit/test_near.py::test_near", "tests/unit/test_far.py::test_far"]
    assert baseline(first, [size, over], killed) == ""
    outcomes = {o.key: o for o in run(first, [size, over], log, lambda *_: None, killed)}
    assert outcomes[size.key].by == "tests/unit/test_near.py::test_near"
    assert not outcomes[over.key].dies
    assert [o.key for o in read_log(log)] == [size.key]


def test_the_verifier_of_this_tree_is_covered() -> None:
    """Every module that decides has mutants; every mutant has its own name and parses."""
    every = all_mutants(ROOT)
    assert len({m.key for m in every}) == len(every) > 300
    modules = {m.module for m in every}
    assert {"veracity.zk.opening", "veracity.zkml.chain", "veracity.codec.encoding"} <= modules
    for mutant in every:
        ast.parse(mutant.applied((ROOT / mutant.path).read_bytes()))
    assert len(suite(ROOT)) > 30
    assert all(len(m.source) == 12 for m in every)
