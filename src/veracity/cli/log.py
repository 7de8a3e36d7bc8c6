"""`log`: whether a server's log of receipts holds mine, and only grows."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from veracity.cli.errors import EXIT_FALSE, error_facts
from veracity.cli.options import FILE, json_option
from veracity.cli.output import emit, emit_json
from veracity.cli.verdict import ACCEPTED, REJECTED
from veracity.errors import UsageError, VerificationError
from veracity.formats.commitment import Commitment

__all__ = ["log"]


@click.group()
def log() -> None:
    """Check the log of a server's receipts."""


@log.command()
@click.argument("receipt", type=FILE)
def leaf(receipt: Path) -> None:
    """Print a receipt's hash, to ask the log for: URL/v1/log/proof?receipt=HASH."""
    from veracity.formats.merkle import leaf_hash
    from veracity.formats.receipt import ReceiptFile

    emit(leaf_hash(ReceiptFile.load(receipt).receipt.to_bytes()).hex())


@log.command()
@click.argument("receipt", type=FILE)
@click.option("--inclusion", required=True, type=FILE, help="What /v1/log/proof gave.")
@click.option("--since", type=FILE, help="An older head, or what held one.")
@click.option("--growth", type=FILE, help="What /v1/log/consistency?from=SIZE gave for it.")
@click.option("--commitment", required=True, type=FILE, help="The model you trust (.vcom).")
@click.option("--publisher", required=True, type=FILE, help="Its publisher's public key (PEM).")
@json_option
def check(
    receipt: Path,
    inclusion: Path,
    since: Path | None,
    growth: Path | None,
    commitment: Path,
    publisher: Path,
    as_json: bool,
) -> None:
    """Check that a receipt is in its server's log, and that the log begins with what it was.

    The first line is ACCEPTED or REJECTED; exit code 0 and 1. That others are shown the same log is
    for people to compare: by size and root.
    """
    from veracity.formats.dsse import load_public_key
    from veracity.formats.log import LogProof, load_head
    from veracity.formats.receipt import ReceiptFile
    from veracity.proving.log import check_growth, check_head, check_included

    if (since is None) != (growth is None):
        raise UsageError("an older head and what shows the growth go together")
    key, pinned = load_public_key(publisher), Commitment.load(commitment)
    file, proof = ReceiptFile.load(receipt), LogProof.load(inclusion)
    older = None if since is None or growth is None else (load_head(since), LogProof.load(growth))
    try:
        head = check_included(file, proof, key, pinned)
        if older is not None:
            old = check_head(older[0], file.certificate, key, pinned)
            check_growth(old, check_head(older[1].head, file.certificate, key, pinned), older[1])
    except VerificationError as error:
        if as_json:
            fault = error_facts(error, EXIT_FALSE, "log check")
            emit_json({"accepted": False, **fault}, verdict=EXIT_FALSE)
        else:
            REJECTED.begin()
            REJECTED.show([("reason", str(error))])
        raise click.exceptions.Exit(EXIT_FALSE) from None
    facts: dict[str, Any] = {
        "place": proof.place,
        "size": head.size,
        "root": head.root,
        "time": str(datetime.fromtimestamp(head.time, UTC)),
        "grown_from": None if older is None else old.size,
    }
    if as_json:
        emit_json({"accepted": True, **facts})
        return
    ACCEPTED.begin()
    ACCEPTED.show([(n.replace("_", " "), v) for n, v in facts.items() if v is not None])
