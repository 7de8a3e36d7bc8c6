"""Between real numbers and the integers of a port: one rule for prover and verifier.

Arrays may hold several samples along a first axis. A network whose ports have a first axis of
length 1 (a batch of one) takes them along that axis; the proved program has one of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph.port import Dims, Port

__all__ = [
    "arranged",
    "by_port",
    "example_arrays",
    "samples_of",
    "shown_samples",
    "to_integers",
    "to_reals",
]


def to_integers(name: str, port: Port, x: NDArray[Any]) -> tuple[NDArray[np.int64], float]:
    """Real numbers rounded half up to a port's grid, and the largest rounding error.

    Parameters
    ----------
    name : str
        The port, for errors.
    port : Port
        Exponent and range.
    x : array
        Booleans, integers or floats: real values.

    Raises
    ------
    UsageError
        A number is not finite or outside the port's range.
    """
    real = np.asarray(x, dtype=np.float64)
    with np.errstate(over="ignore"):
        scaled = np.ldexp(real, port.exponent)
    if not np.isfinite(scaled).all():
        raise UsageError(f"{name}: a number is not finite")
    rounded = np.floor(scaled + 0.5)
    if rounded.size and (rounded.min() < port.low or rounded.max() > port.high):
        least, most = np.ldexp(port.low, -port.exponent), np.ldexp(port.high, -port.exponent)
        raise UsageError(f"{name}: a number is not within {least:g} .. {most:g}")
    error = np.abs(rounded - scaled).max(initial=0.0)
    return rounded.astype(np.int64), float(np.ldexp(error, -port.exponent))


def to_reals(port: Port, x: NDArray[np.int64]) -> NDArray[np.float64]:
    """The real numbers that a port's integers stand for; exact."""
    return np.ldexp(x.astype(np.float64), -port.exponent)


Value = TypeVar("Value")


def by_port(
    ports: Mapping[str, Port], given: Mapping[str, Value] | Value, what: str
) -> dict[str, Value]:
    """Values by port; one alone is that of the only port.

    Parameters
    ----------
    ports : mapping
        Those that there are.
    given : mapping or value
        By port.
    what : str
        ``input`` or ``output``, for errors.

    Raises
    ------
    UsageError
        Names that are not those of the ports.
    """
    if not isinstance(given, Mapping):
        if len(ports) != 1:
            raise UsageError(f"name each {what}: the program has {', '.join(sorted(ports))}")
        return {next(iter(ports)): given}
    if set(given) != set(ports):
        raise UsageError(f"the program's {what}s are {', '.join(sorted(ports))}")
    return {name: given[name] for name in ports}


def example_arrays(
    ports: Mapping[str, Port], given: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Inputs of examples by port; one array alone is that of the only port, whatever its name.

    Raises
    ------
    UsageError
    """
    alone = len(ports) == 1 and len(given) == 1
    return by_port(ports, next(iter(given.values())) if alone else given, "input")


def samples_of(ports: Mapping[str, Port], arrays: Mapping[str, NDArray[Any]]) -> int:
    """How many samples inputs hold along a first axis; 0 where they have no such axis.

    Parameters
    ----------
    ports : mapping
        The program's inputs.
    arrays : mapping
        An array for each.

    Raises
    ------
    UsageError
        Inputs of different numbers of samples.
    """
    found = set()
    for name, port in ports.items():
        shape, dims = arrays[name].shape, tuple(port.dims)
        if _fits(shape, dims):
            found.add(0)
        elif shape and (
            _fits(shape[1:], dims) or (dims[:1] == (1,) and _fits(shape[1:], dims[1:]))
        ):
            found.add(shape[0])
        else:
            raise UsageError(f"{name}: an array of {_named(shape)}, not of {_named(dims)}")
    if len(found) > 1:
        raise UsageError(f"inputs of different numbers of samples: {sorted(found)}")
    return found.pop() if found else 0


def arranged(name: str, dims: Dims, x: NDArray[Any], samples: int) -> NDArray[Any]:
    """An array under the dims of a proved port, with an axis of samples where there are any.

    Parameters
    ----------
    name : str
        The port, for errors.
    dims : tuple of int or str
        Of one sample.
    x : array
        As it was given.
    samples : int
        As :func:`samples_of` tells.

    Raises
    ------
    UsageError
    """
    if not samples:
        return x
    if x.shape[:1] == (samples,) and _fits(x.shape[1:], dims):
        return x
    if dims[:1] == (1,) and x.shape[:1] == (samples,) and _fits(x.shape[1:], dims[1:]):
        return x[:, None]
    raise UsageError(
        f"{name}: an array of {_named(x.shape)}, not of {samples} times {_named(dims)}"
    )


def shown_samples(dims: Dims, x: NDArray[Any], samples: int) -> NDArray[Any]:
    """A port's array as people have it: several samples along a batch axis that is there.

    Parameters
    ----------
    dims : tuple of int or str
        Of one sample.
    x : array
        Under the dims of the proved port.
    samples : int
        How many; 0 without an axis of samples.
    """
    return x[:, 0] if samples and dims[:1] == (1,) and len(dims) > 1 else x


def _fits(shape: tuple[int, ...], dims: Dims) -> bool:
    return len(shape) == len(dims) and all(
        isinstance(d, str) or d == n for n, d in zip(shape, dims, strict=True)
    )


def _named(dims: Dims) -> str:
    return "x".join(map(str, dims)) or "one number"
