"""Token tables, prompt frames and proof files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from veracity.api.proof import Proof, statement_context
from veracity.api.tokens import PromptFrame, TokenTable
from veracity.errors import FormatError, VerificationError

TABLE = TokenTable(
    (b"<s>", b"<|user|>", b"hello", b" world", b"\xe2", b"\x82\xac"), frozenset({0, 1})
)
FRAME = PromptFrame((0, 1), (1,))


def test_table_round_trip_and_digest() -> None:
    again = TokenTable.from_bytes(TABLE.to_bytes())
    assert again == TABLE
    assert again.digest == TABLE.digest


def test_decoding_leaves_out_special_tokens_and_joins_bytes() -> None:
    assert TABLE.decode([0, 2, 3]) == "hello world"
    assert TABLE.decode([4, 5]) == "€"
    assert TABLE.decode([4]) == "\N{REPLACEMENT CHARACTER}"


@given(st.binary(max_size=60))
def test_garbage_tables_give_typed_errors(data: bytes) -> None:
    try:
        assert TokenTable.from_bytes(data).to_bytes() == data
    except FormatError:
        return


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
    return Proof("ab" * 32, "chat", (0, 1, 2, 1, 3), 4, b"argument")


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


def test_frozen_bytes_of_a_proof_file() -> None:
    """Version 2 of the format, for ever."""
    assert make_proof().to_bytes().hex() == (
        "8956455241434954590a" + b"VPRF".hex() + "02000000" + "ab" * 32 + "01000000" + "04000000"
        "14000000"
        + "0000000001000000020000000100000003000000"
        + "00000000"
        + "08000000"
        + b"argument".hex()
    )
