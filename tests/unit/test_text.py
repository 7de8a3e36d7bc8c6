"""The encoder against its definition, against the ``tokenizers`` library, and against abuse."""

from __future__ import annotations

import json
import unicodedata
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from veracity.errors import FormatError, UsageError
from veracity.lm.tokenizer_json import byte_level_bytes
from veracity.lm.tokenizer_rules import stated_rule
from veracity.text import ByteLevel, Encoder, Pieces
from veracity.text.encoder import Merges, merge
from veracity.text.pieces import LONGEST, NEVER
from veracity.text.unicode import LETTERS, NUMBERS, WHITE_SPACE, code_points

library = pytest.importorskip("tokenizers")

# ---- characters ---------------------------------------------------------------------------------


def characters(ranges: str) -> set[str]:
    return {chr(c) for first, last in code_points(ranges) for c in range(first, last + 1)}


ALL = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)


@pytest.mark.parametrize(
    ("ranges", "pattern"), [(LETTERS, r"\p{L}"), (NUMBERS, r"\p{N}"), (WHITE_SPACE, r"\s")]
)
def test_characters_are_those_of_the_library(ranges: str, pattern: str) -> None:
    split = library.pre_tokenizers.Split(library.Regex(f"{pattern}+"), "removed")
    others = "".join(part for part, _ in split.pre_tokenize_str(ALL))
    assert set(ALL) - set(others) == characters(ranges)


@pytest.mark.parametrize(("ranges", "kind"), [(LETTERS, "L"), (NUMBERS, "N")])
def test_characters_are_those_of_this_interpreter(ranges: str, kind: str) -> None:
    """Whatever its version of Unicode: assigned characters do not change their kind."""
    ours = characters(ranges)
    for char in ALL:
        category = unicodedata.category(char)
        if category == "Cn":  # assigned later than the interpreter was made
            continue
        newer = tuple(map(int, unicodedata.unidata_version.split("."))) > (16, 0, 0)
        if char in ours or not newer:
            assert (category[0] == kind) == (char in ours), hex(ord(char))


def test_white_space_has_25_characters() -> None:
    assert len(characters(WHITE_SPACE)) == 25
    assert {c for c in ALL if c.isspace()} - characters(WHITE_SPACE) == set("\x1c\x1d\x1e\x1f")


# ---- merging ------------------------------------------------------------------------------------


def slow_merge(units: list[int], merges: Merges) -> list[int]:
    """The definition: the best pair of all, the leftmost of equals, again and again."""
    tokens = list(units)
    while True:
        found = []
        for place in range(len(tokens) - 1):
            pair = merges(tokens[place], tokens[place + 1])
            if pair is not None:
                found.append((pair[0], place, pair[1]))
        if not found:
            return tokens
        _, place, token = min(found)
        tokens[place : place + 2] = [token]


@given(
    st.lists(st.integers(0, 3), max_size=40),
    st.dictionaries(
        st.tuples(st.integers(0, 6), st.integers(0, 6)),
        st.tuples(st.integers(0, 4), st.integers(4, 6)),
        max_size=20,
    ),
)
@settings(max_examples=400)
def test_merging_is_its_definition_whatever_the_rule(
    units: list[int], table: dict[tuple[int, int], tuple[int, int]]
) -> None:
    def look(left: int, right: int) -> tuple[int, int] | None:
        return table.get((left, right))

    assert merge(units, look) == slow_merge(units, look)


@pytest.mark.parametrize("unit", [[0], [0, 1], [0, 0, 1]])
def test_long_words_take_few_steps(unit: list[int]) -> None:
    asked = 0

    def look(left: int, right: int) -> tuple[int, int] | None:
        nonlocal asked
        asked += 1
        return (left + right, 1 + (left + right) % 7) if left != right or left == 0 else None

    units = unit * 3000
    merge(units, look)
    assert asked <= 3 * len(units)


# ---- against the library ------------------------------------------------------------------------

