"""``veracity data``: committing to examples, opening one, checking an opened one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, clock, show_table, size
from veracity.cli.options import (
    FILE,
    backend_option,
    force_option,
    json_option,
    quiet_option,
    threads_option,
)
from veracity.cli.output import emit_json
from veracity.codec import atomic_outputs, check_target, sibling
from veracity.engine import load_engine
from veracity.formats.data import DataFile, DataSecret, RowOpening
from veracity.training.data import (
    check_row,
    commit_examples,
    pixel_digest,
    read_examples,
    reveal_row,
)

__all__ = ["data"]

SHARES = {"commit": 0.4, "lookups": 0.4, "products": 0.1, "opening": 0.1}
ENDINGS = (".npz", ".csv")


@click.group()
def data() -> None:
    """Commit to training data; open single examples."""


@data.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=FILE, help="Public commitment [default: SOURCE with .vdata].")
@click.option("--secret", type=FILE, help="Secret, mode 0600 [default: with .vdsec].")
@click.option("--classes", type=click.IntRange(2), help="How many classes [default: as in SOURCE].")
@click.option("--label", default="", help="What you call these data; public.")
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
    force: bool,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Commit to examples, one row each, and prove that they are bytes with one label.

    SOURCE is a .npz with arrays x (uint8, one row per example) and y (classes), a .csv whose first
    column is the label, or a folder with idx files. Publish the .vdata file; keep the .vdsec
    file, which holds the examples and what opens their rows.
    """
    public_path = out or sibling(source, ".vdata", ENDINGS)
    secret_path = secret or sibling(source, ".vdsec", ENDINGS)
    check_target(secret_path, b"VDSC", reads=[source, public_path], force=force)
    check_target(public_path, b"VDAT", reads=[source, secret_path], force=force)
    started = time.perf_counter()
    with Bar(SHARES, quiet=quiet) as bar:
        inputs, labels = read_examples(source)
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
@click.argument("row", type=FILE)
@click.option("--data", "public", type=FILE, required=True, help="The .vdata file that you trust.")
@json_option
def check(row: Path, public: Path, as_json: bool) -> None:
    """Check that an opened example is that of a committed data set."""
    opened, known = RowOpening.load(row), DataFile.load(public)
    label = check_row(load_engine("cpu"), known, opened)
    content = opened.values[: known.commitment.inputs]
    facts: dict[str, Any] = {
        "row": opened.index,
        "label": label,
        "sha256": pixel_digest(content),
        "data": known.digest,
    }
    if as_json:
        emit_json(facts)
        return
    show_table(
        [
            ("checked", f"row {opened.index} of {known.digest}"),
            ("label", label),
            ("SHA-256 of its bytes", facts["sha256"]),
        ]
    )
