"""A tiny chat model with a template of its own, calibrated and committed to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.test_frontends_huggingface import LLAMA, write_folder
from veracity.formats.commitment import Commitment
from veracity.formats.program import ProgramFile, load_program_file
from veracity.formats.secret import Secret
from veracity.lm.tokenizer_json import ALPHABET, byte_level_json
from veracity.proving.models import calibrate, import_model
from veracity.text.words import GPT2
from veracity.work.commit import commit

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
MARKS = ("<|im_start|>", "<|im_end|>")


@dataclass(frozen=True)
class Talker:
    """The model, what is published of it, and what its owner keeps."""

    path: Path
    model: ProgramFile
    commitment: Commitment
    secret: Secret


def talker(folder: Path, template: str = TEMPLATE) -> Talker:
    """Import, calibrate and commit to the model."""
    source = folder / "talker"
    write_folder(source, LLAMA | {"max_position_embeddings": 128})
    letters = sorted(ALPHABET)
    letters[-2:] = MARKS  # in place of two bytes that no text has
    vocabulary = {c: i for i, c in enumerate(letters[:-2])}
    body: dict[str, Any] = json.loads(byte_level_json(vocabulary, [], (GPT2,)))
    body["added_tokens"] = [
        {"id": 254 + i, "content": mark, "special": True, "normalized": False}
        for i, mark in enumerate(MARKS)
    ]
    (source / "tokenizer.json").write_text(json.dumps(body))
    (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    path = folder / "talker.vprog"
    import_model(source, path)
    calibrate(path)
    return Talker(path, load_program_file(path), *commit(load_program_file(path)))
