"""Families of tokenizers against the ``tokenizers`` library: patterns of words, added tokens, NFC,
SentencePiece with byte fallback."""

from __future__ import annotations

import json
import random
import time
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.test_text import ALL, PARTS
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.lm.tokenizer_json import byte_level_bytes, numbered_alternatives
from veracity.lm.tokenizer_rules import piece_bytes, stated_rule
from veracity.text import ByteLevel, Encoder, SentencePiece, words
from veracity.text.added import MAX_LENGTHS, Added, Finder
from veracity.text.nfc import _ACTIVE, SHORT_RUN, nfc
from veracity.text.sentencepiece import SPACE, Prefix
from veracity.text.table import TokenTable
from veracity.text.unicode import code_points
from veracity.text.words import ALTERNATIVES, check_steps, split

library = pytest.importorskip("tokenizers")
pre, norm = library.pre_tokenizers, library.normalizers

TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
ANY_CASE = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
HEAD = r"[^\r\n\p{L}\p{N}]?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LLAMA3 = rf"{ANY_CASE}|{HEAD}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{TAIL}"
QWEN2 = LLAMA3.replace("{1,3}", "")
TEKKEN = (
    rf"{HEAD}{UPPER}*{LOWER}+|{HEAD}{UPPER}+{LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{TAIL}"
)
GPT4O = (
    rf"{HEAD}{UPPER}*{LOWER}+{ANY_CASE}?|{HEAD}{UPPER}+{LOWER}*{ANY_CASE}?|\p{{N}}{{1,3}}|"
    rf" ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{TAIL}"
)
QWEN35 = rf"{ANY_CASE}|{HEAD}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{TAIL}"
ODD = [
    *PARTS, "<think>", "don'T", "'S", "HTTPServer", "x\u0301\u0327", "\u1112\u1161\u11ab", "ß", "ﬃ",
    "12345678", "a/b\n", "\u212b", "\u0344", "ü", "    ", "\U000105d2\u0307", "\u01c5",
]  # fmt: skip


def byte_level(pattern: str, *, nfc: bool = False, whole: bool = False, added: Any = ()) -> str:
    made = library.Tokenizer(library.models.BPE(ignore_merges=whole))
    words = pre.Split(library.Regex(pattern), "isolated")
    made.pre_tokenizer = pre.Sequence([words, pre.ByteLevel(False, use_regex=False)])
    if nfc:
        made.normalizer = norm.NFC()
    trainer = library.trainers.BpeTrainer(
        vocab_size=1000, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False,
        special_tokens=[],
    )  # fmt: skip
    made.train_from_iterator([_prose(), *ODD * 2], trainer)
    made.add_tokens([library.AddedToken(t, normalized=n) for t, n in added])
    return made.to_str()


def sentence_piece(splitter: Any, normaliser: Any, added: Any = ()) -> str:
    made = library.Tokenizer(library.models.BPE(byte_fallback=True, unk_token="<unk>"))
    if splitter is not None:
        made.pre_tokenizer = splitter
    if normaliser is not None:
        made.normalizer = normaliser
    letters = [f"<0x{b:02X}>" for b in range(256)]
    trainer = library.trainers.BpeTrainer(
        vocab_size=900, show_progress=False, special_tokens=["<unk>", *letters],
        max_token_length=12, limit_alphabet=90,
    )  # fmt: skip
    made.train_from_iterator([*_prose().split(), "a  b   c", *ODD], trainer)
    body = json.loads(made.to_str()) | {"added_tokens": []}
    again = library.Tokenizer.from_str(json.dumps(body))
    again.add_tokens([library.AddedToken(t, normalized=n) for t, n in added])
    return again.to_str()


def _prose() -> str:
    return (files("veracity") / "data" / "prose.txt").read_text(encoding="utf-8")


