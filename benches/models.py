"""Import, prove and verify every language model of a folder; a JSON line for each.

    python benches/models.py DIR [NAME ...]

A model is a folder, or a file in a folder without ``config.json``. Where ``ref.npz`` (``ids``,
``logits``) lies beside it, the imported model's logits are compared with those.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from veracity import calibrate, commit, import_model, verify
from veracity.errors import VeracityError
from veracity.formats.program import ProgramFile, load_program_file
from veracity.formats.secret import Secret
from veracity.lm.generate import generate
from veracity.lm.text_decoder import logits
from veracity.proving.prove import prove_tokens
from veracity.work.programs import integer_program

#: Files that are no model, whatever folder they lie in.
_BESIDE = {"README", "ref.npz"}


def sources(folder: Path) -> list[Path]:
    """The models of a folder, by name."""
    out: list[Path] = []
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            continue
        files = [p for p in sorted(path.iterdir()) if p.is_file() and p.name not in _BESIDE]
        out.append(path if any(p.suffix == ".json" for p in files) else (files or [path])[0])
    return out


def reference(source: Path) -> tuple[list[int], np.ndarray[Any, Any]] | None:
    """Tokens and logits of the original implementation, where they were saved."""
    path = (source if source.is_dir() else source.parent) / "ref.npz"
    if not path.exists():
        return None
    with np.load(path) as saved:
        return [int(i) for i in saved["ids"]], np.asarray(saved["logits"])


def proved(model: ProgramFile, secret: Secret, facts: dict[str, Any]) -> None:
    """Prove and verify what follows a few letters that the model has tokens for."""
    letters = [t.decode() for t in model.token_bytes if len(t) == 1 and t.isalpha()]
    before, after = model.frame(chat=False) or ([], [])
    prompt = [*before, *model.encode("".join(letters[:8])), *after]
    answer = generate(integer_program(model), model.weights, prompt, 4, model.stop_ids)
    proof = prove_tokens(model, secret, prompt, answer, "raw")
    facts["proved"] = True
    found = verify(proof, secret.commitment)
    facts["verified"] = found.answer_tokens == len(answer)


def measure(source: Path) -> dict[str, Any]:
    """One model."""
    facts: dict[str, Any] = {
        "name": source.name if source.is_dir() else f"{source.parent.name}/{source.name}",
        "imported": False, "message": "", "max_abs_logit_difference": None,
        "top1_agreement": None, "tokens_checked": 0, "proved": False, "verified": False,
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="veracity-models-") as folder:
        path = Path(folder) / "model.vprog"
        try:
            imported = import_model(source, path)
            facts["imported"] = True
            found = reference(source)
            ids = found[0] if found else imported.encode("The quick brown fox jumps over it")
            exact = imported.model.logits(ids)
            if found:
                facts["max_abs_logit_difference"] = float(np.abs(exact - found[1]).max())
                exact = found[1]
            calibrate(path)
            model = load_program_file(path)
            ours = logits(integer_program(model), model.weights, ids)
            facts["top1_agreement"] = float((exact.argmax(axis=1) == ours.argmax(axis=1)).mean())
            facts["tokens_checked"] = len(ids)
            proved(model, commit(path)[1], facts)
        except VeracityError as error:
            facts["message"] = str(error)
        except Exception as error:  # what a reader of models must never let out
            facts["message"] = f"INTERNAL {type(error).__name__}: {error}"
    return facts


def main() -> None:
    """All models, and how many verify."""
    folder, *names = sys.argv[1:]
    found = [p for p in sources(Path(folder)) if not names or {p.name, p.parent.name} & set(names)]
    verified = 0
    for path in found:
        facts = measure(path)
        verified += facts["verified"]
        print(json.dumps(facts), flush=True)
    print(f"{verified} of {len(found)} verified", file=sys.stderr)


if __name__ == "__main__":
    main()
