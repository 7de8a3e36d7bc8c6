"""How arrays lie in rows: merged axes, what claims weigh in them, and rows that grow smoothly."""

from __future__ import annotations

import json
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
import pytest

from veracity.engine import load_engine
from veracity.engine.api import ORDER
from veracity.frontends.shapes import read_shape
from veracity.lm.text_decoder import ports_of
from veracity.zk.committed import ArrayId, count_rows
from veracity.zk.mle import kron
from veracity.zk.reduction import Placed
from veracity.zkml import Execution, count
from veracity.zkml.circuit.declared import Batch
from veracity.zkml.circuit.relations import Layout
from veracity.zkml.committed import order_of_rows

ENGINE = load_engine("cpu")
#: The shape of stories260K.
STORIES = {
    "model_type": "llama", "hidden_size": 64, "num_hidden_layers": 5, "num_attention_heads": 8,
    "num_key_value_heads": 4, "intermediate_size": 172, "vocab_size": 512,
    "max_position_embeddings": 512,
}  # fmt: skip


@pytest.mark.parametrize(
    ("dims", "bits", "joint", "merged"),
    [
        ((10, 65, 64), 12, False, [650, 64]),
        ((5, 8, 17, 17), 12, True, [5, 8, 289]),
        ((5, 8, 9, 8, 8), 12, True, [45, 8, 8, 8]),
        ((30, 65, 576), 14, False, None),
        ((10, 64, 64), 12, False, [10, 64, 64]),
        ((3, 3), 12, False, [3, 3]),
    ],
)
def test_merged_axes_take_fewer_rows(
    dims: tuple[int, ...], bits: int, joint: bool, merged: list[int] | None
) -> None:
    batch = Batch(ArrayId("witness", "x"), dims[1:], joint, False, count=dims[0])
    layout, usual = Layout.of(batch, bits), Layout.of(batch)
    assert prod(layout.shape.dims) == prod(dims)
    assert sum(layout.merged) == len(dims)
    assert count_rows(layout.shape.dims, bits) <= count_rows(usual.shape.dims, bits)
    assert count_rows(layout.shape.dims, bits) >= -(-prod(dims) >> bits)
    if merged is not None:
        assert sorted(layout.shape.dims) == sorted(merged)
    if joint:  # in this order and side by side, in one axis or in two
        first = layout.order.index(len(dims) - 2)
        assert layout.order[first + 1] == len(dims) - 1
    outer, inner = layout.sides.outer, layout.sides.inner
    assert outer * inner == prod(dims)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("bits", [3, 4, 5, 6])
def test_claims_weigh_what_is_stored(bits: int, joint: bool) -> None:
    """However axes lie and are merged, coefficients meet the entries that they are of."""
    rng = np.random.default_rng(bits)
    seen = set()
    for dims in [(3, 5, 9), (5, 17, 3), (2, 9, 5, 5), (9, 3, 3), (3, 2, 5, 3, 3)]:
        values = rng.integers(-99, 99, size=dims).astype(np.int16)
        batch = Batch(
            ArrayId("witness", "x"), dims[1:], joint, False, count=dims[0], values=list(values)
        )
        layout = Layout.of(batch, bits)
        seen.add(max(layout.merged))
        vectors = [ENGINE.random(n) for n in dims]
        natural = [(1, v) for v in vectors]
        if joint:
            natural[-2:] = [(2, ENGINE.random(dims[-1] * dims[-2]))]
        else:
            short = Placed(vectors[1][1:2], 1, dims[1])
            natural[1] = (1, short)
        stored = layout.store(batch.values)
        assert stored.shape == layout.shape.dims
        found = layout.weights(ENGINE, tuple(natural))
        assert sum(span for span, _ in found) == len(layout.shape.dims)

        def total(functional: list, array: np.ndarray) -> int:
            parts = [ENGINE.pad(v.entries, v.start, v.size - v.start - 1) if isinstance(v, Placed)
                     else v for _, v in functional]  # fmt: skip
            flat = ENGINE.from_small(np.ascontiguousarray(array).reshape(-1))
            return ENGINE.dot(kron(ENGINE, parts), flat) % ORDER

        assert total(list(found), stored) == total(natural, values)
    assert max(seen) > 1


def test_the_choice_is_the_shapes_alone() -> None:
    for dims, bits, joint in [((10, 65, 64), 12, False), ((5, 8, 17, 17), 12, True)]:
        first = order_of_rows(dims, bits, joint)
        order_of_rows.cache_clear()
        assert order_of_rows(dims, bits, joint) == first


def test_no_token_makes_a_proof_much_longer(tmp_path: Path) -> None:
    """Beyond a power of two tokens are padded to the next; neither rows nor lookups jump there."""
    (tmp_path / "config.json").write_text(json.dumps(STORIES))
    program = read_shape(tmp_path / "config.json").program

    def size(tokens: int) -> int:
        return count(Execution(program, *ports_of((0,) * tokens, tokens // 4))).proof_bytes

    sizes = {n: size(n) for n in (17, 18, 33, 34, 64, 65, 66, 129, 130)}
    for before, after in pairwise(sizes):
        if after == before + 1:
            assert sizes[after] < 1.07 * sizes[before], (before, after)
    assert sizes[66] < 1.05 * sizes[65]
    assert sizes[64] < 22_000
