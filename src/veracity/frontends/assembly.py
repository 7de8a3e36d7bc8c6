"""From tensors as an architecture stores them to a decoder with everything folded.

A reader of a format says what a model is (:class:`Design`) and which of its tensors plays which
part; the folds are the same for all. Parts are named ``embed``, ``position``, ``embed_norm``,
``final_norm``, ``head`` and, for each layer, ``attn_norm``, ``mlp_norm``, ``attn_post``,
``mlp_post``, ``q``, ``k``, ``v``, ``o``, ``qkv``, ``q_norm``, ``k_norm``, ``gate``, ``up``,
``down``, ``gate_up``; each with ``.weight`` and perhaps ``.bias``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.fused import split_fused
from veracity.lm.config import Config
from veracity.lm.decoder import FloatModel, Floats, exact_product, fold_norm

__all__ = ["Design", "assemble", "select"]

Parts = dict[str, Floats]


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a model is, as its file says.

    Attributes
    ----------
    config : Config
        Its shape; vocabulary and context as stated.
    query_scale : float or None
        What queries are multiplied by; None for ``1 / sqrt(head_dim)``.
    embed_scale, logit_scale, residual_scale : float
        Factors on embeddings, on logits, and on what layers add to the residual stream.
    turn_scale : float
        Factor on the features of queries and keys that turn.
    turn_scales : tuple of float
        The same for each layer, where layers differ.
    unit_gain : bool
        Gains of norms are stored less 1.
    turning : int
        Features of each head that turn; 0 for none or all.
    fused : str
        Order of q, k and v in one tensor, see :mod:`veracity.frontends.fused`.
    transposed : bool
        Linear maps are stored as (in, out).
    skipped_positions : int
        Rows of the table of positions that belong to none.
    tied : bool or None
        Whether the head is the embedding; None where the file does not say.
    biases : frozenset of str or None
        Parts that have a bias, and no other has; None where the tensors say so.
    absent : frozenset of str
        Parts that the model lacks, though its architecture may have them.
    notes : tuple of str
        What the user should know.
    """

    config: Config
    query_scale: float | None = None
    embed_scale: float = 1.0
    logit_scale: float = 1.0
    residual_scale: float = 1.0
    turn_scale: float = 1.0
    turn_scales: tuple[float, ...] = ()
    unit_gain: bool = False
    turning: int = 0
    fused: str = ""
    transposed: bool = False
    skipped_positions: int = 0
    tied: bool | None = None
    biases: frozenset[str] | None = None
    absent: frozenset[str] = frozenset()
    notes: tuple[str, ...] = field(default=())


def select(
    raw: Mapping[str, Floats],
    names: Mapping[str, str | tuple[str, ...]],
    design: Design,
    ignored: Iterable[str] = (),
    optional: Collection[str] = ("head",),
) -> Parts:
    """Tensors by the parts they play.

    Parameters
    ----------
    raw : mapping
        Tensors by the file's names.
    names : mapping
        The file's names by part, ``{i}`` for the layer; several where any of them may be there.
    design : Design
        Layers, and which parts there are.
    ignored : iterable of str
        Endings of the names of tensors that no model reads.
    optional : collection of str
        Parts that may lack in all layers; a head may be the embedding.

    Raises
    ------
    UnsupportedModelError
        For a tensor that plays no part: a layer that nobody would compute.
    FormatError
        For a tensor that is missing.
    """
    layers = design.config.layers
    if layers > len(raw):  # a small file can state many layers
        raise FormatError("settings", f"{layers} layers are stated, tensors of them are missing")
    found: Parts = {}
    left = {n for n in raw if not n.endswith(tuple(ignored))}
    missing: list[str] = []
    for part, stated in names.items():
        if part in design.absent:
            continue
        theirs = (stated,) if isinstance(stated, str) else stated
        every = [theirs]
        if "{i}" in theirs[0]:
            every = [tuple(name.format(i=i) for name in theirs) for i in range(layers)]
        for end in ("weight", "bias"):
            here = [[f"{n}.{end}" for n in one if f"{n}.{end}" in raw] for one in every]
            if end == "weight":
                wanted = part not in optional or any(here)
            elif design.biases is None:
                wanted = any(here)
            else:
                wanted = part in design.biases
            if not wanted:
                continue
            left -= {name for one in here for name in one}
            missing += [f"{n[0]}.{end}" for n, one in zip(every, here, strict=True) if not one]
            for i, one in enumerate(here):
                ours = f"layers.{i}.{part}" if "{i}" in theirs[0] else part
                found |= {f"{ours}.{end}": raw[name] for name in one}
    if left:
        name = min(left)
        if name.endswith(".bias") and f"{name.removesuffix('bias')}weight" not in left:
            raise FormatError(
                name, "the file has this bias, by its settings the model has none; "
                "one of the two is of another model",
            )  # fmt: skip
        raise UnsupportedModelError(
            name, "a tensor that this architecture has no use for",
            "import the model as it was published, without adapters or other parts",
        )  # fmt: skip
    if missing:
        raise FormatError(
            missing[0], "this tensor is missing, by its settings the model has it; "
            "fetch the model again",
        )  # fmt: skip
    return found


