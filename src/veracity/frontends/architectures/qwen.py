"""Qwen's rule of windows: layers from one on have them, if any has."""

from __future__ import annotations

from typing import Any

from veracity.errors import FormatError
from veracity.frontends.architectures.common import Family, Windows, biased, decoder, turning_only
from veracity.frontends.architectures.names import LLAMA, QK_NORMS
from veracity.frontends.assembly import Design
from veracity.frontends.settings import Settings

__all__ = ["ROWS"]


def _windowed_above(s: Settings, family: str, **more: Any) -> Design:
    """Qwen's rule: layers from ``max_window_layers`` on have a window, if any has."""
    first = s.take("max_window_layers", default=28)
    if not s.flag("use_sliding_window", default=False):
        for name in ("sliding_window", "layer_types"):
            s.take(name, default=None)
        return decoder(s, family, context=32768, **more)
    if type(first) is not int or s.is_null("max_window_layers"):
        raise FormatError(s.where, f"max_window_layers = {first!r} is no sensible number")
    windows = Windows(lambda i: i >= first, 4096)
    return decoder(s, family, context=32768, windows=windows, **more)


def _qwen2(s: Settings) -> Design:
    return _windowed_above(s, "qwen2", biases="q k v")


def _qwen3(s: Settings) -> Design:
    biases = biased(s, attention_bias="q k v o")
    return _windowed_above(s, "qwen3", head_dim=128, qk_norm="head", biases=biases)


def _smollm3(s: Settings) -> Design:
    biases = biased(s, attention_bias="q k v o", mlp_bias="gate up down")
    used = s.take("no_rope_layers", default=None)
    every = s.whole("no_rope_layer_interval", default=4)
    layers = s.whole("num_hidden_layers")
    if used is None:
        used = [int((i + 1) % every != 0) for i in range(layers)]
    if not isinstance(used, list) or len(used) != layers or any(u not in (0, 1) for u in used):
        raise FormatError(s.where, "no_rope_layers is not 0 or 1 for every layer")
    sliding = s.flag("use_sliding_window", default=False)
    s.take("max_window_layers", default=None)
    design = decoder(
        s, "smollm3", context=32768, theta=2e6, tied=True, biases=biases,
        windows=Windows(lambda i: sliding and not used[i]),
    )  # fmt: skip
    return turning_only(design, used)


#: By ``model_type``.
ROWS: dict[str, Family] = {
    "qwen2": Family(_qwen2, LLAMA),
    "qwen3": Family(_qwen3, {**LLAMA, **QK_NORMS}),
    "smollm3": Family(_smollm3, LLAMA),
}  # fmt: skip
