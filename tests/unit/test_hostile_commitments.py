"""Commitments with one part wrong, and what is asked of ``verify`` beside the proof itself."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.hostile import Field, written
from tests.unit.test_formats import COMMITMENT, METADATA, MODEL, PROGRAM, TABLE, hostile
from veracity import zkml
from veracity.errors import FormatError, MismatchError, UsageError, VerificationError
from veracity.formats.commitment import MAX_NESTS, MAX_PROGRAM, Commitment, read_program
from veracity.formats.proof import Proof
from veracity.graph import WeightSpec
from veracity.proving import discharge as discharging
from veracity.proving import verify as verifying
from veracity.text.chat import ChatFrame
from veracity.text.table import MAX_TABLE_BYTES, PromptFrame, TokenTable
from veracity.work import well_formed

PLAIN = METADATA.to_plain()
CHAT = ChatFrame((0,), (1,))
FRAMES = "the frames must be 'raw' and perhaps 'chat'"


def stated(**changes: object) -> bytes:
    return hostile(metadata=PLAIN | changes)


@pytest.mark.parametrize("metadata", [None, [], "x", list(PLAIN)])
def test_metadata_that_are_no_object(metadata: object) -> None:
    with pytest.raises(FormatError, match="must have exactly the fields"):
        Commitment.from_bytes(hostile(metadata=metadata))


@pytest.mark.parametrize("name", sorted(PLAIN.keys() - {"conversation"}))
def test_fields_of_metadata(name: str) -> None:
    lacking = {k: v for k, v in PLAIN.items() if k != name}
    with pytest.raises(FormatError, match="must have exactly the fields"):
        Commitment.from_bytes(hostile(metadata=lacking))
    for value in (None, True, 1.5):
        with pytest.raises(FormatError, match=f"'{name}' must be of type"):
            Commitment.from_bytes(stated(**{name: value}))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (stated(more=1), "must have exactly the fields"),
        (stated(frames={}), FRAMES),
        (stated(frames={"chat": PLAIN["frames"]["raw"]}), FRAMES),
        (stated(frames=PLAIN["frames"] | {"other": PLAIN["frames"]["raw"]}), FRAMES),
        (stated(frames={"raw": {"before": [4], "after": []}}), "no token id"),
        (stated(frames={"raw": {"before": [2], "after": []}}), "may hold special tokens only"),
        (stated(stop_ids=[4]), "'stop_ids' holds something that is no token id"),
        (stated(stop_ids=[-1]), "'stop_ids' holds something that is no token id"),
        (stated(stop_ids=[True]), "'stop_ids' holds something that is no token id"),
        (stated(conversation=CHAT.to_plain() | {"edges": "lost"}), "no such rule for the ends"),
        (stated(conversation=replace(CHAT, after_user=(4,)).to_plain()), "neither text nor mark"),
        (stated(conversation=replace(CHAT, after_user=(2,)).to_plain()), "token 2 is text"),
        (stated(program_digest="00"), "the metadata names another program"),
        (stated(tokenizer_digest="00"), "the metadata names another tokenizer"),
    ],
)
def test_metadata_that_cannot_be(content: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        Commitment.from_bytes(content)


def test_programs_of_too_many_lists_and_objects_are_not_parsed() -> None:
    half = MAX_NESTS // 2
    with pytest.raises(FormatError, match="malformed"):
        read_program(b"[" * half + b"{" * half, "program")
    for one in (b"[", b"{"):
        with pytest.raises(FormatError, match="lists and objects"):
            read_program(b"[" * half + one + b"{" * half, "program")


def test_a_commitment_with_a_conversation_is_read() -> None:
    found = Commitment.from_bytes(stated(conversation=CHAT.to_plain()))
    assert found.metadata.conversation == CHAT


def test_program_and_tokens_have_one_vocabulary() -> None:
    table = TokenTable((*TABLE.pieces, b"b"), TABLE.special, TABLE.rule)
    metadata = PLAIN | {"tokenizer_digest": table.digest}
    with pytest.raises(FormatError, match="different vocabularies"):
        Commitment.from_bytes(hostile(metadata=metadata, table=table.to_bytes()))


WHOLE = COMMITMENT.to_bytes()


def packed(size: int, data: bytes) -> tuple[Field, ...]:
    return size, zlib.compress(data)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (WHOLE + b"\0", "1 bytes too many"),
        (WHOLE[:-33] + b"\1" + WHOLE[-32:], "ends too early"),
        (WHOLE[:-1] + bytes([WHOLE[-1] ^ 1]), "annex checksum"),
        (WHOLE[:-73] + bytes([WHOLE[-73] ^ 1]) + WHOLE[-72:], "digest: the file is damaged"),
        (written(b"", *packed(MAX_PROGRAM + 1, b""), kind=b"VCOM", version=4), "program: .* limit"),
        (
            written(
                b"", *packed(0, b""), *packed(MAX_TABLE_BYTES + 1, b""), kind=b"VCOM", version=4
            ),
            "token table: .* limit",
        ),
    ],
)
def test_containers_that_cannot_be(content: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        Commitment.from_bytes(content)


# --- arguments and expectations of verify

PROOF = Proof(COMMITMENT.digest, "raw", (0, 3, 2, 1), 2, b"argument", (), "case 7")
EXPECTED: dict[str, Any] = {
    "prompt": "aa", "answer": "a", "raw": True, "context": "case 7", "digest": COMMITMENT.digest,
}  # fmt: skip


@pytest.fixture
def accepted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every argument is taken for proved; the number of times that one was checked."""
    calls: list[str] = []
    monkeypatch.setattr(verifying, "discharge", lambda *_, **__: calls.append("checked"))
    return calls


