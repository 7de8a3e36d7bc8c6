"""Recipes as people write them, data as they have them, and the files of a run."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.training import ENGINE, small_examples, small_recipe
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats.data import DataFile, DataSecret, RowOpening
from veracity.formats.images import save_image
from veracity.formats.training import RunDescription
from veracity.training.data import (
    check_row,
    commit_examples,
    read_examples,
    reveal_row,
    verify_data,
)
from veracity.training.exclusion import read_input
from veracity.training.recipe import Plan, layers_of, network_of, parse_plan

RECIPE = """
[network]
layers = ["flatten", "dense 16", "relu", "dense 3"]
[train]
batch = 4
epochs = 2
lr = 0.1
"""


@pytest.fixture(scope="module")
def pair() -> tuple[DataFile, DataSecret]:
    examples = small_examples()
    labels = examples[:, 8:].argmax(1).astype(np.int64)
    return commit_examples(ENGINE, (examples[:, :8].astype(np.uint8), labels), 3, "toys")


def test_a_recipe_becomes_integers() -> None:
    recipe = parse_plan(RECIPE).recipe(14, 8, 3)
    assert recipe.widths == (8, 16, 3)
    assert recipe.steps == 2 * (14 // 4)
    assert recipe.rate_bits == 10  # 6 B / lr = 240 < 2^8, and two bits more
    assert recipe.rates[0] == 26  # 2^10 * 0.1 / 4 = 25.6
    assert recipe.rates == (26, 23, 20, 12, 7, 2)  # 25.6, 23.9, 19.2, 12.8, 6.4, 1.7, carried on


@pytest.mark.parametrize(
    ("change", "bits"),
    [
        ({"lr": 0.1}, 14),
        ({"lr": 0.02}, 16),  # 17 would make weights of 33 bits, and a third digit of remainders
        ({"lr": 0.002}, 18),  # as many as the rates need
        ({"lr": 0.1, "momentum": 0.9}, 12),
        ({"lr": 0.1, "integers": {"g": 10}}, 14),
        ({"lr": 0.1, "integers": {"a": 6, "g": 9}}, 13),
        ({"lr": 0.1, "integers": {"q": 12}}, 12),
    ],
)
def test_learning_rates_have_bits_to_spare(change: dict[str, Any], bits: int) -> None:
    recipe = Plan(("dense 3",), steps=4, **change).recipe(64, 8, 3)
    assert recipe.rate_bits == bits


def test_learning_rates_are_true_in_sum() -> None:
    """What rounding leaves of one is not lost: 25.6 at every step is not 26 at every step."""
    text = RECIPE.replace("epochs = 2", "steps = 1000")
    for schedule in ("constant", "linear", "cosine"):
        plan = parse_plan(text + f"schedule = '{schedule}'")
        recipe = plan.recipe(14, 8, 3)
        wanted = [plan.learning_rate(t, 1000) / 4 * 2**recipe.rate_bits for t in range(1000)]
        off = np.cumsum(wanted) - np.cumsum(recipe.rates)
        assert np.abs(off).max() <= 0.5 + 1e-6
        assert np.abs(np.subtract(wanted, recipe.rates)).max() <= 1 + 1e-6


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[network]\nlayers = ['dense 3'", "not TOML"),
        ("[train]\nlr = 0.1", "needs layers"),
        ("[network]\nlayers = ['conv 3']", "'conv 3' cannot stand there"),
        ("[network]\nlayers = ['dense 3', 'relu']", "last layer"),
        ("[network]\nlayers = ['dense 3', 'dense 3']", "cannot stand there"),
        ("[network]\nlayers = ['dense 3']\nwidth = 3", "no key 'width'"),
        ("[network]\nlayers = ['dense 3']\n[train]\noptimizer = 'adam'", "not supported yet"),
        ("[network]\nlayers = ['dense 3']\n[train]\nbatch = 1.5", "another type"),
        ("[network]\nlayers = ['dense 3']\n[train]\nsteps = 2\nepochs = 1", "not both"),
        ("[else]\nx = 1", "no section"),
    ],
)
def test_a_recipe_that_is_none(text: str, match: str) -> None:
    with pytest.raises((UsageError, FormatError), match=match):
        parse_plan(text)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ("lr = 0.1", "lr = 1000.0"),
        ("batch = 4", "batch = 40"),
        ("dense 3", "dense 4"),
        ("lr = 0.1", 'lr = 0.1\nschedule = "steep"'),
        ("lr = 0.1", 'lr = 0.1\nloss = "hinge"'),
    ],
)
def test_a_recipe_that_does_not_fit(changes: str, match: str) -> None:
    with pytest.raises(UsageError):
        parse_plan(RECIPE.replace(changes, match)).recipe(14, 8, 3)


class Linear:
    """Named and made like torch's."""

    def __init__(self, out_features: int) -> None:
        self.out_features = out_features


