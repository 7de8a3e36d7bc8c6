"""Floors: kernels that compute what they should, counts of the proof, a watch that is fair."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from veracity import zkml

BENCHES = Path(__file__).parents[2] / "benches"
SOURCE = BENCHES / "floors"
PALLAS = 0x40000000000000000000000000000000224698FC094CF91B992D30ED00000001
COMPILER = shutil.which("c++")
NS = {"addition_ns": 10.0, "lookup_ns": 20.0, "product_ns": 30.0, "weight_ns": 0.5}
COSTS = zkml.Costs(
    weights=1000, lookups=100, committed_values=2000, product_values=10, witness_rows=1,
    hidden_values=96, proof_bytes=1, generators=1 << 12,
)  # fmt: skip


@pytest.fixture
def floors(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHES))
    for name in ("floors", "scale"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("floors")


def built(folder: Path, source: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """The checks of the kernels, without timing anything."""
    target = folder / "floors"
    command = [str(COMPILER), "-std=c++20", "-O1", "-pthread", *flags, "-o", str(target)]
    subprocess.run([*command, str(source / "floors.cpp")], check=True, capture_output=True)
    return subprocess.run([str(target), "0"], capture_output=True, text=True, check=False)


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
def test_scalars_are_those_of_pallas(tmp_path: Path) -> None:
    done = built(tmp_path, SOURCE)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    a, b = (int(said[name], 16) for name in "ab")
    assert said["arithmetic"] == "portable"
    assert (int(said["product"], 16) << said["radix"]) % PALLAS == a * b % PALLAS
    assert int(said["sum"], 16) == (a + b) % PALLAS
    assert int(said["difference"], 16) == (a - b) % PALLAS


@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
@pytest.mark.parametrize(
    ("line", "instead", "told"),
    [
        ("sum.add(v[t], v[t + 1]);", "sum.add(v[t], v[t]);", "sumcheck's round"),
        ("out.p.set(i, q0 + q1);", "out.p.set(i, q0);", "leaves"),
        ("w.add(in.p[i + half], q0);", "", "sums of fractions"),
        ("F x3 = slope * slope - (x1 + x2);", "F x3 = slope * slope - x1;", "additions"),
        ("sum[l] += (u128)e[j].limb[l] * value", "sum[l] += (u128)e[j].limb[l]", "weights"),
    ],
)
def test_wrong_kernels_are_told(tmp_path: Path, line: str, instead: str, told: str) -> None:
    changed = 0
    for path in SOURCE.iterdir():
        text = path.read_text(encoding="utf-8")
        changed += text.count(line)
        (tmp_path / path.name).write_text(text.replace(line, instead), encoding="utf-8")
    assert changed == 1
    done = built(tmp_path, tmp_path)
    assert done.returncode == 1
    assert told in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="no C++ compiler")
def test_kernels_for_this_machine(
    floors: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(floors, "BUILD", tmp_path)
    found = floors.measured_floors(2)
    assert found["threads"] == 2
    assert all(found[name] > 0 for name in (*NS, "multiplication_ns"))


def test_additions_are_those_of_buckets(floors: ModuleType) -> None:
    assert floors.additions(1 << 12, 16) == 2 * (1 + 256 / (1 << 12))
    assert floors.additions(1 << 20, 16) == 1 + (1 << 16) / (1 << 20)
    for count in (1, 64, 1 << 14):
        every = [-(-255 // w) * (count + 2 * (1 << (w - 1))) / count for w in range(2, 17)]
        assert floors.additions(count, 255) == min(every)


def test_floors_are_counts_at_rates(floors: ModuleType) -> None:
    found = floors.phase_floors(COSTS, NS)
    assert found["evaluate"] == ("1,000 weights", None)
    assert found["lookups"][1] == pytest.approx(100 * 20e-9)
    bound = 3 * 1000 + 2 * 2000
    assert found["products"][1] == pytest.approx((10 * 30 + bound * 0.5) * 1e-9)
    assert found["commit"][1] == pytest.approx(2000 * floors.additions(4096, 16) * 10e-9)
    slots = 4096 + 96
    assert found["opening"][1] == pytest.approx(2 * slots * floors.additions(slots, 255) * 10e-9)


def test_the_watch_sees_functions_and_objects(
    floors: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(floors, "time", SimpleNamespace(thread_time=lambda: now[0]))

    def work(seconds: float) -> float:
        now[0] += seconds
        return seconds

    class Tree:
        def __init__(self, seconds: float) -> None:
            work(seconds)

        def round(self, seconds: float) -> float:
            return work(seconds)

    watch = floors.Watch()
    assert watch.timed(work)(2.0) == 2.0
    now[0] += 5.0  # outside
    tree: Any = watch.timed(Tree)(3.0)
    assert tree.round(4.0) == 4.0
    assert watch.seconds == 9.0

    def fails() -> None:
        now[0] += 1.0
        raise ValueError

    with pytest.raises(ValueError):
        watch.timed(fails)()
    assert watch.seconds == 10.0


def test_without_a_compiler(
    floors: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(floors, "BUILD", tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(SystemExit, match="set CXX"):
        floors.measured_floors(1)