def verify(proof: Proof = PROOF, commitment: Commitment = COMMITMENT, **expected: Any) -> Any:
    return verifying.verify(proof, commitment, backend="reference", **expected)


def test_a_proof_as_expected(accepted: list[str]) -> None:
    assert verify(**EXPECTED).answer == "a"
    assert verify().prompt == "aa"
    assert len(accepted) == 2


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"prompt": 7}, "'prompt' must be str"),
        ({"answer": b"a"}, "'answer' must be str"),
        ({"digest": 7}, "'digest' must be str"),
        ({"context": 7}, "'context' must be str"),
        ({"raw": 1}, "'raw' must be bool"),
        ({"raw": None}, "'raw' must be bool"),
        ({"threads": 0}, "'threads' is 0"),
        ({"progress": 7}, "'progress' must be a function"),
        ({"messages": [("user", "aa")]}, "expect a prompt or messages, one of them"),
        ({"prompt": None, "messages": "aa"}, "messages are a list"),
        ({"context": "x" * 4097}, "at most 4096 are allowed"),
        ({"context": "\ud800"}, "half a character"),
        ({"digest": COMMITMENT.digest[:-1]}, "the digest is not one"),
        ({"digest": COMMITMENT.digest + "0"}, "the digest is not one"),
        ({"digest": "g" * 64}, "the digest is not one"),
        ({"server_nonce": "00"}, "the server's nonce is not one"),
    ],
)
def test_arguments_that_cannot_be(
    accepted: list[str], change: dict[str, object], match: str
) -> None:
    with pytest.raises(UsageError, match=match):
        verify(**EXPECTED | change)
    assert not accepted


def test_the_backend_is_named_before_anything_is_read(accepted: list[str]) -> None:
    with pytest.raises(UsageError, match="'backend' must be str"):
        verifying.verify(PROOF, COMMITMENT, backend=7)  # type: ignore[arg-type]
    assert not accepted


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"prompt": "a"}, "prompt"),
        ({"answer": "aa"}, "answer"),
        ({"context": "case 8"}, "context"),
        ({"context": ""}, "context"),
    ],
)
def test_true_proofs_of_something_else(
    accepted: list[str], change: dict[str, object], match: str
) -> None:
    with pytest.raises(MismatchError, match=match):
        verify(**EXPECTED | change)
    assert accepted  # said of proofs that hold, and of no others


def test_true_proofs_in_another_frame(accepted: list[str]) -> None:
    frames = {"raw": PromptFrame((0,), ()), "chat": PromptFrame((0,), ())}
    pinned = replace(COMMITMENT, metadata=replace(METADATA, frames=frames))
    raw = replace(PROOF, commitment_digest=pinned.digest)
    assert verify(raw, pinned, prompt="aa", raw=True).frame == "raw"
    for proof, said in ((raw, False), (replace(raw, frame="chat"), True)):
        with pytest.raises(MismatchError, match="frame"):
            verify(proof, pinned, prompt="aa", raw=said)
    talks = replace(COMMITMENT, metadata=replace(METADATA, conversation=CHAT))
    proof = replace(PROOF, commitment_digest=talks.digest)
    with pytest.raises(MismatchError, match="frame"):
        verify(proof, talks, messages=[("user", "aa")])
    assert len(accepted) == 4


