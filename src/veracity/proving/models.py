"""A model's way into a program file: import and calibrate."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from veracity import frontends
from veracity.codec.arguments import require_type
from veracity.errors import UsageError
from veracity.formats.program import NetworkFile, ProgramFile
from veracity.progress import Progress, silent
from veracity.work.programs import load_any

__all__ = [
    "calibrate",
    "check_network",
    "import_model",
    "import_network",
    "judged",
    "require_agreement",
]

#: Of the tokens that the float model takes, how many the integer program takes too: what is good,
#: and what nobody should commit to by mistake.
GOOD_AGREEMENT, LEAST_AGREEMENT = 0.98, 0.90


def import_model(
    source: str | Path, out: str | Path, *, progress: Progress = silent
) -> ProgramFile:
    """Read a model and its tokenizer into a ``.vprog`` file.

    Parameters
    ----------
    source : str or path
        ``smollm2``, ``stories260k``, a folder of safetensors and ``config.json``, a GGUF file, a
        llama2.c checkpoint, or a model of the Hugging Face hub as ``ORG/NAME@REVISION``.
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


def import_network(
    source: str | Path,
    out: str | Path,
    *,
    samples: str | Path | None = None,
    outputs: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    constants: Mapping[str, float] | None = None,
    pixels: tuple[float, float] | None = None,
    progress: Progress = silent,
) -> NetworkFile:
    """Read an ONNX network into a ``.vprog`` file and choose its scales.

    Parameters
    ----------
    source : path
        An ``.onnx`` file.
    out : path
        The file to write.
    samples : path, optional
        Folder of inputs to observe (``.npy``, pictures); random numbers of 0 .. 1 by default.
    outputs : sequence of str
        Results to cut the network at; its own by default.
    sizes : mapping, optional
        Lengths that the file only names.
    constants : mapping, optional
        Inputs to fix, each to one number.
    pixels : tuple of float, optional
        Mean and deviation: the imported network takes bytes of pictures, of which the given one
        reads ``(byte / 255 - mean) / deviation``.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UnsupportedModelError
        Names the first node that cannot be proved.
    FormatError
        The file is damaged.
    UsageError
        A length is not known, or a sample does not fit.
    """
    from veracity.frontends.onnx import import_onnx

    return import_onnx(
        source,
        out,
        samples=samples,
        outputs=outputs,
        sizes=sizes,
        constants=constants,
        pixels=pixels,
        progress=progress,
    )


def check_network(
    source: str | Path,
    *,
    outputs: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    constants: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """What an import would say: ops, sizes, and every node that cannot be proved.

    Parameters
    ----------
    source : path
        An ``.onnx`` file.
    outputs, sizes, constants : optional
        As for :func:`import_network`.
    """
    from veracity.frontends.onnx import check_onnx, open_onnx

    return check_onnx(open_onnx(source, outputs=outputs, sizes=sizes, constants=constants))


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


def judged(accuracy: Mapping[str, Any]) -> str:
    """A verdict, in a sentence, on what calibration measured; empty where it measured nothing."""
    agreement = accuracy.get("top1_agreement")
    if not isinstance(agreement, float | int):
        return ""
    share = f"{100 * agreement:.1f} % of tokens"
    if agreement >= GOOD_AGREEMENT:
        return f"good: the integer program agrees with the float model on {share}"
    advice = "calibrate on more text, or on text that is more like the prompts to come"
    told = f"WARNING: the integer program agrees with the float model on {share} only; {advice}"
    if agreement < LEAST_AGREEMENT:
        told += " (`veracity commit` refuses this without --force)"
    return told


def require_agreement(program: str | Path) -> None:
    """Raise :class:`UsageError` where an integer program is a poor likeness of its trained model.

    Models with random weights, made to measure with, have no answers to agree on.
    """
    loaded = load_any(program)
    agreement = (loaded.accuracy or {}).get("top1_agreement")
    if not isinstance(agreement, float | int) or loaded.source.get("kind") == "synthetic":
        return
    if agreement < LEAST_AGREEMENT:
        raise UsageError(
            f"this program agrees with its model on {100 * agreement:.1f} % of tokens only; "
            "calibrate it on other text, or --force to commit to it as it is"
        )
