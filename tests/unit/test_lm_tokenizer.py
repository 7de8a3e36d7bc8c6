"""Tokenizers against plain definitions; the words of a user never become control tokens."""

from __future__ import annotations

import base64
import json
import random
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from veracity.errors import FormatError
from veracity.frontends.catalogue import fetch_smollm2
from veracity.frontends.gguf import read_gguf
from veracity.frontends.llama2c import read_pieces
from veracity.lm.tokenizer import Tokenizer, from_pieces
from veracity.lm.tokenizer_json import byte_level_bytes, byte_level_json
from veracity.lm.tokenizer_rules import stated_rule
from veracity.text import ByteLevel
from veracity.text.words import DIGITS as EVERY_DIGIT
from veracity.text.words import GPT2, Steps


@pytest.fixture(scope="module")
def pieces() -> tuple[list[bytes], list[float]]:
    with as_file(files("veracity") / "data" / "stories260k" / "tokenizer_512.bin") as path:
        return read_pieces(path, 512)


@pytest.fixture(scope="module")
def stories(pieces: tuple[list[bytes], list[float]]) -> Tokenizer:
    return from_pieces(*pieces)


def whole_text_merges(stories: Tokenizer, scores: list[float], text: str) -> list[int]:
    """llama2.c's rule over the whole text at once, slowly."""
    table = stories.token_bytes
    known = {piece: i for i, piece in enumerate(table) if i >= 3}
    ids: list[int] = []
    for char in " " + text if text else "":
        raw = char.encode()
        ids += [known[raw]] if raw in known else [b + 3 for b in raw]
    while True:
        pairs = [known.get(table[a] + table[b]) for a, b in pairwise(ids)]
        found = [(scores[t], -i, t) for i, t in enumerate(pairs) if t is not None]
        if not found:
            return ids
        _, where, token = max(found)
        ids[-where : -where + 2] = [token]


def test_pieces_are_merged_as_in_llama2c(
    stories: Tokenizer, pieces: tuple[list[bytes], list[float]]
) -> None:
    rng = random.Random(4)
    words = [
        "Once",
        "upon",
        "a",
        "time,",
        "Lily's",
        "caf\u00e9",
        "\n\nThe",
        "42",
        "\u65e5",
        "  ",
        "!",
    ]
    texts = [" ".join(rng.choices(words, k=rng.randrange(1, 14))) for _ in range(60)]
    for text in ["", " ", "a", "Once upon a time", *texts]:
        ids = stories.encode(text)
        assert ids == whole_text_merges(stories, pieces[1], text)
        assert stories.decode(ids) == (" " + text if text else "")
    assert stories.encode("Once upon a time")[:1] == [403]


def test_control_tokens_cannot_be_typed(stories: Tokenizer) -> None:
    for text in ("<s>", "</s>", "<unk>", "<0x0A>", "\n<s>\n"):
        assert not stories.special_ids & set(stories.encode(text))
    assert stories.frame(chat=False) == ([1], [])
    assert stories.frame(chat=True) is None


def test_gpt2_alphabet_is_a_bijection() -> None:
    seen = {byte_level_bytes(chr(c)) for c in range(33, 324) if _spelled(c)}
    assert len(seen) == 256
    assert byte_level_bytes("\u0120a\u010a") == b" a\n"


def _spelled(code: int) -> bool:
    try:
        byte_level_bytes(chr(code))
    except KeyError:
        return False
    return True


# ---- forms of tokenizer.json --------------------------------------------------------------------

TOKENS = ["a", "b", "1", "\u0120", "ab", "\u0120ab"]
MERGES = [("a", "b"), ("\u0120", "ab")]
TABLE = [byte_level_bytes(t) for t in TOKENS]


def stated(**changes: Any) -> str:
    """A ``tokenizer.json`` with some of its parts changed, the model's under ``model_``."""
    vocabulary = {t: i for i, t in enumerate(TOKENS)}
    body = json.loads(byte_level_json(vocabulary, MERGES, (GPT2,)))
    for name, value in changes.items():
        place = body["model"] if name.startswith("model_") else body
        place[name.removeprefix("model_")] = value
    return json.dumps(body)


