"""A verifier over HTTP, without a model: files come in, ``veracity verify``'s verdict goes out.

Every check is a process of its own with bounds on its time, its memory and what it writes, in a
folder that is deleted afterwards. Proofs hold prompts and answers: none of them is logged.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from veracity.errors import RequestError
from veracity.server.http import Frame, http_error, request_error
from veracity.server.limits import Doors
from veracity.server.metrics import Metrics
from veracity.server.page import Page

__all__ = ["Bounds", "Verifier", "make_verifier"]

#: What may be sent, and the file's name for the command.
_PARTS = {
    "proof": "answer.vproof",
    "commitment": "model.vcom",
    "receipt": "receipt.json",
    "publisher": "publisher.pub",
    "prompt": "prompt.txt",
    "samples": "samples.npz",
    "training": "run.vtrain",
    "data": "data.vdata",
    **{
        f"{side}.{kind}": f"{side}.{kind}"
        for side in ("input", "output")
        for kind in ("npy", "png", "ppm", "vseal")
    },
}
_OPTIONS = {
    name: "--prompt-file" if name == "prompt" else f"--{name.partition('.')[0]}"
    for name in _PARTS
    if name not in ("proof", "commitment")
}
_DIGEST, _SIZE = re.compile("[0-9a-f]{64}"), re.compile("0|[1-9][0-9]{0,11}")
_VERDICTS = {0: "ACCEPTED", 1: "REJECTED"}
_KIND = "application/octet-stream"
#: What a check may know of this process: where programs lie and how many threads they take.
_KEPT = frozenset(
    ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR")
)
_KEPT_BEGINNINGS = ("OMP_", "OPENBLAS_", "RAYON_", "VERACITY_", "XDG_CACHE_HOME")
#: Bytes that a check may write into one file; seconds between looks whether the client is there.
_WRITTEN, _LOOK = 1 << 26, 0.5


@dataclass(frozen=True)
class Bounds:
    """What one check may take.

    Attributes
    ----------
    upload : int
        Bytes of all files together.
    stored : int
        Bytes of all uploads that lie on the disk at a time.
    upload_time : float
        Seconds until they have arrived.
    seconds : float
        Seconds of the check, waiting not included.
    memory : int
        Bytes of its address space.
    threads : int or None
        Threads that check; all cores by default.
    backend : str
        The engine that computes.
    """

    upload: int = 1 << 28
    stored: int = 1 << 32
    upload_time: float = 120.0
    seconds: float = 300.0
    memory: int = 4 << 30
    threads: int | None = None
    backend: str = "cpu"


@dataclass
class Verifier:
    """Checks what is sent, a few at a time.

    Parameters
    ----------
    doors : Doors
        Who may ask.
    bounds : Bounds
        What one check may take.
    slots, waiting : int
        Checks at a time, and uploads that may wait for one.
    """

    doors: Doors
    bounds: Bounds
    slots: int = 2
    waiting: int = 64
    _taken: int = field(default=0, repr=False)
    _stored: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        self._free = asyncio.Semaphore(self.slots)

    async def verify(self, request: Request) -> Response:
        """``POST /v1/verify?proof=BYTES&commitment=BYTES``: the files, one after the other."""
        owner = self.doors.name_of(request.headers.get("authorization"))
        sizes, digest = self._asked(request)
        with self.doors.enter(owner), self._place(sum(sizes.values())), _folder() as folder:
            await self._store(request, folder, sizes)
            async with self._free:
                found = await self._checked(request, folder, sizes, digest)
        return JSONResponse(found)

    def _asked(self, request: Request) -> tuple[dict[str, int], str | None]:
        """Sizes of the files in the order of the body, and the digest that is expected."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != _KIND:  # which no page of another origin sends unasked
            raise RequestError(f"send the files as {_KIND}", "invalid_value", status=415)
        given = request.query_params.multi_items()
        named = dict(given)
        digest = named.pop("digest", None)
        if len(named) + (digest is not None) != len(given):
            raise RequestError("a name is given twice", "invalid_value")
        if digest is not None and not _DIGEST.fullmatch(digest):
            raise RequestError("the digest has 64 hexadecimal digits", "invalid_value", "digest")
        for name, size in named.items():
            if name not in _PARTS:
                raise RequestError(f"no such file: {name[:80]!r}", "unknown_parameter", name[:80])
            if not _SIZE.fullmatch(size):
                raise RequestError("give the number of the file's bytes", "invalid_value", name)
        missing = {"proof", "commitment"} - named.keys()
        if missing:
            raise RequestError("proof and commitment are needed", "invalid_value", min(missing))
        sizes = {name: int(size) for name, size in named.items()}
        options = [_OPTIONS[name] for name in sizes if name in _OPTIONS]
        if len(set(options)) < len(options):
            raise RequestError("give one input and one output", "invalid_value")
        if sum(sizes.values()) > self.bounds.upload:
            raise RequestError(
                f"the files have more than {self.bounds.upload} bytes; check them with "
                "`veracity verify`",
                "body_too_large",
                status=413,
            )
        return sizes, digest

    @contextmanager
    def _place(self, size: int) -> Iterator[None]:
        """Room for one check, and for files of so many bytes."""
        full = self._taken and self._stored + size > self.bounds.stored
        if full or self._taken >= self.slots + self.waiting:
            raise RequestError(
                "too many checks wait", "rate_limit_exceeded", status=429, retry_after=10
            )
        self._taken, self._stored = self._taken + 1, self._stored + size
        try:
            yield
        finally:
            self._taken, self._stored = self._taken - 1, self._stored - size

    async def _store(self, request: Request, folder: Path, sizes: Mapping[str, int]) -> None:
        """Write the body's parts into files; exactly so many bytes have to come."""
        left = [(folder / _PARTS[name], size) for name, size in sizes.items()]
        unlike = RequestError("the body has not the bytes that were announced", "invalid_value")
        for path, _ in left:
            path.touch(0o600)
        try:
            async with asyncio.timeout(self.bounds.upload_time):
                async for chunk in request.stream():
                    rest = chunk
                    while rest:
                        while left and not left[0][1]:
                            left.pop(0)
                        if not left:
                            raise unlike
                        path, size = left[0]
                        with path.open("ab") as file:
                            file.write(rest[:size])
                        left[0], rest = (path, size - len(rest[:size])), rest[size:]
        except TimeoutError:
            raise RequestError("the files came too slowly", "timeout", status=408) from None
        if any(size for _, size in left):
            raise unlike

    async def _checked(
        self, request: Request, folder: Path, sizes: Mapping[str, int], digest: str | None
    ) -> dict[str, Any]:
        """The verdict of the command."""
        options = [part for n in sizes if n in _OPTIONS for part in (_OPTIONS[n], _PARTS[n])]
        options += [] if digest is None else ["--digest", digest]
        options += ["--backend", self.bounds.backend]
        options += [] if self.bounds.threads is None else ["--threads", str(self.bounds.threads)]
        command = [sys.executable, "-P", "-m", "veracity", "verify", _PARTS["proof"], "--quiet"]
        command += ["--commitment", _PARTS["commitment"], "--report", "verdict.json", *options]
        with (folder / "said.txt").open("wb") as said:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=_environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
            try:
                _confine(process.pid, self.bounds)
                ended = asyncio.ensure_future(process.wait())
                async with asyncio.timeout(self.bounds.seconds):
                    while not (await asyncio.wait({ended}, timeout=_LOOK))[0]:
                        if await request.is_disconnected():
                            raise RequestError("the client left", "client_left", status=499)
            except TimeoutError:
                return _undecided(
                    f"the check needs more than {self.bounds.seconds:.0f} s",
                    "run `veracity verify` yourself, which has no such bound",
                )
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        return _verdict(folder, process.returncode or 0)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that nobody else can read; gone at the end."""
    path = Path(tempfile.mkdtemp(prefix="veracity-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)
    }


def _confine(process: int, bounds: Bounds) -> None:
    """Bound a process from outside, before it has read what strangers sent."""
    seconds = int(bounds.seconds) * (os.cpu_count() or 1) + 1
    for what, most in (
        (resource.RLIMIT_AS, bounds.memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, _WRITTEN),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.prlimit(process, what, (most, most))
        except ProcessLookupError:  # it has ended
            return


def _verdict(folder: Path, code: int) -> dict[str, Any]:
    """What the command said: its tables, or its message where there is no verdict."""
    report = folder / "verdict.json"
    if code in _VERDICTS and report.exists():
        found = json.loads(report.read_text(encoding="utf-8"))
        if (found["verdict"], found["exit"]) == (_VERDICTS[code], code):
            return dict(found)
    lines = (folder / "said.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    told = dict(line.split(": ", 1) for line in lines if line.startswith(("error: ", "hint: ")))
    if "error" in told:
        return _undecided(told["error"], told.get("hint", ""))
    return _undecided(
        "the check ended before its verdict", "it may need more memory: `veracity serve -h`"
    )


def _undecided(reason: str, advice: str) -> dict[str, Any]:
    rows = [["reason", reason], ["next", advice]]
    return {"verdict": "UNDECIDED", "exit": 2, "tables": [{"title": "", "rows": rows}]}


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def make_verifier(
    doors: Doors,
    bounds: Bounds,
    *,
    slots: int = 2,
    waiting: int = 64,
    hosts: frozenset[str] | None = None,
    metrics: Metrics | None = None,
) -> Frame:
    """The application of a verifier.

    Parameters
    ----------
    doors : Doors
        Who may ask.
    bounds : Bounds
        What one check may take.
    slots, waiting : int
        Checks at a time, and uploads that may wait for one.
    hosts : frozenset of str, optional
        Names under which the server may be called; any where not given.
    metrics : Metrics, optional
        Where requests are counted.
    """
    verifier = Verifier(doors, bounds, slots, waiting)
    routes = [
        Route("/", Page.named("verify").send),
        Route("/v1/verify", verifier.verify, methods=["POST"]),
        Route("/healthz", _health),
    ]
    handlers: dict[Any, Any] = {HTTPException: http_error, RequestError: request_error}
    return Frame(Starlette(routes=routes, exception_handlers=handlers), hosts, metrics)
