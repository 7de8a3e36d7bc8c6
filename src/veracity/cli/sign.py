"""`sign`: keys of publishers and servers, and a publisher's certificate of a server's key."""

from __future__ import annotations

import time
from pathlib import Path

import click

from veracity.cli.inputs import NewFile
from veracity.cli.options import FILE
from veracity.cli.output import emit
from veracity.codec import atomic_outputs, check_target, write_file
from veracity.errors import UsageError
from veracity.formats.commitment import Commitment

__all__ = ["sign"]

#: How far a certificate reaches back, for clocks that are behind (seconds).
SKEW = 600


@click.group()
def sign() -> None:
    """Keys that stand for a publisher or a server, and what they sign."""


@sign.command()
@click.argument("out", type=NewFile())
def key(out: Path) -> None:
    """Make an Ed25519 key: OUT (keep it, mode 0600) and OUT.pub (publish it).

    A publisher's key says which servers answer for a model; keep it off those servers. A server's
    key signs receipts.
    """
    from veracity.formats.dsse import key_name, load_public_key, new_key_files

    public_path = out.with_name(out.name + ".pub")
    for path in (out, public_path):
        if path.exists():
            raise UsageError(f"{path.name!r} stands there already; keys are never written over")
    secret, public = new_key_files()
    with atomic_outputs((out, 0o600), (public_path, 0o644)) as (private_file, public_file):
        private_file.write(secret)
        public_file.write(public)
    emit(f"key {key_name(load_public_key(public_path))}")


@sign.command()
@click.argument("model", type=FILE)
@click.option("--key", "key_path", required=True, type=FILE, help="The publisher's private key.")
@click.option("--name", help="What you call the model [default: the file's name].")
@click.option("--out", type=NewFile(), help="Where to write [default: MODEL.sig].")
def commitment(model: Path, key_path: Path, name: str | None, out: Path | None) -> None:
    """Sign a commitment (MODEL, a .vcom file) as its publisher: `verify --signer KEY.pub`.

    The signature is a DSSE envelope around an in-toto statement, which tools of supply chains read.
    """
    from veracity.formats.dsse import load_private_key
    from veracity.formats.statement import sign_statement

    target = out or model.with_name(model.name + ".sig")
    check_target(target, reads=[model, key_path])
    signed = sign_statement(load_private_key(key_path), Commitment.load(model), name or model.name)
    write_file(target, signed.to_bytes())
    emit(f"written {target}")


@sign.command()
@click.argument("public", type=FILE)
@click.option("--key", "key_path", required=True, type=FILE, help="The publisher's private key.")
@click.option("--commitment", required=True, type=FILE, help="The model (.vcom).")
@click.option("--url", required=True, help="Where the server is.")
@click.option("--days", default=90, show_default=True, type=click.IntRange(1, 3650))
@click.option("--out", required=True, type=NewFile(), help="Where to write the certificate.")
def server(public: Path, key_path: Path, commitment: Path, url: str, days: int, out: Path) -> None:
    """Certify that a server's key (PUBLIC, OUT.pub of `sign key`) signs receipts for a model."""
    from veracity.formats.dsse import load_private_key, load_public_key
    from veracity.formats.dsse import sign as sign_payload
    from veracity.formats.receipt import CERTIFICATE_TYPE, KeyCertificate

    check_target(out, reads=[public, key_path, commitment])
    if not url.startswith(("http://", "https://")) or len(url) > 2048:
        raise UsageError("the server's address begins with https:// (or http:// for this machine)")
    now = int(time.time())
    certificate = KeyCertificate(
        key=load_public_key(public).public_bytes_raw().hex(),
        commitment=Commitment.load(commitment).digest,
        url=url,
        not_before=now - SKEW,
        not_after=now + days * 86400,
    )
    signed = sign_payload(load_private_key(key_path), CERTIFICATE_TYPE, certificate.to_bytes())
    write_file(out, signed.to_bytes())
    emit(f"written {out}")
