"""Where a file may be written, and what may be read: each refusal on its own."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.support.hostile import written
from veracity.codec import check_target, make_folder, sibling, write_file
from veracity.codec.files import name_of, read_file, require_private
from veracity.errors import FormatError, UsageError


@pytest.fixture
def read_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders are read-only; whoever runs the tests may be allowed everything."""
    allowed = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: mode != os.W_OK and allowed(p, mode))


@pytest.mark.usefixtures("read_only")
def test_folders_that_are_read_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is read-only; choose another"):
        make_folder(tmp_path)
    with pytest.raises(UsageError, match=r"the folder .* is read-only"):
        check_target(tmp_path / "x")
    with pytest.raises(UsageError, match=r"the folder .* is read-only"):
        write_file(tmp_path / "x", b"content")
    assert not list(tmp_path.iterdir())


def test_folders_that_are_none(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot make the folder 'file'"):
        make_folder(tmp_path / "file")
    with pytest.raises(UsageError, match="no folder can be called"):
        make_folder(tmp_path / "a\0b")
    for folder in ("gone", "file"):
        with pytest.raises(UsageError, match="there is no folder"):
            check_target(tmp_path / folder / "x")


def test_targets_that_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("folder", "pipe"):
        with pytest.raises(UsageError, match="it exists and is not an ordinary file"):
            check_target(tmp_path / name)
        with pytest.raises(UsageError, match="it exists and is not an ordinary file"):
            write_file(tmp_path / name, b"")


@pytest.mark.parametrize("name", ["a\0b", "half \ud800"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="no file can have that name"):
        check_target(tmp_path / name)
    with pytest.raises(UsageError, match="no file can have that name"):
        write_file(tmp_path / name, b"")


def test_links_that_end_nowhere(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for name in (circle, tmp_path / "x"):
        with pytest.raises(UsageError, match=r"cannot write 'x'|cannot write 'circle'"):
            check_target(name, reads=[circle, tmp_path / "x"])


def test_a_folder_has_no_sibling() -> None:
    assert sibling(Path("x-1.1B"), ".vcom") == Path("x-1.1B.vcom")
    for name in ("", ".", "/"):
        with pytest.raises(UsageError, match="is no file; name one"):
            sibling(Path(name), ".vcom")


PRECIOUS = {
    b"VSEC": "it opens an earlier commitment",
    b"VCOM": "it may be published already",
    b"VDAT": "it may be published already",
    b"VNCE": "its digest may be told already",
    b"VDSC": "it opens an earlier data set",
}


@pytest.mark.parametrize("kind", PRECIOUS)
def test_what_cannot_be_made_again(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(written(kind=kind))
    for over in (kind, b"VPRF"):
        with pytest.raises(UsageError, match=f"{PRECIOUS[kind]}.*--force to replace it"):
            check_target(path, over)
    check_target(path, kind, force=True)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"Dear diary", "not a file of veracity"),
        (written(kind=b"VROW"), "an opened row"),
        (written(kind=b"VNEW"), "a file of another version"),
    ],
)
def test_files_of_another_kind(tmp_path: Path, content: bytes, match: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=f"exists and is {match}; choose another name"):
        check_target(path, b"VPRF")


@pytest.mark.parametrize("source", [7, None, object(), [b"x"], type("Odd", (), {"read": 7})()])
def test_what_nothing_can_be_read_from(source: object) -> None:
    for read in (lambda: name_of(source, "proof"), lambda: read_file(source, 9, "proof")):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="a proof is read from a path, bytes or an open file"):
            read()


def test_files_that_are_open_as_text(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("text")
    with (tmp_path / "x").open() as stream, pytest.raises(UsageError, match="in binary mode"):
        read_file(stream, 9, "proof")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="in binary mode"):
        read_file(io.StringIO("text"), 9, "proof")  # type: ignore[arg-type]


def test_files_have_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(10))
    for source in (path, str(path), bytes(10), bytearray(10), memoryview(bytes(10))):
        assert read_file(source, 10, "proof") == bytes(10)
        with pytest.raises(FormatError, match=r"too large for a proof \(over 9 bytes\)"):
            read_file(source, 9, "proof")
    with pytest.raises(FormatError, match=r"too large for a proof \(over 9 bytes\)"):
        read_file(io.BytesIO(bytes(10)), 9, "proof")


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o610, 0o604, 0o602, 0o601])
def test_a_secret_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "x"
    path.touch(0o600)
    require_private(path, "make it again")
    require_private(b"content", "make it again")
    path.chmod(mode)
    with pytest.raises(UsageError, match=r"others than you can read the secret 'x'.*make it again"):
        require_private(path, "make it again")
