"""GGUF files: one file, or the parts of a split one, with llama.cpp's names.

What the architectures are is in :mod:`veracity.frontends.gguf_table`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.frontends.assembly import assemble, select
from veracity.frontends.gguf_header import check_header
from veracity.frontends.gguf_table import design_of, find_row
from veracity.frontends.gguf_tokenizer import gguf_tokenizer
from veracity.frontends.settings import MALFORMED, Settings
from veracity.lm.decoder import FloatModel, Floats, check_model
from veracity.lm.tokenizer import Tokenizer

__all__ = ["gguf_parts", "is_gguf", "read_gguf"]

_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.gguf)?")


def is_gguf(path: Path) -> bool:
    """Whether a file begins as GGUF files do; their names need not tell."""
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def gguf_parts(path: Path) -> list[Path]:
    """All parts of a model of which one file is given, by their names.

    Raises
    ------
    UsageError
        Where one is missing.
    """
    found = _PART.fullmatch(path.name)
    if not found or int(found[3]) < 2:
        return [path]
    stem, count, suffix = found[1], int(found[3]), found[4] or ""
    parts = [path.with_name(f"{stem}-{i:05}-of-{count:05}{suffix}") for i in range(1, count + 1)]
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise UsageError(f"{path.name} is one of {count} parts; {missing[0]} is missing")
    return parts


def read_gguf(path: Path) -> tuple[FloatModel, Tokenizer, str, tuple[str, ...]]:
    """Model, tokenizer, name and notes of a GGUF file, or of all parts of a split one.

    Raises
    ------
    UnsupportedModelError
        If the architecture or tokenizer is of another type.
    """
    parts = gguf_parts(path)
    readers = [_open(part) for part in parts]

    def fact(name: str) -> Any:
        found = readers[0].get_field(name)
        return None if found is None else found.contents()

    try:
        _check_split(path, parts, fact("split.count"))
        raw: dict[str, Floats] = {}
        for place, (part, reader) in enumerate(zip(parts, readers, strict=True)):
            _check_part(part, reader, place, len(parts))
            _check_layout(part, reader)
            for tensor in reader.tensors:
                if tensor.name in raw:
                    raise FormatError(part.name, f"tensor {tensor.name} is in another part, too")
                raw[str(tensor.name)] = _floats(part, tensor)
        model, notes = _model(path, readers[0], fact, raw)
        check_model(model, path.name)
        tokenizer = gguf_tokenizer(path, fact, model.config.vocab)
    except KeyError as error:
        raise FormatError(path.name, f"{error.args[0]} is missing") from error
    except MALFORMED as error:
        raise FormatError(path.name, "facts and tensors do not fit each other") from error
    return model, tokenizer, str(fact("general.name") or path.stem), notes


def _open(path: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise UsageError("reading GGUF needs: pip install 'veracity[import]'") from error
    check_header(path)
    try:
        return GGUFReader(str(path))
    except (ValueError, IndexError, KeyError, OverflowError, MemoryError) as error:
        raise FormatError(
            path.name, "not a GGUF file, or a truncated one; fetch it again"
        ) from error


def _check_split(path: Path, parts: list[Path], count: Any) -> None:
    if count not in (None, 0, 1) and count != len(parts):
        raise UsageError(
            f"{path.name} is one of {count} parts; put all beside each other, named "
            f"NAME-00001-of-{count:05}.gguf and so on"
        )


def _check_part(path: Path, reader: Any, place: int, count: int) -> None:
    """A part must say which of how many it is, as its name does."""
    for name, wanted in (("split.no", place), ("split.count", count)):
        found = reader.get_field(name)
        stated = None if found is None else found.contents()
        if stated != wanted and (count > 1 or stated not in (None, 0, 1)):
            raise FormatError(
                path.name, f"{name} is {stated}, by its name it is {wanted}; fetch the parts again"
            )


def _check_layout(path: Path, reader: Any) -> None:
    """Tensors must follow each other, padded to the alignment, up to the end of the file."""
    reached, align = int(reader.data_offset), int(reader.alignment)
    end = reached
    for tensor in sorted(reader.tensors, key=lambda t: (int(t.data_offset), int(t.n_bytes))):
        start, size = int(tensor.data_offset), int(tensor.n_bytes)
        if start != reached:
            what = "overlaps another tensor" if start < reached else "leaves a hole before it"
            raise FormatError(path.name, f"{tensor.name} {what}; convert the model again")
        end = start + size
        reached = start + -(-size // align) * align
    stored = path.stat().st_size
    if stored > max(reached, end):
        raise FormatError(path.name, f"{stored - reached} bytes follow the last tensor")


# Numbers that are not finite, or overflow, are found and named by check_model.
@np.errstate(over="ignore", invalid="ignore")
def _floats(path: Path, tensor: Any) -> Floats:
    from gguf import dequantize

    if tensor.data.dtype.kind == "f":
        return np.asarray(tensor.data, dtype=np.float32)
    try:
        return np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
    except NotImplementedError as error:
        raise UnsupportedModelError(
            path.name, f"{tensor.name} of type {tensor.tensor_type.name}",
            "convert the model to F16, BF16 or a common quantisation",
        ) from error  # fmt: skip


@np.errstate(over="ignore", invalid="ignore")
def _model(
    path: Path, reader: Any, fact: Any, raw: dict[str, Floats]
) -> tuple[FloatModel, tuple[str, ...]]:
    arch = fact("general.architecture")
    row = find_row(path.name, arch)
    prefix = f"{arch}."
    facts = {n.removeprefix(prefix): fact(n) for n in reader.fields if n.startswith(prefix)}
    design = design_of(arch, Settings(path.name, facts), raw)
    return assemble(design, select(raw, row.names, design, optional=row.optional)), design.notes
