"""How two parties talk: framed, counted, encrypted messages with limits and time-outs."""

from veracity.mpc.transport.channel import TIMEOUT, Channel, Traffic, pair

__all__ = ["TIMEOUT", "Channel", "Traffic", "pair"]