def test_true_proofs_of_another_conversation(accepted: list[str]) -> None:
    talks = replace(COMMITMENT, metadata=replace(METADATA, conversation=CHAT))
    asked = tuple(verifying.as_messages([("user", "aa")]))
    proof = Proof(talks.digest, "messages", (0, 3, 1, 2), 3, b"argument", messages=asked)
    assert verify(proof, talks, messages=[("user", "aa")]).frame == "messages"
    assert verify(proof, talks, prompt="aa").frame == "messages"
    for other in ({"messages": [("user", "a")]}, {"prompt": "a"}):
        with pytest.raises(MismatchError, match="messages"):
            verify(proof, talks, **other)
    assert len(accepted) == 4


@pytest.mark.parametrize(
    ("proof", "match"),
    [
        (replace(PROOF, commitment_digest="00" * 32), "made for another commitment"),
        (replace(PROOF, tokens=(0, 3, 4, 1)), "outside the vocabulary"),
        (replace(PROOF, tokens=(0, 3, *[2] * 7, 1)), "more tokens than the model's context"),
        (replace(PROOF, tokens=(0, 3, 1, 2)), "goes on after the token that ends it"),
        (replace(PROOF, frame="chat"), "has no chat template"),
        (replace(PROOF, tokens=(2, 3, 2, 1)), "not in the form the proof states"),
    ],
)
def test_proofs_that_are_false_whatever_they_hold(
    accepted: list[str], proof: Proof, match: str
) -> None:
    with pytest.raises(VerificationError, match=match):
        verify(proof)
    assert not accepted


