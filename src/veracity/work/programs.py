"""Opening a calibrated program: what every product does with a ``.vprog`` file first."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from veracity.codec import sniff
from veracity.codec.arguments import require_type
from veracity.codec.files import PROGRAM, stored_at
from veracity.errors import FormatError, UsageError
from veracity.formats.commitment import stated_program
from veracity.formats.paging import PagedWeights
from veracity.formats.program import (
    NetworkFile,
    ProgramFile,
    load_any_program,
    load_program_file,
)
from veracity.graph import Program
from veracity.text.table import PromptFrame

__all__ = [
    "AnyProgram",
    "integer_program",
    "load_any",
    "load_network",
    "load_program",
    "page_weights",
    "prompt_frames",
    "require_uncommitted",
    "weights_digest",
]

AnyProgram = ProgramFile | NetworkFile
Paged = TypeVar("Paged", ProgramFile, NetworkFile)

#: Most files beside a program that are looked into.
_NEIGHBOURS = 256


def load_program(program: ProgramFile | str | Path) -> ProgramFile:
    """Open a calibrated ``.vprog`` file; weights stay on disk, memory-mapped."""
    require_type("program", program, ProgramFile, str, os.PathLike)
    loaded = program if isinstance(program, ProgramFile) else load_program_file(program)
    integer_program(loaded)
    return loaded


def load_any(program: AnyProgram | str | Path) -> AnyProgram:
    """Open a program file of either kind, with its scales."""
    require_type("program", program, ProgramFile, NetworkFile, str, os.PathLike)
    loaded = program if isinstance(program, AnyProgram) else load_any_program(program)
    integer_program(loaded)
    return loaded


def load_network(program: NetworkFile | str | Path) -> NetworkFile:
    """Open the program file of a network over tensors.

    Raises
    ------
    UsageError
        It holds a language model.
    """
    loaded = load_any(program)
    if not isinstance(loaded, NetworkFile):
        raise UsageError("this program is a language model; ask it with --prompt")
    return loaded


def page_weights(loaded: Paged, memory: int) -> Paged:
    """The same program, its weights in memory only as far as a limit of ``memory`` bytes allows."""
    if isinstance(loaded.weights, PagedWeights):
        return loaded
    return replace(loaded, weights=PagedWeights(loaded.weights, memory // 16))


def integer_program(loaded: AnyProgram) -> Program:
    """The integer program of a calibrated model; :class:`UsageError` before calibration."""
    if loaded.program is None:
        raise UsageError("this program has no scales yet; run `veracity calibrate` on it first")
    return loaded.program


def prompt_frames(loaded: ProgramFile) -> dict[str, PromptFrame]:
    """The frames the model's tokenizer knows, as pinned in a commitment."""
    frames = {}
    for name, chat in (("raw", False), ("chat", True)):
        sides = loaded.frame(chat=chat)
        if sides is not None:
            frames[name] = PromptFrame(tuple(sides[0]), tuple(sides[1]))
    return frames


def weights_digest(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """SHA-256 over names, shapes and integers of all weights, in order of name."""
    total = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        total.update(f"{name}:{array.dtype.str}:{array.shape}\n".encode())
        total.update(array.view(np.uint8).reshape(-1).data)
    return total.digest()


def require_uncommitted(program: Path) -> None:
    """Raise :class:`UsageError` where a commitment beside a program refers to it.

    Without this very program nobody can prove with that commitment any more.
    """
    if stored_at(program) is None or sniff(program) != PROGRAM:
        return
    try:
        committed = load_any_program(program).program
    except FormatError:
        return
    if committed is None:
        return
    neighbours = sorted(p for p in program.parent.iterdir() if p.suffix in (".vcom", ".vsec"))
    for path in neighbours[:_NEIGHBOURS]:
        if stated_program(path) == committed.digest:
            raise UsageError(
                f"{program.name!r} is committed to in {path.name!r}, which could not be proved "
                "with any more; work on a copy, or --force to replace it"
            )
