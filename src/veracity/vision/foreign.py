"""Pictures of other formats (JPEG, WebP, TIFF), decoded by their owner with Pillow.

A verifier never does this: what is proved is about pixels, and these are written as PNG, which its
own reader takes.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veracity.codec import read_file
from veracity.errors import FormatError, UsageError

__all__ = ["FOREIGN_SUFFIXES", "is_foreign", "load_foreign"]

#: Endings of the files that Pillow is asked to read.
FOREIGN_SUFFIXES = (".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
#: Most bytes of a file, and pixels of a picture.
MAX_BYTES, MAX_PIXELS = 1 << 28, 1 << 26
_FORMATS = ("JPEG", "WEBP", "TIFF", "BMP")


def is_foreign(path: str | Path) -> bool:
    """Whether a file's name is that of a picture that needs Pillow."""
    return str(path).lower().endswith(FOREIGN_SUFFIXES)


def load_foreign(path: Path) -> NDArray[np.uint8]:
    """The pixels of a picture as they are meant to be seen, (height, width, 1 or 3).

    Turned as its metadata say, and brought to sRGB where it has another colour profile.

    Raises
    ------
    UsageError
        Pillow is not installed.
    FormatError
        It cannot be decoded, has transparency or more than 8 bits, or is too large.
    """
    try:
        from PIL import Image, ImageCms, ImageOps
    except ImportError:
        raise UsageError(
            "reading JPEG and the like needs `pip install 'veracity[images]'`; or convert to PNG"
        ) from None
    data = read_file(path, MAX_BYTES, "picture")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise FormatError(path.name, f"a picture has at most {MAX_PIXELS:,} pixels")
            if getattr(opened, "n_frames", 1) != 1:
                raise FormatError(path.name, "more than one picture in a file; save one as PNG")
            if opened.mode not in ("L", "RGB") or "transparency" in opened.info:
                raise FormatError(
                    path.name, f"pixels of the kind {opened.mode}; save it as PNG of 8 bits, RGB"
                )
            profile = opened.info.get("icc_profile")
            picture = ImageOps.exif_transpose(opened)
            if profile and picture.mode == "RGB":
                given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
                converted = ImageCms.profileToProfile(
                    picture, given, ImageCms.createProfile("sRGB"), outputMode="RGB"
                )
                picture = picture if converted is None else converted
            pixels = np.asarray(picture, dtype=np.uint8)
    except FormatError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        raise FormatError(path.name, "a picture that cannot be decoded; save it as PNG") from error
    return np.ascontiguousarray(pixels if pixels.ndim == 3 else pixels[..., None])
