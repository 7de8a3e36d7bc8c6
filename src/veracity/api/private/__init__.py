"""Private inference over sockets: ask a model without showing the prompt.

:class:`Client` asks; :func:`serve` and :func:`deal` are the other two parties, each until it is
told to stop. :func:`demo` and :func:`bench` run all three on this machine.
"""

from veracity.api.private.bench import bench
from veracity.api.private.client import Client, Conversation, Token
from veracity.api.private.demo import demo
from veracity.api.private.host import deal, serve
from veracity.mpc.service.user import PassReport

__all__ = [
    "Client",
    "Conversation",
    "PassReport",
    "Token",
    "bench",
    "deal",
    "demo",
    "serve",
]
