"""Helpers for tests of the command line: run it, and where its files lie."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from tests.support.toy_pictures import sharpener, sharpener_file
from veracity import commit
from veracity.cli import main
from veracity.formats.images import save_image
from veracity.formats.program import save_program_file

PROMPT = "Once upon a time"


@dataclass(frozen=True)
class House:
    """A folder with every kind of file, made by the command line."""

    folder: Path

    @property
    def program(self) -> Path:
        return self.folder / "stories.vprog"

    @property
    def commitment(self) -> Path:
        return self.folder / "stories.vcom"

    @property
    def secret(self) -> Path:
        return self.folder / "stories.vsec"

    @property
    def proof(self) -> Path:
        return self.folder / "answer.vproof"


def veracity(*arguments: object) -> Result:
    """Run one command in this process."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def done(*arguments: object) -> Result:
    """Run one command that has to succeed."""
    result = veracity(*arguments)
    assert result.exit_code == 0, result.output
    return result


def said_alike(found: Any, said: Result, own: Path) -> None:
    """Require that a verifier's reply tells what the command said, and wrote into its report."""
    assert said.exit_code == found["exit"], said.output
    if found["exit"] == 2:
        reason, advice = (value for _, value in found["tables"][0]["rows"])
        assert f"error: {reason}" in said.output
        assert f"hint: {advice}" in said.output
        return
    varying = {"checked", "written", "threads", "quiet"}
    both = [
        [(t["title"], [r for r in t["rows"] if r[0] not in varying]) for t in one["tables"]]
        for one in (found, json.loads(own.read_text()))
    ]
    assert both[0][:-1] == both[1][:-1]
    assert said.output.startswith(found["verdict"])


def picture_files(at: Path) -> dict[str, bytes]:
    """A proof about a picture and all that its verifier needs, by the names of uploads."""
    save_program_file(at / "net.vprog", sharpener_file(1))
    commit(at / "net.vprog")[1].save_pair(at / "net.vsec", at / "net.vcom")
    pixels = sharpener().inputs["x"].astype(np.uint8).transpose(1, 2, 0)
    save_image(at / "a.png", np.ascontiguousarray(pixels))
    done("prove", at / "net.vprog", "--input", at / "a.png", "--out", at / "b.vproof", "-q")
    names = {"proof": "b.vproof", "commitment": "net.vcom"}
    names |= {"input.png": "a.png", "output.png": "b.png"}
    return {part: (at / name).read_bytes() for part, name in names.items()}


def sealed_picture(at: Path, name: str) -> dict[str, bytes]:
    """Behind :func:`picture_files`: the same, its output under a seal."""
    prove = ("prove", at / "net.vprog", "--input", at / "a.png", "--seal", "y", "-q", "--json")
    told = json.loads(done(*prove, "--out", at / f"{name}.vproof").stdout)
    seal = Path(told["seals"]["y"]["seal"])
    return {"proof": (at / f"{name}.vproof").read_bytes(), "output.vseal": seal.read_bytes()}
