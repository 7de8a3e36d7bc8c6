"""Token tables, prompt frames and proof files."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veracity.errors import FormatError, VerificationError
from veracity.formats.drawing import Drawing
from veracity.formats.proof import Proof, statement_context
from veracity.text import ByteLevel, Pieces, Rule
from veracity.text.chat import Message
from veracity.text.shown import MAX_TEXT_BYTES, Shown, ShownAnswer
from veracity.text.table import MAX_PIECE, PromptFrame, TokenTable
from veracity.text.words import DIGITS, GPT2

TABLE = TokenTable(
    (b"<s>", b"<|user|>", b"hello", b" world", b"\xe2", b"\x82\xac"), frozenset({0, 1})
)
FRAME = PromptFrame((0, 1), (1,))
SPELLED = (b"<s>", b"a", b"b", b" ", b"ab", b" ab", b"\xc3", b"\xa9", b"\n", b"")
RULES: dict[str, Rule | None] = {
    "none": None,
    "pieces": Pieces((9, 9, 9, 9, 1, 2, 9, 9, 9, 9)),
    "bytes": ByteLevel(((4, 1), (5, 1))),
    "digits": ByteLevel(((4, 1),), (DIGITS, GPT2)),
}


def spelled(rule: str) -> TokenTable:
    return TokenTable(SPELLED, frozenset({0}), RULES[rule])


def test_table_round_trip_and_digest() -> None:
    again = TokenTable.from_bytes(TABLE.to_bytes())
    assert again == TABLE
    assert again.digest == TABLE.digest


def test_text_is_joined_bytes_with_marks_by_name() -> None:
    assert TABLE.show([4, 5]) == Shown("€", ())
    assert TABLE.show([4]).text == "\N{REPLACEMENT CHARACTER}"
    assert TABLE.show([0, 2, 1, 3]) == Shown(
        "<s>hello<|user|> world", ((0, "<s>"), (8, "<|user|>"))
    )
    assert TABLE.show([4, 0, 5]).text == "\ufffd<s>\ufffd\ufffd"


@pytest.mark.parametrize(
    ("piece", "name"),
    [
        (b"", "<token 0>"),
        (b"<|im_end|>", "<|im_end|>"),
        ("<\uff5cend\u2581of\uff5c>".encode(), "<\uff5cend\u2581of\uff5c>"),
        (b"[INST]", "[INST]"),
        (b" little", "<token 0: ' little'>"),
        (b"<a> obey <b>", "<token 0: '<a> obey <b>'>"),
        (b"<\x1b[2J>", "<token 0: '<\\x1b[2J>'>"),
        ("<a\u202eb>".encode(), "<token 0: '<a\\u202eb>'>"),
        (b"\xff", "<token 0: '\ufffd'>"),
        (b"[see note]", "<token 0: '[see note]'>"),
    ],
)
def test_names_of_marks(piece: bytes, name: str) -> None:
    table = TokenTable((piece, b"x"), frozenset({0}))
    assert table.show([1, 0, 1]) == Shown(f"x{name}x", ((1, name),))
    assert table.show_answer([1, 0], {0}) == ShownAnswer("x", (), name)
    assert table.show_answer([1, 0], {1}) == ShownAnswer(f"x{name}", ((1, name),), None)


def test_a_word_that_ends_an_answer_is_part_of_it() -> None:
    assert TABLE.show_answer([2, 3], {3}) == ShownAnswer("hello world", (), " world")


def test_names_count_among_the_bytes_of_a_text() -> None:
    table = TokenTable((b"",), frozenset())
    with pytest.raises(VerificationError, match="longer than"):
        table.show([0] * (MAX_TEXT_BYTES // 9 + 1))


def test_a_token_without_bytes_is_none_of_the_users_words() -> None:
    table = TokenTable((b"a", b"", b"b"), frozenset(), None)
    assert PromptFrame((), ()).words([0, 2], table) == "ab"
    with pytest.raises(VerificationError, match="special tokens"):
        PromptFrame((), ()).words([0, 1, 2], table)


@given(st.binary(max_size=60))
def test_garbage_tables_give_typed_errors(data: bytes) -> None:
    try:
        assert TokenTable.from_bytes(data).to_bytes() == data
    except FormatError:
        return


# ---- one spelling of a text in token ids --------------------------------------------------------


@pytest.mark.parametrize("rule", RULES)
def test_rules_round_trip(rule: str) -> None:
    table = spelled(rule)
    again = TokenTable.from_bytes(table.to_bytes())
    assert again == table
    assert again.rule == table.rule
    others = {spelled(name).digest for name in RULES if name != rule}
    assert table.digest not in others


def test_frozen_bytes_of_a_token_table() -> None:
    """Version 2 of the commitment's format, for ever."""
    pieces = "0a000000" + "".join(
        (len(p) | (0x8000 if i == 0 else 0)).to_bytes(2, "little").hex() + p.hex()
        for i, p in enumerate(SPELLED)
    )
    nine = "09000000"
    assert spelled("none").to_bytes().hex() == pieces + "00000000"
    assert spelled("pieces").to_bytes().hex() == (
        pieces + "01000000" + nine * 4 + "01000000" + "02000000" + nine * 4
    )
    assert spelled("bytes").to_bytes().hex() == (
        pieces + "02000000" + "02000000" + "04000000" + "01000000" + "0100" + "0100"
    )
    assert spelled("digits").to_bytes().hex() == (
        pieces + "03000000" + "01000000" + "04000000" + "0100"
    )


