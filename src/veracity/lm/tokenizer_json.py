"""``tokenizer.json``: the byte-level BPE forms that have a definition of our own, and writing one.

Covered is what GPT-2 and SmolLM2 have: no normaliser, GPT-2's words, perhaps every digit apart,
plain ranked merges. Any other form is left to the ``tokenizers`` library, and commitments say that
their verifier cannot check the tokenisation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from veracity.errors import FormatError
from veracity.text import ByteLevel

__all__ = ["byte_level_bytes", "byte_level_json", "byte_level_rule"]


def byte_level_bytes(token: str) -> bytes:
    """Bytes of a token spelled in GPT-2's printable alphabet."""
    return bytes(_ALPHABET[c] for c in token)


def byte_level_json(
    vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]], digits_apart: bool
) -> str:
    """A ``tokenizer.json`` of GPT-2's form, which the ``tokenizers`` library reads too.

    Parameters
    ----------
    vocabulary : mapping
        Token ids by token, in GPT-2's alphabet of bytes.
    merges : sequence of (str, str)
        Pairs, the first to be merged first.
    digits_apart : bool
        Whether every digit is a word of its own.
    """
    plain = {"add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    split: dict[str, Any] = {"type": "ByteLevel", **plain}
    if digits_apart:
        digits = {"type": "Digits", "individual_digits": True}
        split = {"type": "Sequence", "pretokenizers": [digits, split]}
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
        "ignore_merges": False, "vocab": dict(vocabulary), "merges": [list(m) for m in merges],
    }  # fmt: skip
    return json.dumps(
        {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [],
            "normalizer": None,
            "pre_tokenizer": split,
            "post_processor": None,
            "decoder": {"type": "ByteLevel", **plain},
            "model": model,
        },
        ensure_ascii=False,
    )


def byte_level_rule(text: str, tokens: Sequence[bytes]) -> ByteLevel | None:
    """The rule that a ``tokenizer.json`` states, or None where its form is another one.

    Parameters
    ----------
    text : str
        The JSON.
    tokens : sequence of bytes
        The decode table, by id.

    Raises
    ------
    FormatError
        The JSON does not parse, or its vocabulary is not the decode table's.
    """
    try:
        body = json.loads(text)
        digits_apart = _digits_apart(body["pre_tokenizer"])
        model = body["model"]
        if digits_apart is None or not _is_plain(body, model):
            return None
        vocabulary = model["vocab"]
        merges = [m.split(" ") if isinstance(m, str) else m for m in model["merges"]]
        pairs: dict[tuple[int, int], None] = {}
        for left, right in merges:
            token = vocabulary[left + right]
            if tokens[token] != byte_level_bytes(left + right):
                raise FormatError("tokenizer.json", "vocabulary and decode table differ")
            pair = token, len(byte_level_bytes(left))
            pairs.pop(pair, None)  # a merge listed twice has the later rank
            pairs[pair] = None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FormatError("tokenizer.json", "does not parse") from error
    return ByteLevel(tuple(pairs), digits_apart)


def _digits_apart(splitter: Any) -> bool | None:
    """Whether digits stand apart; None for words that are not GPT-2's."""
    steps = [splitter]
    if splitter is not None and splitter["type"] == "Sequence":
        steps = splitter["pretokenizers"]
    *others, last = steps
    if last is None or last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return None
    if not last.get("use_regex", True) or len(others) > 1:
        return None
    if any(s["type"] != "Digits" or not s["individual_digits"] for s in others):
        return None
    return bool(others)


def _is_plain(body: Mapping[str, Any], model: Mapping[str, Any]) -> bool:
    around = ("truncation", "padding", "added_tokens", "normalizer", "post_processor")
    inside = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges")
    plain = model.get("type", "BPE") == "BPE" and not any(
        [*(body.get(name) for name in around), *(model.get(name) for name in inside)]
    )
    # What becomes of unknown bytes does not matter where there are none.
    unknown = model.get("unk_token") is not None or model.get("byte_fallback")
    return plain and (not unknown or set(_ALPHABET) <= model["vocab"].keys())


def _alphabet() -> dict[str, int]:
    """GPT-2's map from printable characters to bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out = {chr(b): b for b in printable}
    out |= {chr(256 + n): b for n, b in enumerate(b for b in range(256) if b not in printable)}
    return out


_ALPHABET = _alphabet()
