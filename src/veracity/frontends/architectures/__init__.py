"""Architectures in Hugging Face's spelling: names of tensors, and what settings say.

One file for each kind of decoder; a row of its ``ROWS`` is an architecture. Functions take every
setting that changes the arithmetic, with the default of the original implementation, and return a
:class:`veracity.frontends.assembly.Design`.
"""

from __future__ import annotations

from typing import Any

from veracity.errors import UnsupportedModelError
from veracity.frontends.architectures import alibi, gemma, gpt, llama, neox, olmo, qwen
from veracity.frontends.architectures.common import Family

__all__ = ["FAMILIES", "Family", "find_family"]

#: Every architecture that can be imported, by ``model_type``.
FAMILIES: dict[str, Family] = {
    name: row
    for part in (llama, qwen, gemma, olmo, gpt, neox, alibi)
    for name, row in part.ROWS.items()
}

_EXPERTS = "a mixture of experts: which expert a token takes is a choice that no op makes"
_STATES = "a state-space model: its recurrence is no op"
_ENCODER = "an encoder: it reads words on both sides and continues no text"
_MEDIA = "a model of pictures or sound"
#: What is missing for well-known architectures, by the beginning of ``model_type``.
_MISSING = {
    "mixtral": _EXPERTS, "qwen2_moe": _EXPERTS, "qwen3_moe": _EXPERTS, "olmoe": _EXPERTS,
    "phimoe": _EXPERTS, "granitemoe": _EXPERTS, "deepseek": _EXPERTS, "dbrx": _EXPERTS,
    "baichuan": "whose settings do not say whether it turns or uses ALiBi",
    "gpt_oss": _EXPERTS, "jamba": _STATES, "mamba": _STATES, "falcon_mamba": _STATES,
    "rwkv": "a recurrent model: its recurrence is no op", "bert": _ENCODER, "roberta": _ENCODER,
    "distilbert": _ENCODER, "modernbert": _ENCODER, "t5": "an encoder and a decoder",
    "bart": "an encoder and a decoder", "whisper": _MEDIA, "llava": _MEDIA, "gemma3n": _MEDIA,
    "gemma3": _MEDIA, "qwen2_vl": _MEDIA, "qwen2_5_vl": _MEDIA, "vit": _MEDIA, "clip": _MEDIA,
}  # fmt: skip


def find_family(kind: Any) -> Family:
    """The row of an architecture.

    Raises
    ------
    UnsupportedModelError
        Says what is missing, where that is known.
    """
    if isinstance(kind, str) and kind in FAMILIES:
        return FAMILIES[kind]
    known = [n for n in _MISSING if isinstance(kind, str) and kind.startswith(n)]
    reason = f", {_MISSING[max(known, key=len)]}," if known else ""
    raise UnsupportedModelError(
        "config.json", f"model_type {kind}{reason}",
        f"import one of {', '.join(sorted(FAMILIES))}",
    )  # fmt: skip
