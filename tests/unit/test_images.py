"""Pictures: what is read as what, and what is refused."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest

from veracity.errors import FormatError
from veracity.formats.images import (
    image_bytes,
    load_image,
    pixels_digest,
    read_image,
    save_image,
)
from veracity.formats.png import SIGNATURE, read_png

RNG = np.random.default_rng(0)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def header(width=3, height=2, bits=8, colour=2, method=0, filtering=0, interlace=0) -> bytes:
    return struct.pack(">IIBBBBB", width, height, bits, colour, method, filtering, interlace)


def file(*chunks: tuple[bytes, bytes], tail: bytes = b"") -> bytes:
    return SIGNATURE + b"".join(chunk(*c) for c in chunks) + tail


def packed(rows: bytes) -> bytes:
    return zlib.compress(rows)


PLAIN = packed((b"\0" + bytes(range(9))) + (b"\0" + bytes(range(9, 18))))


def filtered(pixels: np.ndarray, kinds: np.ndarray) -> bytes:
    """The rows of a PNG under these filters, number by number as the standard says."""
    height, width, channels = pixels.shape
    out = bytearray()
    for r in range(height):
        out.append(kinds[r])
        for c in range(width):
            for k in range(channels):
                a = int(pixels[r, c - 1, k]) if c else 0
                b = int(pixels[r - 1, c, k]) if r else 0
                d = int(pixels[r - 1, c - 1, k]) if r and c else 0
                p = a + b - d
                near = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - d), 2, d))[2]
                guess = (0, a, b, (a + b) // 2, near)[kinds[r]]
                out.append((int(pixels[r, c, k]) - guess) % 256)
    return bytes(out)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 5, 3), (5, 9, 1), (1, 8, 3), (8, 1, 3)])
def test_every_filter_is_undone(shape: tuple[int, int, int]) -> None:
    for trial in range(8):
        pixels = RNG.integers(0, 256, shape, dtype=np.uint8)
        kinds = (
            RNG.integers(0, 3 if trial > 6 else 5, shape[0])
            if trial > 4
            else np.full(shape[0], trial)
        )
        data = file(
            (b"IHDR", header(shape[1], shape[0], colour=2 if shape[2] == 3 else 0)),
            (b"IDAT", packed(filtered(pixels, kinds))),
            (b"IEND", b""),
        )
        assert np.array_equal(read_png(data, "x"), pixels)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_read_back(tmp_path: Path, channels: int) -> None:
    pixels = RNG.integers(0, 256, (6, 4, channels), dtype=np.uint8)
    save_image(tmp_path / "a.png", pixels)
    assert np.array_equal(load_image(tmp_path / "a.png"), pixels)
    letter = b"6" if channels == 3 else b"5"
    net = b"P" + letter + b"\n4 6\n255\n" + pixels.tobytes()
    assert np.array_equal(read_image(net, "x"), pixels)
    assert pixels_digest(pixels) == pixels_digest(read_image(image_bytes(pixels), "x"))
    other = pixels.copy()
    other[0, 0, 0] ^= 1
    digests = {pixels_digest(x) for x in (pixels, other, pixels.reshape(4, 6, channels))}
    assert len(digests) == 3


def test_one_stream_in_several_parts_and_harmless_parts() -> None:
    exif = b"MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\1\0\0\0\0\0\0"
    data = file(
        (b"IHDR", header()), (b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45455)),
        (b"pHYs", struct.pack(">IIB", 72, 72, 1)), (b"eXIf", exif), (b"caBX", b"manifest"),
        (b"IDAT", PLAIN[:5]), (b"IDAT", b""), (b"IDAT", PLAIN[5:]), (b"tEXt", b"a\0b"),
        (b"IEND", b""),
    )  # fmt: skip
    assert read_png(data, "x").reshape(-1).tolist() == list(range(18))


def turned(value: int) -> bytes:
    return b"II*\0\x08\0\0\0\1\0\x12\x01\3\0\1\0\0\0" + bytes([value, 0, 0, 0]) + bytes(4)


GOOD = [(b"IHDR", header()), (b"IDAT", PLAIN), (b"IEND", b"")]
BAD = {
    "palette": file((b"IHDR", header(colour=3)), *GOOD[1:]),
    "a palette beside colours": file(GOOD[0], (b"PLTE", bytes(3)), *GOOD[1:]),
    "transparency": file((b"IHDR", header(colour=6)), *GOOD[1:]),
    "a transparent colour": file(GOOD[0], (b"tRNS", bytes(6)), *GOOD[1:]),
    "16 bits": file((b"IHDR", header(bits=16)), *GOOD[1:]),
    "4 bits": file((b"IHDR", header(bits=4, colour=0)), *GOOD[1:]),
    "interlaced": file((b"IHDR", header(interlace=1)), *GOOD[1:]),
    "an unknown colour type": file((b"IHDR", header(colour=7)), *GOOD[1:]),
    "an unknown method": file((b"IHDR", header(method=1)), *GOOD[1:]),
    "an unknown filtering": file((b"IHDR", header(filtering=1)), *GOOD[1:]),
    "an animation": file(GOOD[0], (b"acTL", bytes(8)), *GOOD[1:]),
    "a frame": file(GOOD[0], GOOD[1], (b"fdAT", bytes(8)), GOOD[2]),
    "a profile": file(GOOD[0], (b"iCCP", b"x\0\0"), *GOOD[1:]),
    "a wide gamut": file(GOOD[0], (b"cICP", bytes(4)), *GOOD[1:]),
    "another exponent": file(GOOD[0], (b"gAMA", struct.pack(">I", 100000)), *GOOD[1:]),
    "other primaries": file(GOOD[0], (b"cHRM", bytes(32)), *GOOD[1:]),
    "flat pixels": file(GOOD[0], (b"pHYs", struct.pack(">IIB", 1, 2, 0)), *GOOD[1:]),
    "a turned picture": file(GOOD[0], (b"eXIf", turned(6)), *GOOD[1:]),
    "Exif data cut": file(GOOD[0], (b"eXIf", turned(1)[:14]), *GOOD[1:]),
    "an unknown part": file(GOOD[0], (b"abCd", b""), *GOOD[1:]),
    "an unknown critical part": file(GOOD[0], (b"ABCD", b""), *GOOD[1:]),
    "no header": file(*GOOD[1:]),
    "two headers": file(GOOD[0], *GOOD),
    "a late header": file((b"tEXt", b""), *GOOD),
    "a short header": file((b"IHDR", header()[:-1]), *GOOD[1:]),
    "pixels apart": file(GOOD[0], (b"IDAT", PLAIN[:4]), (b"tEXt", b""), (b"IDAT", PLAIN[4:]),
                         GOOD[2]),
    "no pixels": file(GOOD[0], GOOD[2]),
    "no end": file(*GOOD[:2]),
    "an end with content": file(*GOOD[:2], (b"IEND", b"x")),
    "something after the end": file(*GOOD, tail=b"x"),
    "a part after the end": file(*GOOD, (b"tEXt", b"")),
    "bytes after the stream": file(GOOD[0], (b"IDAT", PLAIN + b"x"), GOOD[2]),
    "an extra part of pixels": file(*GOOD[:2], (b"IDAT", PLAIN), GOOD[2]),
    "a stream cut": file(GOOD[0], (b"IDAT", PLAIN[:-1]), GOOD[2]),
    "a stream damaged": file(GOOD[0], (b"IDAT", PLAIN[:-1] + b"x"), GOOD[2]),
    "too few pixels": file(GOOD[0], (b"IDAT", packed(bytes(19))), GOOD[2]),
    "too many pixels": file(GOOD[0], (b"IDAT", packed(bytes(21))), GOOD[2]),
    "an unknown filter": file(GOOD[0], (b"IDAT", packed(b"\5" + bytes(19))), GOOD[2]),
    "zero size": file((b"IHDR", header(width=0)), *GOOD[1:]),
    "too wide": file((b"IHDR", header(width=1 << 20)), *GOOD[1:]),
    "a bomb": file((b"IHDR", header(1 << 14, 1 << 14)), *GOOD[1:]),
    "a wrong checksum": file(*GOOD)[:40] + b"x" + file(*GOOD)[41:],
    "a length beyond the file": SIGNATURE + b"\xff\xff\xff\xffIHDR" + header() + bytes(4),
    "nothing": b"",
    "a signature alone": SIGNATURE,
    "a JPEG": b"\xff\xd8\xff\xe0" + bytes(40),
    "a PPM of text": b"P3\n1 1\n255\n0 0 0\n",
    "a PPM of 16 bits": b"P6\n1 1\n65535\n" + bytes(6),
    "a PPM cut": b"P6\n2 2\n255\n" + bytes(11),
    "a PPM and more": b"P6\n2 2\n255\n" + bytes(13),
    "a PPM without size": b"P6\n0 2\n255\n",
    "a PPM with a comment": b"P6\n# hi\n1 1\n255\n" + bytes(3),
    "a PPM too large": b"P6\n16384 16384\n255\n",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_pictures_that_are_refused(name: str) -> None:
    with pytest.raises(FormatError) as caught:
        read_image(BAD[name], "a.png")
    assert caught.value.where == "a.png"


def test_the_files_beside_them_are_fine() -> None:
    """Else the test above would show nothing."""
    assert read_image(file(*GOOD), "x").shape == (2, 3, 3)
    assert read_image(b"P6\n2 2\n255\n" + bytes(12), "x").shape == (2, 2, 3)
    read_image(file(GOOD[0], (b"eXIf", turned(1)), *GOOD[1:]), "x")


def test_a_bomb_costs_nothing() -> None:
    """A stream that would inflate to a gigabyte is left once the picture is full."""
    bomb = zlib.compress(bytes(1 << 28), 9)
    data = file((b"IHDR", header(64, 64)), (b"IDAT", bomb), (b"IEND", b""))
    tracemalloc.start()
    try:
        with pytest.raises(FormatError, match="more or fewer"):
            read_image(data, "x")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1 << 21
