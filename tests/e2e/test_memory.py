"""A stated cap on memory holds, and the proof that it leads to verifies like any other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.house import House, done, veracity
from veracity.formats.paging import PagedWeights, drop_pages

TOKENS = 96
PROMPT = "Once upon a time, there was a little girl who"

#: Runs the command given as arguments, and prints the most memory that it occupied.
WATCH = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def proved(house: House, out: Path, *options: object) -> int:
    """Prove in a process of its own; returns its peak memory in bytes."""
    command = [
        *(sys.executable, "-m", "veracity.cli", "prove", str(house.program), "-q", "--raw"),
        *("--secret", str(house.secret), "--prompt", PROMPT, "--max-new-tokens", str(TOKENS)),
        *("--out", str(out)),
        *[str(option) for option in options],
    ]
    watched = [sys.executable, "-c", WATCH, *command]
    found = subprocess.run(watched, check=True, capture_output=True, text=True)
    return int(found.stdout) * (1 if sys.platform == "darwin" else 1024)


def test_a_cap_holds_and_its_proof_verifies(house: House, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.vproof", tmp_path / "cut.vproof"
    free = proved(house, whole)
    cap = 160_000_000
    assert free > cap, "the cap would not bite"
    assert proved(house, cut, "--memory", cap) <= cap
    verdicts = [
        json.loads(done("verify", p, "--commitment", house.commitment, "--json").stdout)
        for p in (whole, cut)
    ]
    assert verdicts[0]["answer"] == verdicts[1]["answer"]
    assert cut.stat().st_size > whole.stat().st_size


def test_an_impossible_cap_is_told(house: House, tmp_path: Path) -> None:
    command = ("prove", house.program, "--secret", house.secret, "--prompt", "x", "-q")
    refused = veracity(*command, "--memory", "50MB", "--out", tmp_path / "none.vproof")
    assert refused.exit_code == 2
    assert "raise --memory" in refused.output
    assert not (tmp_path / "none.vproof").exists()
    assert veracity(*command, "--memory", "lots").exit_code == 2


def test_estimate_follows_the_cap_and_lists_ops(house: House) -> None:
    command = ("estimate", house.program, "--tokens", TOKENS, "--json")
    whole, cut = (
        json.loads(done(*command, *more).stdout) for more in (("--ops",), ("--memory", "160MB"))
    )
    assert whole["segments"] == 1 < cut["segments"]
    assert cut["peak_memory_bytes"] <= 160_000_000 < whole["peak_memory_bytes"]
    assert sum(row["lookups"] for row in whole["ops"]) == whole["lookups"]
    assert sum(row["committed_values"] for row in whole["ops"]) == whole["committed_values"]


def mapped_kilobytes() -> int:
    """How much of mapped files this process holds in memory."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("RssFile:")[1].split()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="pages are counted by Linux")
@pytest.mark.parametrize("paged", [False, True])
def test_dropped_pages_are_given_back_and_read_again(tmp_path: Path, paged: bool) -> None:
    size = 1 << 25
    np.save(tmp_path / "a.npy", np.arange(size // 8, dtype=np.int64))
    arrays = {"a": np.load(tmp_path / "a.npy", mmap_mode="r"), "b": np.ones(3)}
    before, total = mapped_kilobytes(), int(arrays["a"].sum())
    assert mapped_kilobytes() - before > size >> 11
    drop_pages(PagedWeights(arrays, size) if paged else arrays)
    assert mapped_kilobytes() - before < size >> 11
    assert (int(arrays["a"].sum()), arrays["b"].tolist()) == (total, [1, 1, 1])


def test_paged_weights_are_the_weights(tmp_path: Path) -> None:
    arrays = {}
    for i in range(4):
        path = tmp_path / f"{i}.npy"
        np.save(path, np.full((1 << 10, 1 << 8), i, dtype=np.int16))
        arrays[str(i)] = np.load(path, mmap_mode="r")
    paged = PagedWeights(arrays, budget=1 << 20)
    assert sorted(paged) == sorted(arrays)
    assert len(paged) == 4
    for name in "01230123":
        assert int(paged[name].max()) == int(paged[name].min()) == int(name)
    with pytest.raises(KeyError):
        paged["4"]