SPACES = norm.Replace(" ", SPACE)
ADDED = [("  ", False), ("    ", True), ("<think>", False), ("ü", True), ("e\u0301x", True)]
FAMILIES: dict[str, Callable[[], str]] = {
    "llama3": lambda: byte_level(LLAMA3, whole=True),
    "qwen2": lambda: byte_level(QWEN2, nfc=True, added=ADDED),
    "tekken": lambda: byte_level(TEKKEN),
    "gpt-4o": lambda: byte_level(GPT4O, added=[("<think>", True)]),
    "qwen3.5": lambda: byte_level(QWEN35, nfc=True),
    "llama2": lambda: sentence_piece(
        None, norm.Sequence([norm.Prepend(SPACE), SPACES]), [("<think>", False)]
    ),
    "gemma": lambda: sentence_piece(
        pre.Split(" ", "merged_with_previous"), SPACES, [("<think>", False), ("x  y", True)]
    ),
    "mistral": lambda: sentence_piece(
        pre.Metaspace(prepend_scheme="first", split=False), None, [("<think>", False)]
    ),
    "words": lambda: sentence_piece(pre.Metaspace(prepend_scheme="always", split=True), None),
    "never": lambda: sentence_piece(
        pre.Metaspace(prepend_scheme="never", split=False), None, [("<think>", True)]
    ),
}


@cache
def family(name: str) -> tuple[TokenTable, Any]:
    """The family's token table, and the library's tokenizer."""
    text = FAMILIES[name]()
    body = json.loads(text)
    spelled = piece_bytes if body["model"]["byte_fallback"] else byte_level_bytes
    vocabulary = body["model"]["vocab"]
    named = {i: spelled(t) for t, i in vocabulary.items()}
    for token in body["added_tokens"]:
        content = nfc(token["content"]) if body["normalizer"] == {"type": "NFC"} else None
        named[token["id"]] = (content or token["content"]).encode()
    tokens = tuple(named[i] for i in range(len(named)))
    rule, why = stated_rule(text, tokens)
    assert rule is not None, why
    table = TokenTable(tokens, frozenset(), rule)
    assert TokenTable.from_bytes(table.to_bytes()) == table
    return table, library.Tokenizer.from_str(text)


def texts(count: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed)
    for _ in range(count):
        parts = []
        for _ in range(rng.randrange(1, 10)):
            place = rng.choice([0x250, 0x3000, 0xD800, 0x20000])
            odd = chr(rng.randrange(place) if place <= 0xD800 else rng.randrange(0xE000, place))
            parts.append(rng.choice([rng.choice(ODD), rng.choice(ODD), odd]))
        yield "".join(parts)


def differences(name: str, given: Iterator[str]) -> list[str]:
    table, theirs = family(name)
    assert table.encoder is not None
    out = []
    for text in given:
        if SPACE in text and isinstance(table.rule, SentencePiece):
            with pytest.raises(UsageError, match=r"U\+2581"):
                table.encoder.encode(text)
        elif table.encoder.encode(text) != theirs.encode(text, add_special_tokens=False).ids:
            out.append(text)
    return out


