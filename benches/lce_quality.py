"""How well ``veracity enhance`` enlarges: PSNR beside bicubic, VDSR and a control, and adaptation.

    python benches/lce_quality.py --set5 DIR --photos FILE.npz [--weights FILE.npz] [--json OUT]

``DIR`` has the five pictures of Set5 as .bmp, ``FILE.npz`` photographs as arrays (height, width, 3)
of bytes (``make build/data/photographs.npz``): none of them was trained on. The network is
evaluated in floats and on whole pictures; ``--integers`` runs the program that is proved, too, and
prints how far the two are apart. PSNR is that of the luma of ITU-R BT.601, 4 pixels at each border
left out.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.lce_floats import enhance, enlarge
from veracity.frontends.lce import LARGEST_TILE, network_for, shipped_weights
from veracity.vision import run

Floats = np.ndarray
DOWN = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
#: Name, deviations along both axes and angle of the blur, noise in levels.
SETTINGS: dict[str, tuple[tuple[float, float, float] | None, float]] = {
    "bicubic only": (None, 0),
    "s 0.8": ((0.8, 0.8, 0.0), 0),
    "s 1.2": ((1.2, 1.2, 0.0), 0),
    "s 1.6": ((1.6, 1.6, 0.0), 0),
    "s 2.0": ((2.0, 2.0, 0.0), 0),
    "s 3.0": ((3.0, 3.0, 0.0), 0),
    "s 4.0": ((4.0, 4.0, 0.0), 0),
    "anisotropic 0.8 x 2.0": ((0.8, 2.0, math.pi / 4), 0),
    "anisotropic 0.6 x 5.0": ((0.6, 5.0, math.pi / 4), 0),
    "s 1.2, noise 3/255": ((1.2, 1.2, 0.0), 3),
}


def blurred(x: Floats, s: tuple[float, float, float]) -> Floats:
    """Convolve (3, h, w) with a Gaussian of 21 x 21 taps, reflected at the edges."""
    r = np.arange(21) - 10
    v, u = np.meshgrid(r, r, indexing="ij")
    a, b = u * math.cos(s[2]) + v * math.sin(s[2]), -u * math.sin(s[2]) + v * math.cos(s[2])
    kernel = np.exp(-0.5 * ((a / s[1]) ** 2 + (b / s[0]) ** 2))
    kernel /= kernel.sum()
    padded = np.pad(x, ((0, 0), (10, 10), (10, 10)), mode="reflect")
    h, w = x.shape[1:]
    return sum(kernel[i, j] * padded[:, i : i + h, j : j + w] for i in range(21) for j in range(21))


def halved(x: Floats) -> Floats:
    """Exact bicubic reduction by two."""
    for axis in (1, 2):
        x = np.swapaxes(x, axis, 2)
        p = np.pad(x, ((0, 0), (0, 0), (3, 3)), mode="edge")
        n = x.shape[2] // 2
        x = np.swapaxes(sum(t * p[..., i : i + 2 * n : 2] for i, t in enumerate(DOWN)), axis, 2)
    return x


def luma(x: Floats) -> Floats:
    """Of a picture in 0..1, in levels."""
    return 16 + 65.481 * x[0] + 128.553 * x[1] + 24.966 * x[2]


def psnr(x: Floats, truth: Floats, border: int = 4) -> float:
    """In decibels."""
    d = (luma(np.clip(x, 0, 1)) - luma(truth))[border:-border, border:-border]
    return float(10 * np.log10(255**2 / np.mean(d**2)))


def vdsr(path: Path) -> Callable[[Floats], Floats]:
    """The network of the paper on the luma of a bicubic enlargement."""
    from safetensors.numpy import load_file

    found = {n: k for n, k in load_file(path).items() if k.ndim == 4}
    inner = [n for n, k in found.items() if k.shape[:2] == (64, 64)]
    inner.sort(key=lambda n: [int(part) for part in re.findall(r"\d+", n)])
    first = next(k for k in found.values() if k.shape[1] == 1)
    last = next(k for k in found.values() if k.shape[0] == 1)
    layers = [first, *(found[n] for n in inner), last]

    def apply(y: Floats) -> Floats:
        x = y[None]
        for i, k in enumerate(layers):
            p = np.pad(x, ((0, 0), (1, 1), (1, 1)))
            n, m = x.shape[1:]
            x = sum(
                np.tensordot(k[:, :, u, v], p[:, u : u + n, v : v + m], 1)
                for u in range(3)
                for v in range(3)
            )
            x = np.maximum(x, 0) if i < len(layers) - 1 else x
        return y + x[0]

    return apply


def pictures(set5: Path | None, photos: Path | None) -> Iterator[tuple[str, str, Floats]]:
    """Set, name and pixels in 0..1, sides multiples of 4."""
    for path in sorted(set5.glob("*.bmp")) if set5 else []:
        yield "Set5", path.stem, np.asarray(Image.open(path).convert("RGB"))
    if photos:
        with np.load(photos) as found:
            for name in found.files:
                yield "photos", name, found[name]


def degradations(
    set5: Path | None, photos: Path | None, settings: Sequence[str]
) -> Iterator[tuple[str, str, str, Floats, Floats, Floats]]:
    """Set, picture, setting; degraded picture, truth and its reduction (3, h, w) in 0..1."""
    for group, name, pixels in pictures(set5, photos):
        h, w = (n // 4 * 4 for n in pixels.shape[:2])
        truth = pixels[:h, :w].transpose(2, 0, 1) / 255
        clean = halved(truth)
        for setting in settings:
            blur, noise = SETTINGS[setting]
            low = clean if blur is None else halved(blurred(truth, blur))
            rng = np.random.default_rng(7)
            low = low + rng.standard_normal(low.shape) * noise / 255
            low = np.round(np.clip(low, 0, 1) * 255) / 255
            yield group, name, setting, low, truth, clean


def measure(
    weights: Mapping[str, Floats], frozen: Floats | None, low: Floats, truth: Floats, clean: Floats
) -> dict[str, float]:
    """All figures of one degraded picture (3, h, w)."""
    enlarged, corrected, h = enhance(weights, low)
    found = {
        "bicubic": psnr(enlarge(low), truth),
        "lce": psnr(enlarged, truth),
        "low_against_clean": psnr(low, clean, 8),
        "corrected_against_clean": psnr(corrected, clean, 8),
        "centre_tap": float(h[7, 7]),
    }
    if frozen is not None:
        found["frozen"] = psnr(enhance(weights, low, frozen)[0], truth)
    return found


def main() -> None:
    """Print a table, and write all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set5", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--weights", type=Path, help="other weights than those that ship")
    parser.add_argument("--vdsr", type=Path, help="its weights, .safetensors; slow")
    parser.add_argument("--integers", action="store_true", help="compare with the program")
    parser.add_argument("--settings", nargs="*", default=list(SETTINGS))
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    weights: Mapping[str, Floats] = shipped_weights()
    if chosen.weights:
        with np.load(chosen.weights) as found:
            weights = {name: found[name].astype(np.float64) for name in found.files}
    other = vdsr(chosen.vdsr) if chosen.vdsr else None
    rows = []
    degraded = list(degradations(chosen.set5, chosen.photos, chosen.settings))
    shares = np.mean([_shares(weights, low) for *_, low, _, _ in degraded], axis=0)
    for group, name, setting, low, truth, clean in degraded:
        row = {"set": group, "picture": name, "setting": setting}
        row |= measure(weights, shares, low, truth, clean)
        if other is not None and group == "Set5":
            y = other(luma(enlarge(low)) / 255).clip(16 / 255, 235 / 255) * 255
            d = (y - luma(truth))[4:-4, 4:-4]
            row["vdsr"] = float(10 * np.log10(255**2 / np.mean(d**2)))
        if chosen.integers:
            row |= _integers(weights, low, truth)
        rows.append(row)
    for group in dict.fromkeys(r["set"] for r in rows):
        for setting in chosen.settings:
            these = [r for r in rows if (r["set"], r["setting"]) == (group, setting)]
            shown = {k: np.mean([r[k] for r in these]) for k in these[0] if k not in _WORDS}
            print(group, setting, {k: round(float(v), 3) for k, v in shown.items()}, flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(rows))


_WORDS = ("set", "picture", "setting")


def _shares(weights: Mapping[str, Floats], low: Floats) -> Floats:
    from tests.support.lce_floats import judge

    return judge(weights, low)


def _integers(weights: Mapping[str, Floats], low: Floats, truth: Floats) -> dict[str, float]:
    """The program on the middle of a picture, as one tile, and the floats on the same."""
    at = [max(0, (n - LARGEST_TILE) // 2) for n in low.shape[1:]]
    rows, columns = (slice(a, a + LARGEST_TILE) for a in at)
    low, truth = low[:, rows, columns], truth[:, _doubled(rows), _doubled(columns)]
    network = network_for(*low.shape[1:], LARGEST_TILE, floats=weights)
    made = run(network, {"picture": np.round(low * 255).astype(np.int64)})["enlarged"]
    exact = np.clip(enhance(weights, low)[0] * 255, 0, 255)
    return {
        "program_less_floats_db": psnr(made / 255, truth) - psnr(exact / 255, truth),
        "largest_difference_levels": float(np.abs(made - exact).max()),
    }


def _doubled(part: slice) -> slice:
    return slice(2 * part.start, 2 * part.stop)


if __name__ == "__main__":
    main()
