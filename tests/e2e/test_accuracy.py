"""Accuracy of integer programs against their floating-point models, on real text."""

from __future__ import annotations

from pathlib import Path

import pytest

from veracity.formats.program import load_program_file
from veracity.frontends import calibrate, import_model
from veracity.lm.calibrate import accuracy
from veracity.lm.generate import generate


def test_stories_tell_the_same_story_for_200_tokens(tmp_path: Path) -> None:
    path = tmp_path / "stories.vprog"
    import_model("stories260k", path)
    calibrate(path)
    content = load_program_file(path)
    assert content.program is not None
    answer = generate(content.program, content.weights, [1], 200)
    # token by token, the floating-point model would have said the same: one pass tells
    ids = [1, *answer]
    assert content.model.logits(ids[:-1]).argmax(axis=1).tolist() == answer
    assert len(answer) == 200
    text = content.tokenizer.decode(answer)
    assert text.strip().startswith("Once upon a time, there was a little girl named Lily.")


@pytest.mark.slow
def test_smollm2_keeps_its_perplexity(tmp_path: Path, data_dir: Path) -> None:
    """First 8,192 tokens of wikitext2-valid in windows of 512, calibrated on other text."""
    path = tmp_path / "smollm2.vprog"
    import_model("smollm2", path)
    calibrate(path)
    content = load_program_file(path)
    assert content.program is not None
    text = (data_dir / "text" / "wikitext2-valid.txt").read_text(encoding="utf-8")
    ids = content.encode(text[:80_000])[:8192]
    assert len(ids) == 8192
    windows = [ids[i : i + 512] for i in range(0, 8192, 512)]
    report = accuracy(content.model, content.program, content.weights, windows)
    print(report)
    assert abs(report["perplexity_change_percent"]) <= 1.0
    assert report["top1_agreement"] >= 0.97
