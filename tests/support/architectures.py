"""Tiny models of every architecture: configuration, names and shapes, weights from a seed, logits.

``tests/vectors/architectures.json`` has, for each, what ``config.json`` says, the shapes of its
tensors, and the logits that transformers computes with the weights that :func:`tensors` makes;
``tests/vectors/make_architectures.py`` writes it.
"""

from __future__ import annotations

import base64
import json
import tempfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from veracity import calibrate, commit, import_model, verify
from veracity.formats.program import load_program_file
from veracity.frontends.gguf_table import ROWS
from veracity.lm.generate import generate
from veracity.lm.text_decoder import logits
from veracity.proving.prove import prove_tokens
from veracity.work.programs import integer_program

__all__ = [
    "COLUMNS",
    "IDS",
    "PATH",
    "cases",
    "logits_of",
    "readme_rows",
    "tensors",
    "tried",
    "write_folder",
]

PATH = Path(__file__).parents[1] / "vectors" / "architectures.json"
TABLE = Path(__file__).parents[2] / "src" / "veracity" / "data" / "models.json"
#: What people know of an architecture: models of it, and its name in GGUF.
KNOWN = {
    "arcee": ("AFM 4.5B", "arcee"), "bloom": ("BLOOM, BLOOMZ", "bloom"),
    "codegen": ("CodeGen", ""), "cohere": ("Command R, Aya", "command-r"),
    "cohere2": ("Command R7B, Command A", ""), "exaone": ("EXAONE 3, 3.5", ""),
    "exaone4": ("EXAONE 4", ""), "gpt_bigcode": ("StarCoder 1, SantaCoder", ""),
    "internlm": ("InternLM 1", ""), "internlm2": ("InternLM 2, 2.5", ""), "mpt": ("MPT", ""),
    "nemotron": ("Nemotron, Minitron", ""), "olmo3": ("OLMo 3", ""),
    "ernie4_5": ("ERNIE 4.5 0.3B", "ernie4_5"), "falcon": ("Falcon 7B, 40B", "falcon"),
    "gemma": ("Gemma 1", "gemma"), "gemma2": ("Gemma 2", "gemma2"),
    "gemma3_text": ("Gemma 3 270M, 1B", "gemma3"), "glm": ("GLM-4 9B, GLM-Edge", ""),
    "glm4": ("GLM-4 0414", "glm4"), "gpt2": ("GPT-2, DistilGPT-2", "gpt2"),
    "gpt_neo": ("GPT-Neo, TinyStories", ""), "gpt_neox": ("Pythia, GPT-NeoX", "gptneox"),
    "gptj": ("GPT-J", ""), "granite": ("Granite 3", "granite"), "helium": ("Helium", ""),
    "llama": ("LLaMA 1 to 3.3, SmolLM 1 and 2, TinyLlama, Yi", "llama"),
    "ministral": ("Ministral", ""), "mistral": ("Mistral 7B, Nemo", "llama"),
    "olmo": ("OLMo 1", "olmo"), "olmo2": ("OLMo 2", "olmo2"), "opt": ("OPT", ""),
    "phi": ("Phi 1, 1.5, 2", "phi2"), "phi3": ("Phi 3, 3.5, 4", "phi3"),
    "qwen2": ("Qwen 2, 2.5, QwQ", "qwen2"), "qwen3": ("Qwen 3 0.6B to 32B", "qwen3"),
    "seed_oss": ("Seed-OSS 36B", "seed_oss"), "smollm3": ("SmolLM3", "smollm3"),
    "stablelm": ("StableLM 1.6B, 3B", "stablelm"), "starcoder2": ("StarCoder 2", "starcoder2"),
}  # fmt: skip
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


def tried(name: str, folder: Path) -> dict[str, Any]:
    """One case from import to verification."""
    case = cases()[name]
    write_folder(folder / "model", case)
    imported = import_model(folder / "model", folder / "m.vprog")
    exact = imported.model.logits(IDS)
    calibrate(folder / "m.vprog")
    model = load_program_file(folder / "m.vprog")
    ours = logits(integer_program(model), model.weights, IDS)
    prompt = model.encode("abcdef")
    answer = generate(integer_program(model), model.weights, prompt, 3, model.stop_ids)
    secret = commit(folder / "m.vprog")[1]
    found = verify(prove_tokens(model, secret, prompt, answer, "raw"), secret.commitment)
    return {
        "difference": float(np.abs(exact[:, COLUMNS] - logits_of(case)).max()),
        "agreement": float((exact.argmax(axis=1) == ours.argmax(axis=1)).mean()),
        "verified": found.answer_tokens == len(answer),
    }


def table(results: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each architecture: the worst of its cases."""
    rows = []
    for kind, (models, gguf) in sorted(KNOWN.items()):
        own = [r for n, r in results.items() if cases()[n]["config"]["model_type"] == kind]
        if gguf and gguf not in ROWS:
            raise ValueError(f"{gguf} is no row")
        rows.append(
            {
                "model_type": kind, "models": models, "gguf": gguf, "cases": len(own),
                "difference": f"{max(r['difference'] for r in own):.0e}",
                "agreement": round(min(r["agreement"] for r in own), 2),
                "verified": all(r["verified"] for r in own),
            }
        )  # fmt: skip
    return rows


def readme_rows(rows: list[dict[str, Any]]) -> list[str]:
    """The README's table."""
    out = ["| `model_type` | models | GGUF | largest difference of logits |", "|---|---|---|---|"]
    for row in rows:
        gguf = f"`{row['gguf']}`" if row["gguf"] else ""
        out.append(f"| `{row['model_type']}` | {row['models']} | {gguf} | {row['difference']} |")
    return out


def main() -> None:
    """Try all and write the table that the package shows."""
    results = {}
    for name in cases():
        with tempfile.TemporaryDirectory() as folder:
            results[name] = tried(name, Path(folder))
            print(name, results[name], flush=True)
    lines = ",\n".join(json.dumps(row) for row in table(results))
    TABLE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