@pytest.mark.parametrize(
    ("rule", "ids", "text"),
    [
        ("pieces", [], ""),
        ("pieces", [5], "ab"),
        ("pieces", [3, 5], " ab"),
        ("pieces", [3, 6, 7, 8], "\u00e9\n"),
        ("bytes", [], ""),
        ("bytes", [4], "ab"),
        ("bytes", [5], " ab"),
        ("bytes", [8, 6, 7], "\n\u00e9"),
        ("none", [1, 2], "ab"),
        ("none", [4], "ab"),
    ],
)
def test_the_one_spelling_of_a_text_is_read(rule: str, ids: list[int], text: str) -> None:
    table = spelled(rule)
    assert table.read(ids) == text
    if table.encoder is not None:
        assert table.encoder.encode(text) == ids


@pytest.mark.parametrize(
    ("rule", "ids"),
    [
        ("pieces", [3, 4]),  # a letter at a time, or the word without its space
        ("pieces", [3, 1, 2]),
        ("pieces", [4]),
        ("pieces", [3]),  # the space before a text that is empty
        ("pieces", [5, 9]),  # a token of no bytes
        ("pieces", [9]),
        ("bytes", [1, 2]),
        ("bytes", [3, 4]),
        ("bytes", [4, 9]),
        ("bytes", [9]),
    ],
)
def test_other_spellings_are_rejected(rule: str, ids: list[int]) -> None:
    with pytest.raises(VerificationError, match="another tokenisation"):
        spelled(rule).read(ids)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ids", [[6], [7, 6], [4, 7]])
def test_ids_that_are_no_text_are_rejected(rule: str, ids: list[int]) -> None:
    with pytest.raises(VerificationError, match="spell no text"):
        spelled(rule).read(ids)


def test_a_replacement_character_that_was_asked_is_text() -> None:
    table = TokenTable(tuple(bytes([b]) for b in range(256)), frozenset(), ByteLevel(()))
    assert table.read([0xEF, 0xBF, 0xBD]) == "\N{REPLACEMENT CHARACTER}"


@given(st.lists(st.integers(0, 9), max_size=8), st.sampled_from(["pieces", "bytes", "digits"]))
def test_no_two_lists_of_ids_are_read_as_one_text(ids: list[int], rule: str) -> None:
    table = spelled(rule)
    assert table.encoder is not None
    try:
        text = table.read(ids)
    except VerificationError:
        return
    assert table.encoder.encode(text) == ids


def test_overlong_texts_are_rejected_before_they_are_made() -> None:
    table = TokenTable((b"a" * MAX_PIECE,), frozenset(), None)
    ids = [0] * (MAX_TEXT_BYTES // MAX_PIECE)
    assert len(table.read(ids)) == len(table.show(ids).text) == MAX_TEXT_BYTES
    for read in (table.read, table.show):
        with pytest.raises(VerificationError, match="longer than"):
            read([*ids, 0])


@pytest.mark.parametrize(
    "tail",
    [
        "06000000",  # no such kind
        "00000000" + "00",
        "01000000" + "00000000" * 9,
        "02000000",
        "02000000" + "ffffffff",
        "02000000" + "01000000" + "04000000",
        "02000000" + "01000000" + "04000000" + "0200",  # no right half
        "02000000" + "01000000" + "04000000" + "0000",
        "02000000" + "01000000" + "0a000000" + "0100",  # no such token
        "02000000" + "01000000" + "ffffffff" + "0100",
        "02000000" + "01000000" + "00000000" + "0100",  # a special token
        "02000000" + "02000000" + "04000000" + "00000000" + "0100" + "0100",  # twice
        "03000000" + "01000000" + "05000000" + "0200",  # no left half " a"
    ],
)
def test_malformed_rules_are_format_errors(tail: str) -> None:
    data = spelled("none").to_bytes()[:-4]
    with pytest.raises(FormatError, match="token table"):
        TokenTable.from_bytes(data + bytes.fromhex(tail))


def test_overlong_tokens_are_format_errors() -> None:
    data = TokenTable((b"a" * MAX_PIECE,), frozenset(), None).to_bytes()
    assert TokenTable.from_bytes(data).to_bytes() == data
    longer = data[:4] + (MAX_PIECE + 1).to_bytes(2, "little") + b"a" + data[6:]
    with pytest.raises(FormatError, match="longer than"):
        TokenTable.from_bytes(longer)


# ---- frames -------------------------------------------------------------------------------------


def test_a_frame_gives_the_users_words() -> None:
    assert FRAME.words([0, 1, 2, 3, 1], TABLE) == "hello world"


@pytest.mark.parametrize("ids", [[2, 3], [0, 1], [0, 1, 2], [0, 2, 1], [1, 0, 2, 1], []])
def test_another_frame_is_rejected(ids: list[int]) -> None:
    with pytest.raises(VerificationError, match="form"):
        FRAME.words(ids, TABLE)


def test_special_tokens_among_the_words_are_rejected() -> None:
    with pytest.raises(VerificationError, match="special tokens"):
        FRAME.words([0, 1, 2, 1, 3, 1], TABLE)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"before": [0]},
        {"before": [0], "after": [6]},
        {"before": [-1], "after": []},
        {"before": [True], "after": []},
        {"before": "0", "after": []},
        {"before": [], "after": [], "more": []},
    ],
)
def test_malformed_frames_are_format_errors(value: object) -> None:
    with pytest.raises(FormatError):
        PromptFrame.from_plain(value, "frame", 6)


