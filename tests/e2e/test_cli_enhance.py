"""`enhance` on the command line: pictures of a folder, proofs, what a verifier makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.house import done, veracity
from veracity.formats.images import load_image, save_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pictures (one grey, in a folder below), one damaged file, one that is no picture."""
    root = tmp_path_factory.mktemp("pictures")
    y, x = np.mgrid[:20, :24]
    shade = 128 + 60 * np.sin(y / 3)[..., None] + 40 * np.cos(x[..., None] / 4 + np.arange(3))
    pixels = shade.astype(np.uint8)
    (root / "in" / "below").mkdir(parents=True)
    save_image(root / "in" / "a.png", pixels)
    save_image(root / "in" / "below" / "grey.png", pixels[..., :1])
    (root / "in" / "bad.png").write_bytes(b"no picture")
    (root / "in" / "notes.txt").write_text("neither")
    return root


def test_a_folder_with_one_bad_picture(folder: Path) -> None:
    out = folder / "out"
    result = veracity(
        "enhance", "-i", folder / "in", "-o", out, "--recursive", "--compare", "--show-filter",
        "--json",
    )  # fmt: skip
    assert result.exit_code == 2
    facts = json.loads(result.stdout)
    assert facts["failed"] == 1
    by_name = {Path(p["input"]).name: p for p in facts["pictures"]}
    assert "neither a PNG" in by_name["bad.png"]["error"]
    assert load_image(out / "a_x2.png").shape == (40, 48, 3)
    assert load_image(out / "below" / "grey_x2.png").shape == (40, 48, 3)
    assert load_image(out / "a_x2_compare.png").shape[1] > 2 * 48
    assert np.load(out / "a_x2.filter.npy").shape == (15, 15)
    assert "skipped notes.txt" in result.stderr
    again = veracity("enhance", "-i", folder / "in", "-o", out, "--skip-existing", "--json")
    kept = [p for p in json.loads(again.stdout)["pictures"] if p.get("skipped")]
    assert [Path(p["input"]).name for p in kept] == ["a.png"]


def test_a_result_is_not_overwritten_unasked(folder: Path) -> None:
    source, out = folder / "in" / "a.png", folder / "kept"
    out.mkdir()
    (out / "a_x2.png").write_text("my notes")
    assert veracity("enhance", "-i", source, "-o", out).exit_code == 2
    assert (out / "a_x2.png").read_text() == "my notes"
    done("enhance", "-i", source, "-o", out, "--force")


def test_a_proof_of_a_picture(folder: Path) -> None:
    source, out = folder / "in" / "a.png", folder / "proved"
    facts = json.loads(done("enhance", "-i", source, "-o", out, "--prove", "--json").stdout)
    (picture,) = facts["pictures"]
    commitment = Path(picture["commitment"])
    assert commitment.name == "lce-24x20-96.vcom"
    plain = folder / "plain"
    done("enhance", "-i", source, "-o", plain)
    assert np.array_equal(load_image(plain / "a_x2.png"), load_image(out / "a_x2.png"))
    check = ("verify", out / "a_x2.vproof", "--commitment", commitment, "--input", source)
    accepted = done(*check, "--output", out / "a_x2.png", "--json")
    assert json.loads(accepted.stdout)["accepted"] is True
    assert picture["output_pixels"] in accepted.stdout
    altered = load_image(out / "a_x2.png")
    altered[7, 9, 1] ^= 1
    save_image(folder / "altered.png", altered)
    refused = veracity(*check, "--output", folder / "altered.png")
    assert refused.exit_code == 1
    before = commitment.read_bytes()
    done("enhance", "-i", source, "-o", out, "--prove", "--force")  # with the same commitment
    assert commitment.read_bytes() == before


def test_what_cannot_be(folder: Path) -> None:
    grey, out = folder / "in" / "below" / "grey.png", folder / "no"
    for arguments in (
        ("-i", grey, "-o", out, "--prove"),
        ("-i", grey, "-o", out, "--scale", "3"),
        ("-i", folder / "nothing", "-o", out),
        ("-i", folder / "in" / "notes.txt", "-o", out),
    ):
        assert veracity("enhance", *arguments).exit_code == 2, arguments


def test_the_measured_network() -> None:
    facts = json.loads(done("bench", "lce", "--tile", "16", "--json", "-q").stdout)
    assert facts["workload"] == "lce"
    assert facts["parameters"] == 89812
    assert facts["proof_bytes"] > 0
    assert facts["verify_s"] > 0
