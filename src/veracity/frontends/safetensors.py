"""The safetensors format: a 64-bit header length, a JSON header, then raw tensors.

Read here directly, because bfloat16 has no NumPy type; written by the format's own package.
Format: README of the safetensors project.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import FormatError, UnsupportedModelError
from veracity.lm.decoder import Floats

__all__ = ["read_safetensors", "safetensors_bytes"]

_HEADER_LIMIT = 100_000_000
_SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
#: Types, and names, of the stored masks and places of old checkpoints, read by no model.
_IGNORED = ("BOOL", "U8", "I64")
_MASKS = ("attn.bias", "attention.bias", "masked_bias", "position_ids", "causal_mask", "bias_mask")


def read_safetensors(path: Path) -> dict[str, Floats]:
    """All floating-point tensors of a file, as float32.

    Raises
    ------
    FormatError
        If the file is malformed or truncated.
    UnsupportedModelError
        If a tensor is stored in another type.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_HEADER_LIMIT, size - 8):
            raise FormatError(path.name, "not a safetensors file, or a truncated one")
        head = file.read(length)
    try:
        header = json.loads(head, object_pairs_hook=lambda pairs: _named(path, pairs))
        entries = {n: e for n, e in header.items() if n != "__metadata__"}
    except (ValueError, AttributeError, RecursionError) as error:
        raise FormatError(path.name, "not a safetensors file, or a truncated one") from error
    _check_layout(path, entries, size - 8 - length)
    out: dict[str, Floats] = {}
    for name, entry in entries.items():
        tensor = _tensor(path, name, entry, 8 + length, size)
        if tensor is not None:
            out[name] = tensor
    return out


def _named(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of the header, whose names must differ: readers disagree on which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(n for n in names if names.count(n) > 1)
        raise FormatError(path.name, f"{twice} is named twice; save the model again")
    return found


def _check_layout(path: Path, entries: dict[str, Any], size: int) -> None:
    """Tensors must fill the file, one after the other, as the format demands."""
    spans = []
    for name, entry in entries.items():
        try:
            start, end = entry["data_offsets"]
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(path.name, f"malformed entry of {name}") from error
        if type(start) is not int or type(end) is not int or not 0 <= start <= end:
            raise FormatError(path.name, f"malformed entry of {name}")
        spans.append((start, end, name))
    reached = 0
    for start, end, name in sorted(spans):
        if start != reached:
            what = "overlaps another tensor" if start < reached else "leaves a hole before it"
            raise FormatError(path.name, f"{name} {what}; save the model again")
        reached = end
    if reached > size:
        raise FormatError(path.name, "the file is truncated; fetch it again")
    if reached < size:
        raise FormatError(path.name, f"{size - reached} bytes follow the last tensor")


# Numbers that are not finite, or overflow, are found and named by check_model.
@np.errstate(over="ignore", invalid="ignore")
def _tensor(path: Path, name: str, entry: Any, base: int, size: int) -> Floats | None:
    try:
        kind, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        well_formed = isinstance(kind, str) and all(
            type(n) is int and n >= 0 for n in (*shape, start, end)
        )
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(path.name, f"malformed entry of {name}") from error
    if not well_formed:
        raise FormatError(path.name, f"malformed entry of {name}")
    if kind in _IGNORED and name.endswith(_MASKS):
        return None
    if kind not in _SIZES:
        raise UnsupportedModelError(
            name, f"a tensor of type {kind} (of weights that are quantised already?)",
            "save the model as float32, float16 or bfloat16",
        )  # fmt: skip
    if end - start != math.prod(shape) * _SIZES[kind] or base + end > size:
        raise FormatError(path.name, f"{name} does not fit the file; fetch it again")
    with path.open("rb") as file:
        file.seek(base + start)
        raw = file.read(end - start)
    if kind == "BF16":  # the upper half of a float32
        bits = np.frombuffer(raw, dtype="<u2").astype(np.uint32) << 16
        return bits.view(np.float32).reshape(shape)
    kinds = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
    return np.frombuffer(raw, dtype=kinds[kind]).astype(np.float32).reshape(shape)


def safetensors_bytes(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """A file of tensors; needs the package of the format, which decides how they lie."""
    from safetensors.numpy import save

    return bytes(save({name: np.ascontiguousarray(x) for name, x in tensors.items()}))
