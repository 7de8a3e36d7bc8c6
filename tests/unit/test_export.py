"""Weights for other tools: exactly the floats that the integers stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.network_files import network_file, save_network
from tests.support.training import small_recipe
from veracity.cli import main
from veracity.errors import UsageError
from veracity.formats.program import NetworkFile
from veracity.frontends.safetensors import read_safetensors
from veracity.graph.training import start_weights
from veracity.graph.training.network import Network
from veracity.graph.training.program import program_of
from veracity.work.export import export_network, float_weights
from veracity.zkml.training.rounding import rounded_weights


def test_floats_are_the_integers(tmp_path: Path) -> None:
    network = network_file()
    kinds = export_network(network, tmp_path / "it.safetensors")
    found = read_safetensors(tmp_path / "it.safetensors")
    assert set(found) == set(kinds) == set(network.weights)
    for name, spec in network.program.weights.items():
        assert np.array_equal(found[name] * 2.0**spec.exponent, network.weights[name])
    assert (tmp_path / "it.safetensors").stat().st_mode & 0o077 == 0


def test_names_are_those_of_torch_and_wide_biases_stay_exact() -> None:
    recipe = small_recipe()
    weights = rounded_weights(recipe, start_weights(recipe, bytes(32)))
    weights["2.bias"][0] = (1 << 26) + 1
    found = float_weights(NetworkFile({}, program_of(recipe), weights, {}))
    assert {"0.weight", "0.bias", "2.weight", "2.bias"} <= set(found)
    assert found["0.weight"].dtype == np.float32
    assert found["2.bias"].dtype == np.float64
    exponent = program_of(recipe).weights["2.bias"].exponent
    assert found["2.bias"][0] == ((1 << 26) + 1) / 2**exponent


def test_a_network_with_convolutions() -> None:
    network = Network((8, 8, 1), ("conv 3 3x3", "relu", "flatten", "dense 2"))
    recipe = replace(small_recipe(), network=network)
    weights = rounded_weights(recipe, start_weights(recipe, bytes(32)))
    found = float_weights(NetworkFile({}, program_of(recipe), weights, {}))
    assert found["0.weight"].shape == (3, 1, 3, 3)
    last = recipe.weight_name(1)
    assert weights[last].shape == (2, 3, 6, 6)
    assert found[last].shape == (2, 108)
    assert found[last][1, 36 * 2 + 6 * 4 + 5] == weights[last][1, 2, 4, 5] / 2**12


def test_the_command(tmp_path: Path) -> None:
    path, out = save_network(tmp_path), tmp_path / "it.safetensors"
    words = ["export", str(path), "--safetensors", str(out)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "float32" in done.output
    assert CliRunner().invoke(main, words).exit_code == 2
    assert CliRunner().invoke(main, [*words, "--force", "--json"]).exit_code == 0
    with pytest.raises(UsageError):
        export_network(tmp_path / "none.vprog", out)
