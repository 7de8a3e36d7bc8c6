"""Pictures in files: PNG, and the binary PPM and PGM of 8 bits; what a proof calls their pixels.

A statement about a picture is one about its pixels: two files with the same pixels are one picture,
whatever they were packed with.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veracity.codec import read_file, write_file
from veracity.codec.files import Source, name_of
from veracity.errors import FormatError
from veracity.formats.png import MAX_ENTRIES, MAX_SIDE, SIGNATURE, png_bytes, read_png

__all__ = [
    "IMAGE_SUFFIXES",
    "image_bytes",
    "is_image",
    "load_image",
    "pixels_digest",
    "read_image",
    "save_image",
]

Pixels = NDArray[np.uint8]
#: Endings of the files that are read.
IMAGE_SUFFIXES = (".png", ".ppm", ".pgm")
#: Most bytes of a file: its pixels as they are, and what is around them.
MAX_BYTES = MAX_ENTRIES + (1 << 24)
_NETPBM = re.compile(rb"P([56])\s{1,8}(\d{1,5})\s{1,8}(\d{1,5})\s{1,8}255\s")


def is_image(path: str | Path) -> bool:
    """Whether a file's name is that of a picture that is read."""
    return str(path).lower().endswith(IMAGE_SUFFIXES)


def read_image(data: bytes, where: str) -> Pixels:
    """The pixels of a picture, (height, width, 1 for grey or 3 for red, green, blue).

    Raises
    ------
    FormatError
        Anything but 8 bits of grey or colour, or a file that is not exactly one picture.
    """
    if data[: len(SIGNATURE)] == SIGNATURE:
        return read_png(data, where)
    found = _NETPBM.match(data[:64])
    if found is None:
        raise FormatError(where, "neither a PNG file nor a binary PPM or PGM of 8 bits")
    channels, width, height = (1 if found[1] == b"5" else 3), int(found[2]), int(found[3])
    size = height * width * channels
    small = 1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE and size <= MAX_ENTRIES
    if not small or len(data) != found.end() + size:
        raise FormatError(where, "the file has another length than its size, or none")
    flat = np.frombuffer(data, dtype=np.uint8, offset=found.end())
    return flat.reshape(height, width, channels).copy()


def load_image(source: Source) -> Pixels:
    """Read a picture; raises FormatError or UsageError."""
    return read_image(read_file(source, MAX_BYTES, "picture"), name_of(source, "picture"))


def image_bytes(pixels: Pixels) -> bytes:
    """A PNG file of pixels, (height, width, 1 or 3); nothing but them is in it."""
    return png_bytes(pixels)


def save_image(path: str | Path, pixels: Pixels) -> None:
    """Write a PNG file, complete or not at all."""
    write_file(path, image_bytes(pixels))


def pixels_digest(pixels: Pixels) -> str:
    """SHA-256 of what a picture shows: height, width, channels, and bytes row by row; hex."""
    sizes = b"".join(n.to_bytes(4, "little") for n in pixels.shape)
    body = np.ascontiguousarray(pixels, dtype=np.uint8).tobytes()
    return hashlib.sha256(b"veracity pixels v1\0" + sizes + body).hexdigest()