@pytest.mark.parametrize("steps", [(GPT2,), (EVERY_DIGIT, GPT2)])
def test_what_we_write_is_what_the_library_reads(steps: Steps) -> None:
    library = pytest.importorskip("tokenizers")
    vocabulary = {t: i for i, t in enumerate(TOKENS)}
    text = byte_level_json(vocabulary, MERGES, steps)
    theirs = library.Tokenizer.from_str(text)
    body = {"kind": "bytes", "json": text, "special": []}
    body["tokens"] = [base64.b64encode(t).decode() for t in TABLE]
    ours = Tokenizer(body)
    for words in ("ab ab", "  ab11 a", "1 ab"):
        assert ours.encode(words) == theirs.encode(words).ids
    again, _ = stated_rule(theirs.to_str(), TABLE)
    assert again == ours.rule
    assert isinstance(again, ByteLevel)
    assert again.steps == steps
    assert again.pairs == ((4, 1), (5, 1))


WORDS = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


@pytest.mark.parametrize(
    ("changes", "covered"),
    [
        ({}, True),
        ({"model_merges": ["a b", "\u0120 ab"]}, True),
        ({"model_continuing_subword_prefix": "", "model_end_of_word_suffix": ""}, True),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [DIGITS, WORDS]}}, True),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [WORDS, DIGITS]}}, False),
        ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [DIGITS, DIGITS, WORDS]}}, True),
        ({"pre_tokenizer": {**DIGITS, "individual_digits": False}}, False),
        ({"pre_tokenizer": {**WORDS, "add_prefix_space": True}}, False),
        ({"pre_tokenizer": {**WORDS, "use_regex": False}}, False),
        ({"pre_tokenizer": {"type": "Whitespace"}}, False),
        ({"pre_tokenizer": None}, False),
        ({"normalizer": {"type": "NFC"}}, True),
        ({"normalizer": {"type": "NFKC"}}, False),
        ({"truncation": {"max_length": 4}}, False),
        ({"model_ignore_merges": True}, True),
        ({"model_dropout": 0.1}, False),
        ({"model_byte_fallback": True}, False),  # some bytes have no token here
        ({"model_unk_token": "a"}, False),
        ({"model_end_of_word_suffix": "</w>"}, False),
        ({"model_type": "Unigram"}, False),
    ],
)
def test_only_forms_that_we_define_have_a_rule(changes: dict[str, Any], covered: bool) -> None:
    assert (stated_rule(stated(**changes), TABLE)[0] is not None) == covered


@pytest.mark.parametrize(
    "changes",
    [
        {"model": []},
        {"pre_tokenizer": {}},
        {"pre_tokenizer": {"type": "Sequence", "pretokenizers": []}},
        {"model_merges": ["a"]},
        {"model_merges": ["a b 1"]},
        {"model_merges": [["b", "a"]]},
        {"model_merges": [[1, 2]]},
        {"model_vocab": {"a": 0, "b": 1, "ab": 9}},
        {"model_vocab": {"a": 0, "b": 1, "ab": 3}},
    ],
)
def test_forms_that_do_not_parse(changes: dict[str, Any]) -> None:
    with pytest.raises(FormatError):
        stated_rule(stated(**changes), TABLE)


def test_other_forms_go_through_the_library() -> None:
    pytest.importorskip("tokenizers")
    body = {"kind": "bytes", "special": [], "tokens": [base64.b64encode(t).decode() for t in TABLE]}
    tokenizer = Tokenizer({**body, "json": stated(normalizer={"type": "Lowercase"})})
    tokenizer.prepare()
    assert tokenizer.rule is None
    assert tokenizer.encode("AB") == [4]
    with pytest.raises(FormatError):
        Tokenizer({**body, "json": stated(normalizer={"type": "?"})}).prepare()


@pytest.mark.slow
def test_smollm2_agrees_with_the_library(data_dir: Path) -> None:
    library = pytest.importorskip("tokenizers")
    path = fetch_smollm2(platformdirs.user_cache_path("veracity") / "models")
    _, tokenizer, _ = read_gguf(path)
    assert tokenizer.rule is not None
    theirs = library.Tokenizer.from_str(tokenizer.body["json"])
    for name in ("tinyshakespeare.txt", "wikitext2-valid.txt"):
        text = (data_dir / "text" / name).read_text(encoding="utf-8")
        ids = tokenizer.encode(text)
        assert ids == theirs.encode(text).ids
        assert tokenizer.decode(ids) == text
