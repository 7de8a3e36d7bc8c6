"""What docs/howto/use-in-a-service.md promises: threads, asyncio, cancelling."""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import veracity
from tests.support.network_files import save_network
from tests.support.toy_vision import network

PAGE = Path(__file__).parents[2] / "docs/howto/use-in-a-service.md"


class House:
    """A committed network and an input."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.program = folder, save_network(folder)
        self.commitment, self.secret = veracity.commit(self.program)
        self.x = network().inputs["x"] / 256


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    return House(tmp_path_factory.mktemp("service"))


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page defines."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, PAGE.name, "exec"), names)
    return names


def test_threads_do_not_mix_up_their_work(house: House) -> None:
    rng = np.random.default_rng(1)
    inputs = [rng.integers(0, 256, house.x.shape) / 256 for _ in range(4)]

    def one(x: Any) -> bool:
        proved = veracity.prove_tensors(house.program, house.secret, x)
        veracity.verify_tensors(proved.proof, house.commitment, x, proved.outputs)
        other = inputs[(next(i for i, y in enumerate(inputs) if y is x) + 1) % len(inputs)]
        with pytest.raises(veracity.VerificationError):
            veracity.verify_tensors(proved.proof, house.commitment, other, proved.outputs)
        return True

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(one, inputs)) == [True] * 4


def test_an_event_loop_hears_of_the_advance(house: House, page: dict[str, Any]) -> None:
    told: list[tuple[str, float]] = []

    async def serve() -> Any:
        work = page["prove"](house.program, house.secret, house.x, lambda *n: told.append(n))
        proved, _ = await asyncio.gather(work, asyncio.sleep(0))
        return proved

    proved = asyncio.run(serve())
    veracity.verify_tensors(proved.proof, house.commitment, house.x, proved.outputs)
    assert {"load", "commit", "lookups", "opening"} <= {phase for phase, _ in told}


def test_work_stops_where_the_callback_raises(house: House, page: dict[str, Any]) -> None:
    cancelled = threading.Event()
    cancelled.set()
    before = sorted(house.folder.iterdir())
    with pytest.raises(page["Cancelled"]):
        page["prove_unless"](cancelled, house.program, house.secret, house.x)
    assert sorted(house.folder.iterdir()) == before
    cancelled.clear()
    proved = page["prove_unless"](cancelled, house.program, house.secret, house.x)
    veracity.verify_tensors(proved.proof, house.commitment, house.x, proved.outputs)


def test_every_phase_can_be_stopped_in(house: House) -> None:
    """Wherever the callback raises, that is what the caller gets, and the next proof is fine."""
    phases: list[str] = []
    veracity.prove_tensors(
        house.program, house.secret, house.x, progress=lambda phase, _: phases.append(phase)
    )

    class Stop(Exception):
        pass

    for wanted in dict.fromkeys(phases):

        def progress(phase: str, _share: float, wanted: str = wanted) -> None:
            if phase == wanted:
                raise Stop(phase)

        with pytest.raises(Stop, match=wanted):
            veracity.prove_tensors(house.program, house.secret, house.x, progress=progress)
    proved = veracity.prove_tensors(house.program, house.secret, house.x)
    veracity.verify_tensors(proved.proof, house.commitment, house.x, proved.outputs)
