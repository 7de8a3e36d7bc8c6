"""The tokenizer of a Hugging Face folder: ``tokenizer.json``, and what other files say."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.frontends.tokenizing import Stated, build_tokenizer, padded_table
from veracity.lm.tokenizer import Tokenizer
from veracity.lm.tokenizer_json import byte_level_bytes
from veracity.lm.tokenizer_rules import piece_bytes
from veracity.text.nfc import nfc
from veracity.text.sentencepiece import SPACE

__all__ = ["folder_tokenizer"]


def folder_tokenizer(folder: Path, vocabulary: int, facts: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer of a model folder.

    Parameters
    ----------
    folder : path
        The folder.
    vocabulary : int
        Rows of the model's embedding.
    facts : mapping
        ``config.json``.

    Raises
    ------
    UsageError
        There is no ``tokenizer.json``.
    UnsupportedModelError
        It is of a type that programs do not have, or of another model.
    FormatError
        A file does not parse.
    """
    body = _optional(folder / "tokenizer.json")
    if body is None:
        raise UsageError(f"no tokenizer.json in {folder.name}")
    try:
        return _read(folder, vocabulary, facts, body)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FormatError("tokenizer.json", "does not parse") from error


def _read(
    folder: Path, vocabulary: int, facts: Mapping[str, Any], body: dict[str, Any]
) -> Tokenizer:
    model = body["model"] or {}
    fallback = bool(model.get("byte_fallback"))
    if model.get("type") != "BPE" or not (fallback or _is_byte_level(body)):
        raise UnsupportedModelError(
            "tokenizer.json",
            f"a tokenizer of type {model.get('type')} that is not byte-level BPE, nor "
            "BPE with byte fallback",
            "use a model that has one",
        )
    added = {int(t["id"]): t for t in body.get("added_tokens") or []}
    _check_ids(model["vocab"], body.get("added_tokens") or [])
    special = {i for i, t in added.items() if t.get("special")}
    names = {t["content"] for t in (added[i] for i in special)}
    words = {t: i for t, i in model["vocab"].items() if i not in special and t not in names}
    spelled = piece_bytes if fallback and not _is_byte_level(body) else byte_level_bytes
    normal = "NFC" in json.dumps(body.get("normalizer"))
    pieces = {int(i): spelled(t) for t, i in words.items()}
    for i, token in added.items():
        pieces[i] = _text(token, fallback, normal).encode()
    notes: list[str] = []
    settings = _optional(folder / "tokenizer_config.json") or {}
    generation = _optional(folder / "generation_config.json") or {}
    rest = [t for i, t in sorted(added.items()) if i not in special]
    none = dict.fromkeys(("truncation", "padding", "post_processor"))
    ids = {t["content"]: i for i, t in added.items()} | words
    begin, end = _around(body, settings, ids)
    return build_tokenizer(
        Stated(
            where="tokenizer.json",
            tokens=padded_table("tokenizer.json", pieces, vocabulary, notes),
            marks=frozenset(special),
            json=json.dumps(
                {**body, **none, "added_tokens": rest, "model": {**model, "vocab": words}}
            ),
            begin=begin,
            end=end,
            stops=frozenset(_stops(ids, settings, facts, generation)),
            template=_template(folder, settings),
            named={n: _content(settings.get(n)) for n in ("bos_token", "eos_token", "unk_token")},
            stripping={
                i: {f for f in ("lstrip", "rstrip") if added[i].get(f)} for i in sorted(special)
            },
            notes=notes,
        )
    )


def _check_ids(vocabulary: Mapping[str, int], added: Sequence[Mapping[str, Any]]) -> None:
    """Every id is of one token, and every token has one id; marks may take words' ids."""
    names: dict[int, str] = {}
    ids = dict(vocabulary)
    marks = {t["id"] for t in added if t.get("special")}
    words = [(n, i) for n, i in vocabulary.items() if i not in marks]
    for name, i in [*words, *((str(t["content"]), t["id"]) for t in added)]:
        if type(i) is not int:
            raise FormatError("tokenizer.json", f"the id of {name[:40]!r} is no number")
        if names.setdefault(i, name) != name or ids.setdefault(name, i) != i:
            other = f"{names[i][:40]!r} and {name[:40]!r} have the id {i}"
            twice = f"{name[:40]!r} has the ids {ids.get(name)} and {i}"
            raise FormatError("tokenizer.json", other if names[i] != name else twice)


def _optional(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except (ValueError, RecursionError) as error:
        raise FormatError(path.name, "not JSON") from error
    if not isinstance(found, dict):
        raise FormatError(path.name, "not a JSON object")
    return found


def _is_byte_level(body: Mapping[str, Any]) -> bool:
    return "ByteLevel" in json.dumps([body.get("pre_tokenizer"), body.get("decoder")])


def _text(token: Mapping[str, Any], fallback: bool, normal: bool) -> str:
    """The text of an added token as it is looked for."""
    content = str(token["content"])
    if token.get("special"):
        return content
    if fallback:
        return content.replace(SPACE, " ")
    return nfc(content) if normal and token.get("normalized") else content


def _content(token: Any) -> str | None:
    """A token's text as these files write it: plain, or an object."""
    found = token.get("content") if isinstance(token, Mapping) else token
    return found if isinstance(found, str) else None


def _around(
    body: Mapping[str, Any], settings: Mapping[str, Any], ids: Mapping[str, int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ids before and after every text: by the post-processor, else by the settings."""
    step = body.get("post_processor")
    steps = (step or {}).get("processors", [step])
    sides: tuple[list[int], list[int]] = ([], [])
    for one in steps:
        if one is None or one["type"] == "ByteLevel":
            continue
        if one["type"] in ("BertProcessing", "RobertaProcessing"):
            sides[0].append(one["cls"][1])
            sides[1].append(one["sep"][1])
            continue
        if one["type"] != "TemplateProcessing":
            raise UnsupportedModelError(
                "tokenizer.json", f"a post-processor of type {one['type']}",
                "use a model whose tokenizer puts marks around texts by a template",
            )  # fmt: skip
        side = 0
        for piece in one["single"]:
            if "Sequence" in piece:
                side = 1
            else:
                sides[side].extend(one["special_tokens"][piece["SpecialToken"]["id"]]["ids"])
    if not sides[0] and settings.get("add_bos_token"):
        first = ids.get(_content(settings.get("bos_token")) or "")
        sides[0].extend([] if first is None else [first])
    if not sides[1] and settings.get("add_eos_token"):
        last = ids.get(_content(settings.get("eos_token")) or "")
        sides[1].extend([] if last is None else [last])
    return tuple(map(int, sides[0])), tuple(map(int, sides[1]))


def _stops(ids: Mapping[str, int], settings: Mapping[str, Any], *files: Any) -> Iterable[int]:
    """Ids that end an answer, by every file that names some."""
    for facts in files:
        named = facts.get("eos_token_id")
        for i in named if isinstance(named, list) else [named]:
            if type(i) is int and i >= 0:
                yield i
    last = ids.get(_content(settings.get("eos_token")) or "")
    if last is not None:
        yield last


def _template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """The chat template: a file of its own, else what the settings have under ``default``."""
    try:
        return (folder / "chat_template.jinja").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        pass
    apart = _optional(folder / "chat_template.json") or {}
    found = apart.get("chat_template") or settings.get("chat_template")
    if isinstance(found, list):
        named = {t["name"]: t["template"] for t in found}
        found = named.get("default")
    return found if isinstance(found, str) else None