#: What tokenizers stumble over: contractions, white space, digits of all kinds, joined emoji,
#: combining marks, control and format characters, line and paragraph separators.
PARTS = [
    *("'s", "'t", "'re", "'LL", "'", "''", " '", "don't", "we'lll", "'\u017f"),
    *(
        " ",
        "  ",
        "   ",
        "\n",
        "\r\n",
        "\n\n ",
        "\t",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x1f",
        "\x85",
        "\xa0",
    ),
    *("\u1680", "\u180e", "\u2003", "\u200b", "\u2028", "\u2029", "\u202f", "\u3000", "\ufeff"),
    *("1", "12", " 3", "\u0663", "\u2167", "\u00bd", "\u00b2", "\u4e09", "\U0001d7d9", "3.14"),
    *(
        "caf\u00e9",
        "cafe\u0301",
        "\u0301",
        "\u65e5\u672c",
        "\u0e01\u0e33",
        "\u1100\u1161",
        "\uac00",
    ),
    *("\U0001f44d\U0001f3fd", "\U0001f468\u200d\U0001f469", "\u2764\ufe0f", "\U0001f1e9\U0001f1ea"),
    *(
        "\x00",
        "\x07",
        "\x1b[0m",
        "\x7f",
        "\u200f",
        "\u202e",
        "\ue000",
        "\ufffd",
        "\uffff",
        "\U0010ffff",
    ),
    *(
        "Hello",
        " world",
        "the",
        " the",
        "ing",
        "!",
        "...",
        "<|endoftext|>",
        "_",
        "\u00aa",
        "\u02b0",
    ),
]
#: New numbers that the library's digit splitter knows and its pattern's ``\p{N}`` does not.
DIGITS = library.pre_tokenizers.Digits(individual_digits=True)
TOO_NEW = {part for part, _ in DIGITS.pre_tokenize_str(ALL) if len(part) == 1} - characters(NUMBERS)
TEXTS = st.lists(
    st.sampled_from(PARTS)
    | st.text(max_size=6)
    | st.text(st.characters(codec="utf-8", exclude_characters=TOO_NEW), max_size=4),
    max_size=12,
).map(lambda parts: "".join(c for c in "".join(parts) if c not in TOO_NEW))


def encoder_of(tokenizer: str, special: frozenset[int] = frozenset()) -> tuple[Encoder, Any]:
    """Our encoder, and the library's, of a ``tokenizer.json``."""
    body = json.loads(tokenizer)
    vocabulary = body["model"]["vocab"]
    tokens = [b""] * (max(vocabulary.values()) + 1)
    for name, i in vocabulary.items():
        tokens[i] = byte_level_bytes(name)
    rule, _ = stated_rule(tokenizer, tokens)
    assert rule is not None
    encoder = Encoder(tuple(tokens), special, rule)
    encoder.check()
    return encoder, library.Tokenizer.from_str(tokenizer)


@cache
def learnt(digits_apart: bool) -> tuple[Encoder, Any]:
    """A tokenizer that the library learns from the bundled prose."""
    pre, trainers = library.pre_tokenizers, library.trainers
    made = library.Tokenizer(library.models.BPE())
    words = pre.ByteLevel(add_prefix_space=False)
    made.pre_tokenizer = pre.Sequence([DIGITS, words]) if digits_apart else words
    alphabet = pre.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
    )
    text = (files("veracity") / "data" / "prose.txt").read_text(encoding="utf-8")
    made.train_from_iterator([text, *PARTS * 3], trainer)
    return encoder_of(made.to_str())


@pytest.fixture(scope="session")
def gpt2(data_dir: Path) -> tuple[Encoder, Any]:
    path = data_dir / "tokenizers" / "gpt2" / "tokenizer.json"
    if not path.is_file():
        pytest.skip("needs tokenizers/gpt2")
    body = json.loads(path.read_text(encoding="utf-8"))
    body |= {"added_tokens": [], "post_processor": None}
    del body["model"]["vocab"]["<|endoftext|>"]
    return encoder_of(json.dumps(body))


