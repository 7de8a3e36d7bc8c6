"""A photograph, blurred and made half as large; enhanced, proved, verified; two frauds refused.

Every step is the command line, each in a process of its own; the verifier's process gets a folder
with two pictures, a commitment and a proof. Run it with ``make demo-vision``, which takes the
photograph (CC0, nobody trained on it) out of a package first.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
from demo import Steps
from numpy.typing import NDArray

from veracity.formats.images import load_image, save_image
from veracity.vision.compare import bicubic

Pixels = NDArray[np.uint8]
#: Deviation of the blur in pixels of the photograph; side of the part that is shown.
BLUR, SIDE = 1.4, 240


def degraded(pixels: Pixels) -> Pixels:
    """Blurred by a Gaussian, then every two by two pixels averaged."""
    x = pixels.astype(np.float64)
    r = np.arange(-8, 9)
    kernel = np.exp(-0.5 * (r / BLUR) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.moveaxis(x, axis, 0)
        n = len(padded)
        padded = np.pad(padded, ((8, 8), (0, 0), (0, 0)), mode="reflect")
        x = np.moveaxis(sum(k * padded[i : i + n] for i, k in enumerate(kernel)), 0, axis)
    half = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, 3).mean((1, 3))
    return np.floor(half + 0.5).astype(np.uint8)


def psnr(a: Pixels, b: Pixels) -> float:
    """In decibels, borders left out."""
    d = (a.astype(float) - b)[8:-8, 8:-8]
    return float(10 * np.log10(255**2 / np.mean(d**2)))


def refused(steps: Steps, folder: Path, title: str, *arguments: object) -> None:
    """Check that a fraud is found; anything else ends the demo."""
    code, facts = steps.run(title, "verify", *arguments, cwd=folder, complain=False)
    if code != 1 or facts.get("accepted") is not False:
        raise SystemExit(f"demo: {title} was not rejected")
    print(f"  rejected, as it must be: {facts['error']['message']}")


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("build/demo-vision"))
    parser.add_argument("--photograph", type=Path, required=True, help="a PNG file")
    chosen = parser.parse_args()
    folder = chosen.dir.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    outside = folder / "verifier"
    outside.mkdir(parents=True)
    steps = Steps(folder)
    whole = load_image(chosen.photograph)
    y, x = ((n - SIDE) // 2 for n in whole.shape[:2])
    truth = whole[y : y + SIDE, x : x + SIDE]
    low = degraded(truth)
    save_image(folder / "truth.png", truth)
    save_image(folder / "photo.png", low)

    print("== Whoever has the network: enhance and prove ==")
    facts = steps.must(
        "enhance and prove",
        *("enhance", "-i", folder / "photo.png", "-o", folder, "--prove", "--compare"),
    )
    (made,) = facts["pictures"]
    commitment = Path(made["commitment"])
    for path in (folder / "photo.png", folder / "photo_x2.png", folder / "photo_x2.vproof"):
        shutil.copy(path, outside)
    shutil.copy(commitment, outside)

    print("\n== Anybody, without weights: verify ==")
    check = ("photo_x2.vproof", "--commitment", commitment.name)
    told = steps.must(
        "verify",
        *("verify", *check, "--input", "photo.png", "--output", "photo_x2.png"),
        cwd=outside,
    )
    print(f"  {told['proved']}")

    print("\n== Frauds ==")
    enhanced = load_image(folder / "photo_x2.png")
    altered = enhanced.copy()
    altered[100, 100, 0] ^= 1
    save_image(outside / "altered.png", altered)
    other = low.copy()
    other[0, 0, 0] ^= 1
    save_image(outside / "other.png", other)
    refused(
        steps, outside, "one altered pixel", *check,
        *("--input", "photo.png", "--output", "altered.png"),
    )  # fmt: skip
    refused(
        steps, outside, "another photograph", *check,
        *("--input", "other.png", "--output", "photo_x2.png"),
    )  # fmt: skip

    before, after = psnr(bicubic(low), truth), psnr(enhanced, truth)
    print(f"\nagainst the photograph: bicubic {before:.2f} dB, enhanced {after:.2f} dB")
    print(f"side by side (bicubic, enhanced): {made['compare']}")
    print(f"proof: {made['proof_bytes']:,} bytes, {made['tiles']} tiles")
    for title, seconds, memory in steps.rows:
        print(f"{title:<24}{seconds:8.1f} s{memory / 1e6:10.0f} MB")
    if after <= before:
        raise SystemExit("demo: bicubic was better")


if __name__ == "__main__":
    main()
