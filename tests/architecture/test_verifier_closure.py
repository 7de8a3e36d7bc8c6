"""The verifier runs where nothing but NumPy and the standard library can be imported.

What people have to trust is what verification imports. A child process makes model formats, device
libraries, terminals and sources of randomness unimportable, then imports the verifier (and, where
the files are given, verifies). NumPy itself imports ``secrets`` and ``random``, so it is loaded
first; every later import of them, by anyone, fails.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import veracity

COMPILED = "veracity.engine._cpu"
OWNERS_TENSORS = "veracity.proving.tensors"

FORBIDDEN = (
    "cupy",
    "gguf",
    "huggingface_hub",
    "jinja2",
    "onnx",
    "random",
    "safetensors",
    "secrets",
    "tokenizers",
    "torch",
    "transformers",
)

GUARD = f"""
import sys
import numpy
FORBIDDEN = {FORBIDDEN!r}
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name in FORBIDDEN or name.partition(".")[0] in FORBIDDEN:
            raise ImportError(f"{{name}} is not for verifiers")
for name in [m for m in sys.modules if m.partition(".")[0] in FORBIDDEN]:
    del sys.modules[name]
sys.meta_path.insert(0, Guard())
"""


def run_guarded(
    code: str, *arguments: object, guard: str = GUARD
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", guard + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


#: The guard where the compiled kernels are missing as well.
PURE_GUARD = GUARD.replace(repr(FORBIDDEN), repr((*FORBIDDEN, COMPILED)))


@pytest.mark.parametrize("name", [*FORBIDDEN, COMPILED])
def test_the_guard_guards(name: str) -> None:
    done = run_guarded(f"import {name}", guard=PURE_GUARD)
    assert done.returncode != 0
    assert "is not for verifiers" in done.stderr


def test_the_verifier_imports_without_them() -> None:
    done = run_guarded(
        "import veracity; veracity.verify; veracity.verify_tensors\n"
        "veracity.Commitment; veracity.Proof; veracity.TensorProof"
    )
    assert done.returncode == 0, done.stderr


def test_the_verifier_imports_without_compiled_kernels() -> None:
    done = run_guarded(
        "import veracity; veracity.verify; veracity.Commitment; veracity.Proof\n"
        "from veracity.engine import load_engine\n"
        "print(load_engine('reference').name)\n"
        "try: load_engine('cpu')\n"
        "except veracity.BackendUnavailable as error: print(error)\n",
        guard=PURE_GUARD,
    )
    assert done.returncode == 0, done.stderr
    name, refused = done.stdout.splitlines()
    assert name == "reference"
    assert "the cpu engine is not built" in refused


def test_only_the_cpu_engine_names_the_compiled_kernels() -> None:
    root = Path(veracity.__file__).parent
    naming = {
        path.relative_to(root).parts[:2]
        for path in root.rglob("*.py")
        if re.search(r"import _cpu|engine\._cpu", path.read_text(encoding="utf-8"))
    }
    assert naming == {("engine", "cpu")}


def test_the_verifier_reaches_no_owner_code() -> None:
    done = run_guarded(
        "import veracity; veracity.verify; veracity.verify_tensors\n"
        "print(*sorted(m for m in sys.modules if m.startswith('veracity')))"
    )
    loaded = set(done.stdout.split())
    assert "veracity.proving.verify" in loaded
    foreign = {
        name
        for name in loaded
        if name.startswith(
            ("veracity.frontends", "veracity.cli", "veracity.proving.prove", OWNERS_TENSORS)
        )
    }
    assert foreign == set()


def test_the_verify_command_needs_no_owner_code(tmp_path: Path) -> None:
    """``veracity verify`` itself: terminals may use randomness, model formats stay away."""
    formats = tuple(set(FORBIDDEN) - {"random", "secrets"})
    guard = GUARD.replace(repr(FORBIDDEN), repr(formats))
    code = "from veracity.cli import main\nmain(['verify', '-h'])"
    done = subprocess.run(
        [sys.executable, "-c", guard + code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--commitment" in done.stdout


def test_the_verify_command_loads_no_other_kind_of_proof() -> None:
    """Most who verify check an answer: training, pictures and what draws wait until one is met."""
    code = "import sys, veracity.cli.verify\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert "veracity.proving.verify" in loaded
    others = (
        "rich", "veracity.engine.reference", "veracity.formats.training", "veracity.frontends",
        "veracity.graph.training", "veracity.proving.pictures", "veracity.training",
        "veracity.zkml.training",
    )  # fmt: skip
    assert [name for name in loaded if name.startswith(others)] == []
