"""The program file (``.vprog``): a zip container with uncompressed members.

``meta.json`` (format, source, parameters), ``tokenizer.json``, ``weights/float/*.npy`` and
``config.json``; after calibration also ``program.json``, ``report.json`` and
``weights/int/*.npy``. Members are stored, not deflated, so arrays are memory-mapped in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from veracity.errors import FormatError
from veracity.formats.archive import FORMAT, Archive, open_archive, write_archive
from veracity.graph import Program
from veracity.lm.decoder import Config, FloatModel, check_model
from veracity.lm.tokenizer import Tokenizer
from veracity.text import Rule

__all__ = ["ProgramFile", "load_program_file", "save_program_file"]


@dataclass(frozen=True)
class ProgramFile:
    """An imported model; calibrated if ``program`` is not None.

    Attributes
    ----------
    source : dict
        Where the model came from: name, kind, file name, SHA-256 of the weights file.
    model : FloatModel
        The floating-point model, gains folded.
    tokenizer : Tokenizer
        Its tokenizer.
    program : Program or None
        The integer program.
    weights : dict
        Integer weights, memory-mapped; secret.
    report : dict or None
        What calibration observed and measured.
    """

    source: dict[str, Any]
    model: FloatModel = field(repr=False)
    tokenizer: Tokenizer = field(repr=False)
    program: Program | None = field(default=None, repr=False)
    weights: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)
    report: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def parameters(self) -> int:
        """Number of weights in the source file."""
        return int(self.source["parameters"])

    @property
    def quantisation(self) -> dict[str, Any]:
        """How the integers were chosen, for people."""
        return {
            "weights": "int16, one public power of two a tensor",
            "activations": "16 bits, 24 for tensors with massive activations",
            "rounding": "half up",
        }

    @property
    def calibration(self) -> dict[str, Any] | None:
        """Digest and size of the calibration text."""
        if self.report is None:
            return None
        return {k: self.report[k] for k in ("text", "text_sha256", "observed_tokens")}

    @property
    def accuracy(self) -> dict[str, Any] | None:
        """Accuracy against the floating-point model."""
        return None if self.report is None else dict(self.report["accuracy"])

    @property
    def token_bytes(self) -> list[bytes]:
        """The decode table."""
        return self.tokenizer.token_bytes

    @property
    def special_ids(self) -> set[int]:
        """Control tokens."""
        return self.tokenizer.special_ids

    @property
    def stop_ids(self) -> set[int]:
        """Tokens that end an answer."""
        return self.tokenizer.stop_ids

    @property
    def rule(self) -> Rule | None:
        """How text is spelled in tokens, where a verifier can know it."""
        return self.tokenizer.rule

    def encode(self, text: str) -> list[int]:
        """Ids of a user's words."""
        return self.tokenizer.encode(text)

    def frame(self, chat: bool) -> tuple[list[int], list[int]] | None:
        """Ids around the user's words."""
        return self.tokenizer.frame(chat)


def save_program_file(path: Path, content: ProgramFile) -> None:
    """Write a program file, complete or not at all.

    Raises
    ------
    UsageError
        If the disk is full or the folder cannot be written.
    """
    texts: dict[str, Any] = {
        "meta.json": {"format": FORMAT, "source": content.source},
        "config.json": content.model.config.as_dict(),
        "tokenizer.json": dict(content.tokenizer.body),
    }
    if content.program is not None:
        texts["program.json"] = content.program.to_json()
        texts["report.json"] = content.report
    write_archive(path, texts, {"float": content.model.tensors, "int": content.weights})


def load_program_file(path: str | Path) -> ProgramFile:
    """Open a program file; arrays stay on disk, memory-mapped.

    Raises
    ------
    UsageError
        If there is no such file.
    FormatError
        If it does not parse.
    """
    path = Path(path)
    with open_archive(path) as archive:
        return _read(archive)


def _read(archive: Archive) -> ProgramFile:
    meta, path = archive.meta(), archive.path
    if "config.json" not in archive.names:
        raise FormatError(path.name, "its network reads no text; prove it on arrays")
    config = dict(archive.json("config.json"))
    config["norm_eps"] = float(config["norm_eps"])
    model = FloatModel(Config(**config), archive.arrays("float", ("f4",)))
    check_model(model, path.name, values=False)
    tokenizer = Tokenizer(archive.json("tokenizer.json"))
    tokenizer.check()
    if len(tokenizer.token_bytes) != model.config.vocab:
        raise FormatError(path.name, "the tokenizer does not fit the vocabulary")
    if "program.json" not in archive.names:
        return ProgramFile(meta["source"], model, tokenizer)
    program, weights = archive.program()
    report = archive.json("report.json")
    return ProgramFile(meta["source"], model, tokenizer, program, weights, report)
