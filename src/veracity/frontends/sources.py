"""``import`` and ``calibrate``: from a model's name or files to a program file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import platformdirs

from veracity.codec.files import exists
from veracity.errors import UnsupportedModelError, UsageError
from veracity.formats.program import ProgramFile, load_program_file, save_program_file
from veracity.frontends.catalogue import fetch_smollm2
from veracity.frontends.gguf import gguf_parts, is_gguf, read_gguf
from veracity.frontends.hub import fetch_folder, is_hub_id
from veracity.frontends.llama2c import is_checkpoint, read_checkpoint, read_pieces
from veracity.frontends.synthetic import SYNTHETIC, synthetic_model
from veracity.lm.calibrate import calibrate_model
from veracity.lm.decoder import FloatModel
from veracity.lm.tokenizer import from_pieces

__all__ = ["calibrate", "import_model"]

Progress = Callable[[str, float], None]


def _silent(_phase: str, _done: float) -> None:
    """No progress wanted."""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sha256_of(paths: list[Path]) -> str:
    """SHA-256 of the digests of several files, in order."""
    return hashlib.sha256(b"".join(bytes.fromhex(_sha256(p)) for p in paths)).hexdigest()


def _llama2c(checkpoint: Path, tokenizer: Path, name: str) -> ProgramFile:
    model = read_checkpoint(checkpoint)
    pieces, scores = read_pieces(tokenizer, model.config.vocab)
    source = {
        "name": name, "kind": "llama2.c", "file": checkpoint.name, "sha256": _sha256(checkpoint),
        "parameters": stored_parameters(model),
    }  # fmt: skip
    return ProgramFile(source, model, from_pieces(pieces, scores))


def stored_parameters(model: FloatModel) -> int:
    """Weights in the file: those of the model and the folded gains of two norms a layer."""
    folded = 2 * model.config.layers * model.config.dim
    if "final_gain" not in model.tensors:
        folded += model.config.dim
    return folded + sum(int(t.size) for t in model.tensors.values())


def _gguf(path: Path, name: str | None) -> ProgramFile:
    model, tokenizer, stated, notes = read_gguf(path)
    parts = gguf_parts(path)
    source: dict[str, Any] = {
        "name": name or stated, "kind": "gguf", "file": path.name,
        "sha256": _sha256(path) if len(parts) == 1 else _sha256_of(parts),
        "parameters": stored_parameters(model),
    }  # fmt: skip
    if notes:
        source["notes"] = list(notes)
    return ProgramFile(source, model, tokenizer)


def _from_path(path: Path) -> ProgramFile:
    if path.is_dir():
        from veracity.frontends.huggingface import read_folder

        return read_folder(path)
    if path.suffix == ".gguf" or is_gguf(path):
        return _gguf(path, None)
    if is_checkpoint(path):
        tokenizers = sorted(path.parent.glob("tokenizer*.bin"))
        if not tokenizers:
            raise UsageError(f"no tokenizer*.bin beside {path.name}; put the tokenizer there")
        return _llama2c(path, tokenizers[0], path.name.removesuffix(".bin"))
    raise UnsupportedModelError(
        path.name, "this file type",
        "give a GGUF file, a llama2.c checkpoint, or a folder with config.json and safetensors",
    )  # fmt: skip


def _from_hub(source: str) -> ProgramFile:
    folder, name, revision = fetch_folder(source)
    content = _from_path(folder)
    return replace(content, source={**content.source, "name": name, "revision": revision})


def import_model(source: str | Path, out: str | Path, progress: Progress = _silent) -> ProgramFile:
    """Read a model and write a program file (not calibrated yet).

    Parameters
    ----------
    source : str or path
        ``smollm2``, ``stories260k``, a synthetic shape such as ``gpt2-124m``, a path, or a model of
        the Hugging Face hub as ``ORG/NAME`` or ``ORG/NAME@REVISION``.
    out : str or path
        Program file to write.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError, UnsupportedModelError, FormatError
    """
    progress("load", 0.0)
    known = str(source).lower()
    if known == "stories260k":
        folder = files("veracity") / "data" / "stories260k"
        with as_file(folder) as path:
            content = _llama2c(
                path / "checkpoint_legacy.bin", path / "tokenizer_512.bin", "stories260K"
            )
    elif known == "smollm2":
        cache = platformdirs.user_cache_path("veracity") / "models"
        content = _gguf(fetch_smollm2(cache), "SmolLM2-135M-Instruct")
    elif known in SYNTHETIC:
        content = synthetic_model(known)
    elif exists(source):
        content = _from_path(Path(source))
    elif is_hub_id(str(source)):
        content = _from_hub(str(source))
    else:
        raise UsageError(
            f"no model {str(source)[:80]!r}; name smollm2, stories260k, "
            f"{', '.join(sorted(SYNTHETIC))}, a path, or a model of the hub as ORG/NAME"
        )
    progress("load", 0.5)
    save_program_file(Path(out), content)
    progress("load", 1.0)
    return load_program_file(out)


def calibrate(
    path: str | Path, text: str | Path | None = None, progress: Progress = _silent
) -> dict[str, Any]:
    """Choose scales for an imported model and rewrite its file.

    Parameters
    ----------
    path : str or path
        Program file; it is rewritten.
    text : path, optional
        A text file to observe; the bundled text by default.
    progress : Progress
        Called as the work advances.

    Returns
    -------
    dict
        The report.
    """
    content = load_program_file(path)
    words = None
    if text is not None:
        try:
            words = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {Path(text).name} as UTF-8 text") from error
    program, weights, report = calibrate_model(
        content.model, content.tokenizer, content.source["name"], words, progress
    )
    save_program_file(Path(path), replace(content, program=program, weights=weights, report=report))
    return report
