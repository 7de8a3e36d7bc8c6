"""The group part of the CPU engine."""

from __future__ import annotations


class CpuGroup:
    """Operations of :class:`engine.api.Engine` on points."""
