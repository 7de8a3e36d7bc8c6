"""Tokenizers against plain definitions; the words of a user never become control tokens."""

from __future__ import annotations

import random
from importlib.resources import as_file, files
from itertools import pairwise
from pathlib import Path

import pytest

from veracity.frontends import Tokenizer
from veracity.frontends.llama2c import read_pieces
from veracity.frontends.tokenizer import byte_level_bytes, from_pieces


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


def test_gpt2_table_matches_its_library(data_dir: Path) -> None:
    library = pytest.importorskip("tokenizers")
    path = data_dir / "tokenizers" / "gpt2" / "tokenizer.json"
    if not path.is_file():
        pytest.skip("needs tokenizers/gpt2")
    gpt2 = library.Tokenizer.from_file(str(path))
    for text in ("Hello world", "caf\u00e9\n\n  12", "\u65e5\u672c"):
        ids = gpt2.encode(text).ids
        spelled = b"".join(byte_level_bytes(gpt2.id_to_token(i)) for i in ids)
        assert spelled.decode() == text
