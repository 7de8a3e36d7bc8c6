"""A server from key to proof: answers at once, each with a receipt, one of them proved on demand.

Every step is the command line or OpenAI's own client; the verifier's process gets a folder with
public files. At the end the server's key signs a lie, and a proof shows it. Run it with
``make demo-service``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

from openai import OpenAI

from veracity.formats.dsse import load_private_key, load_public_key, sign
from veracity.formats.receipt import RECEIPT_TYPE, Opening, Receipt, ReceiptFile
from veracity.formats.secret import Secret
from veracity.proving.receipts import check_receipt

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


def forge(file: ReceiptFile, secret: Secret, key: Path, publisher: Path) -> ReceiptFile:
    """What the server's key signs of an answer that the model did not give."""
    commitment = secret.commitment
    honest = check_receipt(file, load_public_key(publisher), commitment)
    ids = (*honest.opening.answer_ids[:-1], honest.opening.answer_ids[-1] ^ 1)
    opening = Opening.fresh(honest.opening.prompt_ids, ids)
    text = commitment.table.show_answer(ids, commitment.metadata.stop_ids).text
    hashes = opening.hashes(text)
    receipt: Receipt = replace(honest.receipt, ident=os.urandom(16).hex(), **hashes)
    envelope = sign(load_private_key(key), RECEIPT_TYPE, receipt.to_bytes())
    return ReceiptFile(envelope, file.certificate, opening)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, default=Path("build/demo-service"))
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--tokens", type=int, default=12, help="new tokens at most")
    chosen = parser.parse_args()
    folder = chosen.dir.resolve()
    shutil.rmtree(folder, ignore_errors=True)
    client = folder / "client"
    client.mkdir(parents=True)
    program, public, secret = (folder / f"model.{e}" for e in ("vprog", "vcom", "vsec"))
    publisher, key = folder / "publisher.key", folder / "server.key"
    certificate = folder / "certificate.json"

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
    command = [sys.executable, "-m", "veracity.cli", "serve", str(program), "--port", "0"]
    command += ["--secret", str(secret), "--name", "demo", "--sign-key", str(key)]
    command += ["--certificate", str(certificate), "--state", str(folder / "state")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = server.stdout.readline() if server.stdout else ""
            url = line.partition("listening at ")[2].strip()
            print(f"\n== A client: asks {url}, keeps the receipt, orders its proof ==")
            receipt = ask(url, chosen.tokens)
            (client / "receipt.json").write_text(json.dumps(receipt))
            started = time.perf_counter()
            job = fetch(f"{url}/v1/proofs", {"receipt": receipt})
            while job["status"] in ("queued", "running"):
                job = fetch(f"{url}/v1/proofs/{job['id']}?wait=30")
            if job["status"] != "done":
                raise SystemExit("demo: the proof failed")
            print(f"proved in {time.perf_counter() - started:.1f} s")
            (client / "answer.vproof").write_bytes(fetch(url + job["file"]))
        finally:
            server.terminate()

    print("\n== Anybody: check, with public files and the receipt ==")
    shutil.copy(public, client / "model.vcom")
    shutil.copy(folder / "publisher.key.pub", client / "publisher.key.pub")
    pinned = ("--commitment", "model.vcom", "--publisher", "publisher.key.pub")
    print(run("receipt", "check", "receipt.json", *pinned, cwd=client))
    print(run("receipt", "check", "receipt.json", *pinned, "--proof", "answer.vproof", cwd=client))

    print("== The server's key signs a lie: a promise that a proof breaks ==")
    file = ReceiptFile.load(client / "receipt.json")
    lie = forge(file, Secret.load(secret), key, folder / "publisher.key.pub")
    (client / "lie.json").write_bytes(lie.to_bytes())
    told = ("receipt", "check", "lie.json", *pinned)
    run(*told, cwd=client)
    print(run(*told, "--proof", "answer.vproof", cwd=client, code=1))
    print(run("receipt", "check", "receipt.json", "lie.json", *pinned, cwd=client, code=1))


if __name__ == "__main__":
    main()
