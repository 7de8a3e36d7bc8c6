"""Generators by hash-to-curve, kept on disk because deriving many of them takes seconds.

A cache file holds both coordinates of the points ``0 .. count-1`` of one label, so that nobody
takes square roots twice; a longer file serves shorter requests, since point ``i`` depends on the
label and ``i`` only. What is loaded is not trusted: it must lie on the curve, and where the caller
knows the digest of the compressed points, they must have it; elsewhere the file's own digest and a
random sample of derivations are checked. A file that fails is derived again. File layout::

    magic (16 bytes) | count (8, little-endian) | SHA-256 of label and points (32) | points

The directory is that of the platform's user cache, or the environment variable
``VERACITY_CACHE``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

from veracity.engine.api import COORDINATE_BYTES, Engine, Points
from veracity.errors import BackendUnavailable

__all__ = ["cache_file", "cache_root", "cached_generators"]

_MAGIC = b"veracity-gens-2\n"
_HEADER = len(_MAGIC) + 8 + 32
#: Derivations repeated, at random indices, each time a file is loaded.
_SAMPLES = 8


def cache_file(label: str) -> Path:
    """Path of the cache of ``label``; whether it exists is another matter."""
    name = hashlib.sha256(label.encode()).hexdigest()[:32]
    return cache_root() / f"generators-{name}.xy"


def cache_root() -> Path:
    """The user's cache; not by platformdirs, which imports ``random`` (verifiers run without)."""
    if named := os.environ.get("VERACITY_CACHE"):
        return Path(named)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "veracity"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "veracity"


def cached_generators(
    engine: Engine, label: str, n: int, digest: str | None = None, used: int | None = None
) -> Points:
    """``engine.generators(label, n)``, from the disk cache where possible.

    Parameters
    ----------
    engine : Engine
        Backend whose points are returned.
    label : str
        Domain of the hash-to-curve.
    n : int
        Number of points.
    digest : str, optional
        SHA-256 of the compressed points, hexadecimal, where it is known.
    used : int, optional
        How many of them are wanted; all of them by default. The digest is that of all.

    Returns
    -------
    Points
        The same points on every backend, whatever the cache holds or held.

    Raises
    ------
    BackendUnavailable
        Where the backend derives points that do not have the digest.
    """
    if n < 0:
        raise ValueError("negative number of generators")
    path = cache_file(label)
    used = n if used is None else used
    points = _load(engine, path, label, n, digest)
    if points is None:
        points = engine.generators(label, n)
        if digest is not None and _compressed(engine, points) != digest:
            raise BackendUnavailable(
                f"the {engine.name} engine derives wrong generators; build it again (make env)"
            )
        # A cache that cannot be written costs time, nothing else.
        with contextlib.suppress(OSError):
            _store(path, label, engine.coordinates(points))
    first: Points = points[:used]
    return first


def _compressed(engine: Engine, points: Points) -> str:
    """SHA-256 of the compressed points, hexadecimal."""
    return hashlib.sha256(engine.compress(points)).hexdigest()


def _digest(label: str, body: bytes) -> bytes:
    name = label.encode()
    return hashlib.sha256(len(name).to_bytes(8, "little") + name + body).digest()


def _load(engine: Engine, path: Path, label: str, n: int, digest: str | None) -> Points | None:
    """The first points of a cache file, or None unless all checks of the first ``n`` pass."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size - _HEADER
            header = file.read(_HEADER)
            body = file.read(-1 if digest is None else n * COORDINATE_BYTES)
    except OSError:
        return None
    count, rest = divmod(size, COORDINATE_BYTES)
    start = _MAGIC + max(count, 0).to_bytes(8, "little")
    if rest or count < n or len(header) != _HEADER or not header.startswith(start):
        return None
    if digest is None and header != start + _digest(label, body):
        return None
    checked = body[: n * COORDINATE_BYTES]
    for _ in range(min(_SAMPLES, n) if digest is None else 0):
        i = int.from_bytes(os.urandom(8), "little") % n
        if checked[i * COORDINATE_BYTES : (i + 1) * COORDINATE_BYTES] != _derive(label, i):
            return None
    try:
        points = engine.from_coordinates(checked)
    except ValueError:
        return None
    # On the curve, a point is what it compresses to.
    return points if digest is None or _compressed(engine, points) == digest else None


def _derive(label: str, i: int) -> bytes:
    from veracity.engine.reference.curve import encode_coordinates
    from veracity.engine.reference.hash_to_curve import hash_to_curve

    return encode_coordinates(hash_to_curve(label, i.to_bytes(8, "little")))


def _store(path: Path, label: str, body: bytes) -> None:
    """Write to a temporary file and rename it, so that no reader sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = len(body) // COORDINATE_BYTES
    # Not tempfile, which imports ``random``: the verifier runs without it.
    temporary = path.with_name(f"{path.name}.{os.urandom(8).hex()}.tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(_MAGIC + count.to_bytes(8, "little") + _digest(label, body) + body)
        temporary.chmod(0o644)  # whatever the umask
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
