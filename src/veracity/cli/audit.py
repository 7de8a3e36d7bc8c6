"""`audit`: receipts that a public beacon chose, each of which has to be proved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from veracity.cli.errors import EXIT_FALSE, error_facts
from veracity.cli.options import FILE, json_option
from veracity.cli.output import complain, emit_json
from veracity.cli.printable import quoted
from veracity.cli.report import report_option
from veracity.cli.verdict import ACCEPTED, REJECTED
from veracity.codec import read_file
from veracity.errors import UsageError, VerificationError
from veracity.formats.commitment import Commitment

__all__ = ["audit", "key_from"]

MAX_KEY = 4096


def key_from(path: Path | None) -> str:
    """A bearer key from a file that holds nothing else; empty for none."""
    if path is None:
        return ""
    from veracity.codec.files import require_private

    require_private(path, "ask for a new key")
    text = read_file(path, MAX_KEY, "key").decode("ascii", errors="replace").strip()
    if not text or not text.isprintable() or " " in text:
        raise UsageError(f"{path.name!r} holds no key of a client")
    return text


@click.command()
@click.argument("url")
@click.option("--head", required=True, type=FILE, help="What /v1/log/head gave, before the beacon.")
@click.option("--beacon", required=True, metavar="ROUND:HEX", help="A round of drand's quicknet.")
@click.option("--fraction", default="0.01", show_default=True, help="Share of receipts to prove.")
@click.option("--commitment", required=True, type=FILE, help="The model you trust (.vcom).")
@click.option("--publisher", required=True, type=FILE, help="Its publisher's public key (PEM).")
@click.option("--key-file", type=FILE, help="File with your key for the server, mode 0600.")
@click.option(
    "--wait", default=3600.0, show_default=True, type=click.FloatRange(1), help="Seconds."
)
@click.option("--out", type=click.Path(path_type=Path), help="Folder for receipts and proofs.")
@click.option(
    "--beacon-start",
    nargs=2,
    type=int,
    help="Of another beacon: time of its first round, seconds between two.",
)
@report_option
@json_option
def audit(
    url: str,
    head: Path,
    beacon: str,
    fraction: str,
    commitment: Path,
    publisher: Path,
    key_file: Path | None,
    wait: float,
    out: Path | None,
    beacon_start: tuple[int, int] | None,
    as_json: bool,
) -> None:
    """Audit the receipts of the server at URL.

    Keep a head of its log (URL/v1/log/head), show it to others, wait for a later round of a public
    beacon, then run this: the round chooses receipts, and each that the server signed to keep for
    auditors has to be proved. The first line is ACCEPTED or REJECTED; exit code 0 and 1. Whether
    the round's randomness is the beacon's is yours to check (https://drand.love).
    """
    from veracity.formats.dsse import load_public_key
    from veracity.formats.log import load_head
    from veracity.proving.audit import (
        QUICKNET,
        Finding,
        caught,
        read_beacon,
        read_fraction,
        require_fixed_before,
        summary,
    )
    from veracity.server.auditor import Audit, head_certificate
    from veracity.server.client import Api

    spoken, share = read_beacon(beacon), read_fraction(fraction)
    key, pinned = load_public_key(publisher), Commitment.load(commitment)
    envelope, api = load_head(head), Api(url, key_from(key_file))

    def told(finding: Finding) -> None:
        if not as_json:
            complain(f"place {finding.place}: {finding.status}")

    try:
        fixed = head_certificate(api, envelope, key, pinned)
        require_fixed_before(fixed, spoken, beacon_start or QUICKNET)
        findings = Audit(api, key, pinned, wait, out, told).run(fixed, spoken, share)
    except VerificationError as error:
        if as_json:
            fault = error_facts(error, EXIT_FALSE, "audit")
            emit_json({"accepted": False, **fault}, verdict=EXIT_FALSE)
        else:
            REJECTED.begin()
            REJECTED.show([("reason", str(error))])
        raise click.exceptions.Exit(EXIT_FALSE) from None
    counts = summary(findings)
    failed = [f for f in findings if f.status == "failed"]
    facts: dict[str, Any] = {
        "size": fixed.size,
        "root": fixed.root,
        "round": spoken.round,
        "fraction": str(share),
        "chosen": len(findings),
        **{name.replace(" ", "_"): count for name, count in counts.items()},
        "one_false_in_10": round(caught(10, share), 4),
        "one_false_in_100": round(caught(100, share), 4),
    }
    if as_json:
        plain = [vars(f) for f in findings]
        emit_json(
            {"accepted": not failed, **facts, "findings": plain},
            verdict=EXIT_FALSE if failed else None,
        )
    else:
        _show(facts, failed)
    if failed:
        raise click.exceptions.Exit(EXIT_FALSE)


def _show(facts: dict[str, Any], failed: list[Any]) -> None:
    """For people."""
    verdict = REJECTED if failed else ACCEPTED
    names = {
        "one_false_in_10": "caught if 10 receipts of the log are false",
        "one_false_in_100": "caught if 100 are",
    }
    verdict.begin()
    for one in failed:
        rows: list[tuple[str, object]] = [
            ("place", one.place),
            ("receipt", one.ident or "not shown"),
            ("reason", quoted(one.reason)),
        ]
        verdict.show(rows)
    verdict.show([(names.get(n, n.replace("_", " ")), v) for n, v in facts.items()])
    note = (
        "Only receipts of this log are audited, and only those whose clients let auditors read "
        "them: clients have to check that theirs are in it (`veracity log check`)."
    )
    verdict.show([("note", note)])
