"""Files whose fields say what cannot be: a typed error that names the field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.hostile import Field, sealed, written
from veracity.codec import ByteReader
from veracity.errors import FormatError, UsageError
from veracity.formats.accuracy import AccuracyProof
from veracity.formats.answers import AnswersProof
from veracity.formats.data import DataFile, DataSecret, RowOpening
from veracity.formats.drawing import Drawing, ServerNonce, read_temperature
from veracity.formats.exclusion import ExclusionProof

Fields = tuple[Field, ...]


def accuracy(answers: bytes, cuts: bytes) -> bytes:
    return written([bytes(64)], b"y", b"", answers, cuts, b"proof", kind=b"VACC")


def answers(*fields: int | bytes, count: int = 1, context: bytes = b"") -> bytes:
    return written([bytes(32)], context, count, *fields, kind=b"VANS")


def ids(*tokens: int) -> bytes:
    return b"".join(i.to_bytes(4, "little") for i in tokens)


def data(label: bytes, numbers: Fields, rows: bytes, *links: int | bytes) -> bytes:
    return written(label, *numbers, rows, *links, kind=b"VDAT")


def data_secret(size: int, inputs: bytes, labels: bytes) -> bytes:
    return sealed(written([bytes(64)], size, inputs, labels, kind=b"VDSC"))


def exclusion(*sets: int | bytes | list[bytes]) -> bytes:
    return written(b"input", *sets, kind=b"VEXC")


HONEST = {
    AccuracyProof.from_bytes: accuracy(b"\1\0", b""),
    AnswersProof.from_bytes: answers(0, 1, ids(7, 8), b"[]", b"", b"proof"),
    DataFile.from_bytes: data(b"", (2, 2), bytes(32), 1, b"link"),
    DataSecret.from_bytes: data_secret(2, b"\1\2", b"\0\0"),
    RowOpening.from_bytes: RowOpening(bytes(32), 1, (2, 0, 1), bytes(64)).to_bytes(),
    ExclusionProof.from_bytes: exclusion(1, [bytes(32)], b"proof"),
}
HOSTILE: list[tuple[Callable[[bytes], object], str, bytes]] = [
    (AccuracyProof.from_bytes, "answers", accuracy(b"", b"")),
    (AccuracyProof.from_bytes, "answers", accuracy(b"\1\0\2", b"")),
    (AccuracyProof.from_bytes, "answers", accuracy(b"\1\0", bytes(3))),
    (
        AnswersProof.from_bytes,
        "context",
        answers(0, 1, ids(7, 8), b"[]", b"", b"x", context=b"\xff"),
    ),
    (AnswersProof.from_bytes, "answers", answers(b"", b"proof", count=0)),
    (AnswersProof.from_bytes, "answers: 33 is over", answers(b"", b"proof", count=33)),
    (
        AnswersProof.from_bytes,
        "prompt length: 1048577 is over",
        answers(0, (1 << 20) + 1, ids(7, 8), b"[]", b"", b"x"),
    ),
    (AnswersProof.from_bytes, "frame", answers(3, 1, ids(7, 8), b"[]", b"", b"x")),
    (AnswersProof.from_bytes, "prompt length", answers(0, 0, ids(7, 8), b"[]", b"", b"x")),
    (AnswersProof.from_bytes, "prompt length", answers(0, 2, ids(7, 8), b"[]", b"", b"x")),
    (AnswersProof.from_bytes, "tokens", answers(0, 1, ids(7, 8)[1:], b"[]", b"", b"x")),
    (AnswersProof.from_bytes, "messages", answers(2, 1, ids(7, 8), b"[]", b"", b"x")),
    (
        AnswersProof.from_bytes,
        "messages",
        answers(0, 1, ids(7, 8), b'[{"content":"x","role":"user"}]', b"", b"x"),
    ),
    (AnswersProof.from_bytes, "messages", answers(0, 1, ids(7, 8), b"{}", b"", b"x")),
    (AnswersProof.from_bytes, "cuts", answers(0, 1, ids(7, 8), b"[]", b"\0", b"x")),
    (DataFile.from_bytes, "label", data(b"\xff", (2, 2), bytes(32), 0)),
    (DataFile.from_bytes, "whole number of rows", data(b"", (2, 2), bytes(33), 0)),
    (DataFile.from_bytes, "whole number of rows", data(b"", (2, 2), b"", 0)),
    (DataFile.from_bytes, "dims", data(b"", (0, 2), bytes(32), 0)),
    (DataFile.from_bytes, "dims", data(b"", (2, 1), bytes(32), 0)),
    (DataFile.from_bytes, "dims", data(b"", ((1 << 15) + 1, 2), bytes(32), 0)),
    (DataFile.from_bytes, "dims", data(b"", (2, (1 << 15) + 1), bytes(32), 0)),
    (DataFile.from_bytes, "links", data(b"", (2, 2), bytes(32), 4097, *[b""] * 4097)),
    (DataSecret.from_bytes, "examples", data_secret(0, b"", b"")),
    (DataSecret.from_bytes, "examples", data_secret(2, b"\1\2", b"\0\0\0\0")),
    (DataSecret.from_bytes, "inputs", data_secret(65537, bytes(65537), b"\0\0")),
    (ExclusionProof.from_bytes, "data sets", exclusion(0)),
    (ExclusionProof.from_bytes, "data sets", exclusion(2, *([bytes(32)], b"proof") * 2)),
    (
        ExclusionProof.from_bytes,
        "data sets",
        exclusion(4097, *(f for i in range(4097) for f in ([i.to_bytes(32, "big")], b""))),
    ),
]  # fmt: skip


@pytest.mark.parametrize("read", HONEST)
def test_such_files_are_read(read: Callable[[bytes], object]) -> None:
    assert read(HONEST[read])


@pytest.mark.parametrize("read", [r for r in HONEST if r != DataSecret.from_bytes])
def test_nothing_may_follow(read: Callable[[bytes], object]) -> None:
    with pytest.raises(FormatError, match="1 bytes too many"):
        read(HONEST[read] + b"\0")
    with pytest.raises(FormatError, match="1 bytes too many"):
        DataSecret.from_bytes(sealed(HONEST[DataSecret.from_bytes][:-32] + b"\0"))


@pytest.mark.parametrize(("read", "field", "content"), HOSTILE)
def test_fields_that_cannot_be(read: Callable[[bytes], object], field: str, content: bytes) -> None:
    with pytest.raises(FormatError, match=field):
        read(content)


def drawing(*fields: int | bytes) -> Drawing | None:
    return Drawing.read(ByteReader(written(*fields), "proof"))


def test_answers_that_are_not_drawn_have_no_nonces() -> None:
    assert drawing(0, b"", b"") is None
    assert drawing(4000, b"user", b"server") == Drawing(4000, b"user", b"server")
    for user, server in ((b"u", b""), (b"", b"s")):
        with pytest.raises(FormatError, match="not drawn"):
            drawing(0, user, server)
    with pytest.raises(FormatError, match="4001 is over the limit"):
        drawing(4001, b"", b"")
    with pytest.raises(FormatError, match="nonce"):
        drawing(1, bytes(65), b"")


def test_a_servers_nonce_has_32_bytes() -> None:
    assert ServerNonce.load(written(bytes(32), kind=b"VNCE")).nonce == bytes(32)
    for size in (0, 31):
        with pytest.raises(FormatError, match="does not have 32 bytes"):
            ServerNonce.load(written(bytes(size), kind=b"VNCE"))


@pytest.mark.parametrize(
    "given",
    ["0", "0.0005", "1.0005", "0.9999", "4.001", "-1", "nan", "inf", "1e-9", "much", ""],
)
def test_temperatures_that_are_no_thousandths(given: str) -> None:
    assert [read_temperature(t) for t in ("0.001", 0.7, "4")] == [1, 700, 4000]
    with pytest.raises(UsageError, match=r"temperature .*: give one from"):
        read_temperature(given)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_data_secret_is_its_owners_alone(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "toys.vdsec"
    path.write_bytes(HONEST[DataSecret.from_bytes])
    path.chmod(0o600)
    assert DataSecret.load(path).labels.tolist() == [0]
    path.chmod(mode)
    with pytest.raises(UsageError, match="others than you can read the secret"):
        DataSecret.load(path)
