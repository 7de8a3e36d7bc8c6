"""Private inference over sockets: ask a model without showing the prompt.

:class:`Client` asks; :func:`serve` and :func:`deal` are the other two parties, each until it is
told to stop. :mod:`veracity.benchmarks` runs all three on one machine.

Names are resolved when first used: a user does not load what owners need.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from veracity.private.client import Client, Token
    from veracity.private.conversation import Conversation
    from veracity.private.parties.report import PassReport
    from veracity.private.sampling import Sampling
    from veracity.private.services import deal, serve

__all__ = ["Client", "Conversation", "PassReport", "Sampling", "Token", "deal", "serve"]

_HOMES = {
    "Client": "private.client",
    "Conversation": "private.conversation",
    "PassReport": "private.parties.report",
    "Sampling": "private.sampling",
    "Token": "private.client",
    "deal": "private.services",
    "serve": "private.services",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'veracity.private' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"veracity.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
