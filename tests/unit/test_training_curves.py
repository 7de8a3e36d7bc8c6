"""Curves of a run, examples held out, and the picture of both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.training import small_examples, small_recipe
from veracity.cli import main
from veracity.errors import UsageError
from veracity.graph.training import predict, start_weights, train_step
from veracity.training.curves import (
    CURVES,
    accuracy_lines,
    check_held_out,
    note,
    read_curves,
    step_lines,
)
from veracity.training.data import read_examples, save_examples, split_examples
from veracity.training.plot import plot_run, smooth

RNG = np.random.default_rng(7)
INPUTS = RNG.integers(0, 256, (40, 8), dtype=np.uint8)
LABELS = RNG.integers(0, 3, 40)


def test_a_run_leaves_its_curves(tmp_path: Path) -> None:
    recipe, examples = small_recipe(), small_examples()
    weights = start_weights(recipe, bytes(32))
    for t in range(2):
        step = train_step(recipe, t, weights, examples[4 * t : 4 * t + 4])
        note(tmp_path / CURVES, step_lines(recipe, [step]))
    lines = accuracy_lines(recipe, weights, 2, (INPUTS, LABELS))
    note(tmp_path / CURVES, [{"steps": 2, "train_s": 9.0, "prove_s": 9.0}])
    note(tmp_path / CURVES, [{"steps": 2, "train_s": 0.5, "prove_s": 1.5}, *lines])
    with (tmp_path / CURVES).open("a") as stream:
        stream.write('[]\n{"steps": 3}\n{"step": 4, "lo')  # what a crash may leave
    found = read_curves(tmp_path)
    assert list(found.loss) == [1, 2]
    assert found.seconds == {2: (0.5, 1.5)}
    right = predict(recipe, weights, INPUTS.astype(np.int64)).argmax(1) == LABELS
    assert found.accuracy == {2: right.mean()}
    assert (tmp_path / CURVES).stat().st_mode & 0o077 == 0
    assert accuracy_lines(recipe, weights, 2, None) == []
    weights["0.weight"] = weights["0.weight"] << 12
    assert accuracy_lines(recipe, weights, 2, (INPUTS, LABELS)) == []  # out of range: no fault


def test_examples_are_held_out(tmp_path: Path) -> None:
    kept, apart = split_examples((INPUTS, LABELS), 7)
    assert len(kept[1]) == 33
    assert len(apart[1]) == 7
    both = np.concatenate([kept[0], apart[0]])
    assert sorted(map(bytes, both)) == sorted(map(bytes, INPUTS))
    save_examples(tmp_path / "held.npz", apart)
    again = read_examples(tmp_path / "held.npz")
    assert all(np.array_equal(a, b) for a, b in zip(again, apart, strict=True))
    assert (tmp_path / "held.npz").stat().st_mode & 0o077 == 0
    for count in (0, 40):
        with pytest.raises(UsageError, match="held out"):
            split_examples((INPUTS, LABELS), count)
    check_held_out(apart, small_recipe())
    for bad in ((apart[0][:, :7], apart[1]), (apart[0], apart[1] + 3)):
        with pytest.raises(UsageError, match="do not fit"):
            check_held_out(bad, small_recipe())


def test_a_part_is_held_out_when_committing(tmp_path: Path) -> None:
    np.savez(tmp_path / "toy.npz", x=INPUTS, y=LABELS)
    words = ["data", "commit", str(tmp_path / "toy.npz"), "-q", "--json", "--hold-out", "10"]
    assert CliRunner().invoke(main, words).exit_code == 2
    done = CliRunner().invoke(main, [*words, "--hold-out-to", str(tmp_path / "held.npz")])
    assert json.loads(done.output)["examples"] == 30
    assert len(read_examples(tmp_path / "held.npz")[1]) == 10


def test_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(UsageError, match="no losses"):
        plot_run(tmp_path, tmp_path / "curves.png")
    note(tmp_path / CURVES, [{"step": i, "loss": 2 / (i + 1)} for i in range(30)])
    plot_run(tmp_path, tmp_path / "one.png")
    for done in (10, 20, 30):
        note(
            tmp_path / CURVES,
            [
                {"steps": done, "train_s": 0.1, "prove_s": 0.7},
                {"steps": done, "accuracy": done / 40},
            ],
        )
    out = tmp_path / "curves.png"
    words = ["train", "plot", str(tmp_path), "--out", str(out)]
    done_ = CliRunner().invoke(main, words)
    assert done_.exit_code == 0, done_.output
    wide, narrow = (
        int.from_bytes(p.read_bytes()[16:20], "big") for p in (out, tmp_path / "one.png")
    )
    assert wide == 3 * narrow  # three panels
    assert out.stat().st_mode & 0o077 == 0
    plot_run(tmp_path, tmp_path / "curves.svg")
    with pytest.raises(UsageError, match="ends with"):
        plot_run(tmp_path, tmp_path / "curves.gif")
    assert smooth([4.0, 2.0, 0.0, 6.0], 2) == [4.0, 3.0, 1.0, 3.0]
