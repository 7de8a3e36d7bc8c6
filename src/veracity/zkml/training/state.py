"""The master weights of a run as committed tensors, and what bounds them without any proof.

A window receives the weights at its first step and hands over those after its last one. Their axes
lie as the published model's do; their rows are as long, or, for large networks, longer, and gap
variables let the rounding read both (:mod:`veracity.zk.committed`). They need no projection: a step
changes a weight by a public rate times a sum of products of bounded integers, from a start that is
bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from math import prod
from types import MappingProxyType

import numpy as np

from veracity.engine.api import Engine, Ints
from veracity.graph.training import Recipe, Weights
from veracity.graph.training.program import program_of
from veracity.graph.training.recipe import ACTIVATION_BITS
from veracity.zk.committed import ArrayId
from veracity.zk.keys import MAX_LOG_COLUMNS, CommitmentKey
from veracity.zk.mle import zeros
from veracity.zk.projection import ENTRY_BITS
from veracity.zkml.boundary import Boundary, seal
from veracity.zkml.circuit.declared import boundary_id
from veracity.zkml.committed import CommittedTensor, TensorSpec
from veracity.zkml.model import SHORT_ROWS, choose_log_columns
from veracity.zkml.training.data import BYTE

__all__ = [
    "commit_weights",
    "end_id",
    "open_start",
    "start_id",
    "state_limits",
    "state_specs",
    "weight_row_bits",
    "weight_specs",
]

_HALF = 1 << 62
#: Logarithm of the row length of a large network's weights; of the largest ones', the greatest.
LONG_ROWS = 16


def start_id(name: str) -> ArrayId:
    """A weight as a window receives it."""
    return boundary_id(f"start {name}")


def end_id(name: str) -> ArrayId:
    """A weight as a window hands it over."""
    return boundary_id(f"end {name}")


def weight_row_bits(recipe: Recipe) -> int:
    """Logarithm of the row length of master weights: longer rows make cuts of large ones short."""
    published = choose_log_columns(program_of(recipe))
    if published == SHORT_ROWS:
        return published
    parameters = sum(prod(dims) for dims in recipe.shapes().values())
    return LONG_ROWS if parameters < 1 << 26 else MAX_LOG_COLUMNS


@lru_cache(maxsize=8)
def weight_specs(recipe: Recipe) -> Mapping[str, TensorSpec]:
    """How master weights are committed, in order of name: a function of the recipe alone."""
    row_bits = weight_row_bits(recipe)
    out = {}
    for layer in range(recipe.layers):
        for name, bias in ((recipe.weight_name(layer), False), (recipe.bias_name(layer), True)):
            dims, exponent = recipe.shapes()[name], recipe.exponent(layer, bias)
            out[name] = TensorSpec(dims, exponent, -_HALF, _HALF - 1, row_bits)
    return MappingProxyType(dict(sorted(out.items())))


def state_specs(recipe: Recipe, step: int) -> Mapping[str, TensorSpec]:
    """How everything is committed that goes on to a step from the one before, in order of name.

    Before the first step these are the weights; later, what momentum has gathered, too, laid out
    as the weights are.
    """
    return _with_momentum(recipe) if step and recipe.momentum else weight_specs(recipe)


@lru_cache(maxsize=8)
def _with_momentum(recipe: Recipe) -> Mapping[str, TensorSpec]:
    specs = weight_specs(recipe)
    gathered = {recipe.momentum_name(name): spec for name, spec in specs.items()}
    return MappingProxyType(dict(sorted({**specs, **gathered}.items())))


def state_limits(recipe: Recipe, step: int) -> dict[str, int]:
    """What the state before a step cannot exceed in magnitude, if the step begins a block.

    Gradients are below ``2^49`` by the projection, those of the square loss before their scale;
    labels add ``2^g``. Data are bytes, activations stand in the table ``relu``. An update is
    ``m sum g a`` over examples and positions, or ``m 2^(2 a) sum g``. Before the first step they
    are below ``2^49`` units of a committed model, and closer to zero where a seed gives them.
    What momentum has gathered and what weights lose are below ``2^49`` by the projection.
    """
    entry = (1 << ENTRY_BITS) - 1
    gradient = entry << (recipe.gradient_bits if recipe.loss == "square" else 0)
    gradient += 1 << recipe.gradient_bits
    out = {}
    rates, powers = sum(abs(m) for m in recipe.rates[:step]), sum(recipe.momentum) or 1
    lost = entry * -(-step // recipe.settle) if recipe.decays else 0
    for layer, stage in enumerate(recipe.stages):
        moved = recipe.batch * stage.rule.positions * gradient * powers
        read = (1 << (ACTIVATION_BITS - 1) if layer else BYTE) << stage.pool_bits
        scale = 1 << 2 * recipe.input_exponent(layer)
        carried = entry << recipe.momentum_bits if recipe.momentum else 0
        for name, bias, step_most in (
            (recipe.weight_name(layer), False, moved * read + carried),
            (recipe.bias_name(layer), True, (moved + carried) * scale),
        ):
            out[name] = (entry << recipe.exponent(layer, bias)) + rates * step_most + lost
            if recipe.momentum:
                out[recipe.momentum_name(name)] = entry
    return out


def open_start(
    engine: Engine, tensors: Mapping[str, CommittedTensor], weights: Weights
) -> dict[str, Boundary]:
    """Weights that everybody can compute, under their rows, which have no blinds.

    Parameters
    ----------
    engine : Engine
        Backend.
    tensors : mapping
        The rows (:mod:`veracity.zkml.training.start`).
    weights : Weights
        From the public seed.
    """
    out = {}
    for name, tensor in tensors.items():
        blinds = zeros(engine, tensor.spec.rows)
        array = tensor.spec.arrays(start_id(name), np.asarray(weights[name]), blinds)
        out[name] = Boundary(tensor, array)
    return out


def commit_weights(
    engine: Engine,
    key: CommitmentKey,
    recipe: Recipe,
    weights: Mapping[str, Ints],
    seed: bytes,
    domain: bytes,
) -> dict[str, Boundary]:
    """Master weights and momentum after a window, under blinds of a cut seed.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    recipe : Recipe
        Shapes.
    weights : mapping
        Integers by name.
    seed : bytes
        32 secret bytes from the operating system, of this run alone.
    domain : bytes
        Which run and which window; never used for other integers.
    """
    return {
        name: seal(engine, key, spec, weights[name], seed, domain + name.encode())
        for name, spec in state_specs(recipe, recipe.steps).items()
    }
