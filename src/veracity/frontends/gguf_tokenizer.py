"""The tokenizer of a GGUF file: byte-level BPE, or SentencePiece's.

A file has the tokens, what each is there for, and merges (byte-level) or scores (SentencePiece:
two tokens merge into one that is there, the best score first). How text is split into words is only
named; the names are those of llama.cpp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from veracity.errors import FormatError, UnsupportedModelError
from veracity.frontends.tokenizing import Stated, build_tokenizer, padded_table
from veracity.lm.tokenizer import Tokenizer
from veracity.lm.tokenizer_json import (
    byte_level_bytes,
    byte_level_json,
    sentence_piece_json,
)
from veracity.lm.tokenizer_rules import piece_bytes
from veracity.text.words import DIGITS, GPT2, Steps

__all__ = ["gguf_tokenizer"]

_UNKNOWN, _CONTROL, _USER, _UNUSED, _BYTE = 2, 3, 4, 5, 6
_LLAMA3 = (15, 16, 14, 17, 19, 10, 11)
_QWEN2 = (15, 16, 12, 17, 19, 10, 11)
_TEKKEN = (22, 23, 12, 18, 19, 10, 11)
_GPT4O = (24, 25, 14, 18, 19, 10, 11)
_QWEN35 = (15, 26, 12, 27, 19, 10, 11)
_SEED = (15, 16, 12, 29, 19, 10, 11)
#: How words are split, and the names of pre-tokenizers that split so.
_NAMES: tuple[tuple[Steps, str], ...] = (
    ((GPT2,), "gpt-2 gpt2 phi-2 mpt olmo jais trillion exaone4"),
    ((DIGITS, GPT2), "smollm starcoder refact command-r codeshell exaone minerva-7b"),
    ((_LLAMA3,), "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral lfm2"),
    ((_LLAMA3,), "dbrx smaug-bpe chatglm-bpe glm4"),
    ((_QWEN2,), "qwen2 stablelm2 deepseek-r1-qwen megrez hunyuan"),
    ((_QWEN35,), "qwen35"),
    ((_TEKKEN,), "tekken"),
    ((_GPT4O,), "gpt-4o llama4 o200k"),
    ((_SEED,), "seed-coder"),
)
_WORDS = {name: steps for steps, names in _NAMES for name in names.split(" ")}
#: Those that take a word whole that is a token.
_WHOLE = {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "lfm2", "tekken"}

Fact = Callable[[str], Any]


def gguf_tokenizer(path: Path, fact: Fact, vocabulary: int) -> Tokenizer:
    """The tokenizer of a GGUF file.

    Parameters
    ----------
    path : path
        The file, for errors.
    fact : callable
        Gives what the file states under a name, or None.
    vocabulary : int
        Rows of the model's embedding.

    Raises
    ------
    UnsupportedModelError
        The tokenizer is of a type that programs do not have, or of another model.
    FormatError
        Its parts do not fit each other.
    """
    kind = fact("tokenizer.ggml.model")
    if kind not in ("gpt2", "llama"):
        raise UnsupportedModelError(
            path.name,
            f"tokenizer {kind}",
            "import a model with a byte-level BPE tokenizer, or SentencePiece's",
        )
    tokens: list[str] = [str(t) for t in fact("tokenizer.ggml.tokens")]
    kinds = [int(k) for k in fact("tokenizer.ggml.token_type") or [1] * len(tokens)]
    if len(kinds) != len(tokens):
        raise FormatError(path.name, f"{len(kinds):,} types for {len(tokens):,} tokens")
    marks = {i for i, k in enumerate(kinds) if k in (_UNKNOWN, _CONTROL)}
    user = {t: i for i, t in enumerate(tokens) if kinds[i] == _USER}
    words = {
        t: i for i, t in enumerate(tokens) if i not in marks and kinds[i] not in (_USER, _UNUSED)
    }
    spelled = byte_level_bytes if kind == "gpt2" else piece_bytes
    try:
        named = {i: spelled(t) for t, i in words.items()}
    except KeyError as error:
        raise FormatError(path.name, f"{error.args[0]!r} is in no byte's name") from error
    named |= {i: t.encode() for i, t in enumerate(tokens) if i not in named}
    if kind == "llama":
        named |= {i: piece_bytes(t) for t, i in user.items()}
    notes: list[str] = []
    unpinned = ""
    if kind == "gpt2":
        text, unpinned = _byte_level(fact, words, user)
    else:
        text = _sentence_piece(fact, tokens, words, user)
    return build_tokenizer(
        Stated(
            where=path.name,
            tokens=padded_table(path.name, named, vocabulary, notes),
            marks=frozenset(marks),
            json=text,
            begin=_begin(fact, kind),
            end=_end(fact),
            stops=frozenset(_stops(fact)),
            template=fact("tokenizer.chat_template"),
            named={
                f"{name}_token": None if i is None else tokens[int(i)]
                for name, i in ((n, _id(fact, n, len(tokens))) for n in ("bos", "eos", "unknown"))
            },
            unpinned=unpinned,
            notes=notes,
        )
    )


def _id(fact: Fact, name: str, count: int) -> int | None:
    """A token that the file names; None for none, which some write as a number beyond all."""
    found = fact(f"tokenizer.ggml.{name}_token_id")
    return int(found) if found is not None and 0 <= int(found) < count else None


def _begin(fact: Fact, kind: str) -> tuple[int, ...]:
    stated = fact("tokenizer.ggml.add_bos_token")
    wanted = kind == "llama" if stated is None else bool(stated)
    first = fact("tokenizer.ggml.bos_token_id")
    if not wanted or (first is None and stated is None):
        return ()
    return (int(first),) if first is not None else ()


def _end(fact: Fact) -> tuple[int, ...]:
    last = fact("tokenizer.ggml.eos_token_id")
    if not fact("tokenizer.ggml.add_eos_token"):
        return ()
    if last is None:
        raise FormatError("tokenizer", "add_eos_token is set, and no eos_token_id is there")
    return (int(last),)


def _stops(fact: Fact) -> set[int]:
    named = (fact(f"tokenizer.ggml.{n}_token_id") for n in ("eos", "eot", "eom"))
    return {int(i) for i in named if i is not None}


def _byte_level(fact: Fact, words: Mapping[str, int], user: Mapping[str, int]) -> tuple[str, str]:
    """The JSON, and why it is not to be relied on; empty where it is."""
    pre = fact("tokenizer.ggml.pre")
    steps = _WORDS.get(str(pre))
    unpinned = ""
    if steps is None:
        unpinned = (
            "the file does not name its pre-tokenizer"
            if pre is None
            else f"its pre-tokenizer {str(pre)[:40]!r} is not known"
        )
    pairs = []
    for merge in fact("tokenizer.ggml.merges") or []:
        left, _, right = str(merge).partition(" ")
        pairs.append((left, right))
    whole = pre in _WHOLE
    return byte_level_json(words, pairs, steps or (GPT2,), user, whole), unpinned


def _sentence_piece(
    fact: Fact, tokens: list[str], words: Mapping[str, int], user: Mapping[str, int]
) -> str:
    """Merges from scores: all that make a token, the token of the best score first."""
    scores = [float(s) for s in fact("tokenizer.ggml.scores")]
    if len(scores) != len(tokens):
        raise FormatError("tokenizer", f"{len(scores):,} scores for {len(tokens):,} tokens")
    known = {t for t in words if len(piece_bytes(t)) > 1 or len(t) == 1}
    pairs = []
    for token, i in words.items():
        if token not in known:
            continue
        for cut in range(1, len(token)):
            left, right = token[:cut], token[cut:]
            if left in known and right in known:
                pairs.append((-scores[i], words[left], words[right], left, right))
    pairs.sort()
    prefix = fact("tokenizer.ggml.add_space_prefix")
    merges = [(left, right) for *_, left, right in pairs]
    return sentence_piece_json(words, merges, prefix is None or bool(prefix), user)
