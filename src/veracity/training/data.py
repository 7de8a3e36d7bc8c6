"""Data sets: reading, committing, opening one example, checking an opened one."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.codec import write_file
from veracity.codec.files import reason_of
from veracity.engine.api import POINT_BYTES, Engine
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats.data import DataFile, DataSecret, RowOpening
from veracity.formats.images import is_image, load_image
from veracity.progress import Progress, silent
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zkml.training.data import (
    FORM_LOG_COLUMNS,
    DataCommitment,
    commit_data,
    prove_form,
    row_bits,
    row_digest,
    verify_form,
)
from veracity.zkml.training.data import commit_row as commit_one_row

__all__ = [
    "check_row",
    "checked_examples",
    "commit_examples",
    "form_key",
    "input_digest",
    "read_examples",
    "reveal_row",
    "save_examples",
    "split_examples",
    "verify_data",
]

Array = NDArray[Any]
Examples = tuple[NDArray[np.uint8], NDArray[np.int64]]


def read_examples(source: str | Path) -> Examples:
    """Inputs (examples, entries) as bytes, and labels.

    Parameters
    ----------
    source : str or path
        A ``.npz`` with arrays ``x`` and ``y``; a CSV whose first column is the label; or a folder
        with two idx files (``*-images-idx3-ubyte``, ``*-labels-idx1-ubyte``, ``.gz`` or not; the
        ``train`` ones where there are several), or with a folder of pictures of equal size for each
        class, classes in order of name.

    Raises
    ------
    UsageError, FormatError
    """
    path = Path(source)
    x: Array
    y: Array
    try:
        if path.is_dir():
            classes = sorted(p for p in path.iterdir() if p.is_dir())
            x, y = _read_pictures(path.name, classes) if classes else _read_idx_folder(path)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                x, y = np.asarray(arrays["x"]), np.asarray(arrays["y"])
        elif path.suffix == ".csv":
            x, y = _read_csv(path)
        else:
            raise UsageError(
                f"cannot read {path.name!r}: give a .npz, a .csv or a folder of idx files"
            )
    except OSError as error:
        raise UsageError(f"cannot read {path.name!r}: {reason_of(error)}") from None
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError(path.name, f"no examples in it ({type(error).__name__})") from None
    return checked_examples(path.name, x, y)


def checked_examples(name: str, x: Array, y: Array) -> Examples:
    """Inputs as rows of bytes, and labels; FormatError for anything else.

    Parameters
    ----------
    name : str
        Where they come from, for errors.
    x : array of uint8, (examples, ...)
        Inputs.
    y : array of int, (examples,)
        Classes.
    """
    if x.ndim < 2 or y.ndim != 1 or len(x) != len(y) or not len(x):
        raise FormatError(name, "x needs a row for every label in y")
    if x.dtype != np.uint8:
        raise FormatError(name, f"x has type {x.dtype}; inputs are bytes (uint8), scale them first")
    if y.dtype.kind not in "iu" or int(y.min()) < 0 or int(y.max()) >= 1 << 15:
        raise FormatError(name, "y holds something that is no class number")
    return np.ascontiguousarray(x.reshape(len(x), -1), dtype=np.uint8), y.astype(np.int64)


def _read_pictures(name: str, classes: Sequence[Path]) -> tuple[Array, Array]:
    pictures: list[Array] = []
    labels: list[int] = []
    for label, folder in enumerate(classes):
        for path in sorted(p for p in folder.iterdir() if is_image(p)):
            pictures.append(load_image(path))
            labels.append(label)
            if pictures[-1].shape != pictures[0].shape:
                raise FormatError(path.name, "it has another size than the first picture")
    if not pictures:
        raise UsageError(f"there is no picture in the folders of {name!r}")
    return np.stack(pictures), np.array(labels, dtype=np.int64)


def _read_idx_folder(folder: Path) -> tuple[Array, Array]:
    files = sorted(p for p in folder.iterdir() if "-idx" in p.name)
    chosen = [p for p in files if "train" in p.name] or files
    images = [p for p in chosen if "-idx3" in p.name]
    labels = [p for p in chosen if "-idx1" in p.name]
    if len(images) != 1 or len(labels) != 1:
        raise UsageError(f"{folder.name!r} needs one idx file of images and one of labels")
    return read_idx(images[0]), read_idx(labels[0])


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An array of bytes in idx format; raises ValueError for anything else."""
    data = path.read_bytes()
    if path.suffix == ".gz":
        with gzip.open(io.BytesIO(data)) as stream:
            data = stream.read(1 << 31)
    if data[:3] != b"\0\0\x08":
        raise ValueError("no idx file of bytes")
    dims = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(data[3])]
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * len(dims)).reshape(dims)


def _read_csv(path: Path) -> tuple[Array, Array]:
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.reader(stream))
    if rows and not rows[0][0].strip().isdigit():
        rows = rows[1:]
    table = np.array(rows, dtype=np.int64)
    if table[:, 1:].min() < 0 or table[:, 1:].max() > 255:
        raise ValueError("entries beyond a byte")
    return table[:, 1:].astype(np.uint8), table[:, 0]


