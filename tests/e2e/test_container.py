"""The images of the Dockerfile, without Docker: their steps, and what their page shows to run.

The slow ones build a wheel and two environments: ``pytest -m slow tests/e2e/test_container.py``.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
import http.client
import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from tests.e2e.house import House

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/howto/run-in-a-container.md"
RULES = [
    line
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
SECRET = ("model.vsec", "model.vprog", "seal.vskey", "data.vdsec", "n.vnonce", "key.pem", "a.key")


def instructions() -> list[list[str]]:
    """The Dockerfile, an instruction as a list of words."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [shlex.split(line) for line in lines]


def ignored(path: str) -> bool:
    """Whether Docker leaves a path of the repository out: the last rule that fits decides."""
    parts = path.split("/")
    heads = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    out = False
    for rule in RULES:
        pattern = rule.removeprefix("!")
        if pattern.startswith("**/"):
            fits = any(fnmatch.fnmatch(part, pattern[3:]) for part in parts)
        else:
            fits = any(fnmatch.fnmatchcase(head, pattern) for head in heads if "/" not in pattern)
            fits = fits or pattern in heads
        if fits:
            out = not rule.startswith("!")
    return out


def test_nothing_secret_gets_into_a_layer() -> None:
    assert RULES[0] == "*"
    for name in SECRET:
        for folder in ("", "secrets/", "docker/", "src/", "rust/", "requirements/", "src/a/b/"):
            assert ignored(folder + name), folder + name
    assert ignored(".git/config")
    assert ignored("build/demo/model.vprog")
    assert not ignored("src/veracity/cli/verify.py")
    assert not ignored("rust/Cargo.lock")
    named = {word for line in instructions() if line[0] in ("ARG", "ENV") for word in line[1:]}
    assert not [word for word in named if re.search("KEY|TOKEN|SECRET|PASSWORD", word.upper())]
    assert not [line for line in instructions() if line[0] == "ADD"]


def test_images_run_as_nobody_in_particular() -> None:
    stages: dict[str, list[list[str]]] = {}
    for line in instructions():
        if line[0] == "FROM":
            current = stages.setdefault(line[3], [])
        elif line[0] != "ARG":
            current.append(line)
    assert ["USER", "10001:10001"] in stages["base"]
    assert stages["base"][-1] == ["ENTRYPOINT", "[veracity]"]
    for image in ("verifier", "server"):
        assert not [line for line in stages[image] if line[0] in ("USER", "RUN")]


def test_the_scripts_are_all_that_makes_an_image() -> None:
    """Beside them only packages of the distribution are installed, and a user is made."""
    ran = [line[1:] for line in instructions() if line[0] == "RUN"]
    mine = [line for line in ran if line[0].endswith(".sh")]
    assert {Path(line[0]).name for line in mine} == {"build.sh", "install.sh"}
    assert sorted(line[0] for line in ran if line not in mine) == ["apt-get", "useradd"]
    for line in instructions():
        if line[0] == "COPY" and not line[1].startswith("--from"):
            for source in line[1:-1]:
                assert (ROOT / source).exists()
                assert source == "." or not ignored(source)


