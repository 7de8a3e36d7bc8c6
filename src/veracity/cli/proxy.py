"""`proxy`: any chat client gets checked answers through it."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from veracity.cli.audit import key_from
from veracity.cli.options import FILE
from veracity.cli.output import complain, emit
from veracity.cli.printable import printable
from veracity.codec import make_folder
from veracity.errors import FormatError, PeerError, RequestError, UsageError
from veracity.formats.commitment import Commitment

if TYPE_CHECKING:
    from veracity.server.client import Api

__all__ = ["proxy"]


@click.command()
@click.argument("url")
@click.option("--check", is_flag=True, help="Hand on no answer whose receipt is false.")
@click.option("--commitment", type=FILE, help="The model you trust (.vcom); for --check.")
@click.option("--publisher", type=FILE, help="Its publisher's public key (PEM); for --check.")
@click.option(
    "--keep",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder of your own for receipts; it will hold prompts and answers.",
)
@click.option("--key-file", type=FILE, help="File with your key for the server, mode 0600.")
@click.option("--ca", type=FILE, help="Authorities that may certify the server (PEM).")
@click.option("--port", default=8001, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--hold", is_flag=True, help="Send nothing of a stream before its receipt is checked."
)
@click.option(
    "--prove",
    "share",
    default=0.0,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of answers, drawn at random, whose proofs are asked for and checked.",
)
def proxy(
    url: str,
    check: bool,
    commitment: Path | None,
    publisher: Path | None,
    keep: Path,
    key_file: Path | None,
    ca: Path | None,
    port: int,
    hold: bool,
    share: float,
) -> None:
    """Pass OpenAI's endpoints on to the server at URL, and keep the receipt of every answer.

    With --check each receipt is checked before the end of its answer is sent: signature,
    certificate, hashes, that it is of your prompt and of the text that came, that no earlier
    receipt contradicts it. Then it has to appear in the server's log, which may only grow; and
    with --prove some answers have to be proved. A server that breaks a promise is passed on no
    more, and a line with ALARM says which. Point any client at http://127.0.0.1:8001/v1.
    """
    if not check and (commitment or publisher or hold or share):
        raise UsageError("--commitment, --publisher, --hold and --prove go with --check")
    if check and (commitment is None or publisher is None):
        raise UsageError("--check takes --commitment MODEL.vcom and --publisher KEY.pub")
    try:
        from veracity.formats.dsse import load_public_key
        from veracity.server.client import Api
        from veracity.server.keeper import Collector, Keeper, Keeps
        from veracity.server.serve import Listen, serve_proxy
        from veracity.server.upstream import Upstream
    except ModuleNotFoundError as error:
        raise UsageError(f"the proxy needs {error.name}: pip install 'veracity[server]'") from None
    key = key_from(key_file)
    upstream, api = Upstream(url, None if ca is None else str(ca)), Api(url, key, ca=ca)
    make_folder(keep)
    keep.chmod(0o700)
    keeper: Keeps = Collector(keep)
    if commitment is not None and publisher is not None:
        keeper = Keeper(
            *(keep, api, load_public_key(publisher), Commitment.load(commitment), share),
            auditable=_reads_all(api),
            alarm=_alarm,
        )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(message)s")
    logging.getLogger("veracity.server").setLevel(logging.INFO)
    serve_proxy(
        upstream,
        keeper,
        Listen(port=port),
        lambda at: emit(f"listening at {at}"),
        key=key,
        hold=hold,
    )


def _reads_all(api: Api) -> bool:
    """Whether the server's published policy lets auditors read all answers; tells its user."""
    try:
        found = api.get("/.well-known/veracity.json")
    except (PeerError, RequestError, FormatError):
        complain("note: the server does not say whether auditors read all answers; taken as no")
        return False
    reads = found.get("auditable") is True
    if reads:
        complain("note: by this server's published policy auditors may read all answers")
    return reads


def _alarm(said: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    complain(f"{now} {printable(' '.join(said.split()))}")
