"""``veracity data``: committing to examples, opening one, excluding one, checking either."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, clock, flatten, show_table, size
from veracity.cli.options import (
    FILE,
    backend_option,
    force_option,
    json_option,
    quiet_option,
    threads_option,
)
from veracity.cli.output import emit_json
from veracity.cli.owners import FOLDER, data_options, load_owners, reopen
from veracity.codec import atomic_outputs, check_target, sibling, sniff
from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.errors import UsageError, VerificationError
from veracity.formats.data import DataFile, DataSecret, RowOpening
from veracity.formats.exclusion import EXCLUSION_KIND, ExclusionProof
from veracity.formats.training import TrainingProof
from veracity.training.data import (
    check_row,
    commit_examples,
    input_digest,
    read_examples,
    reveal_row,
    save_examples,
    split_examples,
)
from veracity.training.exclusion import (
    check_exclusion,
    exclude_input,
    read_input,
    require_whole_run,
)

__all__ = ["data"]

SHARES = {"commit": 0.4, "lookups": 0.4, "products": 0.1, "opening": 0.1}
EXCLUSION = {"lookups": 0.2, "products": 0.6, "opening": 0.2}
ENDINGS = (".npz", ".csv")


@click.group()
def data() -> None:
    """Commit to training data; open single examples, or show that one is not there."""


@data.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=FILE, help="Public commitment [default: SOURCE with .vdata].")
@click.option("--secret", type=FILE, help="Secret, mode 0600 [default: with .vdsec].")
@click.option("--classes", type=click.IntRange(2), help="How many classes [default: as in SOURCE].")
@click.option("--label", default="", help="What you call these data; public.")
@click.option("--hold-out", type=click.IntRange(1), help="Leave so many examples, at random, out.")
@click.option("--hold-out-to", type=FILE, help="Where to put them, .npz; needed with --hold-out.")
@force_option
@threads_option
@backend_option
@quiet_option
@json_option
def commit(
    source: Path,
    out: Path | None,
    secret: Path | None,
    classes: int | None,
    label: str,
    hold_out: int | None,
    hold_out_to: Path | None,
    force: bool,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Commit to examples, one row each, and prove that they are bytes with one label.

    SOURCE is a .npz with arrays x (uint8, one row per example) and y (classes), a .csv whose first
    column is the label, a folder with idx files, or a folder that has one folder of pictures for
    each class, in order of name. Publish the .vdata file; keep the .vdsec
    file, which holds the examples and what opens their rows.
    """
    public_path = out or sibling(source, ".vdata", ENDINGS)
    secret_path = secret or sibling(source, ".vdsec", ENDINGS)
    check_target(secret_path, b"VDSC", reads=[source, public_path], force=force)
    check_target(public_path, b"VDAT", reads=[source, secret_path], force=force)
    if (hold_out is None) != (hold_out_to is None):
        raise UsageError("give --hold-out and --hold-out-to together")
    if hold_out_to is not None:
        check_target(hold_out_to, b"", reads=[source, secret_path, public_path], force=force)
    started = time.perf_counter()
    with Bar(SHARES, quiet=quiet) as bar:
        inputs, labels = read_examples(source)
        if hold_out is not None and hold_out_to is not None:
            (inputs, labels), apart = split_examples((inputs, labels), hold_out)
            save_examples(hold_out_to, apart)
        count = classes or int(labels.max()) + 1
        engine = load_engine(backend, threads=threads)
        public, opening = commit_examples(engine, (inputs, labels), count, label, bar)
        with atomic_outputs((secret_path, 0o600), (public_path, 0o644)) as streams:
            streams[0].write(opening.to_bytes())
            streams[1].write(public.to_bytes())
    facts: dict[str, Any] = {
        "data": str(public_path),
        "secret": str(secret_path),
        "digest": public.digest,
        "examples": public.commitment.examples,
        "inputs": public.commitment.inputs,
        "classes": count,
        "vdata_bytes": public_path.stat().st_size,
        "form_bytes": sum(map(len, public.form)),
        "commit_s": round(time.perf_counter() - started, 3),
    }
    if as_json:
        emit_json(facts)
        return
    show_table(
        [
            ("public", f"{public_path} ({size(facts['vdata_bytes'])}): publish it"),
            ("secret", f"{secret_path}: keep it, mode 0600; it holds the examples"),
            ("examples", f"{facts['examples']:,} of {facts['inputs']} bytes, {count} classes"),
            ("digest", public.digest),
            ("time", clock(facts["commit_s"])),
        ]
    )


@data.command()
@click.argument("secret", type=FILE)
@click.option("--data", "public", type=FILE, required=True, help="The .vdata file.")
@click.option("--index", type=click.IntRange(0), required=True, help="Which example, from 0.")
@click.option("--out", type=FILE, required=True, help="Where to write the opened row, .vrow.")
@force_option
def reveal(secret: Path, public: Path, index: int, out: Path, force: bool) -> None:
    """Open one example for somebody: its content and what shows that the row commits to it."""
    check_target(out, b"VROW", reads=[secret, public], force=force)
    reveal_row(DataFile.load(public), DataSecret.load(secret), index).save(out)
    show_table(
        [
            ("written", f"{out}: whoever has it can show this example to others"),
            ("next", f"veracity data check {out} --data {public}"),
        ]
    )


