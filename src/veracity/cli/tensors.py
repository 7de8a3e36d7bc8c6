"""What `prove` and `verify` do with networks over tensors: arrays in, arrays out."""

from __future__ import annotations

import re
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
from veracity.formats.images import is_image, save_image
from veracity.formats.npy import load_array, save_array
from veracity.formats.seal import KEY_KIND, SEAL_KIND, Seal, SealKey
from veracity.progress import PHASES
from veracity.proving.pictures import Picture

__all__ = ["prove_arrays", "read_ports", "read_values", "refuse_both"]

#: What a file holds: an array, a :class:`Picture`, a :class:`Seal` or a :class:`SealKey`; or
#: several of these by port. The products say which of them they take.
Value = Any
Values = Any
#: What outputs are written as: numbers, a picture.
ENDINGS = (".npy", ".png")


def read_values(given: Sequence[str]) -> Values:
    """Arrays, pictures and seals from ``FILE`` or ``NAME=FILE`` arguments.

    Raises
    ------
    UsageError, FormatError
    """
    files = _named_files(given)
    if "" in files:
        return _read_value(files[""])
    return {name: _read_value(file) for name, file in files.items()}


def _named_files(given: Sequence[str]) -> dict[str, str]:
    """Files by the names that they were given; one alone may be without."""
    found: dict[str, str] = {}
    for entry in given:
        name, mark, file = entry.rpartition("=")
        if not mark or Path(entry).is_file():
            if len(given) > 1:
                raise UsageError("name each file: --input NAME=FILE")
            name, file = "", entry
        if name in found:
            raise UsageError(f"two files are named {name!r}; give one")
        found[name] = file
    return found


def _read_value(file: str) -> Value:
    """A picture or a seal by the file's name, else an array."""
    if is_image(file):
        return Picture.load(file)
    suffix = Path(file).suffix.lower()
    if suffix == ".vseal":
        return Seal.load(file)
    return SealKey.load(file) if suffix == ".vskey" else load_array(file)


def prove_arrays(
    program: Path,
    secret: Path,
    given: Sequence[str],
    out: Path,
    *,
    seal: Sequence[str],
    context: str,
    force: bool,
    memory: int | None,
    jobs: int,
    ray: str | None,
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
    seal : sequence of str
        Ports whose values are committed to instead of being public.
    context : str
        What the proof is bound to.
    force, quiet, as_json : bool
        Options of the command.
    memory, threads : int, optional
        Limits.
    jobs : int
        Processes that prove.
    ray : str, optional
        Cluster on which they run.
    backend : str
        The engine.
    """
    from veracity.proving.tensors import prove_tensors
    from veracity.work.programs import load_network

    network = load_network(program)
    reads: list[str | Path] = [program, secret, *_named_files(given).values()]
    ports = {*network.program.inputs, *network.program.outputs}
    alone = len(network.program.outputs) == 1
    seals = {n: (_beside(out, n, ".vskey"), _beside(out, n, ".vseal")) for n in ports & set(seal)}
    check_target(out, b"VPRT", reads=reads, force=force)
    for key_path, seal_path in seals.values():
        check_target(key_path, KEY_KIND, reads=reads, force=force)
        check_target(seal_path, SEAL_KIND, reads=reads, force=force)
    for name in network.program.outputs.keys() - set(seal):
        for ending in ENDINGS:
            path = _output_file(out, name, ending, alone)
            check_target(path, reads=[*reads, out], force=True)
    started = time.perf_counter()
    with Bar(PHASES, quiet=quiet) as bar:
        result = prove_tensors(
            network,
            secret,
            read_values(given),
            seal=seal,
            context=context,
            memory=memory,
            jobs=jobs,
            ray=ray,
            threads=threads,
            backend=backend,
            progress=bar,
        )
        files = {
            n: _output_file(out, n, ENDINGS[n in result.pictures], alone)
            for n in result.outputs
            if n not in seal
        }
        for name, path in files.items():
            if path.suffix == ".png":
                save_image(path, result.pictures[name].pixels)
            else:
                save_array(path, result.outputs[name])
        for name, (key_path, seal_path) in seals.items():
            result.seals[name].save_pair(key_path, seal_path)
        result.proof.save(out)
    took = time.perf_counter() - started
    facts = {
        "file": str(out),
        "outputs": {name: str(path) for name, path in files.items()},
        "rounding": result.rounding,
        "seals": {n: {"seal": str(s), "key": str(k)} for n, (k, s) in seals.items()},
        "pixels": {n: p.digest for n, p in result.pictures.items()},
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
                (f"output {name}", f"{path}: {shown(result.outputs[name])}")
                for name, path in files.items()
            ),
            *((f"rounding of {name}", f"at most {e:.3g}") for name, e in result.rounding.items()),
            *(
                (f"seal of {n}", f"{s}: publish it; {k} opens it: keep it, mode 0600")
                for n, (k, s) in seals.items()
            ),
            ("proof", f"{out} ({size(out.stat().st_size)}) in {clock(took)}"),
            ("commitment", result.proof.commitment_digest),
        ]
    )


def _output_file(out: Path, name: str, ending: str, alone: bool) -> Path:
    """Where an output goes, beside the proof; the only one needs no name."""
    return out.with_suffix(ending) if alone else _beside(out, name, ending)


def _beside(out: Path, name: str, ending: str) -> Path:
    """A port's file beside the proof; names of ports may have what names of files cannot."""
    return out.with_suffix("." + re.sub(r"[/\\\0]", "_", name) + ending)


def shown(x: NDArray[np.float64]) -> str:
    """An array for people: its shape, and its first entries."""
    shape = "x".join(map(str, x.shape)) or "one number"
    first = ", ".join(f"{v:.5g}" for v in x.reshape(-1)[:6])
    return f"{shape}: {first}{', ...' if x.size > 6 else ''}"


def read_ports(inputs: Sequence[str], outputs: Sequence[str]) -> tuple[Values, Values]:
    """The values of a statement about tensors.

    Raises
    ------
    UsageError, FormatError
    """
    if not inputs or not outputs:
        raise UsageError("a proof about tensors needs --input and --output: it does not hold them")
    return read_values(inputs), read_values(outputs)


def refuse_both(prompt: str | None, given: Sequence[str], messages: object = None) -> None:
    """Raise ``click.UsageError`` unless there is one of a prompt, messages and an input.

    Parameters
    ----------
    prompt : str or None
        Words for a language model.
    given : sequence of str
        Inputs of a network.
    messages : list or None
        A conversation for a language model.
    """
    if [prompt is not None, bool(messages), bool(given)].count(True) != 1:
        raise click.UsageError(
            "give either --prompt or --message (a language model) or --input (a network)"
        )
