"""The engine that private inference computes on, loaded at its first use."""

from __future__ import annotations

from functools import lru_cache

from veracity.engine import load_engine
from veracity.engine.api import Fss, Ring

__all__ = ["fss", "ring"]


@lru_cache(maxsize=1)
def ring() -> Ring:
    """Words modulo 2^64.

    Raises
    ------
    BackendUnavailable
        Where the compiled module is missing.
    """
    return load_engine("cpu").ring


@lru_cache(maxsize=1)
def fss() -> Fss:
    """Function secret sharing; raises as :func:`ring`."""
    return load_engine("cpu").fss
