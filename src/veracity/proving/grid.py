"""Between real numbers and the integers of a port: one rule for prover and verifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph.port import Port

__all__ = ["named_arrays", "to_integers", "to_reals"]


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


def named_arrays(
    ports: Mapping[str, Port], given: Mapping[str, NDArray[Any]] | NDArray[Any], what: str
) -> dict[str, NDArray[Any]]:
    """Arrays by port; one array alone is that of the only port.

    Parameters
    ----------
    ports : mapping
        Those that there are.
    given : mapping or array
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
        given = {next(iter(ports)): given}
    if set(given) != set(ports):
        raise UsageError(f"the program's {what}s are {', '.join(sorted(ports))}")
    return {name: np.asarray(given[name]) for name in ports}
