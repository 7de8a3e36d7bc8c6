"""`log`: whether a server's log of receipts holds mine, and only grows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NoReturn

import click

from veracity.cli.display import date
from veracity.cli.errors import EXIT_FALSE, error_facts, one_line
from veracity.cli.options import FILE, json_option
from veracity.cli.output import complain, emit, emit_json
from veracity.cli.verdict import ACCEPTED, REJECTED
from veracity.errors import FormatError, PeerError, RequestError, UsageError, VerificationError
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
@click.option("--witness", type=FILE, help="Public key that has to have co-signed the older head.")
@click.option("--commitment", required=True, type=FILE, help="The model you trust (.vcom).")
@click.option("--publisher", required=True, type=FILE, help="Its publisher's public key (PEM).")
@json_option
def check(
    receipt: Path,
    inclusion: Path,
    since: Path | None,
    growth: Path | None,
    witness: Path | None,
    commitment: Path,
    publisher: Path,
    as_json: bool,
) -> None:
    """Check that a receipt is in its server's log, and that the log begins with what it was.

    The first line is ACCEPTED or REJECTED; exit code 0 and 1. That others are shown the same log is
    for people to compare: by size and root.
    """
    from veracity.formats.dsse import load_public_key
    from veracity.formats.log import LogProof, load_head, load_witness
    from veracity.formats.receipt import ReceiptFile
    from veracity.proving.log import check_growth, check_head, check_included, check_witness

    if (since is None) != (growth is None):
        raise UsageError("an older head and what shows the growth go together")
    if witness is not None and since is None:
        raise UsageError("a witness has signed an older head; give it with --since and --growth")
    key, pinned = load_public_key(publisher), Commitment.load(commitment)
    file, proof = ReceiptFile.load(receipt), LogProof.load(inclusion)
    seen, own = None, None
    if witness is not None and since is not None:
        seen, own = load_witness(since), load_public_key(witness)
    older = None if since is None or growth is None else (load_head(since), LogProof.load(growth))
    try:
        head = check_included(file, proof, key, pinned)
        if older is not None:
            old = check_head(older[0], file.certificate, key, pinned)
            if seen is not None and own is not None:
                witnessed = check_witness(seen, own, old).seen
            check_growth(old, check_head(older[1].head, file.certificate, key, pinned), older[1])
    except VerificationError as error:
        _reject(error, "log check", as_json)
    facts: dict[str, Any] = {
        "place": proof.place,
        "size": head.size,
        "root": head.root,
        "time": date(head.time),
        "grown_from": None if older is None else old.size,
        "witnessed": None if own is None else date(witnessed),
    }
    if as_json:
        emit_json({"accepted": True, **facts})
        return
    ACCEPTED.begin()
    ACCEPTED.show([(n.replace("_", " "), v) for n, v in facts.items() if v is not None])


@log.command()
@click.argument("url")
@click.option("--commitment", required=True, type=FILE, help="The model you trust (.vcom).")
@click.option("--publisher", required=True, type=FILE, help="Its publisher's public key (PEM).")
@click.option(
    "--keep", required=True, type=click.Path(path_type=Path), help="Folder for this log's heads."
)
@click.option("--sign-key", type=FILE, help="Your key, to co-sign heads (`veracity sign key`).")
@click.option("--every", type=click.FloatRange(1), help="Go on, and look again in so many seconds.")
@json_option
def witness(
    url: str,
    commitment: Path,
    publisher: Path,
    keep: Path,
    sign_key: Path | None,
    every: float | None,
    as_json: bool,
) -> None:
    """Keep the heads of the log at URL, and insist that it only grows.

    A head is kept when the server's certified key signed it and the log begins with the one kept
    before. The first line is ACCEPTED or REJECTED; exit code 0 and 1. Publish the folder, for
    example as a git repository, so that others can compare: a server that shows two logs is found
    where their heads meet.
    """
    from veracity.formats.dsse import load_private_key, load_public_key
    from veracity.server.client import Api
    from veracity.server.witness import Witness

    own = None if sign_key is None else load_private_key(sign_key)
    pinned = Commitment.load(commitment)
    follower = Witness(Api(url), load_public_key(publisher), pinned, keep, own)
    while True:
        try:
            seen = follower.look()
        except VerificationError as error:
            _reject(error, "log witness", as_json)
        except (FormatError, PeerError, RequestError) as error:
            if every is None:
                raise
            complain(f"not seen: {one_line(error)}")
        else:
            if every is None:
                break
            if seen.new:
                complain(f"seen: {seen.head.size} receipts, root {seen.head.root}")
        time.sleep(every)
    facts: dict[str, Any] = {
        "size": seen.head.size,
        "root": seen.head.root,
        "time": date(seen.head.time),
        "grown_from": None if seen.before is None else seen.before.size,
        "kept": seen.path.name,
    }
    if as_json:
        emit_json({"accepted": True, **facts})
        return
    ACCEPTED.begin()
    ACCEPTED.show([(n.replace("_", " "), v) for n, v in facts.items() if v is not None])


def _reject(error: VerificationError, command: str, as_json: bool) -> NoReturn:
    """Tell why, and leave with 1."""
    if as_json:
        fault = error_facts(error, EXIT_FALSE, command)
        emit_json({"accepted": False, **fault}, verdict=EXIT_FALSE)
    else:
        REJECTED.begin()
        REJECTED.show([("reason", str(error))])
    raise click.exceptions.Exit(EXIT_FALSE) from None
