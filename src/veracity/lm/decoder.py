"""A decoder in floating point: what importers produce and calibration observes.

Gains of norms are folded into the linear maps that read them (except the last one of a tied
model), ``1/sqrt(head_dim)`` into the query projection, LayerNorm biases into the next biases: a
norm here only normalises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import frexp

import numpy as np
from numpy.typing import NDArray

from veracity.errors import FormatError
from veracity.graph.functions import find_function
from veracity.graph.ops.rotary import FREQUENCY_BITS
from veracity.lm.config import Config

__all__ = ["FloatModel", "check_model", "decimal", "exact_product", "fold_norm"]

Floats = NDArray[np.float32]
Observer = Callable[[str, Floats], None]


@dataclass(frozen=True)
class FloatModel:
    """Weights by canonical name.

    Names: ``embed`` (vocab, dim); ``position`` (context, dim) where positions are learned; per
    layer i ``layers.{i}.attn.{q,k,v,o}``, ``layers.{i}.mlp.{gate,up,down}`` as (out, in), gains of
    norms of queries and keys ``layers.{i}.attn.{q,k}.gain`` and of norms after a layer
    ``layers.{i}.{attn,mlp}.post``; biases with suffix ``.bias``; ``final_gain`` (dim,) where the
    last norm's gain is not folded; ``head`` (vocab, dim), or ``embed`` where the head is tied.
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
        if c.positions:
            x = x + w["position"][:count]
        see("embed", x)
        for i in range(c.layers):
            at = f"layers.{i}"
            n = self._norm(x) if c.pre_norm else x
            mixed = self._after(f"{at}.attn.post", self._attend(i, n, see), see)
            if not c.parallel:
                x = self._summed(f"{at}.attn.post", x + mixed, see)
                n = self._norm(x) if c.pre_norm else x
            fed = self._after(f"{at}.mlp.post", self._feed(at, n, see), see)
            x = self._summed(f"{at}.mlp.post", x + mixed + fed if c.parallel else x + fed, see)
        n = x if c.sum_norm else self._norm(x)
        if "final_gain" in w:
            n = self._gain("final_gain", n, see)
        out = np.asarray(n @ w.get("head", w["embed"]).T, dtype=np.float32)
        if "head.bias" in w:
            out = out + w["head.bias"]
        see("head", out)
        return _capped(out, c.logit_cap)

    def _attend(self, layer: int, n: Floats, see: Observer) -> Floats:
        c, at = self.config, f"layers.{layer}.attn"
        q, k, v = (self._linear(f"{at}.{part}", n, see) for part in "qkv")
        if c.qk_norm:
            q, k = self._normed(f"{at}.q", q, see), self._normed(f"{at}.k", k, see)
        if c.rotates(layer):
            last = ".gain" if c.qk_norm else ""
            q, k = self._rope(layer, q), self._rope(layer, k)
            see(f"{at}.q{last}", q)
            see(f"{at}.k{last}", k)
        mixed = self._attention(layer, q, k, v, see)
        see(at, mixed)
        return self._linear(f"{at}.o", mixed, see)

    def _feed(self, at: str, n: Floats, see: Observer) -> Floats:
        up = self._linear(f"{at}.mlp.up", n, see)
        if self.config.gated:
            act = self._activate(self._linear(f"{at}.mlp.gate", n, see))
            see(f"{at}.mlp.act", act)
            inner = act * up
            see(f"{at}.mlp.prod", inner)
        else:
            inner = self._activate(up)
            see(f"{at}.mlp.act", inner)
        return self._linear(f"{at}.mlp.down", inner, see)

    def _after(self, name: str, x: Floats, see: Observer) -> Floats:
        """The norm after a layer, with its gain, where there is one."""
        return self._gain(name, self._norm(x), see) if self.config.post_norm else x

    def _summed(self, name: str, x: Floats, see: Observer) -> Floats:
        """The residual stream after an update, normalised where the architecture does that."""
        see("residual", x)
        return self._gain(name, self._norm(x), see) if self.config.sum_norm else x

    def _normed(self, name: str, x: Floats, see: Observer) -> Floats:
        """Queries or keys, normalised."""
        size = self.config.head_dim if self.config.qk_norm == "head" else x.shape[1]
        n = self._norm(x.reshape(len(x), -1, size)).reshape(x.shape)
        return self._gain(f"{name}.gain", n, see)

    def _linear(self, name: str, x: Floats, see: Observer) -> Floats:
        y = x @ self.tensors[name].T
        if f"{name}.bias" in self.tensors:
            y = y + self.tensors[f"{name}.bias"]
        see(name, y)
        return y

    def _gain(self, name: str, x: Floats, see: Observer) -> Floats:
        y = x * self.tensors[name]
        if f"{name}.bias" in self.tensors:
            y = y + self.tensors[f"{name}.bias"]
        see(name, y)
        return y

    def _norm(self, x: Floats) -> Floats:
        if self.config.norm == "layer":
            x = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.config.norm_eps)
        return np.asarray(x / scale, dtype=np.float32)

    def _activate(self, x: Floats) -> Floats:
        kind = self.config.activation
        if kind == "silu":
            return np.asarray(x / (1 + np.exp(-np.maximum(x, -80))), dtype=np.float32)
        return np.asarray(find_function(kind)[0](x.astype(np.float64)), dtype=np.float32)

    def _rope(self, layer: int, x: Floats) -> Floats:
        c, count = self.config, x.shape[0]
        half = c.head_dim // 2
        if found := c.frequencies(layer):
            frequency = np.asarray(found, dtype=np.float64) * 2.0**-FREQUENCY_BITS
        else:
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

    def _attention(self, layer: int, q: Floats, k: Floats, v: Floats, see: Observer) -> Floats:
        c, count = self.config, q.shape[0]
        heads = q.reshape(count, c.kv_heads, c.group, c.head_dim).transpose(1, 2, 0, 3)
        keys = k.reshape(count, c.kv_heads, c.head_dim).transpose(1, 2, 0)
        values = v.reshape(count, c.kv_heads, c.head_dim).transpose(1, 0, 2)
        scores = heads @ keys[:, None]  # (kv, group, T, T)
        distance = np.arange(count)[:, None] - np.arange(count)
        if c.slopes:
            slopes = np.array([float(s) for s in c.slopes], dtype=np.float32)
            scores = scores - slopes.reshape(c.kv_heads, c.group, 1, 1) * distance
        visible = distance >= 0
        see(f"layers.{layer}.attn.scores", scores[..., visible])
        scores = _capped(scores, c.score_cap)
        if window := c.window(layer):
            visible = visible & (distance < window)
        scores = np.where(visible, scores, -np.inf)
        e = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (e / e.sum(axis=-1, keepdims=True)) @ values[:, None]
        out = mixed.transpose(2, 0, 1, 3).reshape(count, -1)
        return np.ascontiguousarray(out, dtype=np.float32)


