"""Foreign model files: a model, or an error of an importer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.mutations import changed, fuzz, mutated, parsed
from veracity.errors import FormatError, UnsupportedModelError, UsageError
from veracity.frontends.llama2c import is_checkpoint, read_checkpoint, read_pieces
from veracity.frontends.safetensors import read_safetensors
from veracity.lm.tokenizer import Tokenizer
from veracity.lm.tokenizer_json import byte_level_json
from veracity.lm.tokenizer_rules import stated_rule
from veracity.text.words import DIGITS, GPT2

IMPORTS = (UnsupportedModelError, UsageError)


def _safetensors() -> bytes:
    entries = {
        "__metadata__": {},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "BF16", "shape": [4], "data_offsets": [24, 32]},
        "c": {"dtype": "U8", "shape": [], "data_offsets": [32, 33]},
    }
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + bytes(33)


@given(source=st.data())
@fuzz
def test_safetensors(source: st.DataObject, tmp_path: Path) -> None:
    path, honest = tmp_path / "m.safetensors", _safetensors()
    size = int.from_bytes(honest[:8], "little")
    if source.draw(st.booleans()):
        path.write_bytes(source.draw(mutated([honest])))
    else:
        body = source.draw(changed(json.loads(honest[8 : 8 + size])))
        header = json.dumps(body).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(33))
    parsed(lambda: read_safetensors(path), *IMPORTS)


def _checkpoint(vocab: int) -> bytes:
    dim, hidden, layers, heads, kv, context = 4, 3, 1, 2, 1, 5
    head_dim = dim // heads
    count = abs(vocab) * dim + 2 * layers * dim + dim + context * head_dim
    count += layers * (2 * dim * dim + 2 * kv * head_dim * dim + 3 * dim * hidden)
    count += abs(vocab) * dim if vocab < 0 else 0
    values = np.random.default_rng(1).standard_normal(count).astype("<f4")
    head = np.array([dim, hidden, layers, heads, kv, vocab, context], dtype="<i4")
    return head.tobytes() + values.tobytes()


@given(data=mutated([_checkpoint(6), _checkpoint(-6)]))
@fuzz
def test_llama2c_checkpoints(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.bin"
    path.write_bytes(data)
    parsed(lambda: is_checkpoint(path))
    parsed(lambda: read_checkpoint(path), *IMPORTS)


def test_the_checkpoints_to_start_from_are_read(tmp_path: Path) -> None:
    for vocab in (6, -6):
        (tmp_path / "m.bin").write_bytes(_checkpoint(vocab))
        assert read_checkpoint(tmp_path / "m.bin").config.vocab == 6


def test_numbers_that_overflow_are_refused_without_a_warning(tmp_path: Path) -> None:
    data = bytearray(_checkpoint(6))
    data[28:-20] = np.full((len(data) - 48) // 4, 1e38, dtype="<f4").tobytes()
    (tmp_path / "m.bin").write_bytes(data)
    with pytest.raises(FormatError, match="not finite"):
        read_checkpoint(tmp_path / "m.bin")


def _pieces() -> bytes:
    out = (3).to_bytes(4, "little")
    for k, piece in enumerate([b"<unk>", b"a", b"b", b"ab"]):
        out += np.float32(-k).tobytes() + len(piece).to_bytes(4, "little") + piece
    return out


@given(data=mutated([_pieces()]))
@fuzz
def test_llama2c_tokenizers(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "t.bin"
    path.write_bytes(data)
    found = parsed(lambda: read_pieces(path, 4))
    assert found is None or len(found[0]) == len(found[1]) == 4


TOKENS = [b"a", b"b", b"c", b"ab", b"abc"]
JSON = byte_level_json(
    {t.decode(): i for i, t in enumerate(TOKENS)}, [("a", "b"), ("ab", "c")], (DIGITS, GPT2)
)


@given(changed(json.loads(JSON)))
@fuzz
def test_tokenizer_json_of_strange_values(body: Any) -> None:
    parsed(lambda: stated_rule(json.dumps(body), TOKENS))


@given(mutated([JSON.encode()]))
@fuzz
def test_tokenizer_json_of_strange_bytes(data: bytes) -> None:
    text = data.decode("utf-8", errors="replace")
    parsed(lambda: stated_rule(text, TOKENS))


BODIES: list[dict[str, Any]] = [
    {
        "kind": "bytes", "tokens": ["YQ==", "Yg==", "Yw==", "YWI=", "YWJj"], "json": JSON,
        "special": [2], "stop": [2], "raw": [[2], []], "chat": [[2], [1]],
    },
    {
        "kind": "pieces", "tokens": ["YQ==", "Yg==", "YWI="], "scores": ["0.0", "-1.0", "-2.0"],
        "special": [], "stop": [0], "raw": [[], []], "chat": None,
    },
]  # fmt: skip


def _use(body: Any) -> list[int]:
    tokenizer = Tokenizer(body)
    tokenizer.check()
    tokenizer.prepare()
    frame = tokenizer.frame(chat=True) or tokenizer.frame(chat=False) or ([], [])
    tokenizer.decode([*frame[0], *frame[1], *tokenizer.stop_ids, *tokenizer.special_ids])
    return tokenizer.encode("ab ba")


@example({name: part for name, part in BODIES[1].items() if name != "chat"})
@given(st.sampled_from(BODIES).flatmap(lambda body: changed(body)))
@fuzz
def test_tokenizers(body: Any) -> None:
    if isinstance(body, dict):  # what every caller checks first
        parsed(lambda: _use(body), UsageError)


@given(source=st.data())
@fuzz
def test_gguf(source: st.DataObject, tmp_path: Path) -> None:
    pytest.importorskip("gguf")
    pytest.importorskip("tokenizers")
    from tests.unit.test_frontends_gguf import write
    from veracity.frontends.gguf import read_gguf

    honest, path = tmp_path / "honest.gguf", tmp_path / "m.gguf"
    if not honest.exists():
        write(honest)
    whole = honest.read_bytes()
    # Most of a file is tensors, in which nothing can go wrong: aim at what comes before.
    head = whole[:6000] if source.draw(st.booleans()) else whole
    path.write_bytes(source.draw(mutated([head])) + whole[len(head) :])
    parsed(lambda: read_gguf(path), *IMPORTS)
