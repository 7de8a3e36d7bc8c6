"""How two parties talk: framed, counted, encrypted messages with limits and time-outs.

:func:`~veracity.private.certificates.make_certificates` and
:class:`~veracity.net.relay.Relay` are imported from their modules: the one needs the
package ``cryptography``, the other is for measurements.
"""

from veracity.net.channel import TIMEOUT, Channel, Traffic, pair
from veracity.net.server import Server
from veracity.net.tls import Identity, connect

__all__ = ["TIMEOUT", "Channel", "Identity", "Server", "Traffic", "connect", "pair"]
