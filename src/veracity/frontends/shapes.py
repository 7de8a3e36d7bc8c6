"""Shapes of published models, and of any ``config.json``: dimensions without weights."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from veracity.codec.files import exists
from veracity.errors import FormatError, UsageError
from veracity.frontends.architectures import Family, find_family
from veracity.frontends.architectures.common import HARMLESS
from veracity.frontends.assembly import Design
from veracity.frontends.settings import MALFORMED, Settings
from veracity.graph import Program
from veracity.lm.config import Config
from veracity.lm.shapes import shape_program

__all__ = ["Shape", "known_shapes", "read_shape", "shape_of"]

#: Most bytes of a file of settings.
_MOST = 1 << 20
Dims = tuple[int, ...]


@dataclass(frozen=True)
class Shape:
    """A decoder without weights.

    Attributes
    ----------
    name : str
        For people.
    config : Config
        Its dimensions.
    tensors : mapping
        Dims of its tensors, everything folded that an import folds.
    notes : tuple of str
        What the settings left open.
    """

    name: str
    config: Config
    tensors: Mapping[str, Dims]
    notes: tuple[str, ...] = ()

    @property
    def program(self) -> Program:
        """The integer program that such a model would have, with supposed ranges."""
        return shape_program(self.config, self.tensors, self.name)


@cache
def known_shapes() -> dict[str, dict[str, Any]]:
    """Settings of published models by name, as their ``config.json`` has them."""
    text = (files("veracity") / "data" / "shapes.json").read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found


def read_shape(given: str | Path) -> Shape:
    """A shape by name, or from a ``config.json`` or a folder with one.

    Parameters
    ----------
    given : str or path
        ``llama-2-7b`` and others, or a path.

    Raises
    ------
    UsageError
        There is no such name and no such file.
    FormatError
        The file does not parse.
    UnsupportedModelError
        No program has such a shape.
    """
    known = str(given).lower()
    if known in known_shapes():
        return shape_of(known, known_shapes()[known])
    if not exists(given):
        raise UsageError(
            f"no shape {os.fspath(given)[:80]!r}; name one of {', '.join(sorted(known_shapes()))}, "
            "or give the path of a config.json"
        )
    path = Path(given)
    path = path / "config.json" if path.is_dir() else path
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise UsageError(f"no {path.name} can be read there") from error
    try:
        facts = json.loads(data) if len(data) <= _MOST else None
    except (ValueError, RecursionError) as error:
        raise FormatError(path.name, "not JSON") from error
    if not isinstance(facts, dict):
        raise FormatError(path.name, "not a JSON object of at most a megabyte")
    name = facts.get("_name_or_path") or (path.parent.name if path.name == "config.json" else "")
    return shape_of(str(name or path.stem), facts)


def shape_of(name: str, facts: Mapping[str, Any]) -> Shape:
    """The shape that settings describe.

    Parameters
    ----------
    name : str
        For people.
    facts : mapping
        What ``config.json`` says. What only changes how weights are stored is not looked at.

    Raises
    ------
    FormatError
        Settings are missing or contradict each other.
    UnsupportedModelError
        No program has such a shape.
    """
    family = find_family(facts.get("model_type"))
    stated = {n: value for n, value in facts.items() if n != "quantization_config"}
    settings = Settings("config.json", stated)
    try:
        settings.only({"is_encoder_decoder": (False,), "tie_encoder_decoder": (False,)})
        design = family.design(settings)
    except MALFORMED as error:
        raise FormatError("config.json", "settings of other types than were expected") from error
    settings.finish(HARMLESS)
    notes = design.notes
    if not design.config.vocab:
        raise FormatError("config.json", "vocab_size is missing")
    design.config.check("config.json")
    if design.tied is None:
        notes += ("the settings do not say whether the head is the embedding; it is taken not to",)
        design = replace(design, tied=False)
    return Shape(name, design.config, dict(_tensors(design, _parts(family, design))), notes)


def _parts(family: Family, design: Design) -> set[str]:
    """Parts that a model of this design has, biases with ``.bias``."""
    here = set(family.names) - set(design.absent)
    return here | {f"{part}.bias" for part in here & (design.biases or frozenset())}


def _tensors(design: Design, parts: set[str]) -> Iterator[tuple[str, Dims]]:
    """Names and dims of what :func:`veracity.frontends.assembly.assemble` would make."""
    c = design.config
    yield "embed", (c.vocab, c.dim)
    if c.positions:
        yield "position", (c.context, c.dim)
    for i in range(c.layers):
        for name, dims in _layer(c, parts):
            yield f"layers.{i}.{name}", dims
    projected = "project_in" in parts
    own_head = not design.tied or projected or "embed_norm" in parts
    gain, bias = "final_norm" in parts, "final_norm.bias" in parts
    if own_head:
        yield "head", (c.vocab, c.dim)
    if "head.bias" in parts:
        yield "head.bias", (c.vocab,)
    if own_head and (not bias or "head.bias" in parts):  # the head takes the gain
        return
    scale = design.logit_scale / (1 if own_head else design.embed_scale)
    if gain or scale != 1:
        yield "final_gain", (c.dim,)
    if bias:
        yield "final_gain.bias", (c.dim,)


def _layer(c: Config, parts: set[str]) -> Iterator[tuple[str, Dims]]:
    """The tensors of one layer."""
    heads, kv = c.kv_heads * c.group * c.head_dim, c.kv_heads * c.head_dim
    shared = c.parallel and "mlp_norm" not in parts
    folded = not c.sum_norm
    for part, name, rows, columns, fused, norm in (
        ("q", "attn.q", heads, c.dim, "qkv", "attn_norm"),
        ("k", "attn.k", kv, c.dim, "qkv", "attn_norm"),
        ("v", "attn.v", kv, c.dim, "qkv", "attn_norm"),
        ("o", "attn.o", c.dim, heads, "o", ""),
        *([("gate", "mlp.gate", c.hidden, c.dim, "gate_up", "mlp_norm")] if c.gated else []),
        ("up", "mlp.up", c.hidden, c.dim, "gate_up", "mlp_norm"),
        ("down", "mlp.down", c.dim, c.hidden, "down", ""),
    ):
        yield name, (rows, columns)
        norm = "attn_norm" if shared and norm else norm
        if {f"{part}.bias", f"{fused}.bias"} & parts or (folded and f"{norm}.bias" in parts):
            yield f"{name}.bias", (rows,)
        if c.qk_norm and part in ("q", "k"):
            yield f"{name}.gain", (rows,)
            if f"{part}_norm.bias" in parts:
                yield f"{name}.gain.bias", (rows,)
    for half in ("attn", "mlp"):
        if c.post_norm or c.sum_norm:
            yield f"{half}.post", (c.dim,)
        if c.sum_norm and f"{half}_norm.bias" in parts:
            yield f"{half}.post.bias", (c.dim,)