@data.command()
@data_options
@click.option("--run", type=FOLDER, help="Search all data of the run in this folder.")
@click.option("--example", type=FILE, required=True, help="The input, a picture or bytes (.npy).")
@click.option("--out", type=FILE, required=True, help="Where to write the proof, .vexcl.")
@force_option
@threads_option
@backend_option
@quiet_option
@json_option
def exclude(
    sets: tuple[Path, ...],
    secrets: tuple[Path, ...],
    run: Path | None,
    example: Path,
    out: Path,
    force: bool,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Prove that data sets do not hold an example, whatever its label.

    Exactly this example: one that differs in a bit is another. Each proof that you hand out, or
    decline, tells whoever asked whether their example is there.
    """
    check_target(out, b"VEXC", reads=[example, *sets, *secrets], force=force)
    started, engine = time.perf_counter(), load_engine(backend, threads=threads)
    if run is None:
        owners = load_owners(sets, secrets)
    else:
        _, owners = reopen(run, engine, sets, secrets)  # refuses all but the data of the run
    with Bar(EXCLUSION, quiet=quiet) as bar:
        proof = exclude_input(engine, owners, read_input(example), bar)
        proof.save(out)
    facts: dict[str, Any] = {
        "file": str(out),
        "data": [digest.hex() for digest in proof.data],
        "examples": sum(found.commitment.examples for found, _ in owners),
        "sha256": input_digest(proof.content),
        "proof_bytes": out.stat().st_size,
        "exclude_s": round(time.perf_counter() - started, 3),
    }
    if as_json:
        emit_json(facts)
        return
    show_table(
        [
            ("proved", f"none of {facts['examples']:,} examples is {example.name}, of any label"),
            ("written", f"{out} ({size(facts['proof_bytes'])}): for whoever asked"),
            ("data", "; ".join(facts["data"])),
            ("time", clock(facts["exclude_s"])),
        ]
    )


@data.command()
@click.argument("file", type=FILE)
@click.option(
    "--data",
    "sets",
    type=FILE,
    multiple=True,
    required=True,
    help="The .vdata file that you trust; all of a run's, for a proof of exclusion.",
)
@click.option("--example", type=FILE, help="The picture (or .npy) it should be about.")
@click.option("--training", type=FILE, help="The run (.vtrain) whose data all were searched.")
@json_option
def check(
    file: Path, sets: tuple[Path, ...], example: Path | None, training: Path | None, as_json: bool
) -> None:
    """Check an opened example (.vrow), or a proof that an example is not there (.vexcl)."""
    engine, known = load_engine("cpu"), [DataFile.load(path) for path in sets]
    content = None if example is None else read_input(example)
    if sniff(file) == EXCLUSION_KIND:
        facts = check_absent(engine, ExclusionProof.load(file), known, content, training)
    else:
        if training is not None or len(known) != 1:
            raise UsageError("an opened row belongs to one data set, whatever was trained on it")
        facts = check_opened(engine, RowOpening.load(file), known[0], content)
    if as_json:
        emit_json(facts)
        return
    show_table(flatten(facts))


def check_opened(
    engine: Engine, row: RowOpening, known: DataFile, content: bytes | None
) -> dict[str, Any]:
    """What a row that is checked says.

    Parameters
    ----------
    engine : Engine
        Backend.
    row : RowOpening
        What was opened.
    known : DataFile
        The data set that it should be in.
    content : bytes or None
        What it should hold.
    """
    label, found = check_row(engine, known, row), bytes(row.values[: known.commitment.inputs])
    if content is not None and content != found:
        raise VerificationError("the row holds another example", "row")
    return {
        "checked": f"row {row.index} of {known.digest}",
        "row": row.index,
        "label": label,
        "sha256": input_digest(found),
        "data": known.digest,
    }


#: What a run's file is not asked here.
NOT_CHECKED = "that the run's own proof is true: `veracity verify` it with the model and these data"


def check_absent(
    engine: Engine,
    proof: ExclusionProof,
    known: list[DataFile],
    content: bytes | None,
    training: Path | None,
) -> dict[str, Any]:
    """What a proof of exclusion that is checked says.

    Parameters
    ----------
    engine : Engine
        Backend.
    proof : ExclusionProof
        What was handed out.
    known : list of DataFile
        All that should have been searched.
    content : bytes or None
        The input that it should be about.
    training : Path or None
        The run whose data these should be.
    """
    if training is not None:
        require_whole_run(proof, TrainingProof.load(training))
    check_exclusion(engine, known, proof, content)
    count = sum(found.commitment.examples for found in known)
    return {
        "checked": f"none of {count:,} examples is this one, under any label",
        "sha256": input_digest(proof.content),
        "data": [digest.hex() for digest in proof.data],
        "examples": count,
        "whole_run": training is not None,
        **({} if training is None else {"not_checked": NOT_CHECKED}),
    }
