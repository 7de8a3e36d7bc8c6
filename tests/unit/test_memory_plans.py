"""Where proofs are cut: below a limit, also where several values cross every cut."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from veracity import verify_tensors, zkml
from veracity.errors import UsageError
from veracity.formats.program import NetworkFile
from veracity.frontends.lce import network_for
from veracity.proving.tensors import prove_tensors
from veracity.work.commit import commit
from veracity.work.memory import FILLED, TREE_BYTES, link_memory, plan_links
from veracity.zkml.links import crossings

SIDE = 128


@lru_cache
def execution() -> zkml.Execution:
    """LCE: between any two of its blocks seven values cross."""
    program = network_for(SIDE, SIDE, 96).program
    ports = ({"picture": (3, SIDE, SIDE)}, {"enlarged": (3, 2 * SIDE, 2 * SIDE)})
    zeros = ({n: np.zeros(d, dtype=np.int64) for n, d in side.items()} for side in ports)
    return zkml.Execution(program, *zeros)


def whole() -> int:
    (costs,) = zkml.count_links(execution())
    return link_memory(costs)


def test_a_program_is_cut_where_several_values_cross() -> None:
    limit = int(whole() * 0.5)
    plan = plan_links(execution(), limit)
    crossed = crossings(execution().program)
    assert any(crossed[cut] > 1 for cut in plan.cuts)
    parts = zkml.count_links(replace(execution(), cuts=plan.cuts))
    assert 2 <= len(parts) <= 6
    assert all(link_memory(part) <= limit * FILLED + 1 for part in parts)
    # what is received counts: the tensors that cross are held beside the link's own
    assert all(part.received_values > 0 for part in parts[1:])
    assert parts[0].received_values == 0


def test_what_lookups_keep_leaves_room_for_the_rest_of_every_link() -> None:
    limit = int(whole() * 0.5)
    plan = plan_links(execution(), limit)
    parts = zkml.count_links(replace(execution(), cuts=plan.cuts))
    most = max(link_memory(part) - TREE_BYTES * part.lookups for part in parts)
    assert 0 < plan.tree <= limit * FILLED - most + 1
    assert plan_links(execution(), None).tree == 0


def test_no_cuts_where_none_are_needed() -> None:
    assert plan_links(execution(), 2 * whole()).cuts == ()


def test_a_limit_that_no_cuts_meet() -> None:
    with pytest.raises(UsageError, match=r"MiB.*raise --memory"):
        plan_links(execution(), 120 << 20)


def test_jobs_get_even_shares() -> None:
    plan = plan_links(execution(), None, jobs=2)
    parts = zkml.count_links(replace(execution(), cuts=plan.cuts))
    first, second = (part.lookups for part in parts)
    assert 0.5 < first / second < 2


def test_a_chain_of_many_values_proves_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network: NetworkFile = network_for(20, 24, 32)
    commitment, secret = commit(network)
    picture = np.random.default_rng(0).integers(60, 200, (3, 20, 24)).astype(np.float64)
    blurred = (picture + np.roll(picture, 1, 1) + np.roll(picture, 1, 2)) / 3
    cuts = [i for i, count in enumerate(crossings(network.program)) if count == 7][3:40:12]
    monkeypatch.setattr(
        "veracity.proving.opened.plan_links",
        lambda *_: replace(plan_links(execution(), None), cuts=tuple(cuts)),
    )
    made = prove_tensors(network, secret, np.round(blurred))
    assert made.proof.cuts == tuple(cuts)
    verify_tensors(made.proof, commitment, np.round(blurred), made.outputs)
