"""The network of `enhance`: its layout, its integers beside the floats, what it does to blur."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from tests.support.lce_floats import enhance, enlarge
from veracity.errors import UsageError
from veracity.formats.images import load_image, save_image
from veracity.frontends.lce import LARGEST_TILE, Layout, network_for, shipped_weights
from veracity.frontends.lce.layout import MARGIN
from veracity.graph import Program
from veracity.graph.wires import apply_wire
from veracity.vision import compare, enhance_picture, find_jobs, run
from veracity.vision.compare import bicubic


@lru_cache
def photograph(height: int, width: int, blur: float = 0.0, seed: int = 1) -> np.ndarray:
    """Edges, textures and noise like a photograph's, (3, height, width) of bytes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: 2 * height, : 2 * width]
    waves = sum(
        np.sin((y * np.sin(a) + x * np.cos(a)) * f + a) / f
        for a, f in zip(rng.uniform(0, 6, 40), rng.uniform(0.02, 1.5, 40), strict=True)
    )
    discs = sum(
        c * ((y - a * 2 * height) ** 2 + (x - b * 2 * width) ** 2 < r**2)
        for a, b, c, r in rng.uniform([0, 0, -60, 3], [1, 1, 60, 40], (60, 4))
    )
    scene = 120 + 8 * waves + discs
    picture = np.stack([scene, 0.9 * scene + 10, 0.7 * scene + 30])
    if blur:
        r = np.arange(-8, 9)
        kernel = np.exp(-0.5 * (r / blur) ** 2)
        for axis in (1, 2):
            picture = np.apply_along_axis(
                lambda v: np.convolve(np.pad(v, 8, mode="reflect"), kernel / kernel.sum(), "valid"),
                axis,
                picture,
            )
    picture = picture.reshape(3, height, 2, width, 2).mean((2, 4))
    return np.clip(np.round(picture), 0, 255).astype(np.int64)


# ---- tiles ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(16, 16), (64, 200), (65, 33), (100, 64), (255, 257)])
@pytest.mark.parametrize("tile", [32, 48, 64])
def test_tiles_put_together_are_the_picture(size: tuple[int, int], tile: int) -> None:
    layout = Layout.of(*size, tile)
    x = np.arange(3 * size[0] * size[1]).reshape(3, *size)
    tiles = apply_wire(layout.cut(), x)
    assert tiles.shape == layout.grid(3)
    assert max(layout.grid(3)[3:]) <= tile
    doubled = tiles.repeat(2, 3).repeat(2, 4)
    joined = doubled.transpose(2, 0, 3, 1, 4).reshape(layout.joined(2))
    assert np.array_equal(apply_wire(layout.join(2), joined), x.repeat(2, 1).repeat(2, 2))


@pytest.mark.parametrize("length", range(17, 400, 23))
def test_no_kept_pixel_is_near_an_inner_end_of_its_tile(length: int) -> None:
    side = Layout.of(length, 64, 40).rows
    starts, shown = side.starts, side.join(0, 1)
    taken = np.array(shown[0].numbers) if shown else np.arange(length)
    for i, start in enumerate(starts):
        inside = taken[(taken >= i * side.tile) & (taken < (i + 1) * side.tile)] - i * side.tile
        assert start == 0 or inside.min() >= MARGIN - 1
        assert start + side.tile == length or inside.max() <= side.tile - MARGIN


def test_sizes_that_are_refused() -> None:
    for height, width, tile in ((15, 99, 64), (99, 15, 64), (99, 99, 31), (99, 99, 129)):
        with pytest.raises(UsageError):
            Layout.of(height, width, tile)


# ---- the program ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("height", "width", "tile"),
    [(16, 16, 64), (129, 17, 128), (300, 65, 128), (LARGEST_TILE, LARGEST_TILE, LARGEST_TILE)],
)
def test_programs_of_any_size_keep_to_their_words(height: int, width: int, tile: int) -> None:
    program = network_for(height, width, tile, show_filter=True).program
    assert Program.from_json(program.to_json()).digest == program.digest
    assert program.digest == network_for(height, width, tile, show_filter=True).program.digest


@pytest.mark.parametrize("size", [(48, 40), (33, 51)])
@pytest.mark.parametrize("blur", [0.0, 1.5])
def test_the_integers_are_the_floats(size: tuple[int, int], blur: float) -> None:
    x = photograph(*size, blur)
    outputs = run(network_for(*size, 64, show_filter=True), {"picture": x})
    weights = shipped_weights()
    exact, _, h = enhance(weights, x / 255)
    difference = outputs["enlarged"] - np.clip(exact * 255, 0, 255)
    assert np.abs(difference).max() <= 3
    assert np.sqrt(np.mean(difference**2)) <= 0.4
    assert np.abs(outputs["filter"] * 2.0**-14 - h).max() < 0.01
    assert abs(outputs["filter"].sum()) <= 16  # flat areas stay as they are


