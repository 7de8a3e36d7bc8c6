"""Examples and rows of data sets that cannot be: the error names the one thing wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.training import ENGINE, KEY
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats.data import DataFile, DataSecret, RowOpening
from veracity.formats.npy import save_array
from veracity.training.data import (
    check_row,
    checked_examples,
    commit_examples,
    read_examples,
    reveal_row,
    split_examples,
    verify_data,
)
from veracity.training.exclusion import read_input
from veracity.zkml.training.data import commit_data, row_digest

X, Y = np.zeros((3, 2, 2), np.uint8), np.array([0, 1, 2])


def test_such_examples_are_fine() -> None:
    x, y = checked_examples("d", X, Y.astype(np.uint8))
    assert (x.shape, y.tolist()) == ((3, 4), [0, 1, 2])
    assert checked_examples("d", X, np.array([0, 1, (1 << 15) - 1]))[1].max() == (1 << 15) - 1


@pytest.mark.parametrize(
    ("words", "x", "y"),
    [
        ("a row for every label", X[:, 0, 0], Y),
        ("a row for every label", X, Y[:, None]),
        ("a row for every label", X, Y[:2]),
        ("a row for every label", X[:0], Y[:0]),
        ("inputs are bytes", X.astype(np.int16), Y),
        ("inputs are bytes", X.astype(np.int8), Y),
        ("no class number", X, Y.astype(float)),
        ("no class number", X, Y.astype(bool)),
        ("no class number", X, Y - 1),
        ("no class number", X, Y + (1 << 15) - 2),
    ],
)
def test_examples_that_are_none(words: str, x: Any, y: Any) -> None:
    with pytest.raises(FormatError, match=words):
        checked_examples("d", x, y)


@pytest.mark.parametrize("count", [0, -1, 3, 4])
def test_splits_that_leave_nothing(count: int) -> None:
    x = X.reshape(3, 4)
    assert [len(part[1]) for part in split_examples((x, Y), 2)] in ([2, 1], [1, 2])
    with pytest.raises(UsageError):
        split_examples((x, Y), count)


@pytest.mark.parametrize("classes", [1, 2])
def test_labels_that_are_no_classes(classes: int) -> None:
    labels = Y if classes == 2 else 0 * Y
    with pytest.raises(UsageError, match=f"there are {classes} classes"):
        commit_examples(ENGINE, (X.reshape(3, 4), labels), classes)


def idx(array: np.ndarray) -> bytes:
    dims = b"".join(n.to_bytes(4, "big") for n in array.shape)
    return bytes([0, 0, 8, array.ndim]) + dims + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("more", ["a-images-idx3-ubyte", "a-labels-idx1-ubyte"])
def test_folders_with_two_files_of_a_kind(tmp_path: Path, more: str) -> None:
    for name, array in (("b-images-idx3-ubyte", X), ("b-labels-idx1-ubyte", Y)):
        (tmp_path / name).write_bytes(idx(array))
    assert read_examples(tmp_path)[1].tolist() == [0, 1, 2]
    (tmp_path / more).write_bytes(idx(X if "idx3" in more else Y))
    with pytest.raises(UsageError, match="idx"):
        read_examples(tmp_path)
    (tmp_path / more.replace("a-", "b-")).unlink()
    assert read_examples(tmp_path)[1].tolist() == [0, 1, 2]


@pytest.fixture(scope="module")
def owner() -> tuple[DataFile, DataSecret]:
    return commit_examples(ENGINE, (X.reshape(3, 4), Y), 3)


def test_forms_are_proved(owner: tuple[DataFile, DataSecret]) -> None:
    data, _ = owner
    verify_data(ENGINE, data)
    for form in ((), (b"",), (*data.form, b""), (data.form[0][:-32] + bytes(32),)):
        with pytest.raises((FormatError, VerificationError)):
            verify_data(ENGINE, replace(data, form=form))


def test_rows_that_are_not_there(owner: tuple[DataFile, DataSecret]) -> None:
    data, secret = owner
    row = reveal_row(data, secret, 2)
    assert check_row(ENGINE, data, row) == 2
    for index in (-1, 3):
        with pytest.raises(UsageError, match="there are rows 0 to 2"):
            reveal_row(data, secret, index)
    with pytest.raises(UsageError, match="matching pair"):
        reveal_row(data, replace(secret, digest=bytes(32)), 0)
    for words, changes in (
        ("another data set", {"digest": bytes(32)}),
        ("no such row", {"index": 3}),
        ("no such row", {"values": (*row.values, 0)}),
        ("no such row", {"values": row.values[:-1]}),
        ("something else", {"index": 1}),
        ("something else", {"values": (1, *row.values[1:])}),
    ):
        with pytest.raises(VerificationError, match=words):
            check_row(ENGINE, data, replace(row, **changes))


@pytest.mark.parametrize("label", [(0, 0, 0), (1, 1, 0), (0, 1, 2), (3, 0, 0)])
def test_rows_with_another_label_than_one(label: tuple[int, ...]) -> None:
    values, seed = (7, 9, *label), bytes(32)
    data = DataFile(commit_data(ENGINE, KEY, np.array([values]), 3, seed), ())
    with pytest.raises(VerificationError, match="another label than one"):
        check_row(ENGINE, data, RowOpening(data.commitment.digest, 0, values, row_digest(seed, 0)))


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.float32, bool])
def test_inputs_are_bytes(tmp_path: Path, kind: Any) -> None:
    save_array(tmp_path / "x.npy", X)
    assert read_input(tmp_path / "x.npy") == bytes(12)
    save_array(tmp_path / "x.npy", X.astype(kind))
    with pytest.raises(FormatError, match="an input is bytes"):
        read_input(tmp_path / "x.npy")
