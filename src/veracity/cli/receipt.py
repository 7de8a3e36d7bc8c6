"""`receipt`: what a client does with receipts, and the server's owner with a demand for a proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from veracity.cli.display import Bar, date
from veracity.cli.errors import EXIT_FALSE, error_facts
from veracity.cli.inputs import NewFile
from veracity.cli.options import (
    FILE,
    force_option,
    jobs_option,
    json_option,
    memory_option,
    quiet_option,
    ray_option,
    threads_option,
)
from veracity.cli.output import emit, emit_json
from veracity.cli.printable import quoted
from veracity.cli.report import report_option
from veracity.cli.verdict import ACCEPTED, REJECTED
from veracity.codec import check_target, sibling
from veracity.errors import UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.proof import KIND, Proof
from veracity.progress import PHASES
from veracity.proving.opened import load_secret
from veracity.work.effort import MAX_TIME

__all__ = ["receipt"]

#: What a receipt is without a proof, and with one.
PROMISED = "the server promised a proof of this answer; nothing is proved yet"
KEPT = "the committed model gives this answer; the promise is kept"


@click.group()
def receipt() -> None:
    """Check signed receipts of answers; prove what one promises."""


@receipt.command()
@click.argument("receipts", type=FILE, nargs=-1, required=True)
@click.option("--commitment", required=True, type=FILE, help="The model you trust (.vcom).")
@click.option("--publisher", required=True, type=FILE, help="Its publisher's public key (PEM).")
@click.option("--proof", type=FILE, help="The proof of one receipt's answer (.vproof).")
@click.option("--temperature", metavar="T", help="The temperature that you asked for.")
@click.option("--nonce", help="Your nonce of a drawn answer, hexadecimal.")
@click.option("--server-nonce", help="The digest that /v1/nonce gave before.")
@click.option(
    "--max-time",
    type=float,
    default=MAX_TIME,
    show_default=True,
    metavar="SECONDS",
    help="Refuse to begin a check, of the receipts or of the proof, that may take longer.",
)
@report_option
@json_option
def check(
    receipts: tuple[Path, ...],
    commitment: Path,
    publisher: Path,
    proof: Path | None,
    temperature: str | None,
    nonce: str | None,
    server_nonce: str | None,
    max_time: float,
    as_json: bool,
) -> None:
    """Check receipts: signatures, hashes, text; a proof of one; or that several agree.

    A receipt is the object `veracity.receipt` of a reply, in a file. The first line is ACCEPTED or
    REJECTED; exit code 0 and 1. Receipts of one key that say different things of one prompt are
    fraud.
    """
    from veracity.formats.drawing import read_nonce, read_temperature
    from veracity.formats.dsse import load_public_key
    from veracity.formats.receipt import ReceiptFile
    from veracity.proving.drawn import compare_drawing
    from veracity.proving.receipts import (
        check_proof,
        check_receipt,
        require_no_equivocation,
        require_receipt_effort,
    )
    from veracity.proving.verify import read_digest

    if proof is not None and len(receipts) != 1:
        raise UsageError("a proof is of one receipt; give that one")
    own = None if nonce is None else read_nonce(nonce)
    told = None if server_nonce is None else read_digest(server_nonce, "server's nonce")
    wanted = None if temperature is None else read_temperature(temperature)
    said = {"nonce": own, "server nonce": told, "temperature": wanted}
    expected = frozenset(name for name, value in said.items() if value is not None)
    key, pinned = load_public_key(publisher), Commitment.load(commitment)
    files = [ReceiptFile.load(path) for path in receipts]
    given = None if proof is None else Proof.load(proof)
    require_receipt_effort(files, pinned, max_time)
    try:
        checked = [check_receipt(file, key, pinned, max_time) for file in files]
        require_no_equivocation(checked)
        for one in checked:
            compare_drawing(one.drawing, wanted, own, told)
        if given is not None:
            check_proof(checked[0], given, pinned, max_time)
    except VerificationError as error:
        if as_json:
            facts = error_facts(error, EXIT_FALSE, "receipt check")
            emit_json({"accepted": False, **facts}, verdict=EXIT_FALSE)
        else:
            REJECTED.begin()
            REJECTED.show([("reason", str(error))])
        raise click.exceptions.Exit(EXIT_FALSE) from None
    shown = [_facts(one, expected) for one in checked]
    verdict = PROMISED if given is None else KEPT
    if as_json:
        emit_json({"accepted": True, "verdict": verdict, "receipts": shown})
        return
    ACCEPTED.begin()
    for facts in shown:
        rows: list[tuple[str, object]] = [(n.replace("_", " "), v) for n, v in facts.items()]
        ACCEPTED.show([*rows, ("verdict", verdict)])


def _facts(checked: Any, expected: frozenset[str]) -> dict[str, Any]:
    """A receipt for people."""
    signed = checked.receipt
    return {
        "receipt": signed.ident,
        "kind": signed.kind,
        "prompt": quoted(checked.words),
        **({"messages": len(said)} if (said := checked.opening.messages) else {}),
        "text": quoted(checked.text),
        "finish": signed.finish if signed.stopped is None else f"{signed.finish} (range)",
        **_drawn(checked.drawing, expected),
        "signed": date(signed.time),
        "proof_until": date(signed.prove_by),
        "server": quoted(signed.url),
    }


def _drawn(drawing: Any, expected: frozenset[str]) -> dict[str, Any]:
    """How an answer was drawn; nothing for a greedy one."""
    from veracity.proving.drawn import Draw

    if drawing is None:
        return {}
    draw = Draw.of(drawing, expected)
    return {"temperature": draw.temperature, "nonce": draw.nonce, "seed": draw.seed}


@receipt.command()
@click.argument("path", metavar="RECEIPT", type=FILE)
@click.argument("program", type=FILE)
@click.option("--secret", type=FILE, help="The model's .vsec file [default: PROGRAM with .vsec].")
@click.option("--publisher", required=True, type=FILE, help="The publisher's public key (PEM).")
@click.option("--out", type=NewFile(), help="Where to write [default: RECEIPT with .vproof].")
@force_option
@memory_option
@jobs_option
@ray_option
@threads_option
@quiet_option
def prove(
    path: Path,
    program: Path,
    secret: Path | None,
    publisher: Path,
    out: Path | None,
    force: bool,
    memory: int | None,
    jobs: int,
    ray: str | None,
    threads: int | None,
    quiet: bool,
) -> None:
    """Keep the promise of a receipt: prove exactly its answer."""
    from veracity.formats.dsse import load_public_key
    from veracity.formats.receipt import ReceiptFile
    from veracity.proving.prover import Prover
    from veracity.proving.receipts import check_receipt

    opening = secret or sibling(program, ".vsec")
    target = out or sibling(path, ".vproof", (".json",))
    check_target(target, KIND, reads=[path, program, opening, publisher], force=force)
    opened = load_secret(opening)
    key = load_public_key(publisher)
    checked = check_receipt(ReceiptFile.load(path), key, opened.commitment)
    with Bar(PHASES, quiet=quiet) as bar:
        with Prover(program, opened, memory=memory, jobs=jobs, ray=ray, threads=threads) as prover:
            proof = prover.prove_receipt(checked, progress=bar)
        proof.save(target)
    emit(f"written {target}")