def odd_pictures(n: int) -> dict[str, np.ndarray]:
    y, x = np.mgrid[:n, :n]
    noise = np.random.default_rng(1).integers(0, 2, (3, n, n))
    planes = {
        "white": np.ones((3, n, n)), "black": np.zeros((3, n, n)), "noise": noise,
        "red": np.stack([np.ones((n, n)), 0 * y, 0 * y]), "half": np.stack([x > n // 2] * 3),
        "lines": np.stack([y // 2 % 2] * 3), "dot": np.stack([(x == 9) & (y == 9)] * 3),
    }  # fmt: skip
    return {name: (p * 255).astype(np.int64) for name, p in planes.items()}


@pytest.mark.parametrize("name", odd_pictures(40))
def test_drawings_keep_to_the_ranges_too(name: str) -> None:
    x = odd_pictures(40)[name]
    y = run(network_for(40, 40, 64), {"picture": x})["enlarged"]
    exact = np.clip(enhance(shipped_weights(), x / 255)[0] * 255, 0, 255)
    assert np.abs(y - exact).max() <= 6
    if name in ("white", "black"):
        assert np.abs(y - x.mean()).max() <= 40


def test_the_filter_grows_with_the_blur() -> None:
    """No constant filter: what a network on averages of filtered pictures collapses to."""
    taps = [
        run(network_for(64, 64, 64, True), {"picture": photograph(64, 64, s)})["filter"][7, 7]
        for s in (0.0, 1.2, 2.0)
    ]
    assert taps == sorted(taps)
    assert taps[-1] > taps[0] + (1 << 12)


def test_it_sharpens_what_is_blurred() -> None:
    low = photograph(48, 48, 2.4)
    y = run(network_for(48, 48, 64), {"picture": low})["enlarged"]
    usual = np.clip(enlarge(low / 255) * 255, 0, 255)
    contrast = [np.abs(np.diff(p[:, 6:-6, 6:-6], axis=2)).mean() for p in (y, usual)]
    assert contrast[0] > 1.1 * contrast[1]


# ---- pictures and folders ------------------------------------------------------------------------
def test_pixels_in_pixels_out() -> None:
    pixels = photograph(40, 48).transpose(1, 2, 0).astype(np.uint8)
    made = enhance_picture(pixels, tile=32, show_filter=True)
    assert made.pixels.shape == (80, 96, 3)
    assert made.pixels.dtype == np.uint8
    assert made.tiles == 4
    seen = compare(pixels, made.pixels, made.filter)
    assert seen.shape == (120, 96 + 8 + 96 + 8 + 120, 3)
    assert np.array_equal(seen[:80, :96], bicubic(pixels))
    grey = enhance_picture(pixels[..., :1], tile=64)
    assert grey.pixels.shape == (80, 96, 3)
    assert grey.filter is None


def test_tiles_and_whole_are_alike() -> None:
    pixels = photograph(72, 72).transpose(1, 2, 0).astype(np.uint8)
    a, b = (enhance_picture(pixels, tile=t).pixels.astype(int) for t in (48, 96))
    assert np.sqrt(np.mean((a - b) ** 2)) < 2.5


def test_which_pictures_of_a_folder(tmp_path: Path) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "b.PNG", "sub/c.png"):
        save_image(tmp_path / "in" / name, pixels)
    (tmp_path / "in" / "notes.txt").write_text("x")
    jobs, others = find_jobs(tmp_path / "in", tmp_path / "out")
    assert [j.target.name for j in jobs] == ["a_x2.png", "b_x2.png"]
    assert [p.name for p in others] == ["notes.txt"]
    jobs, _ = find_jobs(tmp_path / "in", tmp_path / "in" / "out", recursive=True)
    assert jobs[-1].target == tmp_path / "in" / "out" / "sub" / "c_x2.png"
    save_image(tmp_path / "in" / "a.ppm.png", pixels)
    with pytest.raises(UsageError, match="no picture"):
        find_jobs(tmp_path / "nothing", tmp_path)
    (tmp_path / "in" / "a.pgm").write_bytes(b"P5 1 1 255\n0")
    with pytest.raises(UsageError, match="both become"):
        find_jobs(tmp_path / "in", tmp_path / "out")
    assert load_image(tmp_path / "in" / "a.png").shape == (4, 4, 3)