def shown(image: str) -> Iterator[list[str]]:
    """What the page gives to an image, from every ``docker run`` of it."""
    text = PAGE.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith("docker run") and f" {image} " in line:
            yield shlex.split(line.partition(f" {image} ")[2])


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment for each image, made as the Dockerfile makes them."""
    folder = tmp_path_factory.mktemp("images")
    source = folder / "source"

    def outside(place: str, names: list[str]) -> set[str]:
        here = os.path.relpath(place, ROOT)
        return {n for n in names if ignored(n if here == "." else f"{here}/{n}")}

    shutil.copytree(ROOT, source, ignore=outside)
    wheels = folder / "wheels"
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "rust/target"))
    build = {**os.environ, "CARGO_TARGET_DIR": target}
    subprocess.run([source / "docker/build.sh", source, wheels], check=True, env=build)
    pins = source / "requirements/constraints.txt"
    for kind in ("verifier", "server"):
        command = [source / "docker/install.sh", kind, wheels, pins, folder / kind]
        subprocess.run(command, check=True, env={**os.environ, "PIP_CONSTRAINT": ""})
    return folder


def alone(images: Path, image: str) -> dict[str, str]:
    """The environment variables of a container."""
    cache = images / f"cache-{image}"
    path = f"{images / image / 'bin'}:/usr/bin:/bin"
    return {"PATH": path, "LANG": "C.UTF-8", "VERACITY_CACHE": str(cache)}


@pytest.mark.slow
def test_a_verifier_checks_and_can_do_nothing_else(
    images: Path, house: House, tmp_path: Path
) -> None:
    shutil.copy(house.proof, tmp_path / "answer.vproof")
    shutil.copy(house.commitment, tmp_path / "stories.vcom")
    (command,) = shown("veracity-verifier")
    run = subprocess.run(
        [images / "verifier/bin/veracity", *command],
        cwd=tmp_path,
        env=alone(images, "verifier"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout.partition("\n")[0]) == (0, "ACCEPTED"), run.stderr
    python = images / "verifier/bin/python"
    for module in ("pip", "cryptography", "starlette", "tokenizers", "safetensors"):
        missing = subprocess.run([python, "-c", f"import {module}"], capture_output=True)
        assert missing.returncode == 1, module
    damaged = bytearray(house.proof.read_bytes())
    damaged[-40] ^= 1
    (tmp_path / "answer.vproof").write_bytes(damaged)
    false = subprocess.run(
        [images / "verifier/bin/veracity", *command],
        cwd=tmp_path,
        env=alone(images, "verifier"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (false.returncode, false.stdout[:8]) == (1, "REJECTED")


def self_signed(certificate: Path, key: Path, name: str) -> None:
    """Write a certificate for a test, and its key."""
    private = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.touch(mode=0o600)
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@contextmanager
def serving(images: Path, folder: Path, command: list[str]) -> Iterator[Callable[..., int]]:
    """What a command of the page serves: a function that asks it, and tells the status."""
    process = subprocess.Popen(
        [images / "server/bin/veracity", *command, "--port", "0"],
        cwd=folder,
        env=alone(images, "server"),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    trust = ssl.create_default_context(cafile=str(folder / "cert.pem"))
    trust.check_hostname = False
    try:
        assert process.stdout is not None
        found = re.search(r"https://\S+:(\d+)", process.stdout.readline())
        assert found is not None
        port = int(found[1])

        def ask(method: str, path: str, key: str = "", body: str | None = None) -> int:
            place = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=trust)
            head = {"host": "answers.example.org", "content-type": "application/json"}
            place.request(method, path, body, {**head, "authorization": f"Bearer {key}"})
            status = place.getresponse().status
            place.close()
            return status

        yield ask
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0, log
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_server_answers_whoever_has_a_key(images: Path, house: House, tmp_path: Path) -> None:
    for path in (house.program, house.commitment, house.secret):
        shutil.copy(path, tmp_path)
    self_signed(tmp_path / "cert.pem", tmp_path / "key.pem", "answers.example.org")
    make_key, answers, checks = shown("veracity-server")
    made = subprocess.run(
        [images / "server/bin/veracity", *make_key],
        cwd=tmp_path,
        env=alone(images, "server"),
        check=True,
        capture_output=True,
        text=True,
    )
    key = made.stdout.strip()
    body = '{"model": "stories", "prompt": "Once upon a time", "max_tokens": 4}'
    with serving(images, tmp_path, answers) as ask:
        assert ask("POST", "/v1/completions", "wrong", body) == 401
        assert ask("POST", "/v1/completions", key, body) == 200
    with serving(images, tmp_path, checks) as ask:
        assert ask("GET", "/") == 200
        assert ask("POST", "/v1/completions", key, body) == 404