class ReLU:
    """Named like torch's."""


class Dropout:
    """Named like torch's."""


class Flatten:
    """Named like torch's."""


class Conv2d:
    """Named and made like torch's."""

    def __init__(self, channels: int, side: int, **others: Any) -> None:
        self.out_channels, self.kernel_size = channels, (side, side)
        self.stride, self.padding, self.dilation, self.groups = (1, 1), (0, 0), (1, 1), 1
        self.bias, self.padding_mode = object(), "zeros"
        self.__dict__.update(others)


class AvgPool2d:
    """Named and made like torch's."""

    def __init__(self, side: Any, stride: Any = None, padding: int = 0) -> None:
        self.kernel_size, self.padding = side, padding
        self.stride = side if stride is None else stride


def test_modules_are_read_by_name() -> None:
    assert layers_of([Linear(5), ReLU(), Linear(3)]) == ["dense 5", "relu", "dense 3"]
    with pytest.raises(UsageError, match="Dropout"):
        layers_of([Linear(5), Dropout()])


def test_modules_of_pictures_are_read() -> None:
    net = [
        Conv2d(6, 5, padding="same"), ReLU(), AvgPool2d(2), Conv2d(16, 3, stride=(2, 2)), ReLU(),
        Conv2d(3, 3, padding=(1, 1)), ReLU(), AvgPool2d((2, 2), (2, 2)), Flatten(), Linear(10),
    ]  # fmt: skip
    network = network_of(layers_of(net), (28, 28, 1))
    assert network.layers == (
        "conv 6 5x5 pad 2", "relu", "avgpool 2", "conv 16 3x3 stride 2", "relu",
        "conv 3 3x3 pad 1", "relu", "avgpool 2", "flatten", "dense 10",
    )  # fmt: skip
    assert [s.name for s in network.stages] == ["0", "3", "5", "9"]
    for bad in (
        Conv2d(6, 5, stride=(1, 2)),
        Conv2d(6, 5, padding=(1, 2)),
        Conv2d(6, 5, dilation=(2, 2)),
        Conv2d(6, 5, groups=2),
        Conv2d(6, 5, bias=None),
        Conv2d(6, 5, padding=(1, 1), padding_mode="reflect"),
        AvgPool2d(3, 2),
        AvgPool2d(2, 2, 1),
        AvgPool2d((2, 4)),
    ):
        with pytest.raises(UsageError, match=f"{type(bad).__name__} is trained with"):
            layers_of([bad])


def test_a_recipe_of_pictures_with_everything() -> None:
    text = (
        "[network]\ninput = [8, 8, 2]\nlayers = ['conv 3 3x3 same', 'relu', 'flatten', 'dense 3']\n"
        "[train]\nbatch = 4\nsteps = 20\nlr = 0.05\nmomentum = 0.9\nweight_decay = 1e-3\n"
        "settle = 8\n[integers]\nweights = 'rounded'\nf = 5"
    )
    recipe = parse_plan(text).recipe(14, 128, 3)
    assert recipe.rounded
    assert recipe.momentum_bits == 5
    assert recipe.momentum[:3] == (32, 29, 26)
    assert len(recipe.decays) == 3
    assert recipe.network.layers[0] == "conv 3 3x3 pad 1"
    with pytest.raises(UsageError, match="known: exact, rounded"):
        parse_plan(text.replace("'rounded'", "'loose'")).recipe(14, 128, 3)
    with pytest.raises(UsageError, match="reads 128 entries"):
        parse_plan(text).recipe(14, 64, 3)


def test_data_in_files(tmp_path: Path) -> None:
    x = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    y = np.array([0, 2, 1, 0])
    np.savez(tmp_path / "a.npz", x=x, y=y)
    table = np.concatenate([y[:, None], x.reshape(4, 6)], axis=1)
    np.savetxt(tmp_path / "a.csv", table, fmt="%d", delimiter=",", header="label,a,b,c,d,e,f")
    folder = tmp_path / "idx"
    folder.mkdir()
    images = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in x.shape) + x.tobytes()
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 4, *y.tolist()])
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
    (folder / "train-labels-idx1-ubyte").write_bytes(labels)
    for source in ("a.npz", "a.csv", "idx"):
        inputs, found = read_examples(tmp_path / source)
        assert np.array_equal(inputs, x.reshape(4, 6))
        assert np.array_equal(found, y)


