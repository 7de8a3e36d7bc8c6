"""The built wheel verifies a proof in a fresh environment without a compiler: `make test-wheel`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from tests.e2e.house import PROMPT, House

pytestmark = pytest.mark.wheel
DIST = Path(__file__).resolve().parents[2] / "dist"


def only(pattern: str) -> Path:
    """The newest file of its kind in ``dist``."""
    found = sorted(DIST.glob(pattern), key=lambda path: path.stat().st_mtime)
    assert found, f"no {pattern} in dist; run `make wheel`"
    return found[-1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with nothing but the wheel and what it needs."""
    folder = tmp_path_factory.mktemp("wheel") / "env"
    venv.create(folder, with_pip=True)
    command = [folder / "bin" / "python", "-m", "pip", "install", "-q", only("*.whl")]
    subprocess.run(command, check=True, env=bare(folder))
    return folder


def bare(folder: Path) -> dict[str, str]:
    """The environment's programs and no others: no cargo, no compiler, no checkout."""
    kept = {n: v for n, v in os.environ.items() if n.startswith(("PIP_", "SSL_", "HTTP", "NO_P"))}
    return {**kept, "PATH": str(folder / "bin"), "HOME": str(folder), "LANG": "C.UTF-8"}


def run(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "bin" / "veracity", *map(str, arguments)],
        cwd=folder,
        env=bare(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_environment_has_no_compiler(installed: Path) -> None:
    assert shutil.which("cargo", path=bare(installed)["PATH"]) is None
    place = "import veracity; print(veracity.__file__)"
    command = [installed / "bin" / "python", "-c", place]
    found = subprocess.run(
        command, cwd=installed, env=bare(installed), capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(str(installed))


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_proof_is_verified(installed: Path, house: House, backend: str) -> None:
    words = ("--commitment", house.commitment, "--prompt", PROMPT, "--backend", backend)
    done = run(installed, "verify", house.proof, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("ACCEPTED")


def test_a_false_proof_is_rejected(installed: Path, house: House, tmp_path: Path) -> None:
    damaged = bytearray(house.proof.read_bytes())
    damaged[-40] ^= 1
    false = tmp_path / "false.vproof"
    false.write_bytes(damaged)
    done = run(installed, "verify", false, "--commitment", house.commitment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("REJECTED")


def test_the_wheel_runs_on_every_python_from_the_oldest() -> None:
    name = only("*.whl").name
    assert re.search(r"-cp311-abi3-manylinux_2_28_\w+\.whl$", name), name
    with zipfile.ZipFile(only("*.whl")) as wheel:
        names = wheel.namelist()
    assert "veracity/engine/_cpu.abi3.so" in names
    assert not [n for n in names if n.startswith(("tests", "tools", "benches"))]


def test_the_sources_are_complete() -> None:
    with tarfile.open(only("*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "rust/Cargo.lock"} <= names
    assert any(n.startswith("rust/kernels/src/") for n in names)
    assert "src/veracity/engine/_cpu.pyi" in names
