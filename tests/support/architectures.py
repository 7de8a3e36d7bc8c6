"""Tiny models of every architecture: configuration, names and shapes, weights from a seed, logits.

``tests/vectors/architectures.json`` has, for each, what ``config.json`` says, the shapes of its
tensors, and the logits that transformers computes with the weights that :func:`tensors` makes;
``tests/vectors/make_architectures.py`` writes it.
"""

from __future__ import annotations

import base64
import json
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["COLUMNS", "IDS", "PATH", "cases", "logits_of", "tensors", "write_folder"]

PATH = Path(__file__).parents[1] / "vectors" / "architectures.json"
#: The tokens that logits belong to.
IDS = [int(i) for i in np.random.default_rng(9).integers(0, 256, 20)]
#: The columns of logits that are kept.
COLUMNS = slice(0, None, 16)


@lru_cache(maxsize=1)
def cases() -> dict[str, Any]:
    """All of them by name."""
    found: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def tensors(shapes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    """Weights that depend on nothing but their names and shapes; gains are near 1."""
    out = {}
    for name, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        x = rng.standard_normal(shape) * 0.2
        gain = name.endswith("weight") and len(shape) == 1
        out[name] = (x + 1 if gain else x).astype(np.float32)
    return out


def logits_of(case: dict[str, Any]) -> np.ndarray:
    """The logits of :data:`IDS`, of every sixteenth token."""
    raw = zlib.decompress(base64.b64decode(case["logits"]))
    return np.frombuffer(raw, dtype="<f4").reshape(len(IDS), -1)


def write_folder(folder: Path, case: dict[str, Any]) -> None:
    """The model as a folder, with a tokenizer of single bytes."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(case["config"]))
    save_file(tensors(case["shapes"]), str(folder / "model.safetensors"))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    library = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    library.save(str(folder / "tokenizer.json"))
