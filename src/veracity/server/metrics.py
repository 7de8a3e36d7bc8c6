"""Numbers about a server, in Prometheus' text format, at a port of their own on this machine.

No label holds a key, a name, an id or text of anybody: routes are the server's own patterns.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from veracity.codec.files import reason_of
from veracity.errors import UsageError

__all__ = ["Metrics", "serve_metrics"]

_KIND = "text/plain; version=0.0.4; charset=utf-8"
_HERE = ("127.0.0.1", "localhost", "[::1]")
#: A client of this port that says nothing is dropped after so many seconds.
_PATIENCE = 10
_HELP = {
    "veracity_requests_total": ("counter", "Requests by route and status."),
    "veracity_request_seconds_total": ("counter", "Seconds that requests took, by route."),
    "veracity_tokens_total": ("counter", "Tokens read and written."),
    "veracity_refusals_total": ("counter", "Prompts refused because no answer can be proved."),
    "veracity_receipts": ("gauge", "Receipts in the log."),
    "veracity_jobs": ("gauge", "Proofs by state."),
    "veracity_answers_admitted": ("gauge", "Answers evaluated or waiting for it."),
}


@dataclass
class Metrics:
    """Counters of requests, and gauges that are asked when somebody looks.

    Attributes
    ----------
    gauges : list of callable
        Each gives numbers by their names with labels.
    """

    gauges: list[Callable[[], Mapping[str, float]]] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def note(
        self, route: str | None, status: int | None, seconds: float, facts: Mapping[str, Any]
    ) -> None:
        """Count a request that is over.

        Parameters
        ----------
        route : str or None
            The server's pattern; None where none fits.
        status : int or None
            Of HTTP; None where nothing was sent.
        seconds : float
            How long it took.
        facts : mapping
            What its line in the log says.
        """
        where = f'route="{route or "none"}"'
        read, written = facts.get("tokens", (0, 0))
        with self._lock:
            self._counts[f'veracity_requests_total{{{where},status="{status or 0}"}}'] += 1
            self._add(f"veracity_request_seconds_total{{{where}}}", seconds)
            self._add('veracity_tokens_total{kind="prompt"}', read)
            self._add('veracity_tokens_total{kind="answer"}', written)
            self._add("veracity_refusals_total", facts.get("code") == "prompt_refused")

    def _add(self, name: str, value: float) -> None:
        self._counts[name] += value  # type: ignore[assignment]

    def text(self) -> str:
        """All of them."""
        with self._lock:
            found: dict[str, float] = dict(self._counts)
        for gauge in self.gauges:
            found.update(gauge())
        lines: list[str] = []
        last = ""
        for name, value in sorted(found.items()):
            family = name.partition("{")[0]
            if family != last:
                kind, said = _HELP[family]
                lines += [f"# HELP {family} {said}", f"# TYPE {family} {kind}"]
                last = family
            lines.append(f"{name} {value:.10g}")
        return "\n".join(lines) + "\n"


def serve_metrics(metrics: Metrics, port: int) -> ThreadingHTTPServer:
    """Answer ``GET /metrics`` on the loopback address, in threads, until it is shut down.

    Raises
    ------
    UsageError
        The port cannot be had.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = _PATIENCE

        def do_GET(self) -> None:
            host = self.headers.get("host", "").rpartition(":")[0] or self.headers.get("host", "")
            found = self.path == "/metrics" and host in _HERE
            body = metrics.text().encode("ascii") if found else b""
            self.send_response(200 if found else 404)
            self.send_header("content-type", _KIND)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise UsageError(f"cannot listen at port {port}: {reason_of(error)}") from None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server
