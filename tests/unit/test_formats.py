"""Commitment and secret files: exact round trips, and every damage a typed error."""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from veracity.codec import ByteWriter, canonical_json
from veracity.errors import FormatError, VerificationError
from veracity.formats.commitment import Commitment, Metadata, read_program
from veracity.formats.proof import Proof
from veracity.formats.secret import Secret
from veracity.graph import WeightSpec
from veracity.graph.ops import Embed, Head
from veracity.lm.text_decoder import text_decoder
from veracity.proving.inspect import inspect_file, load
from veracity.proving.verify import verify
from veracity.text import ByteLevel, Pieces
from veracity.text.table import PromptFrame, TokenTable
from veracity.text.words import DIGITS, GPT2
from veracity.zkml import ModelCommitment, ModelOpening

TABLE = TokenTable((b"<s>", b"</s>", b"a", b"aa"), frozenset({0, 1}), ByteLevel(((3, 1),)))
PROGRAM = text_decoder(
    name="tiny",
    arch={"layers": 0},
    vocab=4,
    context=8,
    ops=(Embed(name="embed", table="table"), Head(name="head", x="embed", weight="table", shift=2)),
    weights={"table": WeightSpec((4, 2), "int16", 8, 16)},
    exponents={"embed": 8, "head": 14},
)
METADATA = Metadata(
    source={"name": "tiny", "sha256": "00" * 32},
    parameters=8,
    program_digest=PROGRAM.digest,
    tokenizer_digest=TABLE.digest,
    quantisation={"bits": 16},
    calibration={"text": "none"},
    accuracy={"perplexity": 1.25},
    frames={"raw": PromptFrame((0,), ())},
    stop_ids=(1,),
    package_version="0",
)
MODEL = ModelCommitment(12, bytes.fromhex(PROGRAM.digest), bytes(32 * 4))
COMMITMENT = Commitment(METADATA, PROGRAM, TABLE, MODEL)
SECRET = Secret(COMMITMENT, bytes(32), ModelOpening(b"s" * 32, MODEL.digest))


def digest_of(data: bytes) -> str:
    """SHA-256 of all but the digest itself and an annex whose parts are empty."""
    return hashlib.sha256(b"veracity model v3" + data[:-72]).hexdigest()


def test_commitment_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "tiny.vcom"
    COMMITMENT.save(path)
    again = Commitment.load(path)
    assert again == COMMITMENT
    assert again.digest == COMMITMENT.digest == digest_of(path.read_bytes())
    assert "8 parameters" in repr(again)


def test_secret_round_trip_and_mode(tmp_path: Path) -> None:
    path = tmp_path / "tiny.vsec"
    SECRET.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Secret.load(path) == SECRET


def test_the_secret_never_shows_itself() -> None:
    for shown in (repr(SECRET), str(SECRET)):
        assert COMMITMENT.digest[:16] in shown
        assert "ssss" not in shown


def test_load_knows_every_kind(tmp_path: Path) -> None:
    proof = Proof(COMMITMENT.digest, "raw", (0, 2, 3), 2, b"")
    for content, kind in ((COMMITMENT, "commitment"), (SECRET, "secret"), (proof, "proof")):
        path = tmp_path / kind
        content.save(path)
        assert load(path) == content
        assert kind in inspect_file(path)["kind"]


def test_inspect_warns_of_a_secret_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / "tiny.vsec"
    SECRET.save(path)
    path.chmod(0o644)
    assert "chmod 600" in inspect_file(path)["mode"]


@pytest.mark.parametrize("kind", [COMMITMENT, SECRET], ids=["commitment", "secret"])
def test_every_truncation_flip_and_extension_is_a_format_error(kind: Commitment | Secret) -> None:
    data = kind.to_bytes()
    parse = type(kind).from_bytes
    for end in range(0, len(data), 7):
        with pytest.raises(FormatError):
            parse(data[:end])
    for place in range(0, len(data), 5):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        with pytest.raises(FormatError):
            parse(bytes(damaged))
    with pytest.raises(FormatError):
        parse(data + b"\0")


def sealed(metadata: object, program: str, table: bytes, rows: bytes) -> bytes:
    writer = ByteWriter()
    writer.header(b"VCOM", 4)
    writer.blob(canonical_json(metadata))
    writer.deflated(program.encode())
    writer.deflated(table)
    writer.blob(rows)
    body = writer.getvalue()
    digest = hashlib.sha256(b"veracity model v3" + body).digest()
    return body + digest + bytes(8) + hashlib.sha256(bytes(8)).digest()


def hostile(**changes: object) -> bytes:
    parts = {
        "metadata": METADATA.to_plain(),
        "program": PROGRAM.to_json(),
        "table": TABLE.to_bytes(),
        "rows": MODEL.to_bytes(),
    }
    return sealed(**{**parts, **changes})  # type: ignore[arg-type]


