"""Tensors that hold several linear maps: queries, keys and values in one, gate and up in one.

Orders of q, k and v: ``blocks`` (all q, all k, all v); ``groups`` (for each key head the queries of
its group, its k, its v); ``quarters`` (CodeGen: four blocks, in each its q, its v, its k).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from veracity.errors import FormatError
from veracity.lm.decoder import Floats

if TYPE_CHECKING:
    from veracity.frontends.assembly import Design

__all__ = ["split_fused"]


def split_fused(design: Design, parts: Mapping[str, Floats], at: str) -> dict[str, Floats]:
    """Weights (out, in) and biases of one layer's linear maps, one for each map.

    Parameters
    ----------
    design : Design
        Heads, and how maps are stored.
    parts : mapping
        Tensors by part.
    at : str
        The layer's prefix.
    """
    found: dict[str, Floats] = {}
    for part in ("q", "k", "v", "o", "qkv", "gate", "up", "down", "gate_up"):
        for end in ("weight", "bias"):
            if f"{at}.{part}.{end}" in parts:
                x = parts[f"{at}.{part}.{end}"]
                turn = design.transposed and end == "weight"
                found[f"{part}.{end}"] = np.ascontiguousarray(x.T) if turn else x
    for end in ("weight", "bias"):
        if f"qkv.{end}" in found:
            pieces = _split_qkv(design, found.pop(f"qkv.{end}"))
            found |= {f"{p}.{end}": x for p, x in zip("qkv", pieces, strict=True)}
        if f"gate_up.{end}" in found:
            gate, up = np.split(found.pop(f"gate_up.{end}"), 2)
            found |= {f"gate.{end}": gate, f"up.{end}": up}
    return found


def _split_qkv(design: Design, x: Floats) -> tuple[Floats, Floats, Floats]:
    c = design.config
    heads, d = c.kv_heads * c.group, c.head_dim

    def flat(rows: Floats) -> Floats:
        return np.ascontiguousarray(rows.reshape(-1, *x.shape[1:]))

    if design.fused == "blocks":
        ends = [heads * d, (heads + c.kv_heads) * d]
        q, k, v = np.split(x, ends)
        return q, k, v
    if design.fused == "quarters":
        q, v, k = (flat(p) for p in np.split(x.reshape(4, -1, *x.shape[1:]), 3, axis=1))
        return q, k, v
    if design.fused != "groups":
        raise FormatError("tensors", "q, k and v are in one tensor, in an order that is not known")
    rows = x.reshape(c.kv_heads, c.group + 2, d, *x.shape[1:])
    return flat(rows[:, : c.group]), flat(rows[:, c.group]), flat(rows[:, c.group + 1])
