"""A decoder in floating point: what importers produce and calibration observes.

Gains of norms are folded into the linear maps that read them (except the last one of a tied
model), ``1/sqrt(head_dim)`` into the query projection, LayerNorm biases into the next biases: a
norm here only normalises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import FormatError, UnsupportedModelError

__all__ = ["Config", "FloatModel", "check_model", "decimal", "fold_norm", "refuse_others"]

Floats = NDArray[np.float32]
Observer = Callable[[str, Floats], None]


@dataclass(frozen=True)
class Config:
    """Shape of a decoder.

    Attributes
    ----------
    family : str
        "llama" (RMSNorm, RoPE, SwiGLU) or "gpt2" (LayerNorm, positions, GELU).
    dim, layers, kv_heads, group, head_dim, hidden, vocab, context : int
        Widths and counts; query head ``h = kv * group + g``.
    norm_eps : float
        Epsilon under the root.
    rope_base, rope_style : str
        Rotary base as decimal text; "interleaved" or "half" ("" without RoPE).
    activation : str
        "silu", "gelu_tanh" or "gelu".
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

    def as_dict(self) -> dict[str, Any]:
        """Plain values, floats as text."""
        return {k: repr(v) if isinstance(v, float) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class FloatModel:
    """Weights by canonical name.

    Names: ``embed`` (vocab, dim); ``position`` (context, dim) for gpt2; per layer i
    ``layers.{i}.attn.{q,k,v,o}``, ``layers.{i}.mlp.{gate,up,down}`` as (out, in), biases with
    suffix ``.bias``; ``final_gain`` (dim,) where the last norm's gain is not folded; ``head``
    (vocab, dim), or ``embed`` where the head is tied.
    """

    config: Config
    tensors: Mapping[str, Floats] = field(repr=False)

    def logits(self, tokens: Sequence[int], observe: Observer | None = None) -> Floats:
        """Scores of the next token at every position, (T, vocab).

        ``observe`` receives the result of every op of the program to be, by its name.
        """
        c, w = self.config, self.tensors
        see: Observer = observe if observe is not None else (lambda _name, _x: None)
        count = len(tokens)
        x = np.asarray(w["embed"][np.asarray(tokens)], dtype=np.float32)
        if c.family == "gpt2":
            x = x + w["position"][:count]
        see("embed", x)
        for i in range(c.layers):
            at = f"layers.{i}"
            n = self._norm(x)
            q = self._linear(f"{at}.attn.q", n, see)
            k = self._linear(f"{at}.attn.k", n, see)
            v = self._linear(f"{at}.attn.v", n, see)
            if c.rope_style:
                q, k = self._rope(q), self._rope(k)
                see(f"{at}.attn.q", q)
                see(f"{at}.attn.k", k)
            mixed = self._attention(q, k, v, f"{at}.attn.scores", see)
            see(f"{at}.attn", mixed)
            x = x + self._linear(f"{at}.attn.o", mixed, see)
            see("residual", x)
            n = self._norm(x)
            up = self._linear(f"{at}.mlp.up", n, see)
            if c.family == "llama":
                act = self._activate(self._linear(f"{at}.mlp.gate", n, see))
                see(f"{at}.mlp.act", act)
                inner = act * up
                see(f"{at}.mlp.prod", inner)
            else:
                inner = self._activate(up)
                see(f"{at}.mlp.act", inner)
            x = x + self._linear(f"{at}.mlp.down", inner, see)
            see("residual", x)
        n = self._norm(x)
        if "final_gain" in w:
            n = n * w["final_gain"]
            if "final_gain.bias" in w:
                n = n + w["final_gain.bias"]
            see("final_gain", n)
        out = np.asarray(n @ w.get("head", w["embed"]).T, dtype=np.float32)
        see("head", out)
        return out

    def _linear(self, name: str, x: Floats, see: Observer) -> Floats:
        y = x @ self.tensors[name].T
        if f"{name}.bias" in self.tensors:
            y = y + self.tensors[f"{name}.bias"]
        see(name, y)
        return y

    def _norm(self, x: Floats) -> Floats:
        if self.config.family == "gpt2":
            x = x - x.mean(axis=1, keepdims=True)
        scale = np.sqrt((x * x).mean(axis=1, keepdims=True) + self.config.norm_eps)
        return np.asarray(x / scale, dtype=np.float32)

    def _activate(self, x: Floats) -> Floats:
        kind = self.config.activation
        if kind == "silu":
            return np.asarray(x / (1 + np.exp(-np.maximum(x, -80))), dtype=np.float32)
        if kind == "gelu_tanh":
            inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
            return np.asarray(0.5 * x * (1 + np.tanh(inner)), dtype=np.float32)
        from math import erf

        return np.asarray(0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2.0))), dtype=np.float32)

    def _rope(self, x: Floats) -> Floats:
        c, count = self.config, x.shape[0]
        half = c.head_dim // 2
        frequency = float(c.rope_base) ** (-2.0 * np.arange(half) / c.head_dim)
        angle = np.arange(count)[:, None] * frequency
        cos = np.cos(angle)[:, None, :].astype(np.float32)
        sin = np.sin(angle)[:, None, :].astype(np.float32)
        heads = x.reshape(count, -1, c.head_dim)
        out = np.empty_like(heads)
        inter = c.rope_style == "interleaved"
        first = np.s_[..., 0::2] if inter else np.s_[..., :half]
        second = np.s_[..., 1::2] if inter else np.s_[..., half:]
        a, b = heads[first], heads[second]
        out[first], out[second] = a * cos - b * sin, a * sin + b * cos
        return out.reshape(count, -1)

    def _attention(self, q: Floats, k: Floats, v: Floats, name: str, see: Observer) -> Floats:
        c, count = self.config, q.shape[0]
        heads = q.reshape(count, c.kv_heads, c.group, c.head_dim).transpose(1, 2, 0, 3)
        keys = k.reshape(count, c.kv_heads, c.head_dim).transpose(1, 2, 0)
        values = v.reshape(count, c.kv_heads, c.head_dim).transpose(1, 0, 2)
        scores = heads @ keys[:, None]  # (kv, group, T, T)
        visible = np.tril(np.ones((count, count), dtype=bool))
        see(name, scores[..., visible])
        scores = np.where(visible, scores, -np.inf)
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (e / e.sum(axis=-1, keepdims=True)) @ values[:, None]
        out = mixed.transpose(2, 0, 1, 3).reshape(count, -1)
        return np.ascontiguousarray(out, dtype=np.float32)