def _capped(x: Floats, cap: str) -> Floats:
    """``c tanh(x / c)``, or ``x`` without a cap."""
    c = np.float32(cap or 1)
    return np.asarray(c * np.tanh(x / c)) if cap else x


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
    c.check(where)
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
    if c.positions:
        out["position"] = (c.context, c.dim)
    inner: dict[str, tuple[int, ...]] = {
        "attn.q": (heads, c.dim), "attn.k": (kv, c.dim), "attn.v": (kv, c.dim),
        "attn.o": (c.dim, heads), "mlp.up": (c.hidden, c.dim), "mlp.down": (c.dim, c.hidden),
    }  # fmt: skip
    if c.gated:
        inner["mlp.gate"] = (c.hidden, c.dim)
    if c.qk_norm:
        inner |= {"attn.q.gain": (heads,), "attn.k.gain": (kv,)}
    if c.post_norm or c.sum_norm:
        inner |= {"attn.post": (c.dim,), "mlp.post": (c.dim,)}
    for i in range(c.layers):
        for name, shape in inner.items():
            out[f"layers.{i}.{name}"] = shape
            if f"layers.{i}.{name}.bias" in model.tensors:
                out[f"layers.{i}.{name}.bias"] = shape[:1]
    optional = {
        "head": (c.vocab, c.dim), "head.bias": (c.vocab,), "final_gain": (c.dim,),
        "final_gain.bias": (c.dim,),
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
            extra = _reproducible(tensors[name], bias)
            old = tensors.get(f"{name}.bias")
            tensors[f"{name}.bias"] = np.asarray(
                extra if old is None else old + extra, dtype=np.float32
            )
        tensors[name] = np.asarray(tensors[name] * gain[None, :], dtype=np.float32)


def exact_product(left: Floats, right: Floats) -> Floats:
    """``left @ right`` of entries rounded to 20 bits, the same on every machine.

    Integers of 20 bits have products of 40; sums of up to 2^12 of them are exact in float64, in
    whatever order they are added.

    Parameters
    ----------
    left, right : Floats
        (n, k) and (k, m).

    Raises
    ------
    ValueError
        They do not fit, or ``k`` is above 4096.
    """
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError("matrices that do not fit each other")
    if right.shape[0] > 1 << 12 or not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise ValueError("entries that are not finite, or too many of them")
    whole, powers = [], 0
    for x in (left, right):
        power = 20 - frexp(float(np.abs(x).max(initial=1e-30)))[1]
        whole.append(np.rint(x.astype(np.float64) * 2.0**power))
        powers += power
    return np.asarray(whole[0] @ whole[1] * 2.0**-powers, dtype=np.float32)


def _reproducible(matrix: Floats, vector: Floats) -> NDArray[np.float64]:
    """``matrix @ vector``, bit for bit the same on every machine.

    Products of float32 are exact in float64. Rounded to a common grid, coarse enough that no sum of
    them needs more than 53 bits, they add up to the same number in any order; what the grid leaves
    is added in the same way, on a finer one (Demmel and Nguyen, ARITH 2013).
    """
    rest = matrix.astype(np.float64) * vector.astype(np.float64)
    total = np.zeros(len(matrix))
    for _ in range(3):
        largest = float(np.abs(rest).max(initial=0.0))
        if not 0 < largest < np.inf:
            break
        anchor = 1.5 * 2.0 ** (frexp(largest)[1] + rest.shape[1].bit_length() + 1)
        rounded = (rest + anchor) - anchor
        total = total + rounded.sum(axis=1)
        rest = rest - rounded
    return total
