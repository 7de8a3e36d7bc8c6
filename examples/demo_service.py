"""A server from key to proof: answers at once, each with a receipt, one of them proved on demand.

Every step is the command line or OpenAI's own client; the verifier's process gets a folder with
public files. At the end the server's key signs a lie into its log, and an audit finds it. Run it
with ``make demo-service``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from openai import OpenAI

from veracity.formats.commitment import Commitment
from veracity.formats.dsse import load_public_key
from veracity.formats.receipt import ReceiptFile
from veracity.proving.audit import QUICKNET
from veracity.proving.receipts import CheckedReceipt, check_receipt
from veracity.server.desk import Answered, open_desk

PROMPT = "Once upon a time"


def run(*arguments: object, cwd: Path | None = None, code: int = 0) -> str:
    """Run one command, which ends with ``code``; what it prints."""
    shown = [os.path.relpath(a) if isinstance(a, Path) else str(a) for a in arguments]
    print(f"\n$ veracity {' '.join(shown)}", flush=True)
    command = [sys.executable, "-m", "veracity.cli", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode != code:
        raise SystemExit(f"demo: `veracity {arguments[0]}` ended with {done.returncode}")
    return done.stdout


def fetch(url: str, body: object = None) -> Any:
    """JSON, or bytes, from the server."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as reply:
        got = reply.read()
    return json.loads(got) if "json" in reply.headers["content-type"] else got


def ask(url: str, tokens: int) -> Any:
    """Stream an answer through OpenAI's client; the receipt of its last chunk."""
    started, said = time.perf_counter(), {}
    with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        messages: Any = [{"role": "user", "content": PROMPT}]
        for chunk in client.chat.completions.create(
            model="demo", messages=messages, max_tokens=tokens, stream=True
        ):
            print(chunk.choices[0].delta.content or "", end="", flush=True)
            said = (chunk.model_extra or {}).get("veracity", said)
    print(f"\n  {tokens} tokens at most, in {time.perf_counter() - started:.2f} s")
    return said["receipt"]


def forge(honest: CheckedReceipt, commitment: Commitment) -> Answered:
    """What the model did not say: the last token of a true answer changed."""
    opening, signed = honest.opening, honest.receipt
    ids = (*opening.answer_ids[:-1], opening.answer_ids[-1] ^ 1)
    text = commitment.table.show_answer(ids, commitment.metadata.stop_ids).text
    return Answered(
        *(signed.frame, opening.prompt_ids, ids, text, signed.max_tokens),
        *(signed.stops, signed.finish, signed.stopped),
    )


def round_from(when: float) -> str:
    """A round of drand's quicknet; its randomness is made up here, as the demo asks nobody."""
    start, period = QUICKNET
    number = int(when - start) // period + 2
    return f"{number}:{hashlib.sha256(b'demo %d' % number).hexdigest()}"


