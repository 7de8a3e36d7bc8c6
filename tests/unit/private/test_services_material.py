"""Material that waits, is kept and is refused."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.private_parties import run, three
from tests.support.private_services import MODES, model
from veracity.engine import load_engine
from veracity.errors import FormatError, PeerError, UsageError
from veracity.mpc.material import Label
from veracity.mpc.modes import find_mode
from veracity.mpc.weights import masked_bytes, masked_digest, masked_parts, masked_weights
from veracity.net import Channel, pair
from veracity.private.parties.preprocessing_client import (
    ACCEPT,
    HEADER,
    REQUEST,
    Kind,
    PreprocessingClient,
)
from veracity.private.parties.spool import SharedRegistry, Spool
from veracity.private.parties.weights import WeightCache
from veracity.private.parties.wire import (
    CHUNK,
    MessageTag,
)

ENGINE = load_engine("cpu")


def test_the_store_keeps_its_cap(tmp_path: Path) -> None:
    async def session() -> None:
        spool = Spool(tmp_path / "material", 100)
        assert stat.S_IMODE((tmp_path / "material").stat().st_mode) == 0o700
        with pytest.raises(UsageError, match="over the cap"):
            await spool.take(101)
        (first,) = await spool.take(60)
        assert list(spool.folder.iterdir()) == []  # nobody can open what has no name
        assert stat.S_IMODE(os.fstat(first._file.fileno()).st_mode) == 0o600
        waiting = asyncio.create_task(spool.take(60))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        first.write(b"x" * 60)
        first.end()
        with pytest.raises(UsageError, match="more material"):
            first.write(b"x")
        assert b"".join(first.read()) == b"x" * 60
        (second,) = await waiting
        second.close()
        second.close()
        await asyncio.sleep(0)
        assert (spool.used, spool.peak) == (0, 60)

    run(session())


def test_masked_weights_by_parts_are_the_masked_weights(tmp_path: Path) -> None:
    example = model("gpt2")
    seed = bytes(range(32))
    whole = masked_weights(ENGINE.ring, example.program, example.weights, seed)
    parts = b"".join(
        part.tobytes() for part in masked_parts(ENGINE.ring, example.program, example.weights, seed)
    )
    assert len(parts) == masked_bytes(example.program)
    digest = masked_digest(ENGINE.ring, example.program, example.weights, seed)
    assert digest == hashlib.sha256(parts).digest()
    kept = WeightCache(tmp_path, example.program, digest)
    assert not kept.there
    with pytest.raises(PeerError), kept.filled() as out:
        out.write(parts[:100])
        raise PeerError("gone")
    assert list(tmp_path.iterdir()) == []
    with kept.filled() as out:
        out.write(parts)
    assert kept.there
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
    loaded = kept.load()
    assert loaded.keys() == whole.keys()
    assert all(np.array_equal(loaded[name], whole[name]) for name in whole)
    other = WeightCache(tmp_path, example.program, bytes(32))
    assert not other.there
    damaged = bytearray(parts)
    damaged[len(parts) // 2] ^= 1
    kept.path.write_bytes(damaged)
    with pytest.raises(FormatError, match="remove"):
        kept.load()


def test_the_ledger_is_kept_privately(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    label = Label(bytes(32), bytes(16), 1, 0, 3, 1)
    SharedRegistry(path).use(label, bytes(32))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="used before"):
        SharedRegistry(path).use(label, bytes(range(32)))


def said(kind: int, size: int = 0, both: int = 0) -> bytes:
    """A header without a pass."""
    return HEADER.pack(kind, b"", b"", size, both, 0)


async def false_dealer(channel: Channel, headers: list[tuple[Kind, Label, bytes, bytes]]) -> None:
    """Answers requests with what it is told to."""
    for kind, label, seed, data in headers:
        await channel.receive(MessageTag.REQUEST, REQUEST.size)
        await channel.send(
            MessageTag.HEADER, HEADER.pack(kind, label.encode(), seed, len(data), len(data), 0)
        )
        await channel.receive(MessageTag.ACCEPT, ACCEPT.size)
        for start in range(0, len(data), CHUNK):
            part = data[start : start + CHUNK]
            await channel.send(MessageTag.HEADER, said(Kind.PART, len(part)))
            await channel.send(MessageTag.CHUNK, part)
        await channel.send(MessageTag.HEADER, said(Kind.END, len(data), len(data)))
        await channel.receive(MessageTag.ACCEPT, ACCEPT.size)
    await channel.receive(MessageTag.REQUEST, REQUEST.size)


@MODES
def test_material_that_was_used_is_refused(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dealer hands out one seed twice, under another label: the user stops before it sends."""
    example = model()
    honest = find_mode(mode).dealer

    class Repeats:
        def __init__(self, side: Any) -> None:
            self.side = side
            self.seeds: list[bytes] = []

        def begin(self, start: int, rows: int) -> Any:
            begun = self.side.begin(start, rows)
            self.seeds = self.seeds or [d.seed for d in begun]
            return tuple(replace(d, seed=s) for d, s in zip(begun, self.seeds, strict=True))

        def fill(self, begun: Any, owner: Any, user: Any) -> Any:
            return self.side.fill(begun, owner, user)

    monkeypatch.setattr(find_mode(mode), "dealer", lambda *given: Repeats(honest(*given)))

    async def session() -> None:
        async with three(example, mode, tmp_path, timeout=5) as parties, parties.session(2, 2) as s:
            token = await s[0].feed([1, 2])
            await s[0]._preprocessing.full(1)
            with pytest.raises(UsageError, match="used before"):
                await s[0].feed([token])

    run(session())


WRONG = {
    "another pass": (Kind.MATERIAL, Label(bytes(32), bytes(16), 1, 5, 1, 1)),
    "another length": (Kind.MATERIAL, Label(bytes(32), bytes(16), 1, 0, 7, 1)),
    "no kind": (9, Label(bytes(32), bytes(16), 1, 0, 2, 1)),
}


@pytest.mark.parametrize("what", WRONG)
def test_material_for_another_pass_is_refused(what: str, tmp_path: Path) -> None:
    async def session() -> None:
        near, far = pair(timeout=5)
        kind, label = WRONG[what]
        dealer = asyncio.create_task(false_dealer(far, [(kind, label, bytes(32), b"x")]))  # type: ignore[list-item]
        preprocessing = PreprocessingClient(near, Spool(tmp_path, 1000), [(0, 2)], 1)
        preprocessing.start()
        with pytest.raises(PeerError, match="another pass"):
            await preprocessing.next()
        await preprocessing.close()
        with pytest.raises(PeerError):
            await dealer

    run(session())
