"""Foreign files of our own formats: typed errors, or exactly the bytes that were read."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mutations import changed, fuzz, mutated, parsed
from tests.unit.test_formats import COMMITMENT, METADATA, MODEL, PROGRAM, SECRET, TABLE
from tests.unit.test_formats_program import rebuilt, tiny
from veracity.codec import ByteReader, ByteWriter, canonical_json, parse_json
from veracity.errors import UsageError
from veracity.formats.accuracy import AccuracyProof
from veracity.formats.answers import AnswersProof
from veracity.formats.commitment import DOMAIN, KIND, VERSION, Commitment, read_program
from veracity.formats.data import DataFile, DataSecret, RowOpening
from veracity.formats.examples import read_examples
from veracity.formats.exclusion import ExclusionProof
from veracity.formats.images import image_bytes, read_image
from veracity.formats.npy import array_bytes, read_array
from veracity.formats.program import load_program_file, save_program_file
from veracity.formats.proof import Proof
from veracity.formats.seal import Seal, SealKey
from veracity.formats.secret import Secret
from veracity.formats.tensor_proof import TensorProof
from veracity.formats.training import Checkpoint, RunDescription, TrainingProof, WindowFile
from veracity.graph import Program
from veracity.graph.training import Recipe
from veracity.graph.training.network import dense
from veracity.private.card import Card
from veracity.text import Pieces
from veracity.text.chat import Message
from veracity.text.table import TokenTable
from veracity.zkml import ModelCommitment, ModelOpening
from veracity.zkml.committed import CommittedTensor, TensorSpec
from veracity.zkml.training.data import DataCommitment
from veracity.zkml.training.run import RunProof

PROOF = Proof(COMMITMENT.digest, "raw", (0, 2, 3, 1), 2, b"argument" * 5, (3, 7))
TINY = tiny()
PARTS = ["meta", "config", "tokenizer", "program", "report"]
TABLES = [
    TABLE.to_bytes(),
    replace(TABLE, rule=None).to_bytes(),
    replace(TABLE, rule=Pieces((0, 1, 2, 3))).to_bytes(),
]


def resealed(data: bytes) -> bytes:
    """The same body with a checksum that is right."""
    body = data[:-32]
    return body + hashlib.sha256(body).digest()


@given(mutated([PROOF.to_bytes(), replace(PROOF, cuts=(), frame="chat").to_bytes()]))
@fuzz
def test_proofs(data: bytes) -> None:
    proof = parsed(lambda: Proof.from_bytes(data))
    assert proof is None or proof.to_bytes() == data


TENSORS = TensorProof("ab" * 32, {"x": bytes(32)}, {"a": bytes(32), "b": bytes(32)}, b"proof", (3,),
                      7, "nonce", frozenset("b"))  # fmt: skip


@given(mutated([TENSORS.to_bytes()]))
@fuzz
def test_proofs_about_tensors(data: bytes) -> None:
    proof = parsed(lambda: TensorProof.from_bytes(data))
    assert proof is None or proof.to_bytes() == data


SPEC = TensorSpec((2, 3), 4, -9, 9, 12)
SEAL = Seal(CommittedTensor(SPEC, bytes(32 * SPEC.rows)))
SEAL_KEY = SealKey(SEAL, bytes(range(32)), np.arange(6).reshape(2, 3))


@given(mutated([SEAL.to_bytes(), SEAL_KEY.to_bytes()]))
@fuzz
def test_seals(data: bytes) -> None:
    for kind in (Seal, SealKey):
        for file in (data, resealed(data)):
            found = parsed(lambda kind=kind, file=file: kind.from_bytes(file))
            assert found is None or found.to_bytes() == file


ACCURACY = AccuracyProof("ab" * 32, "cd" * 32, "y", np.arange(9), b"proof", (3,), "nonce")


@given(mutated([ACCURACY.to_bytes()]))
@fuzz
def test_proofs_about_accuracy(data: bytes) -> None:
    proof = parsed(lambda: AccuracyProof.from_bytes(data))
    assert proof is None or proof.to_bytes() == data


SEVERAL = AnswersProof(
    "ab" * 32,
    (
        Proof("ab" * 32, "raw", (1, 2, 3), 2, b""),
        Proof("ab" * 32, "messages", (4, 5), 1, b"", messages=(Message("user", "x"),)),
    ),
    b"proof",
    (3,),
    "nonce",
)


@given(mutated([SEVERAL.to_bytes()]))
@fuzz
def test_proofs_of_several_answers(data: bytes) -> None:
    proof = parsed(lambda: AnswersProof.from_bytes(data))
    assert proof is None or proof.to_bytes() == data


def packed_examples(save: Any) -> bytes:
    out = BytesIO()
    save(out, x=np.arange(12.0).reshape(3, 4), y=np.array([0, 1, 2]))
    return out.getvalue()


@given(mutated([packed_examples(np.savez), packed_examples(np.savez_compressed)]))
@fuzz
def test_examples(data: bytes) -> None:
    found = parsed(lambda: read_examples(data, "examples"))
    assert found is None or all(len(x) == found.count for x in found.inputs.values())


@given(mutated([array_bytes(np.arange(6.0).reshape(2, 3)), array_bytes(np.array([True, False]))]))
@fuzz
def test_arrays(data: bytes) -> None:
    found = parsed(lambda: read_array(data, "array"))
    assert found is None or (found.size and np.isfinite(found.astype(float)).all())


PIXELS = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
PICTURES = [image_bytes(PIXELS), image_bytes(PIXELS[..., :1]), b"P6 5 4 255\n" + PIXELS.tobytes()]


def rechecked(data: bytes) -> bytes:
    """A PNG file whose checksums are right, as far as it has parts."""
    out, at = data[:8], 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        part = data[at + 4 : end - 4]
        out += data[at : at + 4] + part + zlib.crc32(part).to_bytes(4, "big")
        at = end
    return out + data[at:]


@given(mutated(PICTURES))
@fuzz
def test_pictures(data: bytes) -> None:
    for file in (data, rechecked(data)):
        found = parsed(lambda file=file: read_image(file, "picture"))
        if found is not None:
            assert np.array_equal(read_image(image_bytes(found), "picture"), found)


@given(mutated([zlib.decompress(PICTURES[0][41:-16])]))
@fuzz
def test_rows_of_pictures(data: bytes) -> None:
    """Other rows, well packed and with every checksum right."""
    packed = zlib.compress(data)
    file = PICTURES[0][:33] + len(packed).to_bytes(4, "big") + b"IDAT" + packed + bytes(4)
    parsed(lambda: read_image(rechecked(file + PICTURES[0][-12:]), "picture"))


RECIPE = Recipe(dense(2, 3), 1, (5, 5, 4))
RUN = RunDescription(RECIPE, (bytes(32),), 2, 12, b"beacon")
DATA = DataFile(DataCommitment(2, 3, bytes(64), "label"), (b"form", b"of rows"))
DATA_SECRET = DataSecret(
    bytes(32), bytes(range(32)), np.arange(4, dtype=np.uint8).reshape(2, 2), np.array([0, 2])
)
TRAINED = TrainingProof(RUN, "ab" * 32, RunProof([b"r" * 32] * 2, [b"w", b"x"], [b"r", b"s"]))


@given(
    mutated(
        [
            DATA.to_bytes(),
            DATA_SECRET.to_bytes(),
            RowOpening(bytes(32), 1, (7, 8, 0, 1, 0), bytes(64)).to_bytes(),
            TRAINED.to_bytes(),
            ExclusionProof(b"in", (bytes(32), b"d" * 32), (b"one", b"two")).to_bytes(),
        ]
    )
)
@fuzz
def test_files_of_training(data: bytes) -> None:
    for kind in (DataFile, DataSecret, RowOpening, TrainingProof, ExclusionProof):
        for file in (data, resealed(data)):
            found = parsed(lambda kind=kind, file=file: kind.from_bytes(file))
            assert found is None or found.to_bytes() == file


@given(mutated([WindowFile(RUN.digest, 1, b"rows", b"proof").to_bytes()]))
@fuzz
def test_files_of_a_run(data: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "it"
        path.write_bytes(resealed(data))
        parsed(lambda: WindowFile.load(path))
        parsed(lambda: Checkpoint.load(path, RECIPE))


@given(mutated([RUN.encoded]))
@fuzz
def test_descriptions_of_runs(data: bytes) -> None:
    found = parsed(lambda: RunDescription.parse(data, "run"))
    assert found is None or found.encoded == data


NAMING = replace(COMMITMENT, masked_weights=bytes(range(32)))


@given(mutated([COMMITMENT.to_bytes(), NAMING.to_bytes(), SECRET.to_bytes()]))
@fuzz
def test_commitments_and_secrets(data: bytes) -> None:
    for kind in (Commitment, Secret):
        for file in (data, resealed(data)):
            found = parsed(lambda kind=kind, file=file: kind.from_bytes(file))
            assert found is None or found.to_bytes() == file


def sealed(metadata: bytes, program: bytes, table: bytes, rows: bytes) -> bytes:
    """A ``.vcom`` file of these parts, with every length, digest and checksum right."""
    writer, annex = ByteWriter(), ByteWriter()
    writer.header(KIND, VERSION)
    writer.blob(metadata)
    writer.deflated(program)
    writer.deflated(table)
    writer.blob(rows)
    body = writer.getvalue()
    annex.blob(COMMITMENT.well_formed)
    annex.blob(COMMITMENT.widths)
    tail = annex.getvalue()
    return body + hashlib.sha256(DOMAIN + body).digest() + tail + hashlib.sha256(tail).digest()


def test_sealed_parts_that_are_unchanged_are_read() -> None:
    """Else the next test would try nothing but the header."""
    stated = canonical_json(METADATA.to_plain())
    file = sealed(stated, PROGRAM.to_json().encode(), TABLE.to_bytes(), MODEL.to_bytes())
    assert Commitment.from_bytes(file).digest == COMMITMENT.digest


@given(st.data(), st.sampled_from(["metadata", "program", "table", "rows"]))
@fuzz
def test_well_sealed_parts(data: st.DataObject, part: str) -> None:
    """A change inside one compressed part, with every length and checksum right."""
    metadata: Any = METADATA.to_plain()
    program = PROGRAM.to_json().encode()
    table, rows = TABLE.to_bytes(), MODEL.to_bytes()
    if part == "metadata":
        metadata = data.draw(changed(metadata))
    elif part == "program":
        program = data.draw(mutated([program]))
        metadata["program_digest"] = hashlib.sha256(program).hexdigest()
    elif part == "table":
        table = data.draw(mutated(TABLES))
        metadata["tokenizer_digest"] = hashlib.sha256(table).hexdigest()
    else:
        rows = data.draw(mutated([rows]))
    try:
        stated = canonical_json(metadata)
    except ValueError:  # no JSON, so nobody can send it
        return
    file = sealed(stated, program, table, rows)
    found = parsed(lambda: Commitment.from_bytes(file))
    if found is not None:
        # What was understood is what was written.
        assert found.program.to_json().encode() == program
        assert found.table.to_bytes() == table
        assert found.model.to_bytes() == rows
        assert canonical_json(found.metadata.to_plain()) == canonical_json(metadata)


@given(mutated([MODEL.to_bytes(), SECRET.opening.to_bytes()]))
@fuzz
def test_commitments_and_openings_of_weights(data: bytes) -> None:
    for kind in (ModelCommitment, ModelOpening):
        found = parsed(lambda kind=kind: kind.from_bytes(data))
        assert found is None or found.to_bytes() == data


@given(mutated(TABLES))
@fuzz
def test_token_tables(data: bytes) -> None:
    table = parsed(lambda: TokenTable.from_bytes(data))
    if table is not None:
        assert table.to_bytes() == data
        # Encoding what a strange table spells gives ids or says that there are none.
        parsed(lambda: table.encoder and table.encoder.encode("a aa\0b"), UsageError)


def _packed() -> bytes:
    writer = ByteWriter()
    writer.u32(7)
    writer.blob(b"abc")
    writer.deflated(b"x" * 1000)
    return writer.getvalue()


@given(mutated([_packed()]))
@fuzz
def test_fields(data: bytes) -> None:
    reader = ByteReader(data, "file")

    def read() -> int:
        reader.u32("n", 100)
        size = len(reader.blob("blob", 100)) + len(reader.deflated("packed", 5000))
        reader.finish()
        return size

    size = parsed(read)
    assert size is None or size <= 5100


@given(mutated([canonical_json(METADATA.to_plain()), PROGRAM.to_json().encode()]))
@fuzz
def test_json(data: bytes) -> None:
    value = parsed(lambda: [parse_json(data, "json")])
    assert value is None or canonical_json(value[0]) == data


@given(changed(json.loads(PROGRAM.to_json())))
@fuzz
def test_programs_of_strange_values(body: Any) -> None:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    program = parsed(lambda: read_program(text.encode(), "program"))
    assert program is None or program.to_json() == text


@given(mutated([PROGRAM.to_json().encode()]))
@fuzz
def test_programs_of_strange_bytes(data: bytes) -> None:
    program = parsed(lambda: read_program(data, "program"))
    assert program is None or program.to_json().encode() == data
    text = data.decode("utf-8", errors="replace")
    again = parsed(lambda: Program.from_json(text))
    assert again is None or again.to_json() == text


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("file") / "tiny.vprog"
    save_program_file(path, TINY)
    return path


@given(source=st.data())
@fuzz
def test_program_files(source: st.DataObject, written: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.vprog"
    path.write_bytes(source.draw(mutated([written.read_bytes()])))
    parsed(lambda: load_program_file(path))


def test_many_stated_layers_take_no_memory(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "changed.vprog"
    config = {**TINY.model.config.as_dict(), "layers": (1 << 20) - 1}
    path.write_bytes(rebuilt(written, "config.json", json.dumps(config).encode()))
    assert parsed(lambda: load_program_file(path)) is None


@given(source=st.data(), part=st.sampled_from(PARTS))
@fuzz
def test_members_of_program_files(
    source: st.DataObject, part: str, written: Path, tmp_path: Path
) -> None:
    content, path = TINY, tmp_path / "changed.vprog"
    honest: dict[str, Any] = {
        "meta": {"format": 3, "source": content.source},
        "config": content.model.config.as_dict(),
        "tokenizer": dict(content.tokenizer.body),
        "program": json.loads(content.program.to_json()) if content.program else {},
        "report": content.report,
    }
    body = source.draw(changed(honest[part]))
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    path.write_bytes(rebuilt(written, f"{part}.json", text.encode()))
    parsed(lambda: load_program_file(path))


CARD = Card.of(TINY, bytes(32))


@given(mutated([CARD.to_bytes()]))
@fuzz
def test_cards_of_strange_bytes(data: bytes) -> None:
    card = parsed(lambda: Card.from_bytes(data))
    assert card is None or card.to_bytes() == data


@given(changed({"name": "n", "program": CARD.program.to_json(), "tokenizer": CARD.tokenizer.body}))
@fuzz
def test_cards_of_strange_values(body: Any) -> None:
    try:
        data = canonical_json(body)
    except ValueError:
        return
    card = parsed(lambda: Card.from_bytes(data))
    if card is not None:
        assert card.to_bytes() == data
        parsed(lambda: card.prompt("plain words", raw=True), UsageError)
