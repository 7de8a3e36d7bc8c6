"""Arrays, examples and pictures that say what cannot be: the error names the one thing wrong."""

from __future__ import annotations

import io
import zipfile
import zlib

import numpy as np
import pytest

from tests.unit.test_images import GOOD, PLAIN, chunk, file, header, packed
from veracity.errors import FormatError
from veracity.formats.examples import read_examples
from veracity.formats.npy import array_bytes, read_array
from veracity.formats.png import SIGNATURE, read_png

ARRAY = array_bytes(np.arange(3, dtype="<i2"))


def array(text: str, body: bytes = bytes(6), version: int = 1, size: int | None = None) -> bytes:
    """A ``.npy`` file with this header."""
    stated = (len(text) if size is None else size).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + stated + text.encode() + body


def head(shape: str = "(3,)", spaces: int = 0) -> str:
    tail = " " * spaces + "\n"
    return f"{{'descr': '<i2', 'fortran_order': False, 'shape': {shape}, }}{tail}"


@pytest.mark.parametrize("version", [1, 2])
def test_such_arrays_are_read(version: int) -> None:
    assert read_array(array(head(spaces=2000), version=version), "x").tolist() == [0, 0, 0]
    assert read_array(array(head("(1, 3)"), version=version), "x").shape == (1, 3)


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("not a .npy file", ARRAY[:11]),
        ("not a .npy file", b"\x92" + ARRAY[1:]),
        ("not a .npy file", array(head(), version=3)),
        ("not a .npy file", array(head(), version=0)),
        ("header is too long", array(head(spaces=1 << 12))),
        ("header is too long", array(head(), size=300)),
        ("only C order", array(head().replace("False", "True"))),
        ("only C order", array(head().replace("<i2", "<c8"))),
        ("only C order", array(head().replace("<i2", ">i2"))),
        ("needs a comma", array(head("(3)"))),
        ("another length", array(head("(3,)"), bytes(5))),
        ("another length", array(head("(3,)"), bytes(7))),
        ("another length", array(head("(0,)"), b"")),
        ("another length", array(head("(1, 1, 1, 1, 1, 1, 1, 1, 3)"))),
        ("truth value", array(head().replace("<i2", "|b1"), b"\0\1\2")),
        ("not finite", array(head().replace("<i2", "<f2"), bytes(4) + b"\0\x7c")),
    ],
)
def test_arrays_that_are_refused(words: str, data: bytes) -> None:
    with pytest.raises(FormatError, match=words):
        read_array(data, "x")


Y = ("y.npy", array_bytes(np.array([0, 1, 2])))
X = ("x.npy", array_bytes(np.zeros((3, 2))))


