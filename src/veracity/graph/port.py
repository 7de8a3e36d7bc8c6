"""Ports: the named arrays at the border of a program."""

from __future__ import annotations

from collections.abc import Mapping

from veracity.errors import UsageError
from veracity.records import record

__all__ = ["DTYPES", "Dim", "Dims", "Output", "Port", "WeightSpec", "bind_sizes"]

#: A length, or the symbol of one: T tokens, A answers, N samples, H and W of a picture.
Dim = int | str
Dims = tuple[Dim, ...]

#: Bits of the integers that weights are stored in.
DTYPES = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}


@record
class Port:
    """An input: real value = integer * 2^-exponent.

    Attributes
    ----------
    dims : tuple of int or str
        Lengths and symbols of lengths.
    exponent : int
        Binary exponent of the scale.
    low, high : int
        Range of the integers, inclusive.
    """

    dims: Dims
    exponent: int
    low: int
    high: int


@record
class Output(Port):
    """An output: the value of that name, under the port's own name.

    Attributes
    ----------
    value : str
        Name of an op.
    """

    value: str


@record
class WeightSpec:
    """A weight: dims are lengths, and the integers are signed.

    Attributes
    ----------
    shape : tuple of int
        One to four lengths.
    dtype : str
        How the integers are stored.
    exponent : int
        Binary exponent of the scale.
    bits : int
        Width that the integers keep to: at most that of their storage.
    """

    shape: tuple[int, ...]
    dtype: str
    exponent: int
    bits: int

    @property
    def bound(self) -> int:
        """Greatest magnitude: that of the stated width, for matrices of narrow storage of that.

        What evaluation relies on (:mod:`veracity.graph.ops.linear` checks stated widths where
        storage has more than 32 bits).
        """
        stored = DTYPES[self.dtype]
        return 1 << ((stored if stored <= 32 else self.bits) - 1)


def bind_sizes(
    ports: Mapping[str, Port], shapes: Mapping[str, tuple[int, ...]], limits: Mapping[str, int]
) -> dict[str, int]:
    """What the symbols stand for, given the shapes of some ports.

    Parameters
    ----------
    ports : mapping
        Inputs and outputs by name.
    shapes : mapping
        Shapes of some of them.
    limits : mapping
        Most of each symbol.

    Raises
    ------
    UsageError
        Where a shape does not fit its port, or two shapes contradict each other.
    """
    sizes: dict[str, int] = {}
    for name, shape in shapes.items():
        if name not in ports:
            raise UsageError(f"the program has no port {name!r}")
        dims = ports[name].dims
        if len(dims) != len(shape):
            raise UsageError(f"port {name} has {len(dims)} dims, not {len(shape)}")
        for dim, size in zip(dims, shape, strict=True):
            bound = sizes.setdefault(dim, size) if isinstance(dim, str) else dim
            if bound != size:
                raise UsageError(f"port {name}: dim {dim} is {bound}, not {size}")
            if isinstance(dim, str) and not 1 <= size <= limits[dim]:
                raise UsageError(f"port {name}: {dim} = {size} is not within 1 .. {limits[dim]}")
    return sizes