@pytest.mark.parametrize("name", FAMILIES)
def test_families_agree_with_the_library(name: str) -> None:
    assert differences(name, texts(250, seed=1)) == []
    assert differences(name, iter(ODD)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_families_agree_on_many_texts_and_on_every_character(name: str) -> None:
    assert differences(name, texts(5000, seed=2)) == []
    runs = (ALL[i : i + 24] for i in range(0, len(ALL), 24))
    assert differences(name, (" ".join(f"x{c}1" for c in run) for run in runs)) == []


@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_read_is_spelled_so(name: str) -> None:
    """A text that is read from its ids has those ids, and the library agrees on them."""
    table, theirs = family(name)
    assert table.encoder is not None
    read = 0
    for text in texts(150, seed=3):
        try:
            ids = table.encoder.encode(text)
            found = table.read(ids)
        except (UsageError, VerificationError):
            continue
        read += 1
        assert theirs.encode(found, add_special_tokens=False).ids == ids
        assert found in (text, nfc(text), text[1:])
    assert read > 100


# ---- normalisation ------------------------------------------------------------------------------


def test_composition_is_that_of_the_library() -> None:
    theirs = norm.NFC()
    for i in range(0, len(ALL), 64):
        run = "".join(f"{c}\u0334a\u0315{c}" for c in ALL[i : i + 64])
        assert nfc(run) == theirs.normalize_str(run)
    for text in texts(500, seed=4):
        assert nfc(text) == theirs.normalize_str(text)


def test_marks_are_put_in_order_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python sorts them by insertion: a long run of a stranger's would take minutes."""
    given: list[str] = []

    def normalised(form: str, text: str) -> str:
        given.append(text)
        return unicodedata.normalize(form, text)

    spied = SimpleNamespace(normalize=normalised, combining=unicodedata.combining)
    monkeypatch.setattr("veracity.text.nfc.unicodedata", spied)
    for hostile in ("\u0300\u0316", "\u0f73", "\u0344\u0316", "e\u0301\u0327"):
        text = hostile * SHORT_RUN
        assert nfc(text) == unicodedata.normalize("NFC", text)
        classes = list(map(unicodedata.combining, given[-1]))
        assert all(a <= b or not b for a, b in pairwise(classes))


def test_the_order_of_marks_is_the_canonical_one(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(7)
    active = [chr(c) for a, b in code_points(_ACTIVE) for c in range(a, b + 1)]
    marks = [c for c in active if unicodedata.combining(c)]
    texts = [
        "".join(draw.choice(draw.choice([active, marks, marks, "aeo"])) for _ in range(8))
        for _ in range(2000)
    ]
    plain = [nfc(text) for text in texts]
    monkeypatch.setattr("veracity.text.nfc.SHORT_RUN", 0)
    assert [nfc(text) for text in texts] == plain


# ---- patterns -----------------------------------------------------------------------------------


def test_alternatives_are_those_that_the_library_matches() -> None:
    """Each one by itself, as the library splits: what it leaves out are words, too."""
    for number, (pattern, _) in enumerate(ALTERNATIVES):
        theirs = pre.Split(library.Regex(pattern), "isolated")
        for text in (*ODD, *texts(60, seed=number)):
            if text:
                parts = [part for part, _ in theirs.pre_tokenize_str(text)]
                assert list(split(text, ((number,),))) == parts, (pattern, text)


def test_numbers_of_patterns() -> None:
    assert numbered_alternatives(QWEN2) == (15, 16, 12, 17, 19, 10, 11)
    assert numbered_alternatives(r"\p{L}|(a|b)") is None
    assert numbered_alternatives(r"[|]") is None
    assert numbered_alternatives("") is None


@pytest.mark.parametrize("steps", [((19,),), ((11, 19),), ((22,),), ((24, 23),), ((),), ((99,),)])
def test_steps_that_take_long_are_refused(steps: tuple[tuple[int, ...], ...]) -> None:
    """A publisher's pattern must not keep a verifier: one that reads a run again and again."""
    with pytest.raises(FormatError, match="pattern"):
        check_steps(steps)
    with pytest.raises(FormatError, match="pattern"):
        TokenTable((b"a",), frozenset(), ByteLevel((), steps))


def test_allowed_steps_take_time_in_proportion_to_the_text() -> None:
    steps = tuple(
        found for p in (LLAMA3, TEKKEN, GPT4O, QWEN35) if (found := numbered_alternatives(p))
    )
    check_steps(steps)
    for unit in (" ", "A", "a", "\u0301", "\n", "1", "' ", "A\u0301", " \t", "/\n"):
        text = unit * (60_000 // len(unit)) + "!"
        start = time.process_time()
        assert "".join(split(text, steps)) == text
        assert time.process_time() - start < 5


# ---- hostile tables -----------------------------------------------------------------------------

LETTERS = tuple(range(256))
BYTES = tuple(bytes([b]) for b in range(256))
MORE = (*BYTES, b"ab", b" a", b"<x>", b"\xff\xfe")


@pytest.mark.parametrize(
    "rule",
    [
        ByteLevel((), added=(Added(300),)),
        ByteLevel((), added=(Added(259),)),  # no text
        ByteLevel((), added=(Added(258), Added(258, learnt=True))),
        SentencePiece((), LETTERS[:-1]),
        SentencePiece((), (*LETTERS[:-1], 254)),
        SentencePiece((), (*LETTERS[:-1], 300)),
        SentencePiece(((256, 1),), LETTERS),  # of letters, which are apart
        SentencePiece(((256, 2),), LETTERS),
    ],
)
def test_rules_that_do_not_fit_the_tokens(rule: Any) -> None:
    with pytest.raises(FormatError, match="token"):
        TokenTable(MORE, frozenset(), rule)
    written = TokenTable(MORE, frozenset(), None)
    object.__setattr__(written, "rule", rule)
    if isinstance(rule, ByteLevel) or len(rule.letters) == 256:
        with pytest.raises(FormatError, match="token"):
            TokenTable.from_bytes(written.to_bytes())


def test_added_tokens_of_too_many_lengths_are_refused() -> None:
    tokens = tuple(b"x" * n for n in range(1, MAX_LENGTHS + 3))
    added = tuple(Added(i) for i in range(len(tokens)))
    with pytest.raises(FormatError, match="lengths"):
        Encoder(tokens, frozenset(), ByteLevel((), added=added, apart=())).check()


@pytest.mark.parametrize("prefix", Prefix)
def test_spaces_before_text(prefix: Prefix) -> None:
    tokens = (*BYTES, b"a", b" ", b" a", b"<x>")
    rule = SentencePiece(((258, 1),), LETTERS, prefix, added=(Added(259),), others_apart=(259,))
    encoder = TokenTable(tokens, frozenset(), rule).encoder
    assert encoder is not None
    before = [258] if prefix != Prefix.NONE else [256]
    later = [258] if prefix in (Prefix.EACH, Prefix.EACH_BARE) else [256]
    assert encoder.encode("a<x>a") == [*before, 259, *later]
    assert encoder.decode([*before, 259, *later]) == "a<x>a"
    assert encoder.encode("a", first=False) == later
    for text in ("a", "<x>", "a<x>a", "<x>a", "  a"):
        found = encoder.decode(encoder.encode(text))
        assert encoder.encode(found) == encoder.encode(text)


class Looked(str):
    """A text that counts how often it is cut."""

    cuts = 0

    def __getitem__(self, key: Any) -> str:
        Looked.cuts += 1
        return super().__getitem__(key)


def test_added_tokens_of_many_lengths_take_few_looks() -> None:
    """A text of one letter would be compared with each length at every place."""
    finder = Finder({"a" * (500 + k) + "b": k for k in range(MAX_LENGTHS)})
    assert list(finder.split("a" * 2000)) == [("a" * 2000, None)]
    Looked.cuts = 0
    assert finder._at(Looked("a" * 2000), 0) == (None, 0)
    assert 0 < Looked.cuts <= MAX_LENGTHS.bit_length()


def test_of_added_tokens_the_first_and_longest_is_found() -> None:
    draw = random.Random(11)

    def naive(tokens: dict[str, int], text: str) -> Iterator[tuple[str, int | None]]:
        start = place = 0
        while place < len(text):
            rest = text[place:]
            found = max((t for t in tokens if rest.startswith(t)), key=len, default="")
            if found:
                if start < place:
                    yield text[start:place], None
                yield found, tokens[found]
                start = place = place + len(found)
            else:
                place += 1
        if start < len(text):
            yield text[start:], None

    for _ in range(1000):
        letters = draw.choice(["a", "ab", "abc"])
        words = ["".join(draw.choices(letters, k=draw.randrange(1, 12))) for _ in range(9)]
        tokens = {word: i for i, word in enumerate(words)}
        text = "".join(draw.choices(letters, k=30))
        assert list(Finder(tokens).split(text)) == list(naive(tokens, text))


def test_kinds_of_ascii_are_those_of_the_lists() -> None:
    assert {code: words._listed_kind(code) for code in range(128)} == words._ASCII
