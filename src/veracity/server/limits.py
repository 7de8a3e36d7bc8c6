"""Who may ask, and how often: bearer keys, known by their hashes.

A keys file has a line for each key, ``NAME SHA256``; lines that begin with ``#`` are comments. Keys
are 256 random bits, so a plain hash of one tells nothing about it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from veracity.codec import read_file
from veracity.codec.files import require_private
from veracity.errors import FormatError, RequestError, UsageError

__all__ = ["Doors", "check_name", "new_key", "read_keys"]

MAX_KEYS_FILE = 1 << 20
#: Whoever asks where no keys are needed.
NOBODY = ""
_PREFIX = "vk_"
_NAME = r"[A-Za-z0-9._-]{1,64}"
_LINE = re.compile(rf"({_NAME})\s+([0-9a-f]{{64}})")


def check_name(name: str) -> None:
    """Raise :class:`UsageError` unless a keys file can hold this name."""
    if re.fullmatch(_NAME, name) is None:
        raise UsageError("a name has 1 to 64 letters, digits, dots, dashes and underscores")


def new_key(name: str) -> tuple[str, str]:
    """A new key, and its line for a keys file."""
    key = _PREFIX + secrets.token_urlsafe(32)
    return key, f"{name} {_digest(key)}\n"


def read_keys(path: str | Path) -> dict[str, str]:
    """Names of keys by their hashes.

    Raises
    ------
    UsageError
        The file cannot be read, or others can read it.
    FormatError
        A line is no key's, or a name stands there twice.
    """
    require_private(path, "make new keys")
    found: dict[str, str] = {}
    text = read_file(path, MAX_KEYS_FILE, "keys file").decode("utf-8", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise FormatError(f"keys file, line {number}", "not NAME and SHA-256")
        if match[1] in found.values() or match[2] in found:
            raise FormatError(f"keys file, line {number}", "this name or key stands there twice")
        found[match[2]] = match[1]
    if not found:
        raise FormatError("keys file", "it holds no key")
    return found


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", errors="surrogatepass")).hexdigest()


@dataclass
class _Account:
    """What one key has used."""

    allowance: float
    filled: float
    running: int = 0


@dataclass
class Doors:
    """Lets requests in.

    Parameters
    ----------
    keys : mapping or None
        Names of keys by their hashes; None lets everybody in.
    rate : int
        Requests a minute for each key; as many may come at once.
    concurrency : int
        Requests at a time for each key.
    clock : callable
        Seconds; for tests.
    """

    keys: Mapping[str, str] | None
    rate: int
    concurrency: int
    clock: Callable[[], float] = time.monotonic
    _accounts: dict[str, _Account] = field(default_factory=dict)

    def name_of(self, authorization: str | None) -> str:
        """Who asks.

        Raises
        ------
        RequestError
            The header names no key that is known.
        """
        if self.keys is None:
            return NOBODY
        scheme, _, key = (authorization or "").partition(" ")
        name = self.keys.get(_digest(key.strip())) if scheme.lower() == "bearer" else None
        if name is None:
            raise RequestError("no such key", "invalid_api_key", status=401)
        return name

    @contextmanager
    def enter(self, name: str) -> Iterator[None]:
        """Count one request, for as long as the context lasts.

        Raises
        ------
        RequestError
            This key has asked too often, or asks too much at a time.
        """
        if self.keys is None:
            yield
            return
        now = self.clock()
        account = self._accounts.setdefault(name, _Account(float(self.rate), now))
        filled = account.allowance + (now - account.filled) * self.rate / 60
        account.allowance, account.filled = min(float(self.rate), filled), now
        if account.running >= self.concurrency:
            raise _busy("too many requests of this key at a time", 1)
        if account.allowance < 1:
            wait = int((1 - account.allowance) * 60 / self.rate) + 1
            raise _busy("this key has asked too often", wait)
        account.allowance -= 1
        account.running += 1
        try:
            yield
        finally:
            account.running -= 1


def _busy(message: str, wait: int) -> RequestError:
    return RequestError(message, "rate_limit_exceeded", status=429, retry_after=wait)
