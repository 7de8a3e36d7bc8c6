"""Models whose weights do not fit in memory: masks made anew, pages given back, equal answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.private_parties import ENGINE, run, three
from tests.support.private_services import MODES, greedy, model
from veracity.formats.paging import PagedWeights
from veracity.mpc.weights import (
    BLOCK,
    MaskTable,
    largest_masked_bytes,
    masked_bytes,
    masked_shapes,
    masked_weights,
    masks,
    product,
    user_weights,
    weight_shapes,
)
from veracity.private.parties import weights as held
from veracity.private.parties.dealer import DealerLimits

SEED = bytes(range(32))


@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_masks_are_the_same_whether_they_stay_or_not(style: str) -> None:
    program = model(style).program
    whole, largest = masked_bytes(program), largest_masked_bytes(program)
    known = masks(ENGINE.ring, SEED, masked_shapes(program))
    for memory in (None, whole, whole - 1, largest, 0):
        table = MaskTable(ENGINE.ring, program, SEED, memory)
        assert set(table) == set(weight_shapes(program))
        assert table.kept_bytes <= (whole if memory is None else memory)
        assert (table.kept_bytes == whole) == (memory in (None, whole))
        for name, shape in weight_shapes(program).items():
            base = known[name.removesuffix("^T")]
            assert table[name].shape == shape
            assert np.array_equal(table[name], base.T if name.endswith("^T") else base)
    with pytest.raises(KeyError):
        table["layers.99.attn.q"]


def test_masked_weights_and_masks_have_one_sum() -> None:
    example = model()
    table = MaskTable(ENGINE.ring, example.program, SEED, 0)
    sent = masked_weights(ENGINE.ring, example.program, example.weights, SEED)
    for name, masked in user_weights(example.program, sent).items():
        base = example.weights[name.removesuffix("^T")].astype(np.int64).view(np.uint64)
        assert np.array_equal(masked + table[name], base.T if name.endswith("^T") else base)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("count", [1, BLOCK - 1, BLOCK, 2 * BLOCK + 5])
def test_a_transposed_table_multiplies_without_a_copy(rows: int, count: int) -> None:
    rng = np.random.default_rng(count)
    table, x = (rng.integers(0, 1 << 64, s, dtype=np.uint64) for s in ((count, 7), (rows, count)))
    want = ENGINE.ring.matmul_dense(x, np.ascontiguousarray(table.T))
    assert np.array_equal(product(ENGINE.ring, x, table.T), want)
    assert np.array_equal(product(ENGINE.ring, x, np.ascontiguousarray(table.T)), want)


@MODES
def test_answers_of_a_model_that_does_not_fit(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user that drops pages at every matrix, a dealer that keeps no mask but one."""
    example = model()
    monkeypatch.setattr(held, "MEMORY", 1)
    dropped: list[int] = []
    drop = PagedWeights.drop

    def counted(self: Any) -> None:
        dropped.append(1)
        drop(self)

    monkeypatch.setattr(PagedWeights, "drop", counted)
    limits = DealerLimits(memory=largest_masked_bytes(example.program))

    async def session() -> list[int]:
        async with three(example, mode, tmp_path, dealer_limits=limits) as parties:
            answer = await parties.ask(example.tokens[:3], 3)
            (known,) = parties.dealer._models.values()
            assert known.masks.kept_bytes == 0
            return answer.tokens

    assert run(session()) == greedy(example, example.tokens[:3], 3)
    assert len(dropped) > 3 * len(masked_shapes(example.program))


def test_only_large_weights_give_pages_back() -> None:
    small = {"w": np.zeros(4)}
    assert held.paged(small) is small
    large = {"w": np.broadcast_to(np.zeros(1), (held.MEMORY // 8 + 1,))}
    assert isinstance(held.paged(large), PagedWeights)
