"""Token tables, rules of spelling, prompt and chat frames: one field wrong at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.support.hostile import Field, written
from veracity.codec import ByteReader
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.text import ByteLevel, Encoder, Pieces, Rule, SentencePiece
from veracity.text.added import Added, Finder
from veracity.text.bytelevel import Pairs, listed_merges
from veracity.text.pieces import NEVER
from veracity.text.rule_bytes import read_rule
from veracity.text.sentencepiece import Prefix
from veracity.text.shown import MAX_TEXT_BYTES, show
from veracity.text.table import MAX_PIECE, PromptFrame, TokenTable
from veracity.text.words import ALTERNATIVES, GPT2, check_steps

TOKENS = (b"<s>", b"a", b"b", b"ab", b"<x>", b"\xff")
BYTES = tuple(bytes([i]) for i in range(256))
LETTERS = tuple(range(256))


def refused(rule: Rule, match: str, tokens: tuple[bytes, ...] = TOKENS) -> None:
    with pytest.raises(FormatError, match=match):
        Encoder(tokens, frozenset({0}), rule).check()


def test_rules_that_fit_their_tokens() -> None:
    for rule in (
        ByteLevel(((3, 1),)),
        ByteLevel(((3, 1),), added=(Added(4),)),
        ByteLevel((), ((0,), (19, 11), (24, 0, 25))),
        Pieces((0, 1, 2, 3, NEVER, 5)),
    ):
        Encoder(TOKENS, frozenset({0}), rule).check()
    Encoder(BYTES, frozenset(), SentencePiece((), LETTERS)).check()
    words = (*BYTES, b"a", b"b", b"ab")
    Encoder(words, frozenset(), SentencePiece(((258, 1),), LETTERS)).check()


@pytest.mark.parametrize("pair", [(-1, 1), (6, 1), (1, 1), (3, 0), (3, 2), (3, 3), (0, 1)])
def test_merges_that_make_no_token(pair: tuple[int, int]) -> None:
    refused(ByteLevel((pair,)), "merge 0 makes no token")


def test_merges_of_no_tokens_and_merges_twice() -> None:
    for piece, cut in ((b"ac", 1), (b"ca", 1), (b"abc", 2)):
        refused(
            ByteLevel(((6, cut),)), "merge 0 is of something that is no token", (*TOKENS, piece)
        )
    refused(ByteLevel(((3, 1), (3, 1))), "a merge is listed twice")


@pytest.mark.parametrize(
    "pairs",
    [
        (),
        ((5, 1),),
        ((3, 1), (4, 1), (5, 2)),
        ((4, 1), (3, 1), (5, 2)),
        ((3, 1), (5, 1), (5, 2)),
    ],
)
def test_merges_are_found_in_whatever_order_they_are_listed(
    pairs: tuple[tuple[int, int], ...],
) -> None:
    tokens = (b"a", b"b", b"c", b"ab", b"bc", b"abc")
    ids = {piece: token for token, piece in enumerate(tokens)}
    listed = {}
    for rank, (token, cut) in enumerate(pairs):
        listed[ids[tokens[token][:cut]], ids[tokens[token][cut:]]] = rank, token
    for held in (pairs, Pairs.of(pairs)):
        find = listed_merges(held, tokens, ids)
        found = {(left, right): find(left, right) for left in range(6) for right in range(6)}
        assert {k: v for k, v in found.items() if v is not None} == listed


def test_pairs_are_equal_however_they_are_kept() -> None:
    pairs = ((3, 1), (5, 2), (4, 1))
    kept = Pairs.of(pairs)
    assert (kept, pairs, hash(kept)) == (pairs, kept, hash(pairs))
    assert (kept[1], kept[-1], list(kept[1:])) == ((5, 2), (4, 1), [(5, 2), (4, 1)])
    assert Pairs.of(kept) is kept
    for other in (pairs[:2], ((3, 1), (5, 2), (4, 2)), 3):
        assert kept != other
    assert ByteLevel(kept) == ByteLevel(pairs)


@pytest.mark.parametrize(
    ("added", "match"),
    [
        ((Added(-1),), "an added token that is none, or a mark"),
        ((Added(6),), "an added token that is none, or a mark"),
        ((Added(0),), "an added token that is none, or a mark"),
        ((Added(5),), "an added token that is no text"),
        ((Added(4), Added(4)), "an added token is listed twice"),
        ((Added(4, True), Added(4, True, True)), "an added token is listed twice"),
    ],
)
def test_added_tokens_that_cannot_be(added: tuple[Added, ...], match: str) -> None:
    refused(ByteLevel((), added=added), match)


def test_added_tokens_have_a_text_and_few_lengths() -> None:
    lengths = {"x" * (i + 1): i for i in range(257)}
    Finder({t: i for t, i in lengths.items() if i < 256})
    for tokens in (lengths, {"": 1}):
        with pytest.raises(FormatError, match="empty, or of too many lengths"):
            Finder(tokens)


@pytest.mark.parametrize(
    "steps", [((),), (GPT2, ()), ((len(ALTERNATIVES),),), ((-1,),), ((0, 255),)]
)
def test_patterns_that_are_not_in_the_list(steps: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(FormatError, match="a pattern of words that is not in the list"):
        check_steps(steps)
    refused(ByteLevel((), steps), "a pattern of words that is not in the list")


@pytest.mark.parametrize("step", [(19,), (11, 19), (20, 12), (22,), (23, 22), (24, 11), (25, 24)])
def test_patterns_that_take_too_long(step: tuple[int, ...]) -> None:
    with pytest.raises(FormatError, match="takes too long"):
        check_steps((GPT2, step))


@pytest.mark.parametrize(
    ("ranks", "tokens", "match"),
    [
        ((0,) * 5, TOKENS, "not one rank for every token"),
        ((0,) * 7, TOKENS, "not one rank for every token"),
        ((0, 0, 0, 0, 0, -1), TOKENS, "a rank is out of bounds"),
        ((0, 0, 0, 0, 0, NEVER + 1), TOKENS, "a rank is out of bounds"),
        ((0, 0), (b"a", b"b" * 1025), "a token is longer than 1024 bytes"),
    ],
)
def test_scores_that_do_not_fit(
    ranks: tuple[int, ...], tokens: tuple[bytes, ...], match: str
) -> None:
    refused(Pieces(ranks), match, tokens)


@pytest.mark.parametrize(
    "letters",
    [
        LETTERS[:255],
        (*LETTERS, 0),
        (-1, *LETTERS[1:]),
        (-256, *LETTERS[1:]),
        (256, *LETTERS[1:]),
        (1, 0, *LETTERS[2:]),
    ],
)
def test_bytes_without_their_tokens(letters: tuple[int, ...]) -> None:
    refused(SentencePiece((), letters), "not one token for every byte", BYTES)


def test_text_that_a_tokenizer_cannot_write() -> None:
    rule = SentencePiece((), LETTERS)
    encoder = Encoder(BYTES, frozenset(), rule)
    assert encoder.encode_exactly("a b") == [97, 32, 98]
    with pytest.raises(UsageError, match="has no way to write"):
        encoder.encode("a\u2581b")
    normal = Encoder(BYTES, frozenset(), ByteLevel((), normal=True))
    assert normal.encode_exactly("\u00e9") == [0xC3, 0xA9]
    with pytest.raises(UsageError, match="makes other words of a message"):
        normal.encode_exactly("e\u0301")
    with pytest.raises(UsageError, match="half a character at position 1"):
        encoder.encode("a\ud800")


# --- rules as bytes

COUNT = 300


def numbers(kind: str, *values: int) -> list[bytes]:
    return [struct.pack(f"<{len(values)}{kind}", *values)]


def byte_rule(
    flags: int = 1,
    steps: Sequence[bytes] = (bytes(GPT2),),
    added: tuple[Field, ...] = (0,),
    apart: tuple[Field, ...] = (0,),
    merges: tuple[Field, ...] = (0,),
) -> bytes:
    return written(4, flags, len(steps), *steps, *added, *apart, *merges)


def sentence_rule(flags: int = 0, prefix: int = 0) -> bytes:
    return written(5, flags, prefix, numbers("I", *LETTERS), 0, 0, 0)


def read(data: bytes) -> Rule | None:
    reader = ByteReader(data, "table")
    found = read_rule(reader, COUNT)
    reader.finish()
    return found


def test_rules_are_read() -> None:
    assert read(written(0)) is None
    assert read(byte_rule()) == ByteLevel((), normal=True)
    assert read(byte_rule(3)) == ByteLevel((), normal=True, whole_words=True)
    assert read(sentence_rule(6, 3)) == SentencePiece((), LETTERS, Prefix.FIRST_BARE, True, True)
    added = byte_rule(added=(2, numbers("I", 3, 299), [b"\0\3"]), apart=(1, numbers("I", 299)))
    assert read(added) == ByteLevel(
        (), normal=True, added=(Added(3), Added(299, True, True)), apart=(299,)
    )


ORDER = "added tokens: they are not in order, or beyond the table"


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (written(6), "rule: 6 is over the limit"),
        (byte_rule(4), "flags: 4 is over the limit"),
        (byte_rule(0), "a plain rule has a kind of its own"),
        (byte_rule(0, (bytes([12]), bytes(GPT2))), "a plain rule has a kind of its own"),
        (byte_rule(1, [b"\0"] * 9), "steps: 9 is over the limit"),
        (byte_rule(1, [bytes(len(ALTERNATIVES) + 1)]), "step: .* is over the limit"),
        (byte_rule(added=((1 << 16) + 1,)), "added tokens: 65537 is over the limit"),
        (byte_rule(added=(1, numbers("I", 3), [b"\4"])), "a flag that they do not have"),
        (byte_rule(added=(1, numbers("I", COUNT), [b"\0"])), ORDER),
        (byte_rule(added=(2, numbers("I", 4, 3), [b"\0\0"])), ORDER),
        (byte_rule(added=(2, numbers("I", 3, 3), [b"\0\0"])), ORDER),
        (byte_rule(apart=(1, numbers("I", COUNT))), ORDER),
        (byte_rule(apart=(2, numbers("I", 4, 3))), ORDER),
        (byte_rule(apart=(2, numbers("I", 3, 3))), ORDER),
        (byte_rule(apart=(COUNT + 1,)), "tokens apart: 301 is over the limit"),
        (byte_rule(merges=((1 << 21) + 1,)), "merges: 2097153 is over the limit"),
        (sentence_rule(1), "a flag that this rule does not have"),
        (sentence_rule(8), "flags: 8 is over the limit"),
        (sentence_rule(0, 4), "prefix: 4 is over the limit"),
    ],
)
def test_rules_that_cannot_be(data: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        read(data)


# --- tables and frames

TABLE = TokenTable(
    (b"<s>", b"a", b"b", b"ab", b"", b"say", b"<pad>"), frozenset({0, 5, 6}), ByteLevel(((3, 1),))
)
PLAIN = TokenTable((b"<s>", b"a", b"\xc3", b"\xa9"), frozenset({0}))
FRAME = PromptFrame((0, 1), (2, 0))


def test_tables_are_read() -> None:
    assert TokenTable.from_bytes(TABLE.to_bytes()) == TABLE
    assert TokenTable((b"x" * MAX_PIECE,), frozenset()).pieces
    assert (TABLE.read([3]), PLAIN.read([1, 2, 3])) == ("ab", "a\u00e9")


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (written((1 << 20) + 1), "count: 1048577 is over the limit"),
        (TABLE.to_bytes() + b"\0", "1 bytes too many"),
        (TABLE.to_bytes()[:-1], "ends too early"),
        (written(1, [b"\x01\x04", b"x" * 1025], 0), "a token is longer than 1024 bytes"),
        (written(1, [b"\x01\x00x"], 2, 1, numbers("i", 0), numbers("H", 1)), "makes no token"),
    ],
)
def test_tables_that_cannot_be(data: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        TokenTable.from_bytes(data)


def test_a_table_in_memory_is_checked_too() -> None:
    with pytest.raises(FormatError, match="a token is longer than 1024 bytes"):
        TokenTable((b"x" * (MAX_PIECE + 1),), frozenset())
    with pytest.raises(FormatError, match="merge 0 makes no token"):
        replace(TABLE, rule=ByteLevel(((1, 1),)))


@pytest.mark.parametrize(
    ("read", "match"),
    [
        (lambda: TABLE.read([1, 2]), "not the ones that its text has"),
        (lambda: PLAIN.read([2]), "spell no text"),
        (lambda: FRAME.words((0, 1, 2), TABLE), "not in the form the proof states"),
        (lambda: FRAME.words((5, 1, 3, 2, 0), TABLE), "not in the form the proof states"),
        (lambda: FRAME.words((0, 1, 3, 2, 5), TABLE), "not in the form the proof states"),
        (lambda: FRAME.words((0, 1, 3, 0, 2, 0), TABLE), "special tokens stand among"),
        (lambda: FRAME.words((0, 1, 3, 4, 2, 0), TABLE), "special tokens stand among"),
    ],
)
def test_prompts_that_are_no_text(read: Callable[[], str], match: str) -> None:
    assert FRAME.words((0, 1, 3, 2, 0), TABLE) == "ab"
    with pytest.raises(VerificationError, match=match):
        read()


def test_a_frame_may_not_overlap_itself() -> None:
    both = PromptFrame((0, 6), (6, 0))
    assert both.words((0, 6, 6, 0), TABLE) == ""
    with pytest.raises(VerificationError, match="not in the form the proof states"):
        both.words((0, 6, 0), TABLE)


@pytest.mark.parametrize("mark", [False, True])
def test_text_has_a_limit(mark: bool) -> None:
    size = 1000
    table = TokenTable((b"x" * size, b"y" * size), frozenset({1} if mark else ()))
    most = MAX_TEXT_BYTES // size
    if not mark:
        assert len(table.read([0] * most)) == size * most
        with pytest.raises(VerificationError, match="the text is longer than"):
            table.read([0] * (most + 1))
    with pytest.raises(VerificationError, match="the text is longer than"):
        show([0, 1] * (most // 2 + 1), table.pieces, table.special)


@pytest.mark.parametrize("frame", [((1,), ()), ((), (3,)), ((0, 4), ()), ((5,), ()), ((), (0, 5))])
def test_a_raw_frame_has_no_words(frame: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    PromptFrame((0,), (6,)).require_wordless(TABLE, "frame")
    with pytest.raises(FormatError, match="the raw frame may hold special tokens only"):
        PromptFrame(*frame).require_wordless(TABLE, "frame")


SIDES: dict[str, object] = {"before": [0], "after": []}


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ([], "exactly 'before' and 'after'"),
        (["after", "before"], "exactly 'before' and 'after'"),
        ({"before": []}, "exactly 'before' and 'after'"),
        (SIDES | {"more": []}, "exactly 'before' and 'after'"),
        (SIDES | {"before": {}}, "'before' is not a list of token ids"),
        (SIDES | {"after": None}, "'after' is not a list of token ids"),
        (SIDES | {"after": [0] * 65537}, "'after' is not a list of token ids"),
        (SIDES | {"after": [7]}, "'after' holds something that is no token id"),
        (SIDES | {"before": [-1]}, "'before' holds something that is no token id"),
        (SIDES | {"before": [True]}, "'before' holds something that is no token id"),
        (SIDES | {"before": [0.0]}, "'before' holds something that is no token id"),
    ],
)
def test_frames_that_cannot_be(value: object, match: str) -> None:
    assert PromptFrame.from_plain(SIDES | {"after": [6] * 65536}, "frame", 7).before == (0,)
    with pytest.raises(FormatError, match=match):
        PromptFrame.from_plain(value, "frame", 7)
