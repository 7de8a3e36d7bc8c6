"""Hugging Face folders: ``config.json``, ``*.safetensors`` and ``tokenizer.json``.

What the architectures are is in :mod:`veracity.frontends.architectures`; which files of a
folder are the model, and what contradicts it, is here.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.formats.program import ProgramFile
from veracity.frontends.architectures import Family, find_family
from veracity.frontends.architectures.common import HARMLESS
from veracity.frontends.assembly import assemble, select
from veracity.frontends.folder_tokenizer import folder_tokenizer
from veracity.frontends.safetensors import read_safetensors
from veracity.frontends.settings import MALFORMED, Settings
from veracity.lm.decoder import FloatModel, Floats, check_model

__all__ = ["read_folder"]

_MODEL, _INDEX = "model.safetensors", "model.safetensors.index.json"


def read_folder(folder: Path) -> ProgramFile:
    """Import a model folder.

    Raises
    ------
    UsageError
        If a file is missing.
    UnsupportedModelError
        If the architecture asks for something that programs do not have.
    FormatError
        If a file does not parse.
    """
    facts = _json(folder / "config.json")
    files, notes = _files(folder)
    family = find_family(facts.get("model_type"))
    raw = _tensors(files)
    try:
        model, said = _model(family, facts, raw)
    except KeyError as error:
        raise FormatError(folder.name, f"{error.args[0]} is missing") from error
    except MALFORMED as error:
        raise FormatError(folder.name, "shapes do not fit config.json") from error
    check_model(model, folder.name)
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    source = {
        "name": str(facts.get("_name_or_path") or folder.name),
        "kind": "safetensors",
        "file": files[0].name if len(files) == 1 else f"{len(files)} files",
        "sha256": digest.hexdigest(),
        "parameters": sum(int(t.size) for t in raw.values()),
    }
    if said := (*notes, *said):
        source["notes"] = list(said)
    return ProgramFile(source, model, folder_tokenizer(folder, model.config.vocab, facts))


def _json(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"no {path.name} in {path.parent.name}") from error
    except ValueError as error:
        raise FormatError(path.name, "not JSON") from error
    if not isinstance(body, dict):
        raise FormatError(path.name, "not a JSON object")
    return body


# ---- which files ---------------------------------------------------------------------------------
def _files(folder: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The files of weights that are the model, and what to say of others.

    One ``model.safetensors`` is the model; else the files of the index; else the only file.
    """
    if (folder / "adapter_config.json").exists():
        raise UnsupportedModelError(
            "adapter_config.json", "an adapter that changes the weights",
            "merge it into the model, save that, and import it",
        )  # fmt: skip
    every = sorted(folder.glob("*.safetensors"))
    if not every:
        raise UsageError(f"no *.safetensors in {folder.name}; save the model in that format")
    if (folder / _MODEL).exists():
        used = [folder / _MODEL]
    elif (folder / _INDEX).exists():
        used = _indexed(folder)
    elif len(every) == 1:
        used = every
    else:
        raise UsageError(
            f"{len(every)} files of weights in {folder.name} and no {_INDEX} that says which are "
            "the model; leave one, or add the index"
        )
    others = [path.name for path in every if path not in used]
    return used, (f"not read, no part of the model: {', '.join(others)}",) if others else ()


def _indexed(folder: Path) -> list[Path]:
    found = _json(folder / _INDEX).get("weight_map")
    if not isinstance(found, dict) or not found:
        raise FormatError(_INDEX, "no weight_map")
    names = sorted({str(name) for name in found.values()})
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise UsageError(f"{name[:80]!r} is named by {_INDEX} and is not in {folder.name}")
    return [folder / name for name in names]


def _tensors(files: list[Path]) -> dict[str, Floats]:
    out: dict[str, Floats] = {}
    for path in files:
        found = read_safetensors(path)
        if twice := sorted(set(found) & set(out)):
            raise FormatError(path.name, f"tensor {twice[0]} is in another file, too")
        out |= found
    return out


# ---- the model -----------------------------------------------------------------------------------
# Numbers that are not finite, or overflow, are found and named by check_model.
@np.errstate(over="ignore", invalid="ignore")
def _model(
    family: Family, facts: dict[str, Any], raw: dict[str, Floats]
) -> tuple[FloatModel, tuple[str, ...]]:
    """The decoder of a folder, and what to say about it."""
    if facts.get("quantization_config"):
        raise UnsupportedModelError(
            "config.json", "a model that is quantised already (quantization_config)",
            "import the model that it was made from, in float32, float16 or bfloat16",
        )  # fmt: skip
    settings = Settings("config.json", facts)
    settings.only({"is_encoder_decoder": (False,), "tie_encoder_decoder": (False,)})
    design = family.design(settings)
    settings.finish(HARMLESS)
    names = family.names
    if not any(n.startswith(family.prefix) for n in raw):  # a decoder that was saved without head
        names = {p: _without(ns, family.prefix) for p, ns in names.items()}
    parts = select(raw, names, design, family.ignored)
    return assemble(design, parts), design.notes


def _without(names: str | tuple[str, ...], prefix: str) -> str | tuple[str, ...]:
    if isinstance(names, str):
        return names.removeprefix(prefix)
    return tuple(name.removeprefix(prefix) for name in names)
