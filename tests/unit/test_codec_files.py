"""Files: complete or absent, and never over what somebody still needs."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from veracity.codec import (
    ByteWriter,
    atomic_output,
    atomic_outputs,
    check_target,
    output,
    read_file,
    sibling,
    sniff,
    write_file,
)
from veracity.errors import FormatError, UsageError


def test_a_written_file_is_complete_and_has_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "file.vsec"
    write_file(target, b"secret", mode=0o600)
    assert target.read_bytes() == b"secret"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [target]


@pytest.fixture(params=["without a name", "under a temporary name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways of writing a file: the second where the system lacks the first."""
    if request.param != "without a name":
        monkeypatch.setattr(output, "_DESCRIPTORS", Path("/nowhere"))
    return str(request.param)


@pytest.mark.usefixtures("way")
def test_a_file_on_its_way_is_private_from_the_first_moment(tmp_path: Path) -> None:
    with atomic_output(tmp_path / "file.vsec", 0o600) as stream:
        assert stat.S_IMODE(os.fstat(stream.fileno()).st_mode) == 0o600
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in tmp_path.iterdir())
        stream.write(b"x")
    assert stat.S_IMODE((tmp_path / "file.vsec").stat().st_mode) == 0o600


def test_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
    """Where files can be without a name; elsewhere one with a temporary name is left."""
    code = (
        "import os, signal, sys\nfrom veracity.codec import atomic_output\n"
        "with atomic_output(sys.argv[1], 0o600) as stream:\n"
        "    stream.write(b'half')\n    stream.flush()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "file.vsec")], check=False)
    assert done.returncode == -signal.SIGKILL
    left = list(tmp_path.iterdir())
    assert left == [] or all(path.name.endswith(".part") for path in left)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("there", [(), ("a",), ("b",), ("a", "b")])
@pytest.mark.parametrize("fault", [None, "writing", "syncing", "naming"])
def test_two_files_appear_together_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], fault: str | None
) -> None:
    for name in there:
        (tmp_path / name).write_bytes(b"old")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    if fault == "syncing":
        monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("full")))
    if fault == "naming":
        honest = output._Fresh.publish

        def publish(self: output._Fresh, keep: bool) -> None:
            if self.target.name == "b":
                raise OSError("no more names")
            honest(self, keep)

        monkeypatch.setattr(output._Fresh, "publish", publish)
    raised: type[BaseException] = KeyboardInterrupt if fault == "writing" else UsageError
    with (
        pytest.raises(raised) if fault else nullcontext(),
        atomic_outputs((tmp_path / "a", 0o600), (tmp_path / "b", 0o644)) as streams,
    ):
        for stream in streams:
            stream.write(b"new")
        if fault == "writing":
            raise KeyboardInterrupt
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert after == (before if fault else {"a": b"new", "b": b"new"})


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError])
def test_interrupted_writes_leave_the_old_file(tmp_path: Path, fault: type[BaseException]) -> None:
    target = tmp_path / "file.vcom"
    target.write_bytes(b"old")
    with pytest.raises(fault), atomic_output(target) as stream:
        stream.write(b"half")
        raise fault
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_told_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="no space left"):
        write_file(tmp_path / "file.vcom", b"data")
    assert list(tmp_path.iterdir()) == []


def test_missing_folder_and_missing_file_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        write_file(tmp_path / "nowhere" / "file", b"")
    with pytest.raises(UsageError, match="cannot read the proof 'gone'"):
        read_file(tmp_path / "gone", 10, "proof")


def test_oversized_files_are_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(100))
    with pytest.raises(FormatError, match="too large"):
        read_file(path, 10, "proof")


def test_sniff_tells_our_files_from_others(tmp_path: Path) -> None:
    writer = ByteWriter()
    writer.header(b"VPRF", 1)
    (tmp_path / "ours").write_bytes(writer.getvalue())
    (tmp_path / "other").write_bytes(b"GGUF")
    assert sniff(tmp_path / "ours") == b"VPRF"
    assert sniff(tmp_path / "other") is None


# ---- what stands there already -------------------------------------------------------------------
KINDS = {"VCOM": b"VCOM", "VSEC": b"VSEC", "VPRF": b"VPRF", "zip": b"VPRG", "text": None}


def a_file(path: Path, kind: str) -> Path:
    writer = ByteWriter()
    if kind == "zip":
        path.write_bytes(b"PK\3\4" + bytes(26) + b"meta.json{}")
    elif kind == "text":
        path.write_text("Dear diary")
    else:
        writer.header(kind.encode(), 1)
        path.write_bytes(writer.getvalue())
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_are_told_apart(tmp_path: Path, kind: str) -> None:
    assert sniff(a_file(tmp_path / "x", kind)) == KINDS[kind]


@pytest.mark.parametrize("there", KINDS)
@pytest.mark.parametrize("kind", [b"VCOM", b"VSEC", b"VPRF", b"VPRG"])
def test_what_may_be_replaced(tmp_path: Path, there: str, kind: bytes) -> None:
    """Proofs and programs by their like; nothing else, unless it is forced."""
    target = a_file(tmp_path / "x", there)
    allowed = KINDS[there] == kind and kind in (b"VPRF", b"VPRG")
    with nullcontext() if allowed else pytest.raises(UsageError, match="--force"):
        check_target(target, kind)
    check_target(target, kind, force=True)
    check_target(target)  # no kind: only whether it can be written at all


def test_an_empty_file_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    check_target(tmp_path / "x", b"VSEC")


def test_no_input_is_overwritten_under_any_name(tmp_path: Path) -> None:
    target = a_file(tmp_path / "x", "VPRF")
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "hard").hardlink_to(target)
    for name in ("x", "link", "hard", "../" + tmp_path.name + "/x"):
        with pytest.raises(UsageError, match="another name"):
            check_target(tmp_path / name, b"VPRF", reads=[target], force=True)
    with pytest.raises(UsageError, match="another name"):  # two outputs that are not there yet
        check_target(tmp_path / "new", reads=[tmp_path / "." / "new"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.vprog", "model.vcom"),
        ("X-1.1B.vprog", "X-1.1B.vcom"),
        ("X-1.1B", "X-1.1B.vcom"),
        ("v1.0", "v1.0.vcom"),
        (".vprog", ".vprog.vcom"),
        ("MODEL.VPROG", "MODEL.vcom"),
        ("model.vprog.vprog", "model.vprog.vcom"),
    ],
)
def test_names_with_dots_are_kept(name: str, expected: str) -> None:
    assert sibling(Path("folder") / name, ".vcom") == Path("folder") / expected
