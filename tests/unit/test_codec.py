"""The byte container: exact round trips, bounded reads."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veracity.codec import (
    ByteReader,
    ByteWriter,
    canonical_json,
    encoding,
    parse_json,
)
from veracity.codec.encoding import MAX_DEPTH
from veracity.errors import FormatError


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


def test_every_byte_of_a_header_counts() -> None:
    writer = ByteWriter()
    writer.header(b"VCOM", 1)
    whole = writer.getvalue()
    assert whole == b"\x89VERACITY\nVCOM\1\0\0\0"
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        at = "not a Veracity commitment" if place < 10 else "unknown kind" if place < 14 else "vers"
        with pytest.raises(FormatError, match=at):
            ByteReader(bytes(damaged), "file").header(b"VCOM", 1)


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


def compressed(size: int, packed: bytes) -> ByteReader:
    writer = ByteWriter()
    writer.u32(size)
    writer.blob(packed)
    return ByteReader(writer.getvalue(), "file")


@pytest.mark.parametrize(
    ("size", "packed"),
    [
        (2, zlib.compress(b"abc")),
        (4, zlib.compress(b"abc")),
        (3, zlib.compress(b"abc")[:-1]),
        (3, b"abc"),
        (0, b""),
    ],
    ids=["longer than it says", "shorter than it says", "cut off", "not compressed", "nothing"],
)
def test_compressed_data_are_whole_and_as_long_as_they_say(size: int, packed: bytes) -> None:
    with pytest.raises(FormatError, match="compressed data"):
        compressed(size, packed).deflated("field", 100)


def test_compressed_data_have_limits_before_and_after() -> None:
    with pytest.raises(FormatError, match="101 is over the limit of 100"):
        compressed(101, zlib.compress(bytes(101))).deflated("field", 100)
    stored = zlib.compress(bytes(range(100)), 0) + bytes(1100)
    with pytest.raises(FormatError, match="over the limit of 1124"):
        compressed(100, stored).deflated("field", 100)


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
    ("data", "values"),
    [
        (b"[1,1,1,1,1,1,1]", 7),
        (b"[[],[],[],[]]", 8),
        (b"[{},{},{},1]", 7),
        (b'{"a":1,"b":{"c":[]}}', 4),
        (b'[",,,,,,"]', 7),  # nobody parses them to count them
    ],
)
def test_plain_data_of_too_many_values(
    data: bytes, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty lists of a file of 64 MiB took 2 GB before anything of it was looked at."""
    monkeypatch.setattr(encoding, "MAX_VALUES", values)
    parse_json(data, "json")
    monkeypatch.setattr(encoding, "MAX_VALUES", values - 1)
    with pytest.raises(FormatError, match=r"JSON of more than \d values"):
        parse_json(data, "json")


def test_plain_data_that_are_nested_too_deep() -> None:
    """Whoever shows them walks them, in frames that are few."""
    for left, right in ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")):
        most = MAX_DEPTH // len(right)
        parse_json(left * most + b"1" + right * most, "json")
        with pytest.raises(FormatError, match="nested more than 64 deep"):
            parse_json(left * (most + 1) + b"1" + right * (most + 1), "json")


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