def test_the_hostile_file_is_honest_without_changes() -> None:
    assert Commitment.from_bytes(hostile()) == COMMITMENT


@pytest.mark.parametrize(
    "changes",
    [
        {"metadata": None},
        {"metadata": []},
        {"metadata": {}},
        {"metadata": {**METADATA.to_plain(), "extra": 1}},
        {"metadata": {**METADATA.to_plain(), "parameters": "8"}},
        {"metadata": {**METADATA.to_plain(), "parameters": True}},
        {"metadata": {**METADATA.to_plain(), "stop_ids": [4]}},
        {"metadata": {**METADATA.to_plain(), "stop_ids": [[]]}},
        {"metadata": {**METADATA.to_plain(), "frames": {}}},
        {"metadata": {**METADATA.to_plain(), "frames": {"raw": {"before": [9], "after": []}}}},
        {"metadata": {**METADATA.to_plain(), "program_digest": "00"}},
        {"metadata": {**METADATA.to_plain(), "tokenizer_digest": "00"}},
        {"program": "{}"},
        {"program": "[" * 5000 + "]" * 5000},
        {"program": '{"arch":' * 3000 + "1" + "}" * 3000},
        {"program": PROGRAM.to_json() + " "},
        {"program": PROGRAM.to_json().replace('"high":3', '"high":4')},
        {"program": replace(PROGRAM, name="other").to_json()},
        {"table": TokenTable(TABLE.pieces[:3], frozenset()).to_bytes()},
        {"table": b"\xff\xff\xff\xff"},
        {"table": replace(TABLE, rule=None).to_bytes()},
        {"table": replace(TABLE, rule=Pieces((0,) * 4)).to_bytes()},
        {"table": replace(TABLE, rule=ByteLevel(())).to_bytes()},
        {"table": replace(TABLE, rule=ByteLevel(((3, 1),), (DIGITS, GPT2))).to_bytes()},
        {"table": TABLE.to_bytes()[:-2] + b"\2\0"},
        {"rows": b""},
        {"rows": MODEL.to_bytes()[:-1]},
    ],
)
def test_well_sealed_nonsense_is_a_format_error(changes: dict[str, object]) -> None:
    with pytest.raises(FormatError):
        Commitment.from_bytes(hostile(**changes))


def mutate(value: object, path: list[int], replacement: object) -> object:
    """Replace one leaf of nested plain data."""
    if not path or not isinstance(value, dict | list) or not value:
        return replacement
    keys = sorted(value) if isinstance(value, dict) else range(len(value))
    key = list(keys)[path[0] % len(value)]
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = mutate(value[key], path[1:], replacement)
    return copy


LEAVES = st.none() | st.integers() | st.text(max_size=4) | st.just([]) | st.just({}) | st.booleans()


@given(st.lists(st.integers(0, 30), max_size=5), LEAVES)
@settings(max_examples=300)
def test_mutated_programs_parse_or_give_format_errors(path: list[int], leaf: object) -> None:
    body = mutate(json.loads(PROGRAM.to_json()), path, leaf)
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    try:
        program = read_program(text.encode(), "program")
    except FormatError:
        return
    assert program.to_json() == text


# ---- checks of verify that come before the argument -----------------------------------------


def statement(**changes: object) -> Proof:
    honest = Proof(COMMITMENT.digest, "raw", (0, 2, 3), 2, b"argument")
    return replace(honest, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"commitment_digest": "00" * 32}, "another commitment"),
        ({"frame": "chat"}, "no chat template"),
        ({"tokens": (0, 2, 4)}, "outside the vocabulary"),
        ({"tokens": (0, *[2] * 9), "prompt_length": 2}, "context"),
        ({"tokens": (2, 2, 3)}, "not in the form"),
        ({"tokens": (0, 0, 3)}, "special tokens"),
        ({"tokens": (0, 2, 2, 3), "prompt_length": 3}, "another tokenisation"),
        ({"tokens": (0, 2, 1, 3)}, "goes on after"),
        ({}, "."),
    ],
)
def test_false_statements_are_rejected(changes: dict[str, object], says: str) -> None:
    with pytest.raises((VerificationError, FormatError), match=says):
        verify(statement(**changes), COMMITMENT)


@pytest.mark.parametrize(("frame", "said"), [(2, "frame: 2 is over"), (9, "frame: 9 is over")])
def test_plain_proofs_have_no_other_frame(frame: int, said: str) -> None:
    """Conversations are in files of the extended version only."""
    honest = Proof(COMMITMENT.digest, "chat", (0, 2, 3), 2, b"argument").to_bytes()
    at = len(b"\x89VERACITY\nVPRF") + 4 + 32
    assert honest[at : at + 4] == b"\1\0\0\0"
    with pytest.raises(FormatError, match=said):
        Proof.from_bytes(honest[:at] + bytes([frame]) + honest[at + 1 :])