@contextmanager
def serving(command: list[str], log: Path) -> Iterator[str]:
    """A server for as long as the context lasts; its URL."""
    with (
        log.open("a") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True) as server,
    ):
        try:
            line = server.stdout.readline() if server.stdout else ""
            yield line.partition("listening at ")[2].strip()
        finally:
            server.terminate()


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("build/demo-service"))
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tokens", type=int, default=12, help="new tokens at most")
    parser.add_argument("--receipts", type=int, default=20, help="one of them is forged")
    chosen = parser.parse_args()
    folder = chosen.dir.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    client = folder / "client"
    client.mkdir(parents=True)
    program, public, secret = (folder / f"model.{e}" for e in ("vprog", "vcom", "vsec"))
    publisher, key = folder / "publisher.key", folder / "server.key"
    certificate, state = folder / "certificate.json", folder / "state"
    log = folder / "server.log"

    print("== The publisher: a model, its commitment, a certified server ==")
    run("import", chosen.model, "--out", program, "-q")
    run("calibrate", program, "-q")
    run("commit", program, "--out", public, "--secret", secret, "-q")
    run("sign", "key", publisher)
    run("sign", "key", key)
    run(
        *("sign", "server", folder / "server.key.pub", "--key", publisher, "--commitment", public),
        *("--url", "http://127.0.0.1", "--out", certificate),
    )
    started = time.perf_counter()
    command = [sys.executable, "-m", "veracity.cli", "serve", str(program), "--port", "0"]
    command += ["--secret", str(secret), "--name", "demo", "--sign-key", str(key), "--rate", "1000"]
    command += ["--certificate", str(certificate), "--state", str(state)]
    command += ["--retain", "1", "--audit-all"]
    shutil.copy(public, client / "model.vcom")
    shutil.copy(folder / "publisher.key.pub", client / "publisher.key.pub")
    pinned = ("--commitment", "model.vcom", "--publisher", "publisher.key.pub")
    with serving(command, log) as url:
        print(f"\n== A client: asks {url}, keeps the receipt, orders its proof ==")
        receipt = ask(url, chosen.tokens)
        (client / "receipt.json").write_text(json.dumps(receipt))
        prove(url, receipt, client / "answer.vproof")
        print(f"\n== Others ask: {chosen.receipts - 2} answers more ==")
        many(url, chosen.receipts - 2, chosen.tokens)

    print("\n== Anybody: check, with public files and the receipt ==")
    print(run("receipt", "check", "receipt.json", *pinned, cwd=client))
    verdict = ("verify", "answer.vproof", "--commitment", "model.vcom", "-q")
    promise = ("--receipt", "receipt.json", "--publisher", "publisher.key.pub")
    print(run(*verdict, *promise, "--report", "verdict.html", cwd=client))

    print("== The server's key signs a lie into its log ==")
    commitment = Commitment.load(public)
    file = ReceiptFile.load(client / "receipt.json")
    honest = check_receipt(file, load_public_key(folder / "publisher.key.pub"), commitment)
    desk = open_desk(key, certificate, state, commitment, 86400, retention=86400, policy=True)
    lie = desk.issue(forge(honest, commitment), "")
    desk.shelf.close()
    (client / "lie.json").write_bytes(lie.to_bytes())
    run("receipt", "check", "lie.json", *pinned, cwd=client)
    print(
        run("receipt", "check", "lie.json", *pinned, "--proof", "answer.vproof", cwd=client, code=1)
    )

    print("== An auditor: every receipt of the log has to be proved ==")
    with serving(command, log) as url:
        (client / "head.json").write_text(json.dumps(fetch(f"{url}/v1/log/head")))
        beacon = ("--head", "head.json", "--beacon", round_from(time.time()), "--fraction", "1")
        found = ("--out", "evidence", "--report", "audit.html")
        print(run("audit", url, *beacon, *pinned, *found, cwd=client, code=1))
    took = time.perf_counter() - started
    print(
        f"after set-up: {took:.0f} s; reports: {os.path.relpath(client)}/verdict.html, audit.html"
    )


def prove(url: str, receipt: Any, target: Path) -> None:
    """Order the proof of a receipt and fetch it."""
    started = time.perf_counter()
    job = fetch(f"{url}/v1/proofs", {"receipt": receipt})
    while job["status"] in ("queued", "running"):
        job = fetch(f"{url}/v1/proofs/{job['id']}?wait=30")
    if job["status"] != "done":
        raise SystemExit("demo: the proof failed")
    print(f"proved in {time.perf_counter() - started:.1f} s")
    target.write_bytes(fetch(url + job["file"]))


def many(url: str, count: int, tokens: int) -> None:
    """Answers to short texts."""
    started = time.perf_counter()
    for index in range(count):
        body = {"model": "demo", "prompt": f"{index + 2} times", "max_tokens": tokens}
        fetch(f"{url}/v1/completions", body)
    print(f"  {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