_COUNTS = ("dim", "layers", "kv_heads", "group", "head_dim", "hidden", "vocab", "context")


def check_model(model: FloatModel, where: str, *, values: bool = True) -> None:
    """Check that the configuration is sound and that every tensor has the shape it asks for.

    Parameters
    ----------
    model : FloatModel
        Configuration and tensors.
    where : str
        File to blame.
    values : bool
        Also look for entries that are not finite, which reads every tensor.

    Raises
    ------
    FormatError
        Names ``where`` and the first thing that is wrong.
    """
    c = model.config
    for name in _COUNTS:
        count = getattr(c, name)
        if type(count) is not int or not 1 <= count < 1 << 20:
            raise FormatError(where, f"{name} is not a sensible number")
    if c.family not in ("llama", "gpt2") or c.rope_style not in ("", "interleaved", "half"):
        raise FormatError(where, "unknown family or rotary style")
    if c.activation not in ("silu", "gelu_tanh", "gelu"):
        raise FormatError(where, "unknown activation")
    if not 0 < c.norm_eps < 1 or (c.rope_style and (c.head_dim % 2 or not c.rope_base)):
        raise FormatError(where, "norm epsilon or rotary embedding out of bounds")
    if c.layers > len(model.tensors):  # a small file can state many layers
        raise FormatError(where, f"{c.layers} layers are stated, tensors of them are missing")
    for name, shape in _shapes(model).items():
        if name not in model.tensors:
            raise FormatError(where, f"tensor {name} is missing")
        if model.tensors[name].shape != shape:
            found = model.tensors[name].shape
            raise FormatError(where, f"tensor {name} has shape {found}, {shape} was expected")
        if values and not np.isfinite(model.tensors[name]).all():
            raise FormatError(where, f"tensor {name} has entries that are not finite")


def _shapes(model: FloatModel) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors that a model must have, and of those it may have and does."""
    c = model.config
    heads, kv = c.kv_heads * c.group * c.head_dim, c.kv_heads * c.head_dim
    out: dict[str, tuple[int, ...]] = {"embed": (c.vocab, c.dim)}
    if c.family == "gpt2":
        out["position"] = (c.context, c.dim)
    inner = {
        "attn.q": (heads, c.dim), "attn.k": (kv, c.dim), "attn.v": (kv, c.dim),
        "attn.o": (c.dim, heads), "mlp.up": (c.hidden, c.dim), "mlp.down": (c.dim, c.hidden),
    }  # fmt: skip
    if c.family == "llama":
        inner["mlp.gate"] = (c.hidden, c.dim)
    for i in range(c.layers):
        for name, shape in inner.items():
            out[f"layers.{i}.{name}"] = shape
            if f"layers.{i}.{name}.bias" in model.tensors:
                out[f"layers.{i}.{name}.bias"] = shape[:1]
    optional = {
        "head": (c.vocab, c.dim), "final_gain": (c.dim,), "final_gain.bias": (c.dim,)
    }  # fmt: skip
    return out | {n: s for n, s in optional.items() if n in model.tensors}


def decimal(x: float) -> str:
    """A positive number as plain decimal text, for a rotary base."""
    return str(int(x)) if x == int(x) else repr(x)


def fold_norm(
    tensors: dict[str, Floats], readers: Sequence[str], gain: Floats, bias: Floats | None = None
) -> None:
    """Fold a norm's gain (and bias) into the linear maps that read its result.

    Parameters
    ----------
    tensors : dict
        Float tensors by name; those of the readers are replaced.
    readers : sequence of str
        Linear maps (n, d) that read the norm's result.
    gain : Floats
        (d,).
    bias : Floats, optional
        (d,); becomes a bias (n,) of every reader.
    """
    for name in readers:
        if bias is not None:
            extra = tensors[name] @ bias
            old = tensors.get(f"{name}.bias")
            tensors[f"{name}.bias"] = np.asarray(
                extra if old is None else old + extra, dtype=np.float32
            )
        tensors[name] = np.asarray(tensors[name] * gain[None, :], dtype=np.float32)


def refuse_others(found: Collection[str], known: Collection[str]) -> None:
    """Refuse a file with tensors that the architecture has no use for: it is another model.

    Raises
    ------
    UnsupportedModelError
        Names the first such tensor.
    """
    others = sorted(set(found) - set(known))
    if others:
        raise UnsupportedModelError(
            others[0], "a tensor outside the plain architecture",
            "import a model without biases, experts or adapters beyond it",
        )  # fmt: skip
