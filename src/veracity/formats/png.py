"""PNG pictures of 8 bits: a reader that trusts nothing, and its writer.

A proof is about pixels, so nothing is read that would make a viewer show others than those decoded
here: no palette, transparency, 16 bits, interlace, animation, colour profile or turned picture. One
zlib stream that ends with the last row, chunks in order, every checksum right, nothing after the
end. Texts, times, resolutions and manifests of origin change no pixel and are passed over.

Format: PNG (Portable Network Graphics) Specification, third edition, W3C.
"""

from __future__ import annotations

import struct
import zlib
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from veracity.errors import FormatError

__all__ = ["MAX_ENTRIES", "MAX_SIDE", "SIGNATURE", "png_bytes", "read_png"]

Pixels = NDArray[np.uint8]
SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Most rows or columns; most numbers of a picture; most chunks of a file.
MAX_SIDE, MAX_ENTRIES, MAX_CHUNKS = 1 << 14, 1 << 26, 1 << 16
#: Channels by colour type; others are a palette (3) and transparency (4, 6).
_CHANNELS = {0: 1, 2: 3}
_COLOURS = {3: "a palette", 4: "transparency", 6: "transparency"}
#: Ancillary chunks that change no pixel on any screen.
_HARMLESS = frozenset(
    (b"sRGB", b"tIME", b"tEXt", b"zTXt", b"iTXt", b"caBX", b"bKGD", b"sBIT", b"hIST")
)
#: The primaries and the exponent of sRGB, as chunks may state them.
_GAMMA = struct.pack(">I", 45455)
_PRIMARIES = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_REMEDY = "save it as plain 8-bit grey or RGB first (another program's `convert to sRGB, 8 bits`)"


def read_png(data: bytes, where: str) -> Pixels:
    """The pixels in the bytes of a PNG file, (height, width, 1 or 3).

    Raises
    ------
    FormatError
        They are anything else, or a viewer might show other pixels.
    """
    header, packed = _chunks(data, where)
    width, height, bits, colour, method, filtering, interlace = struct.unpack(">IIBBBBB", header)
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise FormatError(where, f"a picture has 1 to {MAX_SIDE} rows and columns")
    if colour not in _CHANNELS:
        _refuse(where, _COLOURS.get(colour, "an unknown colour type"))
    if bits != 8:
        _refuse(where, f"{bits} bits a number")
    if interlace:
        _refuse(where, "interlaced rows")
    channels = _CHANNELS[colour]
    if method or filtering or width * height * channels > MAX_ENTRIES:
        raise FormatError(where, "an unknown method, or too many pixels")
    size = height * (1 + width * channels)
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(packed, size + 1)
    except zlib.error as error:
        raise FormatError(where, "the pixels are damaged") from error
    if len(raw) != size or not inflate.eof or inflate.unused_data:
        raise FormatError(where, "there are more or fewer pixels than the picture has")
    rows = np.frombuffer(raw, dtype=np.uint8).reshape(height, 1 + width * channels)
    kinds = rows[:, 0]
    if int(kinds.max()) > 4:
        raise FormatError(where, "an unknown filter")
    return _unfiltered(kinds, rows[:, 1:].reshape(height, width, channels))


def png_bytes(pixels: Pixels) -> bytes:
    """A PNG file of 8-bit grey or RGB pixels, (height, width, 1 or 3)."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    rows = np.ascontiguousarray(pixels).reshape(height, width * channels)
    above = np.concatenate([np.zeros((1, rows.shape[1]), np.uint8), rows[:-1]])
    filtered = np.concatenate([np.full((height, 1), 2, np.uint8), rows - above], axis=1)
    packed = zlib.compress(filtered.tobytes(), 6)
    body = b"".join(_chunk(*c) for c in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")))
    return SIGNATURE + body


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def _refuse(where: str, what: str) -> NoReturn:
    raise FormatError(where, f"pictures with {what} are not read; {_REMEDY}")


def _chunks(data: bytes, where: str) -> tuple[bytes, bytes]:
    """The header's content and that of all IDAT chunks."""
    if data[:8] != SIGNATURE:
        raise FormatError(where, "not a PNG file")
    at, kinds, header = 8, [b""], b""
    packed: list[bytes] = []
    while kinds[-1] != b"IEND":
        if len(kinds) > MAX_CHUNKS or at + 12 > len(data):
            raise FormatError(where, "the file is truncated, or has too many parts")
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if size > len(data) - at - 12:
            raise FormatError(where, "the file is truncated")
        content, at = data[at + 8 : at + 8 + size], at + 12 + size
        if zlib.crc32(kind + content) != int.from_bytes(data[at - 4 : at], "big"):
            raise FormatError(where, "a checksum is wrong")
        if (kind == b"IHDR") != (len(kinds) == 1) or (kind == b"IHDR" and size != 13):
            raise FormatError(where, "the header is not first, or of another size")
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            if packed and kinds[-1] != b"IDAT":
                raise FormatError(where, "the pixels are not in one stretch")
            packed.append(content)
        elif kind == b"IEND":
            if size:
                raise FormatError(where, "the end is not empty")
        else:
            _check_other(kind, content, where)
        kinds.append(kind)
    if at != len(data):
        raise FormatError(where, "something follows the picture")
    return header, b"".join(packed)


