"""Pictures as values of ports: which pixel stands where, one rule for prover and verifier.

A port takes a picture where its integers are bytes as they are (exponent 0, range around 0 .. 255)
and its dims, without leading ones, are (channels, height, width), (height, width, channels) or
(height, width); channels are 1 or 3.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray

from veracity.codec.files import Source
from veracity.errors import UsageError
from veracity.formats.images import load_image, pixels_digest
from veracity.graph.port import Port

__all__ = ["Picture", "picture_of", "port_values"]


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels, which are what a proof about a picture is about.

    Attributes
    ----------
    pixels : uint8 array, (height, width, 1 or 3)
        Row by row.
    """

    pixels: NDArray[np.uint8] = field(repr=False)

    @classmethod
    def load(cls, source: Source) -> Picture:
        """Read a PNG, PPM or PGM file; raises FormatError or UsageError."""
        return cls(load_image(source))

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels; two files with the same pixels have one."""
        return pixels_digest(self.pixels)

    def __str__(self) -> str:
        height, width, channels = self.pixels.shape
        kind = "grey" if channels == 1 else "RGB"
        return f"{width}x{height} {kind}, pixels with SHA-256 {self.digest}"


def port_values(name: str, port: Port, picture: Picture) -> NDArray[np.int64]:
    """A picture's numbers under the dims of a port.

    Parameters
    ----------
    name : str
        The port, for errors.
    port : Port
        Its dims and grid.
    picture : Picture
        What is to stand there.

    Raises
    ------
    UsageError
        The port takes no picture, or one of another size.
    """
    order = _order(port)
    if order is None or not (port.low <= 0 and port.high >= 255):
        raise UsageError(
            f"{name} takes no picture of bytes; give numbers (.npy), or import the network again "
            "with --pixels"
        )
    height, width, channels = picture.pixels.shape
    wanted = dict(zip(order, _axes(port), strict=True))
    if (height, width, channels) != (wanted["h"], wanted["w"], wanted.get("c", 1)):
        raise UsageError(
            f"{name} takes a picture of {wanted['w']}x{wanted['h']} with {wanted.get('c', 1)} "
            f"channels, not {width}x{height} with {channels}"
        )
    axes = order if "c" in order else order + "c"  # one channel lies anywhere
    turned = picture.pixels.transpose(["hwc".index(a) for a in axes])
    return turned.reshape([int(d) for d in port.dims]).astype(np.int64)


def picture_of(port: Port, values: NDArray[np.integer]) -> Picture | None:
    """The picture that a port's integers are; None where they are none.

    Parameters
    ----------
    port : Port
        Its dims and grid.
    values : int array
        Of one sample.
    """
    order = _order(port)
    if order is None or values.size == 0 or int(values.min()) < 0 or int(values.max()) > 255:
        return None
    laid = np.asarray(values).reshape(_axes(port)).astype(np.uint8)
    if "c" not in order:
        return Picture(laid[..., None])
    return Picture(np.ascontiguousarray(laid.transpose([order.index(a) for a in "hwc"])))


def _axes(port: Port) -> list[int]:
    """Lengths without leading ones, as far as more than three are left."""
    dims = [int(d) for d in port.dims]
    while len(dims) > 3 and dims[0] == 1:
        dims = dims[1:]
    return dims


def _order(port: Port) -> str | None:
    """Names of the axes (``chw``, ``hwc`` or ``hw``) where a port's integers are bytes."""
    if port.exponent != 0 or any(isinstance(d, str) for d in port.dims):
        return None
    axes = _axes(port)
    if len(axes) == 2:
        return "hw"
    if len(axes) != 3 or prod(axes) == 0:
        return None
    if axes[0] in (1, 3):
        return "chw"
    return "hwc" if axes[2] in (1, 3) else None