def make_proof() -> Proof:
    return Proof("ab" * 32, "chat", (0, 1, 2, 1, 3), 4, b"argument", context="case 7")


def test_proof_round_trip() -> None:
    proof = make_proof()
    again = Proof.from_bytes(proof.to_bytes())
    assert again == proof
    assert again.prompt == (0, 1, 2, 1)
    assert again.answer == (3,)
    assert "1 answer tokens" in repr(proof)


def test_every_truncation_and_extension_of_a_proof_is_a_format_error() -> None:
    data = make_proof().to_bytes()
    for end in range(len(data)):
        with pytest.raises(FormatError):
            Proof.from_bytes(data[:end])
    with pytest.raises(FormatError):
        Proof.from_bytes(data + b"\0")


@pytest.mark.parametrize("length", [0, 5, 6, 2**31])
def test_prompt_and_answer_need_a_token_each(length: int) -> None:
    proof = Proof("ab" * 32, "raw", (0, 1, 2, 1, 3), length, b"")
    with pytest.raises(FormatError, match="prompt length"):
        Proof.from_bytes(proof.to_bytes())


def test_the_context_binds_commitment_and_frame() -> None:
    contexts = {
        statement_context(digest, frame)
        for digest in ("ab" * 32, "cd" * 32)
        for frame in ("raw", "chat")
    }
    assert len(contexts) == 4


SAID = (Message("system", "be"), Message("user", "hé"))
EXTENDED = [
    Proof("ab" * 32, "messages", (0, 1, 2, 1, 3), 4, b"x", messages=SAID),
    Proof("ab" * 32, "raw", (0, 1, 2, 1, 3), 4, b"x", drawing=Drawing(700, b"u", b"s")),
    Proof("ab" * 32, "messages", (0, 1), 1, b"", (3,), "", SAID, Drawing(1)),
]


@pytest.mark.parametrize("proof", EXTENDED)
def test_proofs_of_messages_and_of_samples_round_trip(proof: Proof) -> None:
    data = proof.to_bytes()
    assert Proof.from_bytes(data) == proof
    assert data[14:18] == b"\x04\0\0\0"
    for end in range(len(data)):
        with pytest.raises(FormatError):
            Proof.from_bytes(data[:end])
    with pytest.raises(FormatError):
        Proof.from_bytes(data + b"\0")


@pytest.mark.parametrize(
    "said",
    [
        b"{}", b'[{"content":"a"}]', b'[{"content":"a","role":"tool"}]', b"[1]", b"[", b"[]",
        b'[{"content":1,"role":"user"}]', b'[{"content":"\\ud800","role":"user"}]',
        b'[{"content":"a","role":"user","x":1}]', b'[{"role":"user","content":"a"}]', b"\xff",
    ],
)  # fmt: skip
def test_malformed_messages_are_format_errors(said: bytes) -> None:
    data = EXTENDED[0].to_bytes()
    at = data.index(b"[{")
    old = int.from_bytes(data[at - 4 : at], "little")
    forged = data[: at - 4] + len(said).to_bytes(4, "little") + said + data[at + old :]
    with pytest.raises(FormatError):
        Proof.from_bytes(forged)


def test_frozen_bytes_of_a_proof_of_messages() -> None:
    """Version 4 of the format, for ever."""
    assert hashlib.sha256(b"".join(p.to_bytes() for p in EXTENDED)).hexdigest() == (
        "99356a859f9d8656fdb69eca2d56552c70e4153efb99b679d732d0e72d3f9e98"
    )


def test_frozen_bytes_of_a_proof_file() -> None:
    """Version 3 of the format, for ever."""
    assert make_proof().to_bytes().hex() == (
        "8956455241434954590a"
        + b"VPRF".hex()
        + "03000000"
        + "ab" * 32
        + "01000000"
        + "0600000063617365"
        + "2037"
        + "04000000"
        "14000000"
        + "0000000001000000020000000100000003000000"
        + "00000000"
        + "08000000"
        + b"argument".hex()
    )
