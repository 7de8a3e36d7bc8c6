"""How two parties talk: framed, counted, encrypted messages with limits and time-outs.

:func:`~veracity.mpc.transport.certificates.make_certificates` and
:class:`~veracity.mpc.transport.relay.Relay` are imported from their modules: the one needs the
package ``cryptography``, the other is for measurements.
"""

from veracity.mpc.transport.channel import TIMEOUT, Channel, Traffic, pair
from veracity.mpc.transport.server import Server
from veracity.mpc.transport.tls import Identity, connect

__all__ = ["TIMEOUT", "Channel", "Identity", "Server", "Traffic", "connect", "pair"]
