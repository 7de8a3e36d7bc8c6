"""The rule of encoding that a ``tokenizer.json`` states, where it is one of our own definitions.

Covered are BPE of bytes (GPT-2 and all that split text by patterns like its own, Llama 3, Qwen)
and SentencePiece's BPE with byte fallback (Llama 2, Mistral, Gemma). Any other form is left to the
``tokenizers`` library, and commitments say that their verifier cannot check the tokenisation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from veracity.errors import FormatError
from veracity.lm.tokenizer_json import ALPHABET, byte_level_bytes, numbered_alternatives
from veracity.text import ByteLevel, Rule, SentencePiece
from veracity.text.added import Added
from veracity.text.nfc import nfc
from veracity.text.sentencepiece import SPACE, Prefix
from veracity.text.words import DIGITS, GPT2

__all__ = ["byte_of_name", "piece_bytes", "stated_rule"]

_BYTE_NAME = re.compile("<0x([0-9A-F]{2})>")
_SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}


class _Other(Exception):
    """The form is none that we define; says why."""


def byte_of_name(name: str) -> int | None:
    """The byte that SentencePiece's token of this name stands for; None for other tokens."""
    found = _BYTE_NAME.fullmatch(name)
    return None if found is None else int(found[1], 16)


def piece_bytes(name: str) -> bytes:
    """Bytes of a token as SentencePiece spells it."""
    byte = byte_of_name(name)
    return name.replace(SPACE, " ").encode() if byte is None else bytes([byte])


def stated_rule(text: str, tokens: Sequence[bytes]) -> tuple[Rule | None, str]:
    """The rule, or None and why the form is none that we define.

    Parameters
    ----------
    text : str
        The JSON, without the tokens that are marks.
    tokens : sequence of bytes
        The decode table, by id.

    Raises
    ------
    FormatError
        The JSON does not parse, or its vocabulary is not the decode table's.
    """
    try:
        body = json.loads(text)
        model = body["model"]
        _require_bpe(body, model)
        normalisers = _flat(body.get("normalizer"), "normalizers")
        splitters = _flat(body["pre_tokenizer"], "pretokenizers")
        if splitters and splitters[-1]["type"] == "ByteLevel":
            return _byte_level(body, normalisers, splitters, tokens), ""
        if model.get("byte_fallback"):
            return _sentence_piece(body, normalisers, splitters, tokens), ""
        raise _Other("it is neither byte-level BPE nor BPE with byte fallback")
    except _Other as why:
        return None, str(why)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FormatError("tokenizer.json", "does not parse") from error


def _require_bpe(body: Mapping[str, Any], model: Mapping[str, Any]) -> None:
    if model.get("type", "BPE") != "BPE":
        raise _Other(f"its model is {model['type']}, not BPE")
    for name in ("truncation", "padding", "post_processor"):
        if body.get(name):
            raise _Other(f"it has {name}")
    for name in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            raise _Other(f"its model has {name}")


def _flat(step: Any, inside: str) -> list[Any]:
    """The steps of a sequence; one step, or none."""
    if step is None:
        return []
    if step["type"] != "Sequence":
        return [step]
    if not step[inside]:
        raise ValueError("a sequence of nothing")
    return [one for part in step[inside] for one in _flat(part, inside)]


def _byte_level(
    body: Mapping[str, Any],
    normalisers: Sequence[Any],
    splitters: Sequence[Any],
    tokens: Sequence[bytes],
) -> ByteLevel:
    model = body["model"]
    if any(n["type"] != "NFC" for n in normalisers):
        raise _Other(f"it normalises text by {normalisers[0]['type']}")
    # What becomes of unknown bytes does not matter where there are none.
    unknown = model.get("unk_token") is not None or model.get("byte_fallback")
    if unknown and not set(ALPHABET) <= model["vocab"].keys():
        raise _Other("some bytes have no token")
    *others, last = splitters
    if last["add_prefix_space"]:
        raise _Other("it puts a space before words")
    steps = [_step(one) for one in others]
    if last.get("use_regex", True):
        steps.append(GPT2)
    if not steps:
        raise _Other("it does not split text into words")
    normal = bool(normalisers)
    added = _added(body, normalised=nfc if normal else None)
    apart = tuple(sorted(one.token for one in added if not one.learnt))
    pairs = _pairs(model, tokens, byte_level_bytes)
    whole = bool(model.get("ignore_merges"))
    return ByteLevel(pairs, tuple(steps), normal, whole, added, apart)


