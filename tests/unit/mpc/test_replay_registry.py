"""The registry of used material: kept by several processes, and over a crash."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from veracity.errors import UsageError
from veracity.mpc.material import Label, ReplayRegistry


def label(number: int) -> Label:
    return Label(bytes(32), bytes(16), number, 0, 3, 1)


def seed(number: int) -> bytes:
    return number.to_bytes(32, "little")


def test_two_at_once_see_each_others_marks(tmp_path: Path) -> None:
    first, second = (ReplayRegistry(tmp_path / "used") for _ in range(2))
    first.use(label(1), seed(1))
    for again in (label(1), seed(2)), (label(2), seed(1)):
        with pytest.raises(UsageError, match="used before"):
            second.use(*again)
    second.use(label(3), seed(3))
    with pytest.raises(UsageError, match="used before"):
        first.use(label(3), seed(4))
    assert stat.S_IMODE((tmp_path / "used").stat().st_mode) == 0o600


CHILD = """
import sys
from pathlib import Path
from veracity.mpc.material import Label, ReplayRegistry
registry = ReplayRegistry(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
won = 0
for number in range(50):
    try:
        registry.use(Label(bytes(32), bytes(16), number, 0, 3, 1), number.to_bytes(32, "little"))
        won += 1
    except Exception:
        pass
print(won)
"""


def test_of_two_processes_one_gets_each_mark(tmp_path: Path) -> None:
    path = tmp_path / "used"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    assert sum(int(child.communicate()[0]) for child in children) == 50
    assert path.stat().st_size == 50 * 64


@pytest.mark.parametrize("left", [1, 31, 32, 40, 63])
def test_half_a_mark_is_cut(left: int, tmp_path: Path) -> None:
    """A process died while it wrote; what was written whole still counts."""
    path = tmp_path / "used"
    registry = ReplayRegistry(path)
    registry.use(label(1), seed(1))
    registry.use(label(2), seed(2))
    path.write_bytes(path.read_bytes()[: 64 + left])
    again = ReplayRegistry(path)
    with pytest.raises(UsageError, match="used before"):
        again.use(label(1), seed(9))
    if left >= 32:  # the label was written, the seed was not
        with pytest.raises(UsageError, match="used before"):
            again.use(label(2), seed(9))
    again.use(label(3), seed(3))
    with pytest.raises(UsageError, match="used before"):
        ReplayRegistry(path).use(label(3), seed(9))


def test_a_mark_is_on_the_disk_before_its_material_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, synced = tmp_path / "used", []
    monkeypatch.setattr(os, "fsync", lambda _number: synced.append(path.stat().st_size))
    ReplayRegistry(path).use(label(1), seed(1))
    assert synced == [64]


def test_a_file_that_was_shortened_or_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "used"
    registry = ReplayRegistry(path)
    registry.use(label(1), seed(1))
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="shortened"):
        registry.use(label(2), seed(2))
    with pytest.raises(UsageError, match="cannot be kept"):
        ReplayRegistry(tmp_path / "no" / "used")

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        ReplayRegistry(tmp_path / "other").use(label(1), seed(1))