def assemble(design: Design, parts: Parts) -> FloatModel:
    """The decoder that a design makes of its parts.

    Raises
    ------
    FormatError
        Where the file contradicts itself, or tensors are missing or do not fit.
    """
    c, tensors = design.config, Parts()
    embed = parts["embed.weight"]
    if "project_in.weight" in parts:  # the embedding is narrower than the model
        head = embed if _is_tied(design, parts) else parts["head.weight"]
        parts = {
            **parts, "embed.weight": exact_product(embed, parts["project_in.weight"].T),
            "head.weight": exact_product(head, parts["project_out.weight"]),
        }  # fmt: skip
        design = replace(design, tied=False)
        embed = parts["embed.weight"]
    if c.vocab not in (0, len(embed)):
        raise FormatError(
            "settings", f"a vocabulary of {c.vocab} is stated, the embedding has {len(embed)} rows"
        )
    config = replace(c, vocab=len(embed))
    tensors["embed"] = _scaled(_looked_up(design, parts, embed), design.embed_scale)
    if c.positions:
        rows = parts["position.weight"][design.skipped_positions :]
        if len(rows) < c.context:
            raise FormatError(
                "settings", f"{c.context} positions are stated, the table of them has {len(rows)}"
            )
        tensors["position"] = rows[: c.context]
    for i in range(c.layers):
        _layer(design, parts, tensors, i)
    _head(design, parts, tensors)
    return FloatModel(config, tensors)


def _scaled(x: Floats, scale: float) -> Floats:
    return x if scale == 1 else np.asarray(x * np.float32(scale), dtype=np.float32)


def _looked_up(design: Design, parts: Parts, embed: Floats) -> Floats:
    """Rows of the embedding, normalised where the model does that to each."""
    if "embed_norm.weight" not in parts:
        return embed
    rows = embed.astype(np.float64)
    rows = rows - rows.mean(axis=1, keepdims=True)
    rows /= np.sqrt((rows * rows).mean(axis=1, keepdims=True) + design.config.norm_eps)
    rows = rows * parts["embed_norm.weight"] + parts["embed_norm.bias"]
    return np.asarray(rows, dtype=np.float32)


def _gain(design: Design, parts: Parts, name: str) -> Floats | None:
    found = parts.get(f"{name}.weight")
    if found is None or not design.unit_gain:
        return found
    return np.asarray(found + np.float32(1), dtype=np.float32)


def _layer(design: Design, parts: Parts, tensors: Parts, i: int) -> None:
    c, at = design.config, f"layers.{i}"
    maps = split_fused(design, parts, at)
    ours = {"q": "attn.q", "k": "attn.k", "v": "attn.v", "o": "attn.o"}
    for part in (*ours, *(["gate"] if c.gated else []), "up", "down"):
        name = f"{at}.{ours.get(part, f'mlp.{part}')}"
        tensors[name] = maps[f"{part}.weight"]
        if f"{part}.bias" in maps:
            tensors[f"{name}.bias"] = maps[f"{part}.bias"]
    if design.turn_scales:
        design = replace(design, turn_scale=design.turn_scales[i])
    _scale_queries(design, parts, tensors, at)
    outs = (f"{at}.attn.o", f"{at}.mlp.down")
    for ours_, post in zip(outs, ("attn", "mlp"), strict=True):
        if c.sum_norm:
            tensors[f"{at}.{post}.post"] = parts[f"{at}.{post}_norm.weight"]
            if f"{at}.{post}_norm.bias" in parts:
                tensors[f"{at}.{post}.post.bias"] = parts[f"{at}.{post}_norm.bias"]
            continue
        if c.post_norm:
            gain = _gain(design, parts, f"{at}.{post}_post")
            if gain is None:
                raise FormatError("tensors", f"{at}.{post}_post is missing; fetch the model again")
            tensors[f"{at}.{post}.post"] = _scaled(gain, design.residual_scale)
            continue
        for name in (ours_, f"{ours_}.bias"):
            if name in tensors:
                tensors[name] = _scaled(tensors[name], design.residual_scale)
    if c.sum_norm:
        return
    readers = [f"{at}.attn.{k}" for k in "qkv"]
    _fold(design, parts, tensors, readers, f"{at}.attn_norm")
    readers = [f"{at}.mlp.{k}" for k in (["gate", "up"] if c.gated else ["up"])]
    shared = c.parallel and f"{at}.mlp_norm.weight" not in parts
    _fold(design, parts, tensors, readers, f"{at}.{'attn' if shared else 'mlp'}_norm")


