"""A model's way into a program file: import and calibrate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from veracity import frontends
from veracity.codec.arguments import require_type
from veracity.formats.program import ProgramFile
from veracity.progress import Progress, silent

__all__ = ["calibrate", "import_model"]


def import_model(
    source: str | Path, out: str | Path, *, progress: Progress = silent
) -> ProgramFile:
    """Read a model and its tokenizer into a ``.vprog`` file.

    Parameters
    ----------
    source : str or path
        ``smollm2``, ``stories260k``, a folder of safetensors and ``config.json``, a GGUF file or
        a llama2.c checkpoint.
    out : path
        The file to write.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UnsupportedModelError
        The model is of a type that cannot be represented.
    UsageError
        The source cannot be had, or ``out`` cannot be written.
    """
    require_type("source", source, str, os.PathLike)
    require_type("out", out, str, os.PathLike)
    return frontends.import_model(source, out, progress=progress)


def calibrate(
    program: str | Path, *, text: str | Path | None = None, progress: Progress = silent
) -> dict[str, Any]:
    """Choose the scales of the integer program; rewrites the file.

    Parameters
    ----------
    program : path
        A ``.vprog`` file.
    text : path, optional
        Text to observe; the bundled text and chat prompts by default.
    progress : Progress
        Called as the work advances.

    Returns
    -------
    dict
        The accuracy report: perplexities, top-1 agreement, ranges.
    """
    require_type("program", program, str, os.PathLike)
    require_type("text", text, str, os.PathLike, optional=True)
    return frontends.calibrate(program, text=text, progress=progress)
