"""Private inference over sockets: ask a model without showing the prompt.

:class:`Client` asks; :func:`serve` and :func:`deal` are the other two parties, each until it is
told to stop. :func:`demo` and :func:`bench` run all three on this machine.

Names are resolved when first used: a user does not load what owners need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from veracity.api.private.client import Client, Conversation, Token
    from veracity.api.private.host import deal, serve
    from veracity.api.private.measuring import bench
    from veracity.api.private.sampling import Sampling
    from veracity.api.private.showing import demo
    from veracity.mpc.service.report import PassReport

__all__ = [
    "Client",
    "Conversation",
    "PassReport",
    "Sampling",
    "Token",
    "bench",
    "deal",
    "demo",
    "serve",
]

_HOMES = {
    "Client": "api.private.client",
    "Conversation": "api.private.client",
    "PassReport": "mpc.service.report",
    "Sampling": "api.private.sampling",
    "Token": "api.private.client",
    "bench": "api.private.measuring",
    "deal": "api.private.host",
    "demo": "api.private.showing",
    "serve": "api.private.host",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'veracity.api.private' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"veracity.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
