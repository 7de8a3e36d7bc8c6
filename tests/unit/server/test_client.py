"""A client of a hostile server: a reply comes as a whole and in time, or not at all."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from veracity.errors import PeerError, RequestError
from veracity.server.client import Api

HEAD = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
BODY = b'{"a": 1}'
#: Seconds between two bytes of a slow server, and of patience: less than a reply takes in all.
DRIP, PATIENCE = 0.02, 0.4


@contextlib.contextmanager
def server(fast: bytes, slow: bytes = b"") -> Iterator[str]:
    """Answers one request with some bytes at once, and with others one after the other."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(fast)
                    for i in range(len(slow)):
                        time.sleep(DRIP)
                        connection.sendall(slow[i : i + 1])

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive()  # the client has let go of it


def head(status: bytes = b"200 OK", length: int = len(BODY)) -> bytes:
    return HEAD % (status, length)


def test_a_reply() -> None:
    with server(head() + b"\r\n" + BODY) as url:
        assert Api(url, timeout=20.0).get("/") == {"a": 1}


def test_a_refusal_is_read_before_the_connection_ends() -> None:
    body = b'{"error": {"code": "not_found"}}'
    reply = head(b"404 Not Found", len(body)) + b"\r\n" + body
    with server(reply) as url, pytest.raises(RequestError) as found:
        Api(url, timeout=20.0).get("/")
    assert (found.value.code, found.value.status) == ("not_found", 404)


@pytest.mark.parametrize(
    ("fast", "slow"),
    [
        (head(length=80) + b"\r\n", BODY + b" " * 72),
        (head(), b"x-more: " + b"x" * 72 + b"\r\n\r\n" + BODY),
        (head(b"404 Not Found", 80) + b"\r\n", b'{"error": {"code": "not_found"}}' + b" " * 48),
    ],
    ids=["body", "head", "refusal"],
)
def test_a_server_that_sends_byte_after_byte_is_let_go(fast: bytes, slow: bytes) -> None:
    """No pause is as long as the time-out; the whole is, and an audit would wait for ever."""
    with server(fast, slow) as url, pytest.raises(PeerError, match="no reply"):
        Api(url, timeout=PATIENCE).get("/")
