"""Every file is exactly as long as it says: a byte more, a byte less, a length out of nowhere."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from tests.fuzz.test_files import (
    ACCURACY,
    DATA,
    DATA_SECRET,
    PROOF,
    SEAL,
    SEAL_KEY,
    TENSORS,
    TRAINED,
    resealed,
)
from tests.unit.test_formats import COMMITMENT, SECRET
from veracity.errors import FormatError
from veracity.formats.data import RowOpening
from veracity.formats.exclusion import ExclusionProof

ROW = RowOpening(bytes(32), 1, (7, 8, 0, 1, 0), bytes(64))
EXCLUSION = ExclusionProof(b"in", (bytes(32), b"d" * 32), (b"one", b"two"))
HONEST: dict[str, Any] = {
    type(one).__name__: one
    for one in (
        PROOF, TENSORS, ACCURACY, SEAL, SEAL_KEY, DATA, DATA_SECRET, TRAINED, COMMITMENT, SECRET,
        ROW, EXCLUSION,
    )
}  # fmt: skip
SEALED = ("SealKey", "DataSecret", "Secret")
#: Bytes beside the file that reading one of these may take, whatever lengths it states.
MOST = 4 << 20


def reader(name: str) -> tuple[bytes, Callable[[bytes], Any]]:
    """The honest file without its checksum, and what reads a body."""
    data, kind = HONEST[name].to_bytes(), type(HONEST[name])
    if name not in SEALED:
        return data, kind.from_bytes
    return data[:-32], lambda body: kind.from_bytes(resealed(body + bytes(32)))


@pytest.mark.parametrize("name", HONEST)
def test_the_honest_file_is_read(name: str) -> None:
    body, read = reader(name)
    assert type(read(body)) is type(HONEST[name])


@pytest.mark.parametrize("name", HONEST)
def test_a_byte_more_is_refused(name: str) -> None:
    body, read = reader(name)
    for more in (b"\0", b"\1", bytes(4), bytes(32)):
        with pytest.raises(FormatError):
            read(body + more)


@pytest.mark.parametrize("name", HONEST)
def test_a_file_that_was_cut_is_refused(name: str) -> None:
    body, read = reader(name)
    step = max(1, len(body) // 60)
    for stop in (*range(0, len(body), step), len(body) - 1):
        with pytest.raises(FormatError):
            read(body[:stop])


@pytest.mark.parametrize("name", HONEST)
def test_no_length_is_trusted(name: str) -> None:
    """Four bytes anywhere, read as a length, at their largest: refused before room is made."""
    body, read = reader(name)
    tracemalloc.start()
    try:
        for at in range(min(len(body), 400) - 4):
            for large in (0xFFFFFFFF, 0x7FFFFFFF, 0x01000000):
                hostile = body[:at] + large.to_bytes(4, "little") + body[at + 4 :]
                try:
                    read(hostile)
                except FormatError:
                    continue
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
