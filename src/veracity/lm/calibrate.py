"""Calibration: observe a model on text, choose scales, report what they cost in accuracy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph import Program
from veracity.lm.decoder import FloatModel, Floats
from veracity.lm.quantise import build_program
from veracity.lm.scales import Range
from veracity.lm.text_decoder import logits
from veracity.lm.tokenizer import Tokenizer
from veracity.text.chat import Message

__all__ = ["accuracy", "bundled_text", "calibrate_model", "observe_ranges"]

Progress = Callable[[str, float], None]

#: Tokens of prose observed, and tokens held out for the report.
_OBSERVED, _HELD_OUT, _WINDOW = 3072, 768, 256
_SAMPLE = 1 << 16


def bundled_text() -> tuple[str, list[str]]:
    """Public-domain prose and chat prompts that ship with the package."""
    folder = files("veracity") / "data"
    prompts = (folder / "prompts.txt").read_text(encoding="utf-8").splitlines()
    return (folder / "prose.txt").read_text(encoding="utf-8"), [p for p in prompts if p]


def observe_ranges(
    model: FloatModel, windows: Sequence[Sequence[int]], progress: Progress
) -> dict[str, Range]:
    """Largest magnitude and 99.9th percentile of every tensor over all windows.

    Parameters
    ----------
    model : FloatModel
        The model as it came.
    windows : sequence
        Token ids of each window.
    progress : Progress
        Called once a window.
    """
    largest: dict[str, float] = {}
    usual: dict[str, float] = {}

    def see(name: str, x: Floats) -> None:
        flat = x.reshape(-1)
        top = max(float(flat.max(initial=0.0)), -float(flat.min(initial=0.0)))
        largest[name] = max(largest.get(name, 0.0), top)
        # a percentile needs no more than a sample
        magnitude = np.abs(flat[:: 1 + len(flat) // _SAMPLE])
        rank = min(len(magnitude) - 1, int(len(magnitude) * 0.999))
        usual[name] = max(usual.get(name, 0.0), float(np.partition(magnitude, rank)[rank]))

    for i, window in enumerate(windows):
        model.logits(window, see)
        progress("observe", (i + 1) / len(windows))
    return {n: Range(largest[n], usual[n]) for n in largest}


def accuracy(
    model: FloatModel,
    program: Program,
    weights: dict[str, NDArray[np.integer]],
    windows: Sequence[Sequence[int]],
    progress: Progress = lambda _phase, _done: None,
) -> dict[str, Any]:
    """Perplexity of both models, their ratio and top-1 agreement on token windows.

    Parameters
    ----------
    model : FloatModel
        The model as it came.
    program : Program
        Its integer program.
    weights : dict
        The program's integer weights.
    windows : sequence
        Token ids of each window; none of them observed.
    progress : Progress
        Called once a window.
    """
    loss = {"float": 0.0, "integer": 0.0}
    agree = total = counted = 0
    scale = 2.0 ** -program.exponents[program.ops[-1].name]
    for i, window in enumerate(windows):
        exact = model.logits(window)
        ours = logits(program, weights, window)
        agree += int((exact.argmax(axis=1) == ours.argmax(axis=1)).sum())
        total += len(window)
        targets = np.asarray(window[1:])
        for name, values in (("float", exact), ("integer", ours * scale)):
            rows = values[:-1].astype(np.float64)
            top = rows.max(axis=1)
            norm = top + np.log(np.exp(rows - top[:, None]).sum(axis=1))
            loss[name] += float((norm - rows[np.arange(len(targets)), targets]).sum())
        counted += len(targets)
        progress("accuracy", (i + 1) / len(windows))
    # scores may be so large that a perplexity is no number
    perplexity = {k: float(np.exp(min(v / max(1, counted), 600.0))) for k, v in loss.items()}
    return {
        "tokens": total,
        "perplexity_float": round(perplexity["float"], 4),
        "perplexity_integer": round(perplexity["integer"], 4),
        "perplexity_change_percent": round(
            100 * (perplexity["integer"] / perplexity["float"] - 1), 4
        ),
        "top1_agreement": round(agree / max(1, total), 5),
    }


def calibrate_model(
    model: FloatModel,
    tokenizer: Tokenizer,
    name: str,
    text: str | None = None,
    progress: Progress = lambda _phase, _done: None,
) -> tuple[Program, dict[str, NDArray[np.integer]], dict[str, Any]]:
    """Choose scales and report accuracy.

    Parameters
    ----------
    model : FloatModel
        The model as it came.
    tokenizer : Tokenizer
        Its tokenizer.
    name : str
        Name of the program.
    text : str, optional
        Text to observe; by default the bundled prose and chat prompts.
    progress : Progress
        Called as the work advances.

    Returns
    -------
    Program, weights, report

    Raises
    ------
    UsageError
        If the text is too short.
    """
    prose, prompts = bundled_text()
    frame = tokenizer.frame(chat=False) or ([], [])
    ids = _spelled(tokenizer, prose) if text is None else tokenizer.encode(text)
    window = min(_WINDOW, model.config.context)
    if len(ids) < 2 * window:
        raise UsageError(f"calibration needs at least {2 * window} tokens of text")
    step = window - len(frame[0])
    cut = [[*frame[0], *ids[i : i + step]] for i in range(0, len(ids) - step, step)]
    held = max(1, min(_HELD_OUT // window, len(cut) // 4))
    observed = cut[:-held][: _OBSERVED // window]
    chat = [_chat_window(tokenizer, p) for p in prompts] if text is None else []
    ranges = observe_ranges(model, [*observed, *[c for c in chat if c]], progress)
    progress("scales", 0.0)
    program, weights = build_program(model, ranges, name)
    report = {
        "text": "bundled prose and chat prompts" if text is None else "given text",
        "text_sha256": hashlib.sha256(
            ("\n".join([prose, *prompts]) if text is None else text).encode()
        ).hexdigest(),
        "observed_tokens": sum(len(w) for w in observed) + sum(len(c) for c in chat),
        "accuracy": accuracy(model, program, weights, cut[-held:], progress),
        "ranges": {
            n: {"largest": f"{r.largest:.6g}", "p99.9": f"{r.usual:.6g}", "massive": r.massive}
            for n, r in sorted(ranges.items())
        },
    }
    return program, weights, report


def _chat_window(tokenizer: Tokenizer, prompt: str) -> list[int]:
    frame, between = tokenizer.frame(chat=True), tokenizer.conversation
    if frame is None and between is not None:
        words = "".join(c for c in prompt if _can_spell(tokenizer, c))
        return tokenizer.encode_parts(between.parts([Message("user", words)]))
    if frame is None:
        return []
    return [*frame[0], *_spelled(tokenizer, prompt), *frame[1]]


def _spelled(tokenizer: Tokenizer, text: str) -> list[int]:
    """Ids of our own text, without the characters that a model has no tokens for."""
    try:
        return tokenizer.encode(text)
    except UsageError:
        known = {c for c in set(text) if _can_spell(tokenizer, c)}
        return tokenizer.encode("".join(c for c in text if c in known))


def _can_spell(tokenizer: Tokenizer, character: str) -> bool:
    try:
        return bool(tokenizer.encode(character))
    except UsageError:
        return False