def test_data_in_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (6, 4, 5, 3), dtype=np.uint8)
    for i, pixels in enumerate(x):
        folder = tmp_path / "pictures" / ("ant", "bee")[i // 3]
        folder.mkdir(parents=True, exist_ok=True)
        save_image(folder / f"{i}.png", pixels)
        (folder / "notes.txt").write_text("no picture")
    found, labels = read_examples(tmp_path / "pictures")
    assert np.array_equal(found, x.reshape(6, 60))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert read_input(tmp_path / "pictures" / "bee" / "4.png") == x[4].tobytes()
    save_image(tmp_path / "pictures" / "bee" / "9.png", x[0, :3])
    with pytest.raises(FormatError, match="another size"):
        read_examples(tmp_path / "pictures")
    (tmp_path / "none" / "ant").mkdir(parents=True)
    with pytest.raises(UsageError, match="no picture"):
        read_examples(tmp_path / "none")


def test_data_that_are_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "float.npz", x=np.zeros((2, 2)), y=np.zeros(2, np.int64))
    np.savez(tmp_path / "few.npz", x=np.zeros((2, 2), np.uint8), y=np.zeros(3, np.int64))
    np.savez(tmp_path / "none.npz", a=np.zeros(2))
    (tmp_path / "bad.csv").write_text("0,256\n")
    (tmp_path / "odd.txt").write_text("")
    for name in ("float.npz", "few.npz", "none.npz", "bad.csv", "odd.txt", "missing.npz", "."):
        with pytest.raises((UsageError, FormatError)):
            read_examples(tmp_path / name)


def test_a_row_opened_to_somebody(pair: tuple[DataFile, DataSecret]) -> None:
    data, secret = pair
    row = reveal_row(data, secret, 5)
    assert check_row(ENGINE, data, RowOpening.from_bytes(row.to_bytes())) == secret.labels[5]
    values = list(row.values)
    values[2] ^= 1
    lies = [
        RowOpening(row.digest, 6, row.values, row.blind),
        RowOpening(row.digest, 999, row.values, row.blind),
        RowOpening(bytes(32), 5, row.values, row.blind),
        RowOpening(row.digest, 5, tuple(values), row.blind),
        RowOpening(row.digest, 5, row.values[:-1], row.blind),
        RowOpening(row.digest, 5, row.values, bytes(64)),
    ]
    for lie in lies:
        with pytest.raises(VerificationError):
            check_row(ENGINE, data, lie)
    with pytest.raises(UsageError, match="rows 0 to 13"):
        reveal_row(data, secret, 14)


def test_files_survive_and_damage_is_found(pair: tuple[DataFile, DataSecret]) -> None:
    data, secret = pair
    found = DataFile.from_bytes(data.to_bytes())
    assert found == data
    verify_data(ENGINE, found)
    opened = DataSecret.from_bytes(secret.to_bytes())
    assert np.array_equal(opened.inputs, secret.inputs)
    assert opened.seed not in repr(opened).encode()
    for content, kind in ((data.to_bytes(), DataFile), (secret.to_bytes(), DataSecret)):
        for at in range(0, len(content) - 1, 97):
            with pytest.raises(FormatError):
                kind.from_bytes(content[:at])
    flipped = bytearray(secret.to_bytes())
    flipped[60] ^= 1
    with pytest.raises(FormatError, match="damaged"):
        DataSecret.from_bytes(bytes(flipped))


def test_a_description_has_one_spelling() -> None:
    description = RunDescription(small_recipe(), (bytes(32),), 2, 12, b"x")
    data = description.encoded
    assert RunDescription.parse(data, "it") == description
    for old, new in (
        (b'"window":2', b'"window":2.0'),
        (b'"window":2', b'"window":true'),
        (b'"batch":4', b'"batch":-4'),
        (b'"batch":4', b'"batch":4.0'),
        (b'"loss":"cross_entropy"', b'"loss":"hinge"'),
        (b'"rates":[[', b'"rates":[[30,1],[30,'),
        (b'"rates":[[', b'"rates":[[1,99999999],['),
        (b'"rates":[[', b'"rates":[[1,%d],[2,-%d],[' % (1 << 60, 1 << 60)),
        (b'"rates":[[', b'"rates":[[1,0],['),
        (b'"decays":[', b'"decays":[[1,1]'),
        (b'"weight_exponent":', b'"weight_exponent":-'),
        (b'"momentum":[0', b'"momentum":[4'),
        (b'"weights":"exact"', b'"weights":"loose"'),
        (b'"settle":0', b'"settle":false'),
        (b'"input":[', b'"input":[[],'),
        (b'"layers":[', b'"layers":[3,'),
        (b'"dense 6"', b'"dense  6"'),
        (b'"beacon":"78"', b'"beacon":"7"'),
        (b'"data":["00', b'"data":["'),
        (b"{", b"[{"),
    ):
        assert old in data
        with pytest.raises(FormatError):
            RunDescription.parse(data.replace(old, new, 1), "it")
