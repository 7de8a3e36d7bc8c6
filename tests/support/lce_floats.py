"""The network of ``veracity enhance`` in float64, from its formulas: whole pictures, no tiles."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Floats = np.ndarray
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def conv(x: Floats, w: Floats, bias: Floats | None = None) -> Floats:
    """3x3, zeros around: (c, h, w) to (o, h, w)."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    views = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
    y = np.einsum("cyxuv,ocuv->oyx", views, w, optimize=True)
    return y if bias is None else y + bias[:, None, None]


def statistics(x: Floats) -> Floats:
    """27 numbers of a picture (3, h, w) in 0..1."""
    y = (x[0] + 2 * x[1] + x[2]) * 255
    h, w = y.shape

    def moved(dy: int, dx: int) -> Floats:
        return y[4 + dy : h - 4 + dy, 4 + dx : w - 4 + dx]

    means, centre = [], moved(0, 0)
    for dy, dx in DIRECTIONS:
        for lag in (1, 2, 4):
            ahead, behind = moved(lag * dy, lag * dx), moved(-lag * dy, -lag * dx)
            means += [((ahead - centre) ** 2).mean(), ((ahead - 2 * centre + behind) ** 2).mean()]
    line = (1, -2, 1)
    mask = sum(a * b * moved(i - 1, j - 1) for i, a in enumerate(line) for j, b in enumerate(line))
    logs = np.log2(np.array([*means, (mask**2).mean()]) + 1.6)
    size = 2 * np.log2(np.abs(mask).mean() + 1)
    level = logs[[4, 10, 16, 22]].mean()
    return np.clip(np.array([*(logs - level), size - level, level - 10]) / 4, -3, 1.5)


def enlarge(x: Floats) -> Floats:
    """Bicubic by two, edges repeated, (c, h, w)."""
    for axis in (1, 2):
        x = np.swapaxes(x, axis, 2)
        p, n = np.pad(x, ((0, 0), (0, 0), (2, 2)), mode="edge"), x.shape[2]
        taps = np.array([-3, 29, 111, -9]) / 128
        even = sum(t * p[..., i : i + n] for i, t in enumerate(taps))
        odd = sum(t * p[..., i + 1 : i + 1 + n] for i, t in enumerate(taps[::-1]))
        x = np.swapaxes(np.stack([even, odd], -1).reshape(*x.shape[:2], 2 * n), axis, 2)
    return x


def block(w: Mapping[str, Floats], name: str, x: Floats, f: Floats, shares: Floats) -> Floats:
    """One step of the residual stream (16, h, w)."""

    def of(part: str) -> Floats:
        return w[f"{name}.{part}"]

    channels, h, width = x.shape
    flat, heads = x.reshape(channels, -1), len(of("sharpness"))
    gram = flat @ flat.T / flat.shape[1]
    q, k, v = (of(n).reshape(heads, -1, channels) for n in "qkv")
    scores = np.einsum("hic,ce,hje->hij", q, gram, k)
    qq, kk = (np.einsum("hic,ce,hie->hi", m, gram, m) for m in (q, k))
    scores = scores / np.sqrt(qq + 1e-3)[..., None] / np.sqrt(kk + 1e-3)[:, None]
    e = np.exp(scores * of("sharpness")[:, None, None])
    soft = e / e.sum(-1, keepdims=True)
    mixer = np.einsum("ohi,hij,hjc->oc", of("o").reshape(channels, heads, -1), soft, v)
    z = np.fft.rfft2(f, norm="ortho")
    z = np.concatenate([z.real, z.imag])
    r = np.maximum(np.einsum("oi,iyx->oyx", of("f1"), z), 0)
    z = np.einsum("oi,iyx->oyx", of("f2"), r) + z
    re, im = np.split(z, 2)
    g = np.fft.irfft2(re + 1j * im, s=(h, width), norm="ortho")
    gate = 1 / (1 + np.exp(-conv(g, of("gate.weight"), of("gate.bias"))))
    gated = np.einsum("oi,iyx->oyx", of("u"), np.concatenate([x, g])) + of("u_bias")[:, None, None]
    x = x + (mixer @ flat).reshape(x.shape) + gated * gate.repeat(channels // heads, 0)
    y = x
    for part, c in (("ffn1", shares[0]), ("ffn2", shares[1])):
        kernel = of(f"{part}.weight")
        if f"{name}.{part}.terms" in w:
            kernel = kernel + np.einsum("k,kocuv->ocuv", c, of(f"{part}.terms"))
        y = conv(np.maximum(y, 0) if part == "ffn2" else y, kernel, of(f"{part}.bias"))
    return x + y


def judge(w: Mapping[str, Floats], x: Floats) -> Floats:
    """Shares of the basis filters (12), then of the kernels' terms, from the statistics.

    Zeros for a control, which has neither.
    """
    if "est1.weight" not in w:
        return np.zeros(12 + 6 * sum(name.endswith(".gate.weight") for name in w))
    hidden = np.maximum(w["est1.weight"] @ statistics(x) + w["est1.bias"], 0)
    return w["est2.weight"] @ hidden + w["est2.bias"]


def enhance(
    w: Mapping[str, Floats], x: Floats, shares: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """Enlarged picture and corrected picture in 0..1, before any rounding, and the filter.

    ``shares`` are those that :func:`judge` gives, or others.
    """
    out = judge(w, x) if shares is None else shares
    if "corrector.basis" not in w:
        return _joined(w, x, x, x - 0.5, out), x, np.zeros((15, 15))
    basis = w["corrector.basis"] - w["corrector.basis"].mean((1, 2), keepdims=True)
    h = np.einsum("k,kuv->uv", out[:12], basis)
    padded = np.pad(x, ((0, 0), (7, 7), (7, 7)), mode="reflect")
    views = np.lib.stride_tricks.sliding_window_view(padded, (15, 15), (1, 2))
    clean = x + np.einsum("cyxuv,uv->cyx", views, h, optimize=True)
    clean = np.clip(clean, -0.5, 1.5)
    entry = np.concatenate([x, clean]) - 0.5
    return _joined(w, x, clean, entry, out), clean, h


def _joined(
    w: Mapping[str, Floats], x: Floats, clean: Floats, entry: Floats, out: Floats
) -> Floats:
    """The enlarged picture from what the head reads."""
    first = y = conv(entry, w["head.weight"], w["head.bias"])
    f = conv(clean - 0.5, w["maps.weight"])
    shares = out[12:].reshape(-1, 2, 3)
    for i, c in enumerate(shares):
        y = block(w, f"blocks.{i}", y, f, c)
    t = conv(y + first, w["tail.weight"], w["tail.bias"])
    t = t.reshape(3, 2, 2, *t.shape[1:]).transpose(0, 3, 1, 4, 2).reshape(3, 2 * x.shape[1], -1)
    return enlarge(x) + t
