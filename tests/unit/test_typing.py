"""What a type checker says of programs that use the package."""

from __future__ import annotations

from pathlib import Path

from mypy import api

ROOT = Path(__file__).parents[2]
PROGRAM = """
import veracity
from veracity.errors import MismatchError

loaded = veracity.load("x.vcom")
reveal_type(loaded)
reveal_type(veracity.__version__)
reveal_type(veracity.private.Client)
verified = veracity.verify(b"proof", "x.vcom", context="nonce")
reveal_type(verified.special_tokens)
if isinstance(loaded, veracity.Commitment):
    reveal_type(loaded.digest)
veracity.verify("x", 7)
"""


def test_a_program_under_mypy(tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    said, _, code = api.run(
        [
            *("--strict", "--no-error-summary", "--config-file", str(ROOT / "pyproject.toml")),
            *("--cache-dir", str(tmp_path / "cache"), "--follow-imports", "silent", str(path)),
        ]
    )
    lines = [line.split(": ", 1)[1] for line in said.splitlines()]
    revealed = [line for line in lines if "Revealed" in line]
    assert "Commitment" in revealed[0]
    assert "ProgramFile" in revealed[0]
    assert "Any" not in revealed[0]
    assert revealed[1].endswith('"str"')
    assert "Client" in revealed[2]
    assert revealed[3].endswith('"tuple[tuple[int, str], ...]"')
    errors = [line for line in lines if line.startswith("error")]
    assert len(errors) == 1, said
    assert 'Argument 2 to "verify"' in errors[0]
    assert code == 1
