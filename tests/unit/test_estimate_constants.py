"""What estimates say of workloads is what was measured of them, within a quarter."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from veracity.work.estimate import Speed, checking_seconds, peak_memory, proving_seconds
from veracity.work.memory import FILLED
from veracity.zkml import Costs

#: The machine that proved them, with nothing beside: two cores with AVX-512.
SPEED = Speed(multiplication=3.4e-9, committed_value=4.95e-8)
ALLOWED = 1.25


@dataclass(frozen=True)
class Run:
    """What `veracity bench` measured of one segment, or of as many equal ones as there were.

    Attributes
    ----------
    counts : tuple of int
        Weights read, lookups, committed values, generators; of the largest segment.
    rows, usual : int
        Row commitments of the model, entries of each.
    proof_bytes : int
        Size.
    prove_s, verify_s : float
        Seconds.
    peak : int
        Megabytes.
    """

    counts: tuple[int, int, int, int]
    rows: int
    usual: int
    proof_bytes: int
    prove_s: float
    verify_s: float
    peak: int

    @property
    def costs(self) -> Costs:
        weights, lookups, values, generators = self.counts
        return Costs(weights, lookups, values, 0, 0, 0, self.proof_bytes, generators=generators)


SINGLE = {
    "stories260k 8": Run(
        (259_392, 105_576, 433_388, 4_096),
        rows=74,
        usual=4096,
        proof_bytes=11_306,
        prove_s=0.261,
        verify_s=0.048,
        peak=115,
    ),
    "stories260k 32": Run(
        (259_392, 341_034, 751_982, 4_096),
        rows=74,
        usual=4096,
        proof_bytes=14_314,
        prove_s=0.318,
        verify_s=0.052,
        peak=138,
    ),
    "stories260k 64": Run(
        (259_392, 770_738, 1_177_174, 4_096),
        rows=74,
        usual=4096,
        proof_bytes=18_250,
        prove_s=0.4,
        verify_s=0.06,
        peak=163,
    ),
    "stories260k 128": Run(
        (259_392, 1_989_986, 2_682_118, 8_192),
        rows=74,
        usual=4096,
        proof_bytes=20_618,
        prove_s=0.65,
        verify_s=0.068,
        peak=251,
    ),
    "stories260k 256": Run(
        (259_392, 5_903_042, 7_780_966, 32_768),
        rows=74,
        usual=4096,
        proof_bytes=19_978,
        prove_s=1.28,
        verify_s=0.101,
        peak=498,
    ),
    "gpt2-124m 8": Run(
        (124_401_408, 1_849_830, 1_872_235, 16_384),
        rows=10104,
        usual=16384,
        proof_bytes=14_410,
        prove_s=0.784,
        verify_s=0.095,
        peak=519,
    ),
    "gpt2-124m 32": Run(
        (124_401_408, 7_925_820, 7_406_599, 16_384),
        rows=10104,
        usual=16384,
        proof_bytes=27_498,
        prove_s=1.5,
        verify_s=0.109,
        peak=743,
    ),
    "gpt2-124m 64": Run(
        (124_401_408, 16_451_940, 14_795_255, 32_768),
        rows=10104,
        usual=16384,
        proof_bytes=28_330,
        prove_s=2.77,
        verify_s=0.143,
        peak=1047,
    ),
    "smollm2 8": Run(
        (134_480_448, 2_947_715, 3_212_906, 16_384),
        rows=10909,
        usual=16384,
        proof_bytes=17_770,
        prove_s=1.072,
        verify_s=0.129,
        peak=609,
    ),
    "smollm2 32": Run(
        (134_480_448, 12_934_181, 12_941_660, 16_384),
        rows=10909,
        usual=16384,
        proof_bytes=39_306,
        prove_s=2.122,
        verify_s=0.139,
        peak=900,
    ),
    "smollm2 64": Run(
        (134_480_448, 27_045_969, 25_931_152, 32_768),
        rows=10909,
        usual=16384,
        proof_bytes=40_906,
        prove_s=3.873,
        verify_s=0.187,
        peak=1460,
    ),
    "smollm2 128": Run(
        (134_480_448, 57_668_225, 56_298_176, 65_536),
        rows=10909,
        usual=16384,
        proof_bytes=44_298,
        prove_s=7.333,
        verify_s=0.227,
        peak=2938,
    ),
    "gpt2-124m 128": Run(
        (124_401_408, 34_783_476, 31_912_855, 65_536),
        rows=10104,
        usual=16384,
        proof_bytes=30_506,
        prove_s=4.93,
        verify_s=0.165,
        peak=1946,
    ),
    "smollm2 256": Run(
        (134_480_448, 128_866_017, 131_132_704, 262_144),
        rows=10909,
        usual=16384,
        proof_bytes=32_874,
        prove_s=22.3,
        verify_s=0.539,
        peak=6929,
    ),
}
#: Largest segments under a limit: the limit, weights, lookups, values, peak; megabytes.
CAPPED = {
    "stories260k 256": (300, 78_144, 1_402_258, 1_947_014, 209),
    "stories260k 128": (160, 4_096, 269_760, 604_032, 123),
    "gpt2-124m 64": (1_500, 124_401_408, 11_627_220, 12_431_255, 1085),
    "gpt2-124m 32": (800, 103_147_008, 4_117_344, 4_742_198, 631),
    "smollm2 32": (800, 71_663_616, 4_378_271, 5_215_926, 598),
    "smollm2 64": (1_500, 92_897_280, 13_665_225, 14_694_240, 1173),
    "smollm2 128": (2_000, 78_741_504, 23_174_785, 25_218_400, 1589),
}


@pytest.mark.parametrize("name", SINGLE)
def test_one_segment(name: str) -> None:
    run = SINGLE[name]
    foretold = (
        proving_seconds([run.costs], SPEED, run.usual) / run.prove_s,
        checking_seconds([run.costs], run.rows) / run.verify_s,
        peak_memory(run.costs, None) / (run.peak * 1e6),
    )
    assert all(1 / ALLOWED <= ratio <= ALLOWED for ratio in foretold), foretold


@pytest.mark.parametrize("name", CAPPED)
def test_segments_under_a_limit_take_no_more_than_foretold(name: str) -> None:
    limit, weights, lookups, values, peak = CAPPED[name]
    costs = Costs(weights, lookups, values, 0, 0, 0, 0)
    foretold = peak_memory(costs, limit * 10**6) / (peak * 1e6)
    assert 1 <= foretold <= ALLOWED, foretold


def test_a_plan_leaves_room_for_what_is_kept() -> None:
    limit = 10**9
    none = Costs(0, 0, 0, 0, 0, 0, 0)
    assert FILLED * limit + peak_memory(none, limit) - peak_memory(none, None) < limit


def test_networks_keep_what_they_free() -> None:
    """LCE's network on 128x128 pixels took 1,003 MB without a limit."""
    costs = Costs(89813, 11_559_708, 12_597_803, 0, 0, 0, 0)
    assert 1 <= peak_memory(costs, None, network=True) / 1003e6 <= ALLOWED