def _step(splitter: Any) -> tuple[int, ...]:
    """The alternatives of one splitting step."""
    kind = splitter["type"]
    if kind == "Digits":
        return DIGITS if splitter["individual_digits"] else numbered_alternatives(r"\p{N}+") or ()
    if kind != "Split" or "Regex" not in splitter["pattern"]:
        raise _Other(f"it splits text by {kind}")
    isolated = splitter["behavior"] == "Isolated" and not splitter["invert"]
    if not isolated and not (splitter["behavior"] == "Removed" and splitter["invert"]):
        raise _Other(f"it splits text by a pattern that is {splitter['behavior']}")
    found = numbered_alternatives(splitter["pattern"]["Regex"])
    if found is None:
        raise _Other("it splits text by a pattern that is not known")
    return found


def _sentence_piece(
    body: Mapping[str, Any],
    normalisers: Sequence[Any],
    splitters: Sequence[Any],
    tokens: Sequence[bytes],
) -> SentencePiece:
    model = body["model"]
    prefix, replaced, split = Prefix.NONE, False, False
    for step in normalisers:
        if step == _SPACES:
            replaced = True
        elif step == {"type": "Prepend", "prepend": SPACE}:
            prefix = Prefix.EACH
        else:
            raise _Other(f"it normalises text by {step['type']}")
    for step in splitters:
        if step["type"] == "Metaspace" and step["replacement"] == SPACE and len(splitters) == 1:
            scheme = step.get("prepend_scheme", "always")
            if prefix != Prefix.NONE and scheme != "never":
                raise _Other("it puts a space before text twice")
            if scheme != "never":
                prefix = {"always": Prefix.EACH_BARE, "first": Prefix.FIRST_BARE}[scheme]
            split, replaced = bool(step.get("split", True)), replaced or not normalisers
        elif not (step["type"] == "Split" and step["pattern"] == {"String": " "} and replaced):
            raise _Other(f"it splits text by {step['type']}")
    if not replaced:
        raise _Other("it does not write spaces as SentencePiece does")
    vocabulary = model["vocab"]
    named = ((byte_of_name(name), i) for name, i in vocabulary.items())
    letters = {byte: i for byte, i in named if byte is not None}
    if len(letters) != 256:
        raise _Other("some bytes have no token")
    spaces = (lambda text: text.replace(SPACE, " ")) if normalisers else None
    added = _added(body, normalised=spaces)
    if prefix != Prefix.NONE and any(one.normal for one in added):
        raise _Other("it puts a space before added tokens")
    apart = {i for name, i in vocabulary.items() if " " in name}
    apart |= {one.token for one in added if not one.learnt}
    written = {int(t["id"]): t["content"] for t in body.get("added_tokens") or []}
    found = tuple(one for one in added if one.normal or SPACE not in written[one.token])
    pairs = _pairs(model, tokens, piece_bytes)
    in_order = tuple(letters[byte] for byte in range(256))
    whole = bool(model.get("ignore_merges"))
    rest = tuple(sorted(apart - set(in_order)))
    return SentencePiece(pairs, in_order, prefix, split, whole, found, rest)


def _added(body: Mapping[str, Any], normalised: Any) -> tuple[Added, ...]:
    """Added tokens, all of them text, in order of their ids."""
    vocabulary = body["model"]["vocab"]
    out = []
    for token in body.get("added_tokens") or []:
        name = token["content"]
        for flag in ("lstrip", "rstrip", "single_word"):
            if token.get(flag):
                raise _Other(f"its added token {name[:40]!r} has {flag}")
        normal = normalised is not None and bool(token.get("normalized"))
        if normalised is not None and not normal and normalised(name) != name and SPACE not in name:
            raise _Other(f"its added token {name[:40]!r} is not in its own normal form")
        out.append(Added(int(token["id"]), normal, vocabulary.get(name) == token["id"]))
    return tuple(sorted(out))


def _pairs(
    model: Mapping[str, Any], tokens: Sequence[bytes], spelled: Any
) -> tuple[tuple[int, int], ...]:
    """The merges: the token made, and how many of its bytes its left half has."""
    vocabulary = model["vocab"]
    pairs: dict[tuple[int, int], None] = {}
    for merge in model["merges"]:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        token = vocabulary[left + right]
        if tokens[token] != spelled(left + right):
            raise FormatError("tokenizer.json", "vocabulary and decode table differ")
        pair = token, len(spelled(left))
        pairs.pop(pair, None)  # a merge listed twice has the later rank
        pairs[pair] = None
    return tuple(pairs)
