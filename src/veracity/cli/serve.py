"""`serve`: answers over HTTP; `api-key`: whom it answers."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from veracity.cli.options import (
    FILE,
    Bytes,
    backend_option,
    jobs_option,
    ray_option,
    threads_option,
)
from veracity.cli.output import complain, emit
from veracity.cli.printable import printable
from veracity.codec import sibling
from veracity.codec.files import reason_of
from veracity.errors import UsageError

__all__ = ["api_key", "serve"]


@click.command()
@click.argument("program", type=FILE, required=False)
@click.option("--secret", type=FILE, help="The model's .vsec file [default: PROGRAM with .vsec].")
@click.option("--name", help="What clients call the model [default: the name of its source].")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535))
@click.option("--keys", type=FILE, help="Keys file of clients; see `veracity api-key`.")
@click.option("--tls-certificate", type=FILE, help="PEM; needed for other addresses than loopback.")
@click.option("--tls-key", type=FILE, help="PEM, mode 0600.")
@click.option("--allow-host", multiple=True, metavar="NAME", help="A name of this server.")
@click.option("--max-tokens", default=1024, show_default=True, type=click.IntRange(1))
@click.option(
    "--slots", default=2, show_default=True, type=click.IntRange(1, 256), help="Answers at a time."
)
@click.option(
    "--waiting", default=64, show_default=True, type=click.IntRange(0, 4096), help="Requests more."
)
@click.option(
    "--timeout", default=300.0, show_default=True, type=click.FloatRange(1), help="Seconds."
)
@click.option(
    "--rate",
    default=60,
    show_default=True,
    type=click.IntRange(1),
    help="Requests a minute, a key.",
)
@click.option(
    "--per-key", default=4, show_default=True, type=click.IntRange(1), help="Requests at a time."
)
@click.option("--sign-key", type=FILE, help="The server's key, to sign receipts with (PEM).")
@click.option("--certificate", type=FILE, help="The publisher's certificate of it.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="Folder for receipts, on a local disk."
)
@click.option(
    "--prove-within",
    default=30,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="Days in which a proof can be demanded.",
)
@click.option(
    "--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Proofs at a time."
)
@click.option(
    "--retain",
    default=0,
    show_default=True,
    type=click.IntRange(0, 3650),
    help="Days for which auditable receipts are kept with their words, for `veracity audit`.",
)
@click.option("--audit-all", is_flag=True, help="Auditors may read all receipts; clients are told.")
@click.option("--auditor", multiple=True, metavar="NAME", help="A key that may audit.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="/metrics, for this machine.")
@click.option(
    "--keep-proofs",
    default=0,
    show_default=True,
    type=click.IntRange(0, 3650),
    help="Days for which proofs stay; 0: for good.",
)
@click.option(
    "--proofs-room",
    default=0,
    show_default=True,
    type=click.IntRange(0),
    help="Bytes of all proofs together, the oldest go first; 0: no bound.",
)
@jobs_option
@ray_option
@click.option(
    "--verifier",
    is_flag=True,
    help="Serve no model: a page to check proofs on, and POST /v1/verify.",
)
@click.option("--memory", type=Bytes(), help="Of one check of --verifier [default: 4GiB].")
@threads_option
@backend_option
def serve(
    program: Path | None,
    secret: Path | None,
    name: str | None,
    host: str,
    port: int,
    keys: Path | None,
    tls_certificate: Path | None,
    tls_key: Path | None,
    allow_host: tuple[str, ...],
    max_tokens: int,
    slots: int,
    waiting: int,
    timeout: float,
    rate: int,
    per_key: int,
    sign_key: Path | None,
    certificate: Path | None,
    state: Path | None,
    prove_within: int,
    workers: int,
    retain: int,
    audit_all: bool,
    auditor: tuple[str, ...],
    metrics_port: int | None,
    keep_proofs: int,
    proofs_room: int,
    jobs: int,
    ray: str | None,
    verifier: bool,
    memory: int | None,
    threads: int | None,
    backend: str,
) -> None:
    """Answer over HTTP, in OpenAI's wire format, with a committed model.

    Every client of OpenAI's chat and completion endpoints works with it: point it at
    http://127.0.0.1:8000/v1. Only what a proof could show is answered. Without keys and TLS it
    listens on this machine alone. With --sign-key, --certificate and --state every answer carries
    a signed receipt (`veracity sign -h`). The page at / is for people: it chats, keeps receipts and
    orders proofs; with --verifier it checks proofs that are dropped on it.
    """
    if verifier:
        owned = (program, secret, name, sign_key, certificate, state, *auditor)
        if any(given is not None for given in owned) or audit_all or retain:
            raise UsageError("a verifier has no model, no receipts and no auditors of its own")
    elif program is None:
        raise UsageError("name the model to serve (.vprog), or serve a --verifier")
    elif memory is not None:
        raise UsageError("--memory goes with --verifier")
    if len({sign_key is None, certificate is None, state is None}) == 2:
        raise UsageError("receipts take all three: --sign-key, --certificate and --state")
    try:
        from veracity.server.desk import open_desk
        from veracity.server.model import ServedModel
        from veracity.server.proofs import Proofs
        from veracity.server.request import Limits
        from veracity.server.serve import Listen, Settings, serve_verifier
        from veracity.server.serve import serve as run
        from veracity.server.verifier import Bounds
        from veracity.server.worker import Workplace
    except ModuleNotFoundError as error:
        raise UsageError(f"the server needs {error.name}: pip install 'veracity[server]'") from None
    if (audit_all or auditor) and not (retain and state is not None):
        raise UsageError("audits take receipts that are kept: --state and --retain DAYS")
    auditors = frozenset(auditor)
    listen = Listen(host, port, keys, tls_certificate, tls_key, allow_host, auditors)
    listen.check()
    settings = Settings(
        limits=Limits(tokens=max_tokens),
        slots=slots,
        waiting=waiting,
        timeout=timeout,
        rate=rate,
        concurrency=per_key,
        metrics_port=metrics_port,
        keep_proofs=keep_proofs * 86400.0,
        proofs_room=proofs_room,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s")
    logging.getLogger("veracity.server").setLevel(logging.INFO)
    if program is None:
        most = Bounds(
            seconds=timeout, threads=threads, backend=backend, memory=memory or Bounds.memory
        )
        serve_verifier(listen, settings, most, lambda url: emit(f"listening at {url}"))
        return
    model = ServedModel.load(
        program, secret or sibling(program, ".vsec"), name=name, threads=threads, backend=backend
    )
    desk = proofs = None
    if sign_key is not None and certificate is not None and state is not None:
        commitment, seconds = model.secret.commitment, prove_within * 86400
        desk = open_desk(
            *(sign_key, certificate, state, commitment, seconds),
            retention=retain * 86400,
            policy=audit_all,
        )
        opening = str((secret or sibling(program, ".vsec")).resolve())
        place = Workplace(
            *(str(program.resolve()), opening, str(state.resolve())),
            threads=threads,
            jobs=jobs,
            ray=ray,
        )
        proofs = Proofs(desk, place, workers)

    def told(url: str) -> None:
        emit(f"listening at {url}")
        complain(f"model {printable(model.name)}, commitment {model.commitment_digest}")

    run(model, listen, settings, told, desk, proofs)


@click.command("api-key")
@click.argument("name")
@click.option("--file", "path", required=True, type=FILE, help="The keys file to append to.")
def api_key(name: str, path: Path) -> None:
    """Make a key for a client called NAME; prints it, once, and keeps its hash.

    `veracity serve --keys FILE` reads the file when it starts.
    """
    from veracity.server.limits import check_name, new_key, read_keys

    check_name(name)
    if path.exists() and name in read_keys(path).values():
        raise UsageError(f"{path.name!r} has a key of this name; remove its line first")
    key, line = new_key(name)
    try:
        held = path.read_bytes() if path.exists() else b""
        if held and not held.endswith(b"\n"):  # an editor may have left the last line open
            line = f"\n{line}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(path, flags, 0o600), "a", encoding="ascii") as file:
            file.write(line)
    except OSError as error:
        raise UsageError(f"cannot write {path.name!r}: {reason_of(error)}") from None
    emit(key)
