"""What `prove` and `verify` do with networks over tensors: arrays in, arrays out."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from veracity.cli.display import Bar, clock, show_table, size
from veracity.cli.output import emit_json
from veracity.codec import check_target
from veracity.errors import UsageError
from veracity.formats.npy import load_array, save_array
from veracity.progress import PHASES

__all__ = ["prove_arrays", "read_arrays", "read_ports", "refuse_both"]

Arrays = dict[str, NDArray[Any]] | NDArray[Any]


def read_arrays(given: Sequence[str]) -> Arrays:
    """Arrays from ``FILE`` or ``NAME=FILE`` arguments.

    Raises
    ------
    UsageError, FormatError
    """
    found: dict[str, NDArray[Any]] = {}
    for entry in given:
        name, mark, file = entry.rpartition("=")
        if not mark or Path(entry).is_file():
            if len(given) > 1:
                raise UsageError("name each array: --input NAME=FILE")
            return load_array(entry)
        found[name] = load_array(file)
    return found


def prove_arrays(
    program: Path,
    secret: Path,
    given: Sequence[str],
    out: Path,
    *,
    context: str,
    force: bool,
    memory: int | None,
    jobs: int,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Prove a network's outputs; they are written beside the proof.

    Parameters
    ----------
    program, secret, out : Path
        Files.
    given : sequence of str
        ``FILE`` or ``NAME=FILE`` of each input.
    context : str
        What the proof is bound to.
    force, quiet, as_json : bool
        Options of the command.
    memory, threads : int, optional
        Limits.
    jobs : int
        Processes that prove.
    backend : str
        The engine.
    """
    from veracity.proving.tensors import prove_tensors

    check_target(out, b"VPRT", reads=[program, secret], force=force)
    started = time.perf_counter()
    with Bar(PHASES, quiet=quiet) as bar:
        result = prove_tensors(
            program,
            secret,
            read_arrays(given),
            context=context,
            memory=memory,
            jobs=jobs,
            threads=threads,
            backend=backend,
            progress=bar,
        )
        files = {
            name: out.with_suffix(f".{name}.npy" if len(result.outputs) > 1 else ".npy")
            for name in result.outputs
        }
        for name, path in files.items():
            check_target(path, reads=[program, secret], force=True)
            save_array(path, result.outputs[name])
        result.proof.save(out)
    took = time.perf_counter() - started
    facts = {
        "file": str(out),
        "outputs": {name: str(path) for name, path in files.items()},
        "rounding": result.rounding,
        "samples": result.proof.samples,
        "context": context,
        "segments": len(result.proof.cuts) + 1,
        "proof_bytes": out.stat().st_size,
        "commitment": result.proof.commitment_digest,
        "prove_s": round(took, 3),
    }
    if as_json:
        emit_json(facts)
        return
    show_table(
        [
            *(
                (f"output {name}", f"{files[name]}: {shown(x)}")
                for name, x in result.outputs.items()
            ),
            *((f"rounding of {name}", f"at most {e:.3g}") for name, e in result.rounding.items()),
            ("proof", f"{out} ({size(out.stat().st_size)}) in {clock(took)}"),
            ("commitment", result.proof.commitment_digest),
        ]
    )


def shown(x: NDArray[np.float64]) -> str:
    """An array for people: its shape, and its first entries."""
    shape = "x".join(map(str, x.shape)) or "one number"
    first = ", ".join(f"{v:.5g}" for v in x.reshape(-1)[:6])
    return f"{shape}: {first}{', ...' if x.size > 6 else ''}"


def read_ports(inputs: Sequence[str], outputs: Sequence[str]) -> tuple[Arrays, Arrays]:
    """The arrays of a statement about tensors.

    Raises
    ------
    UsageError, FormatError
    """
    if not inputs or not outputs:
        raise UsageError("a proof about tensors needs --input and --output: it does not hold them")
    return read_arrays(inputs), read_arrays(outputs)


def refuse_both(prompt: str | None, given: Sequence[str], messages: object = None) -> None:
    """Raise ``click.UsageError`` unless there is one of a prompt, messages and an input."""
    if [prompt is not None, bool(messages), bool(given)].count(True) != 1:
        raise click.UsageError(
            "give either --prompt or --message (a language model) or --input (a network)"
        )
