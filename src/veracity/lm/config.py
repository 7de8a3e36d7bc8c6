"""The shape of a decoder: what every architecture that can be imported is a choice of.

An architecture is a combination: which norm, where, gated or not, how positions come in, what the
scores of attention go through. Nothing later asks for its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from veracity.errors import FormatError

__all__ = ["ACTIVATIONS", "Config"]

#: Activations of feed-forward layers, by the names of functions that programs have.
ACTIVATIONS = ("silu", "gelu_tanh", "gelu", "relu", "relu2")
#: What a family has unless its configuration says otherwise; stored configurations leave it out.
_USUAL: dict[str, dict[str, Any]] = {"gpt2": {"norm": "layer", "gated": False, "positions": True}}
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,30})?")
_COUNTS = ("dim", "layers", "kv_heads", "group", "head_dim", "hidden", "vocab", "context")


@dataclass(frozen=True)
class Config:
    """Shape of a decoder.

    Attributes
    ----------
    family : str
        Name of the architecture, for people.
    dim, layers, kv_heads, group, head_dim, hidden, vocab, context : int
        Widths and counts; query head ``h = kv * group + g``.
    norm_eps : float
        Epsilon under the root.
    rope_base, rope_style : str
        Rotary base as decimal text; how features pair: "interleaved", "half", or "" without RoPE.
    activation : str
        One of :data:`ACTIVATIONS`.
    norm : str
        "rms" or "layer".
    gated : bool
        Whether a feed-forward layer is ``down(act(gate x) * up x)``, else ``down(act(up x))``.
    positions : bool
        Whether a learned vector of each position is added to the embedding.
    parallel : bool
        Whether attention and feed-forward layer read the same residual stream.
    pre_norm, post_norm : bool
        Whether a norm stands before each of the two, and another after it.
    sum_norm : bool
        Whether the only norms are of the residual stream after each update, and replace it.
    qk_norm : str
        Norm of queries and keys: "" for none, "head" over each head, "all" over all of them.
    rotations : tuple of tuple of int
        Frequencies of pairs, in units of 2^-48, where ``rope_base`` does not say all.
    rotation_of : tuple of int
        For each layer an index into ``rotations``, -1 without RoPE; empty where all use
        ``rope_base``.
    windows : tuple of int
        For each layer how many positions attention sees, itself included; 0 for all; empty where
        all see all.
    slopes : tuple of str
        For each query head what a step of distance takes from a score (ALiBi), as decimal text.
    score_cap, logit_cap : str
        ``c`` of ``c tanh(x / c)`` around scores and logits, as decimal text; "" for none.
    """

    family: str
    dim: int
    layers: int
    kv_heads: int
    group: int
    head_dim: int
    hidden: int
    vocab: int
    context: int
    norm_eps: float
    rope_base: str = ""
    rope_style: str = ""
    activation: str = "silu"
    norm: str = "rms"
    gated: bool = True
    positions: bool = False
    parallel: bool = False
    pre_norm: bool = True
    post_norm: bool = False
    qk_norm: str = ""
    rotations: tuple[tuple[int, ...], ...] = ()
    rotation_of: tuple[int, ...] = ()
    windows: tuple[int, ...] = ()
    slopes: tuple[str, ...] = ()
    score_cap: str = ""
    logit_cap: str = ""
    sum_norm: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values, floats as text; what is usual in the family is left out."""
        usual = _USUAL.get(self.family, {})
        out: dict[str, Any] = {}
        for i, field in enumerate(fields(self)):
            value = getattr(self, field.name)
            if i < 13 or value != usual.get(field.name, field.default):
                out[field.name] = repr(value) if isinstance(value, float) else value
        return out

    @staticmethod
    def from_dict(body: Mapping[str, Any]) -> Config:
        """The configuration that :meth:`as_dict` describes; TypeError, ValueError, KeyError."""
        found = {**_USUAL.get(body["family"], {}), **body}
        found["norm_eps"] = float(found["norm_eps"])
        found["rotations"] = tuple(tuple(r) for r in found.get("rotations", ()))
        for name in ("rotation_of", "windows", "slopes"):
            found[name] = tuple(found.get(name, ()))
        return Config(**found)

    def rotates(self, layer: int) -> bool:
        """Whether a layer turns queries and keys by their positions."""
        return bool(self.rope_style) and (not self.rotation_of or self.rotation_of[layer] >= 0)

    def frequencies(self, layer: int) -> tuple[int, ...]:
        """Frequencies of a layer's pairs, in units of 2^-48; empty where ``rope_base`` says all."""
        return self.rotations[self.rotation_of[layer]] if self.rotation_of else ()

    def window(self, layer: int) -> int:
        """How many positions a layer sees; 0 for all."""
        return self.windows[layer] if self.windows else 0

    def check(self, where: str) -> None:
        """Raise :class:`FormatError`, naming ``where``, unless the configuration is sound."""
        for name in _COUNTS:
            count = getattr(self, name)
            if type(count) is not int or not 1 <= count < 1 << 20:
                raise FormatError(where, f"{name} is not a sensible number")
        if type(self.family) is not str or not self.family.isprintable():
            raise FormatError(where, "the family has no name")
        if self.rope_style not in ("", "interleaved", "half"):
            raise FormatError(where, "unknown rotary style")
        if self.norm not in ("rms", "layer") or self.qk_norm not in ("", "head", "all"):
            raise FormatError(where, "unknown norm")
        if self.activation not in ACTIVATIONS:
            raise FormatError(where, "unknown activation")
        plain = self.rope_style and not self.rotation_of
        if not 0 < self.norm_eps < 1 or (self.rope_style and self.head_dim % 2):
            raise FormatError(where, "norm epsilon or rotary embedding out of bounds")
        if plain and not self.rope_base:
            raise FormatError(where, "norm epsilon or rotary embedding out of bounds")
        others = (self.parallel, self.pre_norm, self.post_norm)
        if any(
            type(flag) is not bool for flag in (self.gated, self.positions, self.sum_norm, *others)
        ):
            raise FormatError(where, "a choice is neither true nor false")
        if self.sum_norm and any(others):
            raise FormatError(where, "norms of sums beside other norms, or parallel layers")
        self._check_layers(where)

    def _check_layers(self, where: str) -> None:
        for pairs in self.rotations:
            turning = all(type(f) is int and 0 <= f < 1 << 56 for f in pairs)
            if len(pairs) != self.head_dim // 2 or not turning:
                raise FormatError(where, "rotary frequencies do not fit the heads")
        for values, low, high in (
            (self.rotation_of, -1, len(self.rotations) - 1), (self.windows, 0, 1 << 30),
        ):  # fmt: skip
            whole = all(type(v) is int and low <= v <= high for v in values)
            if values and (len(values) != self.layers or not whole):
                raise FormatError(where, "not one sound value for every layer")
        for cap in (self.score_cap, self.logit_cap):
            if type(cap) is not str or (cap and not _NUMBER.fullmatch(cap)):
                raise FormatError(where, "a soft cap is no number")
        if self.slopes and len(self.slopes) != self.kv_heads * self.group:
            raise FormatError(where, "not one slope for every head")
        if any(type(slope) is not str or not _NUMBER.fullmatch(slope) for slope in self.slopes):
            raise FormatError(where, "a slope is no number")