def _check_other(kind: bytes, content: bytes, where: str) -> None:
    """Refuse a chunk that may change what a viewer shows."""
    fine = kind in _HARMLESS
    if kind == b"gAMA":
        fine = content == _GAMMA
    elif kind == b"cHRM":
        fine = content == _PRIMARIES
    elif kind == b"pHYs":  # pixels that are not square are shown stretched
        fine = len(content) == 9 and content[:4] == content[4:8]
    elif kind == b"eXIf":
        fine = _is_upright(content)
    if not fine:
        name = kind.decode("ascii", "replace")
        _refuse(where, f"a part {name!r}" if name.isprintable() else "an unknown part")


def _is_upright(exif: bytes) -> bool:
    """Whether Exif data are readable and state no orientation but the usual one."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return False
    try:
        (at,) = struct.unpack_from(f"{order}I", exif, 4)
        (count,) = struct.unpack_from(f"{order}H", exif, at)
        for i in range(count):
            tag, kind, number, value = struct.unpack_from(f"{order}HHIH", exif, at + 2 + 12 * i)
            if tag == 0x0112 and (kind, number, value) != (3, 1, 1):
                return False
    except struct.error:
        return False
    return True


def _unfiltered(kinds: Pixels, rows: Pixels) -> Pixels:
    """Undo the filter of each row, one diagonal of the picture after the other.

    A number is predicted from those to the left, above, and above to the left; so all of a diagonal
    follow from the two diagonals before.

    Parameters
    ----------
    kinds : uint8 array, (height,)
        0 none, 1 left, 2 above, 3 their mean, 4 the nearest of three (Paeth's predictor).
    rows : uint8 array, (height, width, channels)
        What was filtered.
    """
    height, width, channels = rows.shape
    if int(kinds.max()) <= 2:  # what stands in a row depends on all to its left, or on one above
        return _unfiltered_rows(kinds, rows)
    step = width + 1
    padded = np.zeros((height + 1, step, channels), np.uint8)
    padded[1:, 1:] = rows
    flat = padded.reshape(-1, channels)
    choices = [kinds == k for k in (1, 2, 3, 4)]
    for diagonal in range(height + width - 1):
        first, last = max(0, diagonal - width + 1), min(height - 1, diagonal)
        start = step + 1 + diagonal + first * width
        stop = step + 1 + diagonal + last * width + 1

        def shifted(by: int, start: int = start, stop: int = stop) -> NDArray[np.int16]:
            return flat[start - by : stop - by : width].astype(np.int16)

        left, above, corner = shifted(1), shifted(step), shifted(step + 1)
        to_left, to_above = np.abs(above - corner), np.abs(left - corner)
        to_corner = np.abs(left + above - 2 * corner)
        nearest = np.where(to_above <= to_corner, above, corner)
        nearest = np.where((to_left <= to_above) & (to_left <= to_corner), left, nearest)
        here = [chosen[first : last + 1, None] for chosen in choices]
        guess = np.select(here, [left, above, (left + above) >> 1, nearest], 0)
        flat[start:stop:width] += guess.astype(np.uint8)
    return padded[1:, 1:].copy()


def _unfiltered_rows(kinds: Pixels, rows: Pixels) -> Pixels:
    """The same where no row is predicted from two neighbours: whole rows at once."""
    out = rows.copy()
    for r, kind in enumerate(kinds.tolist()):
        if kind == 1:
            np.cumsum(rows[r], axis=0, dtype=np.uint8, out=out[r])
        elif kind == 2 and r > 0:
            out[r] += out[r - 1]
    return out
