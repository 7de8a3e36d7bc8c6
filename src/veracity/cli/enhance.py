"""``veracity enhance``: pictures twice as large, with a proof for each if wanted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from veracity.cli.display import Bar, clock, show_table, size
from veracity.cli.errors import EXIT_USAGE, one_line
from veracity.cli.options import (
    force_option,
    json_option,
    memory_option,
    quiet_option,
    threads_option,
)
from veracity.cli.output import complain, emit_json
from veracity.codec import check_target, make_folder, write_file
from veracity.errors import UsageError, VeracityError
from veracity.formats.commitment import Commitment
from veracity.formats.images import load_image, pixels_digest, save_image
from veracity.formats.npy import save_array
from veracity.formats.program import NetworkFile
from veracity.formats.seal import KEY_KIND, SEAL_KIND, SealKey
from veracity.formats.secret import Secret
from veracity.frontends.lce import LARGEST_TILE, SCALE
from veracity.progress import PHASES, Progress
from veracity.vision import (
    TILE,
    Enhanced,
    Job,
    compare,
    enhance_picture,
    find_jobs,
    is_foreign,
    is_key,
    load_foreign,
    manifest_definition,
    run,
)

__all__ = ["enhance"]

Integers = NDArray[np.integer]
#: Bytes at the head of what may be replaced.
PNG, PROOF = b"\x89PNG", b"VPRT"


@dataclass
class Prover:
    """Proves runs of networks, with one commitment for each size of picture.

    Attributes
    ----------
    folder : Path
        Where commitments and their secrets are kept.
    memory, threads : int or None
        Limits.
    sealed : tuple of str
        Ports that are sealed instead of being public.
    target : Path
        Where the next proof goes.
    key : SealKey or None
        What opens the seal of the next picture, if it has one already.
    seals : dict
        What opens the sealed ports of the last proof.
    """

    folder: Path
    memory: int | None
    threads: int | None
    sealed: tuple[str, ...] = ()
    target: Path = field(default_factory=Path)
    key: SealKey | None = field(default=None, repr=False)
    seals: dict[str, SealKey] = field(default_factory=dict, repr=False)

    def paths(self, network: NetworkFile) -> tuple[Path, Path]:
        """The files of the commitment for a network."""
        height, width = network.program.inputs["picture"].dims[1:]
        shown = "-filter" if "filter" in network.program.outputs else ""
        stem = f"lce-{width}x{height}-{network.program.arch['tile']}{shown}"
        return self.folder / f"{stem}.vcom", self.folder / f"{stem}.vsec"

    def secret_for(self, network: NetworkFile, progress: Progress) -> Secret:
        """The opening of the commitment that lies there, or of a new one."""
        from veracity.proving.opened import load_secret
        from veracity.work.commit import commit

        public, secret = self.paths(network)
        if secret.exists() and public.exists():
            return load_secret(secret)
        check_target(secret, b"VSEC", reads=[], force=False)
        check_target(public, b"VCOM", reads=[], force=False)
        _, opening = commit(network, threads=self.threads, progress=progress)
        opening.save_pair(secret, public)
        return opening

    def __call__(
        self, network: NetworkFile, inputs: Mapping[str, Integers], progress: Progress
    ) -> dict[str, Integers]:
        """Run a network and write the proof beside the picture."""
        from veracity.proving.tensors import prove_tensors

        result = prove_tensors(
            network,
            self.secret_for(network, progress),
            {
                name: x.astype(np.float64) if self.key is None else self.key
                for name, x in inputs.items()
            },
            seal=self.sealed,
            memory=self.memory,
            threads=self.threads,
            progress=progress,
        )
        self.seals = result.seals
        result.proof.save(self.target)
        ports = network.program.outputs
        return {
            name: np.ldexp(x, ports[name].exponent).astype(np.int64)
            for name, x in result.outputs.items()
        }


@click.command()
@click.option(
    "-i", "--input", "source", required=True, type=click.Path(path_type=Path),
    help="A picture (PNG, PPM, PGM; with the extra `images` JPEG and others), the .vskey of a "
    "sealed one, or a folder of pictures.",
)  # fmt: skip
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the results, NAME_x2.png.",
)  # fmt: skip
@click.option("--scale", default=SCALE, show_default=True, help="How much larger.")
@click.option(
    "--tile", default=TILE, show_default=True, type=click.IntRange(32, LARGEST_TILE),
    help="Most pixels of a side that is computed at once.",
)  # fmt: skip
@click.option("--prove", "proving", is_flag=True, help="Prove each result: NAME_x2.vproof.")
@click.option(
    "--compare", "side_by_side", is_flag=True,
    help="Write NAME_compare.png, too: bicubic, enhanced, and the filter if it is shown.",
)  # fmt: skip
@click.option(
    "--show-filter", is_flag=True, help="Tell the correction filter; a proof shows it, too."
)
@click.option(
    "--seal", "sealed", multiple=True, type=click.Choice(["picture", "enlarged"]),
    help="With --prove: name a commitment in the proof instead of these pixels.",
)  # fmt: skip
@click.option(
    "--c2pa", "credentials", is_flag=True,
    help="Write NAME_x2.c2pa.json, a manifest definition for c2patool to sign.",
)  # fmt: skip
@click.option("--recursive", is_flag=True, help="Look into folders of the folder.")
@click.option("--skip-existing", is_flag=True, help="Leave out pictures whose result is there.")
@force_option
@memory_option
@threads_option
@quiet_option
@json_option
def enhance(
    source: Path,
    out: Path,
    scale: int,
    tile: int,
    proving: bool,
    side_by_side: bool,
    show_filter: bool,
    sealed: tuple[str, ...],
    credentials: bool,
    recursive: bool,
    skip_existing: bool,
    force: bool,
    memory: int | None,
    threads: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make pictures twice as large, blur and noise corrected as far as they can be measured.

    With --prove each result has a proof that the committed network made exactly these pixels of
    those: `veracity verify NAME_x2.vproof --commitment lce-WxH-T.vcom --input NAME.png --output
    NAME_x2.png` (with --show-filter: --output enlarged=NAME_x2.png --output
    filter=NAME_x2.filter.npy). There is a commitment for each size of picture. What is proved is
    where the pixels come from, not that added detail is true. With --seal picture the proof shows
    nothing of the picture: NAME_x2.picture.vseal is published and given to --input instead. A
    picture that fails does not stop the others; then the exit code is 2.
    """
    if sealed and not proving:
        raise UsageError("--seal is about a proof; add --prove")
    if scale != SCALE:
        raise UsageError(f"the network that ships enlarges by {SCALE}; others are not there yet")
    jobs, others = find_jobs(source, out, recursive=recursive)
    for path in others if source.is_dir() else []:
        complain(f"skipped {path.name}: not a PNG, PPM, PGM or JPEG file")
    if not jobs:
        raise UsageError(
            "no picture there (PNG, PPM, PGM, JPEG); other formats have to be converted first"
        )
    prover = Prover(out, memory, threads, tuple(dict.fromkeys(sealed))) if proving else None
    done: list[dict[str, Any]] = []
    for number, job in enumerate(jobs, 1):
        if skip_existing and job.target.exists():
            done.append({"input": str(job.source), "skipped": True})
            continue
        if not quiet and len(jobs) > 1:
            complain(f"[{number}/{len(jobs)}] {job.source.name}")
        try:
            facts = _one(job, prover, tile, side_by_side, show_filter, force=force, quiet=quiet)
            if credentials:
                facts["c2pa"] = str(_credentials(job, facts, force=force))
            done.append(facts)
        except (VeracityError, OSError) as error:
            complain(f"{job.source.name}: {one_line(error)}")
            done.append({"input": str(job.source), "error": one_line(error)})
    failed = sum("error" in facts for facts in done)
    if as_json:
        emit_json({"pictures": done, "failed": failed})
    else:
        _tell(done, failed)
    if failed:
        raise click.exceptions.Exit(EXIT_USAGE)