def agree(pair: tuple[Encoder, Any], text: str) -> None:
    encoder, theirs = pair
    ids = encoder.encode(text)
    assert ids == theirs.encode(text, add_special_tokens=False).ids
    assert b"".join(encoder.tokens[i] for i in ids).decode() == text


@given(TEXTS, st.booleans())
@settings(max_examples=400, deadline=None)
@example("", False)
def test_learnt_tokenizers_agree_with_the_library(text: str, digits_apart: bool) -> None:
    agree(learnt(digits_apart), text)


@pytest.mark.parametrize("text", PARTS)
def test_every_part_agrees_beside_every_other(text: str) -> None:
    for other in PARTS:
        for digits_apart in (False, True):
            agree(learnt(digits_apart), text + other)
            agree(learnt(digits_apart), "a" + text + other + "1")


@given(text=TEXTS)
@settings(max_examples=300, deadline=None)
def test_gpt2_agrees_with_the_library(gpt2: tuple[Encoder, Any], text: str) -> None:
    agree(gpt2, text)


@pytest.mark.parametrize("name", ["tinyshakespeare.txt", "wikitext2-valid.txt"])
def test_long_texts_agree_with_the_library(
    gpt2: tuple[Encoder, Any], data_dir: Path, name: str
) -> None:
    agree(gpt2, (data_dir / "text" / name).read_text(encoding="utf-8")[:200_000])


# ---- what has no encoding -----------------------------------------------------------------------

SMALL = (b"<s>", b"a", b"b", b" ", b"ab", b"abab")


def test_what_no_token_spells_is_refused() -> None:
    for rule in (Pieces((0,) * 6), ByteLevel(((4, 1), (5, 2)))):
        encoder = Encoder(SMALL, frozenset({0}), rule)
        assert encoder.encode("") == []
        assert encoder.encode("abab")[-1] == 5
        with pytest.raises(UsageError, match="0xc3"):
            encoder.encode("ab\u00e9")
        with pytest.raises(UsageError, match="not valid Unicode"):
            encoder.encode("ab\udc80")
        with pytest.raises(UsageError, match="0x3c"):
            encoder.encode("<s>")


def test_tokens_without_a_score_are_never_made() -> None:
    rule = Pieces.from_scores([0.0, 0.0, 0.0, 0.0, float("nan"), float("-inf")])
    assert rule.ranks == (0, 0, 0, 0, NEVER, NEVER)
    assert Encoder(SMALL, frozenset(), rule).encode("abab") == [3, 1, 2, 1, 2]
    assert Pieces.from_scores([1.5, -2.0, 1.5, float("inf")]).ranks == (1, 2, 1, 0)


@pytest.mark.parametrize(
    ("tokens", "rule"),
    [
        (SMALL, Pieces((0,) * 5)),
        (SMALL, Pieces((0, 0, 0, 0, 0, 1 << 32))),
        (SMALL, Pieces((0, 0, 0, 0, 0, -1))),
        ((*SMALL[:5], b"x" * (LONGEST + 1)), Pieces((0,) * 6)),
        (SMALL, ByteLevel(((6, 1),))),
        (SMALL, ByteLevel(((-1, 1),))),
        (SMALL, ByteLevel(((0, 1),))),  # a special token
        (SMALL, ByteLevel(((4, 0),))),
        (SMALL, ByteLevel(((4, 2),))),
        (SMALL, ByteLevel(((5, 1),))),  # "a" and "bab", which is no token
        (SMALL, ByteLevel(((4, 1), (4, 1)))),
        ((*SMALL[:5], b"ab"), ByteLevel(((4, 1),))),  # another token hides it
    ],
)
def test_rules_that_do_not_fit_the_tokens(tokens: tuple[bytes, ...], rule: Any) -> None:
    with pytest.raises(FormatError, match="tokenizer"):
        Encoder(tokens, frozenset({0}), rule).check()
