"""A server of answers in a thread of this process, and how tests talk to it."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from openai import OpenAI

from veracity.server import serve as serving
from veracity.server.desk import Desk
from veracity.server.keeper import Keeps
from veracity.server.model import ServedModel
from veracity.server.proofs import Proofs
from veracity.server.serve import Listen, Settings
from veracity.server.upstream import Upstream
from veracity.server.verifier import Bounds


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]


@dataclass(frozen=True)
class Running:
    """A server that listens."""

    url: str
    model: ServedModel | None = None

    @property
    def place(self) -> str:
        return urlsplit(self.url).netloc

    def client(self, key: str = "none", **options: Any) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, **options)

    def ask(
        self,
        path: str,
        body: object = None,
        method: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """One request by hand; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection(self.place, timeout=60)
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        said = {"content-type": "application/json"} if sent is not None else {}
        method = method or ("GET" if sent is None else "POST")
        try:
            connection.request(method, path, sent, {**said, **(headers or {})})
            got = connection.getresponse()
            return Reply(got.status, {k.lower(): v for k, v in got.getheaders()}, got.read())
        finally:
            connection.close()


@contextmanager
def running(
    model: ServedModel,
    settings: Settings | None = None,
    desk: Desk | None = None,
    proofs: Proofs | None = None,
    **listen: Any,
) -> Iterator[Running]:
    """Serve for as long as the context lasts; fails where the server does not end."""

    def work(told: Callable[[str], None]) -> None:
        serving.serve(model, Listen(port=0, **listen), settings or Settings(), told, desk, proofs)

    with _listening(work) as url:
        yield Running(url, model)


@contextmanager
def verifying(
    bounds: Bounds | None = None, settings: Settings | None = None, **listen: Any
) -> Iterator[Running]:
    """The same, of a verifier without a model."""

    def work(told: Callable[[str], None]) -> None:
        place, most = Listen(port=0, **listen), bounds or Bounds(threads=1)
        serving.serve_verifier(place, settings or Settings(), most, told)

    with _listening(work) as url:
        yield Running(url)


@contextmanager
def proxying(upstream: Upstream, keeper: Keeps, **more: Any) -> Iterator[Running]:
    """The same, of a proxy on the user's side."""

    def work(told: Callable[[str], None]) -> None:
        serving.serve_proxy(upstream, keeper, Listen(port=0), told, **more)

    with _listening(work) as url:
        yield Running(url)


@contextmanager
def _listening(serve: Callable[[Callable[[str], None]], None]) -> Iterator[str]:
    ready = threading.Event()
    urls: list[str] = []
    servers: list[uvicorn.Server] = []
    original = serving._Server

    class Watched(original):  # type: ignore[misc, valid-type]
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            servers.append(self)

    def told(url: str) -> None:
        urls.append(url)
        ready.set()

    serving._Server = Watched  # type: ignore[misc]
    thread = threading.Thread(target=serve, args=(told,), daemon=True)
    try:
        thread.start()
        if not ready.wait(60):
            raise RuntimeError("the server does not listen")
    finally:
        serving._Server = original  # type: ignore[misc]
    try:
        yield urls[0]
    finally:
        servers[0].should_exit = True
        thread.join(60)
        if thread.is_alive():
            raise RuntimeError("the server does not end")