def _one(
    job: Job,
    prover: Prover | None,
    tile: int,
    side_by_side: bool,
    show_filter: bool,
    *,
    force: bool,
    quiet: bool,
) -> dict[str, Any]:
    """Enhance one picture and write its files; the proof first, the picture last."""
    make_folder(job.target.parent)
    check_target(job.target, PNG, reads=[job.source], force=force)
    key = SealKey.load(job.source) if is_key(job.source) else None
    if key is not None:
        _require_seal_file(job, key, force=force)
    pixels, source = _pixels(job, key, force=force)
    runner: Callable[..., Mapping[str, Integers]] = run
    if prover is not None:
        if pixels.shape[2] != 3:
            raise UsageError("a proof is about three channels; save this grey picture as RGB first")
        prover.target, prover.key = job.beside(".vproof"), key
        check_target(prover.target, PROOF, reads=[job.source], force=force)
        for name in prover.sealed:
            for path, kind in zip(_seal_files(job, name), (KEY_KIND, SEAL_KIND), strict=True):
                check_target(path, kind, reads=[job.source], force=force)
        runner = prover
    started = time.perf_counter()
    with Bar(PHASES if prover else {"evaluate": 1.0}, quiet=quiet) as bar:
        made: Enhanced = enhance_picture(
            pixels, tile=tile, show_filter=show_filter, runner=runner, progress=bar
        )
    facts: dict[str, Any] = {
        "input": str(source),
        "program": made.network.program.digest,
        "output": str(job.target),
        "input_pixels": pixels_digest(pixels),
        "output_pixels": pixels_digest(made.pixels),
        "tiles": made.tiles,
        "seconds": round(time.perf_counter() - started, 3),
    }
    if made.filter is not None:
        written = job.beside(".filter.npy")
        check_target(written, reads=[job.source], force=True)
        save_array(written, made.filter)
        facts["filter_file"] = str(written)
        facts["filter"] = made.filter.tolist()
    if prover is not None:
        facts["proof"] = str(prover.target)
        facts["proof_bytes"] = prover.target.stat().st_size
        commitment = prover.paths(made.network)[0]
        facts["commitment"] = str(commitment)
        facts["commitment_digest"] = Commitment.load(commitment).digest
        facts["seals"] = _save_seals(job, prover)
    if key is not None:  # also where nothing is proved: pixels could be guessed from their digest
        facts.setdefault("seals", {})["picture"] = _seal_of(job, key)
        del facts["input_pixels"]
    if side_by_side:
        beside = job.beside("_compare.png")
        check_target(beside, PNG, reads=[job.source], force=force)
        save_image(beside, compare(pixels, made.pixels, made.filter))
        facts["compare"] = str(beside)
    save_image(job.target, made.pixels)
    return facts