def _fold(design: Design, parts: Parts, tensors: Parts, readers: list[str], norm: str) -> None:
    gain = _gain(design, parts, norm)
    if gain is not None:
        fold_norm(tensors, readers, gain, parts.get(f"{norm}.bias"))


def _scale_queries(design: Design, parts: Parts, tensors: Parts, at: str) -> None:
    """Scale queries (and what turns) where nothing normalises them later."""
    c = design.config
    root = np.float32(np.sqrt(c.head_dim))
    for part, count in (("q", c.kv_heads * c.group), ("k", c.kv_heads)):
        name = f"{at}.attn.{part}"
        if c.qk_norm:
            for key in (name, f"{name}.bias"):
                if key in tensors:
                    tensors[key] = _paired(design, tensors[key], count)
            gain = _gain(design, parts, f"{at}.{part}_norm")
            if gain is None:
                raise FormatError("tensors", f"{at}.{part}_norm is missing; fetch the model again")
            width = c.head_dim * count
            many = width // gain.size if c.qk_norm == "head" else 1
            tensors[f"{name}.gain"] = np.tile(gain.reshape(-1), many)
            if f"{at}.{part}_norm.bias" in parts:
                bias = parts[f"{at}.{part}_norm.bias"].reshape(-1)
                tensors[f"{name}.gain.bias"] = np.tile(bias, many)
            name = f"{name}.gain"
        for key in (name, f"{name}.bias"):
            if key not in tensors:
                continue
            x = tensors[key]
            if part == "q" and design.query_scale is None:
                x = x / root
            elif part == "q":
                x = _scaled(x, float(design.query_scale or 0))
            tensors[key] = _turned(design, x, count)


def _turned(design: Design, x: Floats, heads: int) -> Floats:
    """Rows of queries or keys in the order in which pairs turn, scaled where they do."""
    c = design.config
    if design.turn_scale != 1:
        rows = x.reshape(heads, c.head_dim, -1).copy()
        rows[:, : design.turning or c.head_dim] *= np.float32(design.turn_scale)
        x = rows.reshape(x.shape)
    return _paired(design, x, heads)


def _paired(design: Design, x: Floats, heads: int) -> Floats:
    """Rows of queries or keys in the order in which pairs turn: those that do not, pair, too."""
    c, turning = design.config, design.turning
    if not turning or c.rope_style != "half":
        return x
    first, second = np.split(np.arange(turning), 2)
    low, high = np.split(np.arange(turning, c.head_dim), 2)
    rows = x.reshape(heads, c.head_dim, -1)[:, np.concatenate([first, low, second, high])]
    return np.ascontiguousarray(rows.reshape(x.shape))


def _is_tied(design: Design, parts: Parts) -> bool:
    """Whether the head is the embedding; raises FormatError where the file contradicts itself."""
    embed, head = parts["embed.weight"], parts.get("head.weight")
    tied = design.tied if design.tied is not None else head is None
    if tied and head is not None and not np.array_equal(head, embed):
        raise FormatError(
            "settings", "tie_word_embeddings says that the head is the embedding, but the file has "
            "another head; remove one of the two",
        )  # fmt: skip
    if not tied and head is None:
        raise FormatError(
            "settings", "tie_word_embeddings says that the head is not the embedding, but the file "
            "has no head; the model is incomplete, or it is tied after all",
        )  # fmt: skip
    return tied


def _head(design: Design, parts: Parts, tensors: Parts) -> None:
    embed, gain = parts["embed.weight"], _gain(design, parts, "final_norm")
    head, bias = parts.get("head.weight"), parts.get("final_norm.bias")
    tied = _is_tied(design, parts)
    scale = design.logit_scale
    if tied and "embed_norm.weight" not in parts:
        scale /= design.embed_scale
    else:
        tensors["head"] = embed if head is None or tied else head
    if "head.bias" in parts:
        tensors["head.bias"] = _scaled(parts["head.bias"], design.logit_scale)
    if "head" in tensors and (bias is None or "head.bias" in tensors):
        tensors["head"] = _scaled(tensors["head"], scale)
        if gain is not None:
            fold_norm(tensors, ["head"], gain, bias)
        return
    if gain is None and scale != 1:
        gain = np.ones(embed.shape[1], dtype=np.float32)
    if gain is not None:
        tensors["final_gain"] = _scaled(gain, scale)
    if bias is not None:
        tensors["final_gain.bias"] = _scaled(bias, scale)
