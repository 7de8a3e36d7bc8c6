"""The byte container: exact round trips, bounded reads, all-or-nothing writes."""

from __future__ import annotations

import errno
import os
import stat
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veracity.codec import (
    ByteReader,
    ByteWriter,
    atomic_output,
    canonical_json,
    parse_json,
    read_file,
    sniff,
    write_file,
)
from veracity.errors import FormatError, UsageError


def test_fields_come_back_in_order() -> None:
    writer = ByteWriter()
    writer.header(b"VCOM", 3)
    writer.u32(7)
    writer.blob(b"abc")
    writer.deflated(b"x" * 1000)
    reader = ByteReader(writer.getvalue(), "file")
    reader.header(b"VCOM", 3)
    assert reader.u32("n") == 7
    assert reader.blob("b", 3) == b"abc"
    assert reader.deflated("d", 1000) == b"x" * 1000
    reader.finish()


@pytest.mark.parametrize(
    ("kind", "version", "message"),
    [(b"VSEC", 1, "this is a commitment file"), (b"VCOM", 2, "format version 1")],
)
def test_foreign_headers_say_what_they_are(kind: bytes, version: int, message: str) -> None:
    writer = ByteWriter()
    writer.header(b"VCOM", 1)
    with pytest.raises(FormatError, match=message):
        ByteReader(writer.getvalue(), "file").header(kind, version)


def test_trailing_bytes_are_rejected() -> None:
    with pytest.raises(FormatError, match="1 bytes too many"):
        ByteReader(b"x", "file").finish()


def test_length_over_the_limit_is_rejected_before_reading() -> None:
    with pytest.raises(FormatError, match="over the limit"):
        ByteReader((2**31).to_bytes(4, "little"), "file").blob("blob", 10)


def test_a_bomb_never_inflates_past_its_stated_length() -> None:
    writer = ByteWriter()
    writer.u32(10)
    writer.blob(zlib.compress(bytes(10_000_000), 9))
    with pytest.raises(FormatError, match="stated length"):
        ByteReader(writer.getvalue(), "file").deflated("field", 1 << 20)


def test_bytes_behind_compressed_data_are_rejected() -> None:
    writer = ByteWriter()
    writer.u32(3)
    writer.blob(zlib.compress(b"abc") + b"!")
    with pytest.raises(FormatError):
        ByteReader(writer.getvalue(), "file").deflated("field", 100)


@given(st.binary(max_size=200))
def test_garbage_gives_typed_errors_only(data: bytes) -> None:
    reader = ByteReader(data, "file")
    try:
        reader.header(b"VCOM", 1)
        reader.deflated("field", 1000)
        reader.finish()
    except FormatError:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_round_trip(value: object) -> None:
    try:
        data = canonical_json(value)
    except UnicodeEncodeError:  # lone surrogates have no encoding
        return
    assert parse_json(data, "json") == value


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b"NaN",
        b"[" * 100_000,
        b"\xff",
        b"",
        b"1.0e0",
    ],
)
def test_only_canonical_json_parses(data: bytes) -> None:
    with pytest.raises(FormatError):
        parse_json(data, "json")


def test_a_written_file_is_complete_and_has_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "file.vsec"
    write_file(target, b"secret", mode=0o600)
    assert target.read_bytes() == b"secret"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [target]


def test_the_temporary_file_is_private_from_the_first_moment(tmp_path: Path) -> None:
    with atomic_output(tmp_path / "file.vsec", 0o600) as stream:
        modes = [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()]
        stream.write(b"x")
    assert modes == [0o600]


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
