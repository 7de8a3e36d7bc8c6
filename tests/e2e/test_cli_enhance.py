"""`enhance` on the command line: pictures of a folder, proofs, what a verifier makes of them."""

from __future__ import annotations

import hashlib
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


def test_a_sealed_picture_and_what_is_to_be_signed(folder: Path) -> None:
    source, out = folder / "in" / "a.png", folder / "sealed"
    arguments = ("-i", source, "-o", out, "--prove", "--seal", "picture", "--c2pa", "--json")
    (picture,) = json.loads(done("enhance", *arguments).stdout)["pictures"]
    seal, key = (Path(picture["seals"]["picture"][n]) for n in ("seal", "key"))
    assert key.stat().st_mode & 0o777 == 0o600
    check = ("verify", picture["proof"], "--commitment", picture["commitment"], "--json")
    accepted = done(*check, "--input", seal, "--output", picture["output"])
    digest = picture["seals"]["picture"]["digest"]
    assert json.loads(accepted.stdout)["digests"]["picture"] == digest
    assert picture["input_pixels"] not in accepted.stdout
    assert veracity(*check, "--input", source, "--output", picture["output"]).exit_code != 0
    definition = json.loads(Path(picture["c2pa"]).read_text())
    assert definition["title"] == "a_x2.png"
    by_label = {a["label"]: a["data"] for a in definition["assertions"]}
    stated = by_label["org.veracity.enhancement"]
    proof = Path(picture["proof"]).read_bytes()
    assert stated["proof_sha256"] == hashlib.sha256(proof).hexdigest()
    assert stated["input_seal"] == digest
    assert stated["output_pixels"] == picture["output_pixels"]
    # pixels that are sealed could be guessed from their digest
    assert picture["input_pixels"] not in json.dumps(definition)
    (action,) = by_label["c2pa.actions.v2"]["actions"]
    assert action["digitalSourceType"].endswith("/algorithmicallyEnhanced")
    plain = done("enhance", "-i", source, "-o", folder / "unproved", "--c2pa", "--json")
    (unproved,) = json.loads(plain.stdout)["pictures"]
    made = json.loads(Path(unproved["c2pa"]).read_text())["assertions"][1]["data"]
    assert set(made) == {"program", "input_pixels", "output_pixels"}


def test_a_sealed_result_is_enhanced_again(folder: Path) -> None:
    """Two proofs about three pictures, of which the middle one nobody sees."""
    source, out = folder / "in" / "a.png", folder / "chained"
    arguments = ("-o", out, "--prove", "--c2pa", "--json")
    done("enhance", "-i", source, "--seal", "enlarged", *arguments)
    key, seal = out / "a_x2.enlarged.vskey", out / "a_x2.enlarged.vseal"
    (facts,) = json.loads(done("enhance", "-i", key, *arguments).stdout)["pictures"]
    assert load_image(facts["output"]).shape == (80, 96, 3)
    assert Path(facts["seals"]["picture"]["seal"]).read_bytes() == seal.read_bytes()
    check = ("verify", facts["proof"], "--commitment", facts["commitment"], "--json")
    accepted = done(*check, "--input", seal, "--output", facts["output"])
    digest = facts["seals"]["picture"]["digest"]
    assert json.loads(accepted.stdout)["digests"]["picture"] == digest
    stated = json.loads(Path(facts["c2pa"]).read_text())["assertions"][1]["data"]
    assert stated["input_seal"] == digest
    assert "input_pixels" not in {**facts, **stated}
    other = folder / "sealed" / "a_x2.picture.vseal"
    if other.exists():
        assert veracity(*check, "--input", other, "--output", facts["output"]).exit_code == 1
    again = veracity("enhance", "-i", key, "--seal", "picture", *arguments, "--force")
    assert again.exit_code == 2
    assert "sealed already" in again.stdout


def test_a_photograph_as_jpeg(folder: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = load_image(folder / "in" / "a.png")
    turned = folder / "turned.jpg"
    exif = image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    image.fromarray(pixels).save(turned, quality=95, exif=exif)
    facts = json.loads(done("enhance", "-i", turned, "-o", folder / "jpeg", "--json").stdout)
    (picture,) = facts["pictures"]
    decoded = load_image(Path(picture["input"]))
    assert picture["input"].endswith("turned_input.png")
    assert decoded.shape == (24, 20, 3)
    assert np.abs(decoded.astype(int) - np.rot90(pixels, -1)).mean() < 8
    assert load_image(Path(picture["output"])).shape == (48, 40, 3)
    (folder / "cut.jpg").write_bytes(turned.read_bytes()[:300])
    image.fromarray(pixels).convert("CMYK").save(folder / "inks.jpg")
    for name, reason in (("cut.jpg", "cannot be decoded"), ("inks.jpg", "CMYK")):
        refused = veracity("enhance", "-i", folder / name, "-o", folder / "jpeg", "--json")
        assert refused.exit_code == 2
        assert reason in json.loads(refused.stdout)["pictures"][0]["error"]


def test_what_cannot_be(folder: Path) -> None:
    grey, out = folder / "in" / "below" / "grey.png", folder / "no"
    for arguments in (
        ("-i", grey, "-o", out, "--prove"),
        ("-i", folder / "in" / "a.png", "-o", out, "--seal", "picture"),
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