def archive(
    *members: tuple[str, bytes], size: int | None = None, kind: int = zipfile.ZIP_STORED
) -> bytes:
    """An ``.npz`` file; its directory may state another size of the last member."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in members:
            made.writestr(zipfile.ZipInfo(name), content, kind)
        if size is not None:
            made.filelist[-1].file_size = size
    return out.getvalue()


def lzma_archive() -> bytes:
    """Examples under LZMA with a dictionary of 4 GiB, which a reader would have to hold."""
    data = bytearray(archive(X, Y, kind=zipfile.ZIP_LZMA))
    at = 30 + len(X[0]) + 4  # behind the head of the first member, and that of its filter
    data[at + 1 : at + 5] = b"\xff" * 4
    return bytes(data)


def test_such_examples_are_read() -> None:
    assert read_examples(archive(Y, X, kind=zipfile.ZIP_DEFLATED), "x").count == 3
    many = [(f"x{i}.npy", X[1]) for i in range(63)]
    assert read_examples(archive(Y, *many), "x").labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("1 to 64 arrays", archive()),
        ("1 to 64 arrays", archive(Y, *[(f"x{i}.npy", X[1]) for i in range(64)])),
        ("1024 MiB of arrays", archive(Y, X, size=1 << 30)),
        ("name of its own", archive(Y, ("x\n.npy", X[1]))),
        ("name of its own", archive(Y, ("x", X[1]))),
        ("name of its own", archive(Y, X, ("x.npz", X[1]))),
        ("another length than stated", archive(Y, X, size=len(X[1]) + 1)),
        ("neither stored nor deflated", archive(Y, X, kind=zipfile.ZIP_BZIP2)),
        ("neither stored nor deflated", lzma_archive()),
        ("labels are the array", archive(Y)),
        ("labels are the array", archive(X)),
        ("labels are the array", archive(Y, X, ("labels.npy", Y[1]))),
        ("along one axis", archive(("y.npy", array_bytes(np.zeros((3, 1), "<i8"))), X)),
        ("along one axis", archive(("y.npy", array_bytes(np.zeros(3))), X)),
        ("a label is not within", archive(("y.npy", array_bytes(np.array([0, 1, -1]))), X)),
        ("a label is not within", archive(("y.npy", array_bytes(np.array([0, 1, 1 << 16]))), X)),
        ("as many examples", archive(Y, ("x.npy", array_bytes(np.zeros((4, 2)))))),
        ("as many examples", archive(Y, ("x.npy", array_bytes(np.array(1.0))))),
        ("not an .npz file", b"PK"),
    ],
)
def test_examples_that_are_refused(words: str, data: bytes) -> None:
    with pytest.raises(FormatError, match=words):
        read_examples(data, "x")


def picture(width: int = 3, height: int = 2, pixels: bytes = PLAIN, **rest: int) -> bytes:
    return file((b"IHDR", header(width, height, **rest)), (b"IDAT", pixels), GOOD[2])


WIDE = packed(b"\0" + bytes((1 << 14) + 1))
TALL = packed(bytes(2 * ((1 << 14) + 1)))


def damaged(at: int) -> bytes:
    whole = bytearray(file(*GOOD))
    whole[at] ^= 1
    return bytes(whole)


def test_the_largest_sides_are_read() -> None:
    wide, tall = packed(b"\0" + bytes(1 << 14)), packed(bytes(2 << 14))
    assert read_png(picture(1 << 14, 1, wide, colour=0), "x").shape == (1, 1 << 14, 1)
    assert read_png(picture(1, 1 << 14, tall, colour=0), "x").shape == (1 << 14, 1, 1)


@pytest.mark.parametrize(
    ("words", "data"),
    [
        ("not a PNG file", b"\x88" + file(*GOOD)[1:]),
        ("16384 rows and columns", picture(width=0, pixels=packed(bytes(2)))),
        ("16384 rows and columns", picture(height=0, pixels=packed(b""))),
        ("16384 rows and columns", picture((1 << 14) + 1, 1, WIDE, colour=0)),
        ("16384 rows and columns", picture(1, (1 << 14) + 1, TALL, colour=0)),
        ("too many pixels", picture(8193, 8192, colour=0)),
        ("unknown method", picture(method=1)),
        ("unknown method", picture(filtering=1)),
        ("more or fewer pixels", picture(pixels=packed(bytes(19)))),
        ("more or fewer pixels", picture(pixels=packed(bytes(21)))),
        ("more or fewer pixels", picture(pixels=packed(bytes(99999)))),
        ("more or fewer pixels", picture(pixels=PLAIN + b"x")),
        ("more or fewer pixels", picture(pixels=PLAIN[:-1])),
        ("unknown filter", picture(pixels=packed(b"\5" + bytes(19)))),
        ("truncated, or has too many", file(*GOOD[:2])),
        ("truncated, or has too many", file(*GOOD)[:-1]),
        ("truncated, or has too many", file(GOOD[0], *[(b"tEXt", b"")] * (1 << 16), *GOOD[1:])),
        ("the file is truncated$", SIGNATURE + b"\0\0\1\0" + chunk(*GOOD[0])[4:] + bytes(99)),
        ("checksum is wrong", damaged(18)),
        ("checksum is wrong", damaged(len(file(*GOOD)) - 1)),
        ("one stretch", file(GOOD[0], GOOD[1], (b"tEXt", b""), *GOOD[1:])),
        ("header is not first", file(*GOOD[1:])),
        ("header is not first", file((b"tEXt", b""), *GOOD)),
        ("header is not first", file((b"IHDR", header() + b"\0"), *GOOD[1:])),
        ("end is not empty", file(*GOOD[:2], (b"IEND", b"x"))),
        ("something follows", file(*GOOD, tail=b"x")),
        ("damaged", picture(pixels=zlib.compress(bytes(20))[:-1] + b"x")),
    ],
)  # fmt: skip
def test_pictures_that_are_refused(words: str, data: bytes) -> None:
    with pytest.raises(FormatError, match=words):
        read_png(data, "x")
