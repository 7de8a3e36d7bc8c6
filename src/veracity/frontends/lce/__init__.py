"""LCE, the network of ``veracity enhance``: blind super-resolution as a program over integers."""

from veracity.frontends.lce.layout import LARGEST_TILE, SMALLEST, Layout
from veracity.frontends.lce.network import SCALE, build
from veracity.frontends.lce.weights import network_for, shipped_weights

__all__ = [
    "LARGEST_TILE",
    "SCALE",
    "SMALLEST",
    "Layout",
    "build",
    "network_for",
    "shipped_weights",
]