def split_examples(examples: Examples, count: int) -> tuple[Examples, Examples]:
    """Examples to train on, and ``count`` others that are held out, chosen at random.

    Raises
    ------
    UsageError
        Nothing would be left.
    """
    inputs, labels = examples
    if not 0 < count < len(labels):
        raise UsageError(f"of {len(labels)} examples 1 to {len(labels) - 1} can be held out")
    order = np.random.default_rng().permutation(len(labels))
    apart, kept = np.sort(order[:count]), np.sort(order[count:])
    return (inputs[kept], labels[kept]), (inputs[apart], labels[apart])


def save_examples(path: str | Path, examples: Examples) -> None:
    """Write examples as a ``.npz`` file that only its owner may read."""
    stream = io.BytesIO()
    np.savez_compressed(stream, x=examples[0], y=examples[1])
    write_file(path, stream.getvalue(), mode=0o600)


def commit_examples(
    engine: Engine, examples: Examples, classes: int, label: str = "", progress: Progress = silent
) -> tuple[DataFile, DataSecret]:
    """Commit to examples and prove their form.

    Parameters
    ----------
    engine : Engine
        Backend.
    examples : tuple of array
        Inputs as bytes, and labels.
    classes : int
        How many classes there are.
    label : str
        What the owner calls the data; public.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
        A label is no class.
    """
    inputs, labels = examples
    if int(labels.max()) >= classes or classes < 2:
        raise UsageError(f"a label is {int(labels.max())}, there are {classes} classes")
    seed = os.urandom(32)
    secret = DataSecret(b"", seed, inputs, labels)
    values = secret.examples(classes)
    bits = max(row_bits(values.shape[1]), FORM_LOG_COLUMNS)
    key = load_key(engine, bits)
    progress("commit", 0.0)
    commitment = commit_data(engine, key, values, classes, seed, label)
    progress("commit", 1.0)
    form = prove_form(engine, key, commitment, values, seed, progress)
    return DataFile(commitment, tuple(form)), DataSecret(commitment.digest, seed, inputs, labels)


def form_key(engine: Engine, data: DataCommitment) -> CommitmentKey:
    """The generators of proofs about all rows of a data set."""
    return load_key(engine, max(row_bits(data.size), FORM_LOG_COLUMNS))


def verify_data(engine: Engine, data: DataFile, key: CommitmentKey | None = None) -> None:
    """Check the proof of form.

    Parameters
    ----------
    engine : Engine
        Backend.
    data : DataFile
        Rows and proof.
    key : CommitmentKey, optional
        Generators, if loaded already; they may be of longer rows.

    Raises
    ------
    VerificationError, FormatError
    """
    bits = max(row_bits(data.commitment.size), FORM_LOG_COLUMNS)
    if key is None or key.log_columns < bits:
        key = load_key(engine, bits)
    verify_form(engine, key.prefix(bits), data.commitment, list(data.form))


def reveal_row(data: DataFile, secret: DataSecret, index: int) -> RowOpening:
    """Open one example for whoever gets the file.

    Parameters
    ----------
    data : DataFile
        The public side.
    secret : DataSecret
        What opens it.
    index : int
        Which row.

    Raises
    ------
    UsageError
        There is no such row, or the files do not belong together.
    """
    require_pair(data, secret)
    if not 0 <= index < len(secret.labels):
        raise UsageError(f"there are rows 0 to {len(secret.labels) - 1}")
    one_hot = [int(c == secret.labels[index]) for c in range(data.commitment.classes)]
    values = (*map(int, secret.inputs[index]), *one_hot)
    return RowOpening(secret.digest, index, values, row_digest(secret.seed, index))


def check_row(engine: Engine, data: DataFile, row: RowOpening) -> int:
    """Check that an opened row is that of the data set; returns its label.

    Parameters
    ----------
    engine : Engine
        Backend.
    data : DataFile
        The public side, which the caller trusts.
    row : RowOpening
        What was opened.

    Raises
    ------
    VerificationError
        It is another data set's, not the row's content, or no example with one label.
    """
    commitment = data.commitment
    if row.digest != commitment.digest:
        raise VerificationError("the row belongs to another data set", "row")
    if row.index >= commitment.examples or len(row.values) != commitment.size:
        raise VerificationError("the data set has no such row", "row")
    values = np.array([row.values], dtype=np.int16)
    point = commit_one_row(
        engine, load_key(engine, max(row_bits(commitment.size), 12)), values, row.blind
    )
    start = row.index * POINT_BYTES
    if point != commitment.rows[start : start + POINT_BYTES]:
        raise VerificationError("the row commits to something else", "row")
    label = row.values[commitment.inputs :]
    if sorted(label)[-2:] != [0, 1]:  # of data whose form was proved each row has one label
        raise VerificationError("the row holds no example: it has another label than one", "row")
    return label.index(1)


def require_pair(data: DataFile, secret: DataSecret) -> None:
    """Raise UsageError unless a secret opens this data set."""
    if secret.digest != data.commitment.digest:
        raise UsageError("the data secret belongs to another data set; pass the matching pair")


def input_digest(content: bytes) -> str:
    """SHA-256 of an input's bytes, to compare with one's own."""
    return hashlib.sha256(content).hexdigest()
