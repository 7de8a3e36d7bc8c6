"""The benchmark reports every measure and leaves files that others can check."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.house import House, done, veracity

FIELDS = (
    "workload",
    "model",
    "parameters",
    "tokens",
    "lookups",
    "committed_values",
    "import_s",
    "commit_s",
    "evaluate_s",
    "prove_s",
    "verify_first_s",
    "verify_s",
    "proof_bytes",
    "commitment_bytes",
    "peak_memory_bytes",
    "threads",
    "cpu",
    "commit",
)


def test_bench_measures_everything(house: House, tmp_path: Path) -> None:
    run = ("bench", house.program, "--tokens", 16, "--keep", tmp_path, "--json", "-q")
    measures = json.loads(done(*run).stdout)
    assert set(FIELDS) <= measures.keys()
    assert measures["tokens"] == 16
    assert measures["model"] == "stories260K"
    assert measures["workload"] == "stories"
    assert measures["proof_bytes"] == (tmp_path / "answer.vproof").stat().st_size
    for name in ("lookups", "committed_values", "prove_s", "verify_s", "peak_memory_bytes"):
        assert measures[name] > 0, name
    kept = done(
        "verify", tmp_path / "answer.vproof", "--commitment", tmp_path / "model.vcom", "--json"
    )
    assert json.loads(kept.stdout)["prompt_tokens"] == 4


def test_estimate_is_exact_where_it_can_be(house: House, tmp_path: Path) -> None:
    facts = json.loads(done("estimate", house.program, "--tokens", 16, "--json").stdout)
    run = ("bench", house.program, "--tokens", 16, "--keep", tmp_path, "--json", "-q")
    measures = json.loads(done(*run).stdout)
    assert facts["lookups"] == measures["lookups"]
    assert facts["committed_values"] == measures["committed_values"]
    assert abs(facts["proof_bytes"] - measures["proof_bytes"]) < 1000


def test_estimate_of_a_shape_without_weights() -> None:
    told = done("estimate", "--shape", "llama-2-7b", "--tokens", 16, "--ops").stdout
    assert "to prove 16 tokens of llama-2-7b" in told
    assert "supposed" in told
    assert "attn.q (Linear)" in told
    facts = json.loads(done("estimate", "--shape", "llama-2-7b", "--tokens", 16, "--json").stdout)
    assert facts["lookups"] > 32 * 16 * 4 * 4096
    for wrong in ((), ("--shape", "llama-9"), ("model.vprog", "--shape", "llama-2-7b")):
        assert veracity("estimate", *wrong).exit_code == 2
