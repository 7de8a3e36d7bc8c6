"""Writing a ``tokenizer.json``, and the patterns that one may split text by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from veracity.text.words import ALTERNATIVES, DIGITS, GPT2, Steps

__all__ = [
    "ALPHABET",
    "byte_level_bytes",
    "byte_level_json",
    "numbered_alternatives",
    "sentence_piece_json",
]

#: Other spellings of alternatives that are in the list.
_SAME = {
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])": ALTERNATIVES[15][0],
    r"'(?i:[sdmt]|ll|ve|re)": ALTERNATIVES[15][0],
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d|'s)": ALTERNATIVES[15][0],
    r"\p{N}{1}": r"\p{N}",
    r"\p{N}{1,}": r"\p{N}+",
}
_PLAIN = {"add_prefix_space": False, "trim_offsets": True}


def byte_level_bytes(token: str) -> bytes:
    """Bytes of a token spelled in GPT-2's printable alphabet."""
    return bytes(ALPHABET[c] for c in token)


def numbered_alternatives(pattern: str) -> tuple[int, ...] | None:
    """The numbers of an expression's alternatives; None where one is not in the list."""
    known = {text: place for place, (text, _) in enumerate(ALTERNATIVES)}
    parts, depth, start = [], 0, 0
    for place, char in enumerate(pattern):
        escaped = place > 0 and pattern[place - 1] == "\\"
        depth += 0 if escaped else (char in "([") - (char in ")]")
        if char == "|" and depth == 0:
            parts.append(pattern[start:place])
            start = place + 1
    parts.append(pattern[start:])
    found = [known.get(_SAME.get(part, part)) for part in parts]
    return None if None in found else tuple(i for i in found if i is not None)


def byte_level_json(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    steps: Steps,
    added: Mapping[str, int] | None = None,
    whole_words: bool = False,
) -> str:
    """A byte-level ``tokenizer.json``, which the ``tokenizers`` library reads too.

    Parameters
    ----------
    vocabulary : mapping
        Token ids by token, in GPT-2's alphabet of bytes.
    merges : sequence of (str, str)
        Pairs, the first to be merged first.
    steps : Steps
        How text falls into words.
    added : mapping, optional
        Ids of added tokens that are text, by text.
    whole_words : bool
        Whether a word that is a token is that token, whatever would merge.
    """
    splitters: list[dict[str, Any]] = []
    own = steps[-1:] == (GPT2,)
    for step in steps[:-1] if own else steps:
        if step == DIGITS:
            splitters.append({"type": "Digits", "individual_digits": True})
            continue
        pattern = "|".join(ALTERNATIVES[i][0] for i in step)
        how = {"behavior": "Isolated", "invert": False}
        splitters.append({"type": "Split", "pattern": {"Regex": pattern}, **how})
    splitters.append({"type": "ByteLevel", **_PLAIN, "use_regex": own})
    sequence = {"type": "Sequence", "pretokenizers": splitters}
    return _whole(
        _model(vocabulary, merges) | {"ignore_merges": whole_words},
        added or {},
        pre_tokenizer=sequence if len(splitters) > 1 else splitters[0],
        decoder={"type": "ByteLevel", **_PLAIN, "use_regex": True},
    )


def sentence_piece_json(
    vocabulary: Mapping[str, int],
    merges: Sequence[tuple[str, str]],
    prefix: bool,
    added: Mapping[str, int] | None = None,
) -> str:
    """SentencePiece's BPE as a ``tokenizer.json``, which the ``tokenizers`` library reads too.

    Parameters
    ----------
    vocabulary : mapping
        Token ids by token, as SentencePiece spells them.
    merges : sequence of (str, str)
        Pairs, the first to be merged first.
    prefix : bool
        Whether a space is put before text.
    added : mapping, optional
        Ids of added tokens that are text, by text.
    """
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    steps = [{"type": "Prepend", "prepend": "\u2581"}, spaces] if prefix else [spaces]
    return _whole(
        _model(vocabulary, merges) | {"byte_fallback": True},
        added or {},
        normalizer={"type": "Sequence", "normalizers": steps},
    )


def _model(vocabulary: Mapping[str, int], merges: Sequence[tuple[str, str]]) -> dict[str, Any]:
    return {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
        "ignore_merges": False, "vocab": dict(vocabulary), "merges": [list(m) for m in merges],
    }  # fmt: skip


def _whole(model: dict[str, Any], added: Mapping[str, int], **parts: Any) -> str:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    tokens = [{"id": i, "content": text, **flags} for text, i in sorted(added.items(), key=_by_id)]
    names = ("truncation", "padding", "normalizer", "pre_tokenizer", "post_processor", "decoder")
    body = {"version": "1.0", **dict.fromkeys(names), "added_tokens": tokens, **parts}
    return json.dumps({**body, "model": model}, ensure_ascii=False)


def _by_id(named: tuple[str, int]) -> int:
    return named[1]


def _alphabet() -> dict[str, int]:
    """GPT-2's map from printable characters to bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    out = {chr(b): b for b in printable}
    out |= {chr(256 + n): b for n, b in enumerate(b for b in range(256) if b not in printable)}
    return out


#: Bytes by GPT-2's characters for them.
ALPHABET = _alphabet()
