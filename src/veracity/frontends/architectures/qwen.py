"""Qwen's rule of windows: layers from one on have them, if any has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from veracity.errors import FormatError
from veracity.frontends.architectures.common import Family, decoder
from veracity.frontends.architectures.names import LLAMA, QK_NORMS
from veracity.frontends.assembly import Design
from veracity.frontends.rotary import plain_turning
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]


def _windowed_above(s: Settings, family: str, **more: Any) -> Design:
    """Qwen's rule: layers from ``max_window_layers`` on have a window, if any has."""
    first = s.take("max_window_layers", default=28)
    if not s.flag("use_sliding_window", default=False):
        for name in ("sliding_window", "layer_types"):
            s.take(name, default=None)
        return decoder(s, family, context=32768, **more)
    return decoder(
        s, family, context=32768, sliding=lambda i: isinstance(first, int) and i >= first, **more
    )


def _qwen2(s: Settings) -> Design:
    return _windowed_above(s, "qwen2")


def _qwen3(s: Settings) -> Design:
    s.flag("attention_bias", default=False)
    return _windowed_above(s, "qwen3", head_dim=128, qk_norm="head")


def _smollm3(s: Settings) -> Design:
    s.take("attention_bias", default=None)
    s.take("mlp_bias", default=None)
    used = s.take("no_rope_layers", default=None)
    every = s.whole("no_rope_layer_interval", default=4)
    design = _windowed_above(s, "smollm3", theta=2e6, tied=True)
    c = design.config
    if used is None:
        used = [int((i + 1) % every != 0) for i in range(c.layers)]
    if not isinstance(used, list) or len(used) != c.layers or set(used) - {0, 1}:
        raise FormatError(s.where, "no_rope_layers is not 0 or 1 for every layer")
    if all(used):
        return design
    tables = c.rotations or (plain_turning(float(c.rope_base), c.head_dim).frequencies,)
    config = replace(
        c, rope_base="", rotations=tables, rotation_of=tuple(0 if u else -1 for u in used)
    )
    return replace(design, config=config)


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "qwen2": Family(_qwen2, LLAMA),
    "qwen3": Family(_qwen3, {**LLAMA, **QK_NORMS}),
    "smollm3": Family(_smollm3, LLAMA),
}  # fmt: skip