def test_another_commitment_than_announced(accepted: list[str]) -> None:
    with pytest.raises(VerificationError, match="not the one announced"):
        verify(digest="00" * 32)
    assert not accepted


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model": replace(MODEL, log_columns=0)}, "row length out of bounds"),
        ({"model": replace(MODEL, log_columns=60)}, "row length out of bounds"),
        ({"program": replace(PROGRAM, ops=PROGRAM.ops[:1])}, "no text decoder"),
        ({"table": TokenTable(TABLE.pieces[:3], TABLE.special)}, "different vocabularies"),
        ({"metadata": replace(METADATA, frames={})}, "has no raw frame"),
        (
            {"metadata": replace(METADATA, frames={"raw": PromptFrame((2,), ())})},
            "may hold special tokens only",
        ),
    ],
)
def test_commitments_in_memory(accepted: list[str], change: dict[str, Any], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        verify(PROOF, replace(COMMITMENT, **change))
    assert not accepted


# --- what discharge asks for before and around the proof itself


@pytest.fixture
def argued(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Notes which of the three arguments are checked; all hold."""
    calls: list[str] = []
    for name in ("verify_well_formed", "verify_widths", "verify"):
        monkeypatch.setattr(zkml, name, lambda *_, name=name: calls.append(name))
    monkeypatch.setattr(well_formed, "cache_root", lambda: tmp_path)
    monkeypatch.setattr(well_formed, "load_key", lambda *_: None)
    return calls


STATEMENT: Any = SimpleNamespace(
    cuts=(), commitment=MODEL, log_columns=12, sampling=None, program=PROGRAM, outputs={}
)


def discharge(pinned: Commitment, max_time: float = 60.0) -> None:
    discharging.discharge(
        None, pinned, STATEMENT, b"argument", "false", max_time=max_time, progress=lambda *_: None
    )  # type: ignore[arg-type]


def test_every_argument_is_checked_and_those_about_weights_once(argued: list[str]) -> None:
    pinned = replace(COMMITMENT, well_formed=b"w", widths=b"x")
    discharge(pinned)
    assert argued == ["verify_well_formed", "verify_widths", "verify"]
    discharge(pinned)
    assert argued[3:] == ["verify"]
    discharge(replace(pinned, widths=b""))
    assert argued[4:] == ["verify_well_formed", "verify"]


def test_long_arrays_are_bounded_by_the_time_allowed(
    argued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[object] = []
    monkeypatch.setattr(zkml, "verify", lambda *given: allowed.append(given[-1]))
    for most in (7.0, 70.0):
        discharge(replace(COMMITMENT, well_formed=b"w"), most)
    assert allowed == [10_000_000, 100_000_000]


@pytest.mark.parametrize("part", ["well_formed", "widths"])
def test_what_is_said_of_weights_counts_while_it_is_unchecked(argued: list[str], part: str) -> None:
    """An annex of a mebibyte is as much work as a proof of one: for its first verifier."""
    long = replace(COMMITMENT, **{"well_formed": b"w", part: b"w" * (1 << 20)})
    with pytest.raises(UsageError, match="--max-time"):
        discharge(long, 0.6)
    assert not argued
    discharge(replace(COMMITMENT, well_formed=b"w"), 0.6)
    discharge(long, 60.0)
    discharge(long, 0.6)
    assert argued[-1] == "verify"


def test_widths_have_no_more_links_than_weights_or_bytes(argued: list[str]) -> None:
    """This model has one link's weights, whatever its annex is long."""
    pinned = replace(COMMITMENT, well_formed=b"w", widths=b"x" * (1 << 20))
    assert well_formed.annex_seconds(pinned) < 1.5
    many = replace(PROGRAM, weights={"table": WeightSpec((1 << 27, 2), "int16", 8, 16)})
    assert well_formed.annex_seconds(replace(pinned, program=many)) > 3.5
    few = replace(pinned, program=many, widths=b"x" * 1024)
    assert well_formed.annex_seconds(few) < 0.5


def test_long_weights_are_bounded_by_the_time_allowed(
    argued: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: list[object] = []
    monkeypatch.setattr(zkml, "verify_well_formed", lambda *given: allowed.append(given[-1]))
    discharge(replace(COMMITMENT, well_formed=b"w"), 7.0)
    well_formed.require_well_formed(None, replace(COMMITMENT, well_formed=b"v"))  # type: ignore[arg-type]
    assert allowed == [10_000_000, None]
    monkeypatch.undo()
    with pytest.raises(UsageError, match="the weights are long"):
        zkml.verify_well_formed(None, PROGRAM, MODEL, b"", None, 5)  # type: ignore[arg-type]


def test_weights_are_proved_and_time_is_bounded(argued: list[str]) -> None:
    with pytest.raises(VerificationError, match="carries no proof that its weights are integers"):
        discharge(COMMITMENT)
    pinned = replace(COMMITMENT, well_formed=b"w")
    for most, match in ((1e-9, "longer than the 1e-09 s"), (0.0, "positive number of seconds")):
        with pytest.raises(UsageError, match=match):
            discharge(pinned, most)
    assert not argued


@pytest.mark.parametrize("name", ["verify_well_formed", "verify_widths", "verify"])
@pytest.mark.parametrize("error", [VerificationError("no", "x"), FormatError("x", "no")])
def test_arguments_that_do_not_hold(
    argued: list[str], monkeypatch: pytest.MonkeyPatch, name: str, error: Exception
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(zkml, name, fails)
    with pytest.raises(VerificationError):
        discharge(replace(COMMITMENT, well_formed=b"w", widths=b"x"))
    assert "verify" not in argued
    assert not list(Path(well_formed.cache_root()).rglob("*")) or name == "verify"


def test_masked_weights_are_named_behind_the_digest(tmp_path: Path) -> None:
    named = replace(COMMITMENT, masked_weights=bytes(range(32)))
    assert named.digest == COMMITMENT.digest
    data = named.to_bytes()
    assert data[: -2 * 32] == COMMITMENT.to_bytes()
    again = Commitment.from_bytes(data)
    assert (again.masked_weights, again.to_bytes()) == (bytes(range(32)), data)
    assert Commitment.from_bytes(data[: -2 * 32]).masked_weights == b""
    path = tmp_path / "model.vcom"
    again.save(path)
    assert Commitment.load(path).masked_weights == bytes(range(32))


def test_masked_weights_that_were_changed_or_moved() -> None:
    named = replace(COMMITMENT, masked_weights=bytes(range(32))).to_bytes()
    changed = bytearray(named)
    changed[-64] ^= 1
    other = replace(COMMITMENT, metadata=replace(METADATA, package_version="other"))
    moved = other.to_bytes() + named[-64:]
    for data in (bytes(changed), moved):
        with pytest.raises(FormatError, match="of another commitment"):
            Commitment.from_bytes(data)
    for end in range(len(named) - 63, len(named)):
        with pytest.raises(FormatError):
            Commitment.from_bytes(named[:end])
    with pytest.raises(FormatError):
        Commitment.from_bytes(named + b"x")