def _pixels(job: Job, key: SealKey | None, *, force: bool) -> tuple[NDArray[np.uint8], Path]:
    """The pixels of a picture, and the file that a verifier reads: a PNG of what was decoded."""
    if key is not None:
        spec = key.seal.tensor.spec
        dims, bytes_of = spec.dims, (spec.low, spec.high, spec.exponent)
        if len(dims) != 3 or dims[0] != 3 or bytes_of != (0, 255, 0):
            raise UsageError("what it opens is no picture: seal one with --seal picture")
        return np.ascontiguousarray(key.values.transpose(1, 2, 0), dtype=np.uint8), job.source
    if not is_foreign(job.source):
        return load_image(job.source), job.source
    pixels = load_foreign(job.source)
    written = job.target.with_name(f"{job.source.stem}_input.png")
    check_target(written, PNG, reads=[job.source], force=force)
    save_image(written, pixels)
    return pixels, written


def _seal_files(job: Job, name: str) -> tuple[Path, Path]:
    """Where the key and the seal of a port go."""
    return job.beside(f".{name}.vskey"), job.beside(f".{name}.vseal")


def _save_seals(job: Job, prover: Prover) -> dict[str, dict[str, str]]:
    """Write what was sealed: the seal to publish, the key to keep."""
    out = {}
    for name, key in prover.seals.items():
        paths = _seal_files(job, name)
        key.save_pair(*paths)
        digest = key.seal.tensor.digest.hex()
        out[name] = {"seal": str(paths[1]), "key": str(paths[0]), "digest": digest}
    return out


def _require_seal_file(job: Job, key: SealKey, *, force: bool) -> None:
    """Raise :class:`UsageError` where another seal stands in the place of a picture's."""
    path = _seal_files(job, "picture")[1]
    if not path.is_file() or path.read_bytes() != key.seal.to_bytes():
        check_target(path, SEAL_KIND, reads=[job.source], force=force)


def _seal_of(job: Job, key: SealKey) -> dict[str, str]:
    """Write the seal that a picture had already, for whoever verifies."""
    path = _seal_files(job, "picture")[1]
    write_file(path, key.seal.to_bytes())
    return {"seal": str(path), "key": str(job.source), "digest": key.seal.digest}


def _credentials(job: Job, facts: Mapping[str, Any], *, force: bool) -> Path:
    """Write the definition of the manifest that says where a picture comes from."""
    from veracity import __version__

    written = job.beside(".c2pa.json")
    check_target(written, b"{", reads=[job.source], force=force)
    proof = Path(facts["proof"]) if "proof" in facts else None
    definition = manifest_definition(facts, facts["program"], __version__, proof)
    write_file(written, (json.dumps(definition, indent=2) + "\n").encode())
    return written


def _tell(done: list[dict[str, Any]], failed: int) -> None:
    rows: list[tuple[str, object]] = []
    for facts in done:
        name = Path(facts["input"]).name
        if "error" in facts:
            rows.append((name, f"failed: {facts['error']}"))
        elif "skipped" in facts:
            rows.append((name, "skipped: its result is there"))
        else:
            tiles = f"{facts['tiles']} tile{'s' if facts['tiles'] > 1 else ''}"
            rows.append((name, f"{facts['output']} ({tiles}, {clock(facts['seconds'])})"))
        if "proof" in facts:
            rows.append(("proof", f"{facts['proof']} ({size(facts['proof_bytes'])})"))
            rows.append(("commitment", facts["commitment"]))
        for port, files in facts.get("seals", {}).items():
            rows.append(
                (f"seal of {port}", f"{files['seal']}: publish it; {files['key']}: keep it")
            )
        if "c2pa" in facts:
            command = f"c2patool {facts['output']} --parent {facts['input']} -m {facts['c2pa']}"
            rows.append(("to sign", f"{command} -o SIGNED.png"))
        if "filter" in facts:
            centre = facts["filter"][len(facts["filter"]) // 2][len(facts["filter"]) // 2]
            rows.append(("filter", f"{facts['filter_file']} (centre tap {centre:+.3f})"))
    if failed:
        rows.append(("failed", f"{failed} of {len(done)}"))
    show_table(rows)
