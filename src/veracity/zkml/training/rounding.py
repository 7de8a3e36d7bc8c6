"""The published weights are the trained ones, rounded: one lookup per weight.

Relation. With ``W`` the master weights that the last window hands over and ``W'`` those of a model
commitment, tensor by tensor::

    W + 2^(s-1) - 2^s W' in [0, 2^s),    s = (exponent of W) - (exponent of W')

Why ``W'`` is unique. Every entry of ``W'`` is an integer below ``2^49`` by the commitment's own
proof of well-formedness, which a verifier of training requires, and W is an integer far below the
field's size.
Messages and checks. Those of one circuit for every stretch of tensors, so that memory is bounded
however many weights there are; each has a transcript that absorbs the run's premise, the rows of
W, all of the model commitment and its own range. The verifier makes the list of ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from veracity.engine.api import Ints
from veracity.errors import RangeError
from veracity.graph.exact import rhu
from veracity.graph.training import Recipe, Weights
from veracity.graph.training.program import program_of
from veracity.zkml.circuit.build import Circuit, finish_circuit
from veracity.zkml.circuit.builder import Builder
from veracity.zkml.circuit.declared import Given, weight_id
from veracity.zkml.model import choose_log_columns
from veracity.zkml.model import weight_specs as published_specs
from veracity.zkml.training.state import end_id, state_limits, weight_specs

__all__ = ["build_rounding", "rounded_weights", "rounding_ranges"]

#: Lookups of roundings that are proved together, unless a tensor alone has more.
_ROUNDING_LOOKUPS = 3 << 26


def _shifts(recipe: Recipe) -> dict[str, int]:
    out = {}
    for layer in range(recipe.layers):
        out[recipe.weight_name(layer)] = recipe.rounding_shift(layer)
        out[recipe.bias_name(layer)] = recipe.rounding_shift(layer)
    return out


def rounded_weights(recipe: Recipe, weights: Weights) -> dict[str, Ints]:
    """The integers of the published model.

    Raises
    ------
    RangeError
        Where a weight does not fit its published width: the exponent is part of the recipe.
    """
    program, out = program_of(recipe), {}
    for name, shift in _shifts(recipe).items():
        spec, value = program.weights[name], rhu(weights[name], shift)
        if int(abs(value).max()) >= spec.bound:
            raise RangeError(
                name,
                f"a trained weight leaves {spec.bits} bits at 2^-{spec.exponent}: train with a "
                "smaller weight_exponent",
            )
        out[name] = value.astype(spec.dtype)
    return out


def rounding_ranges(recipe: Recipe) -> list[tuple[int, int]]:
    """First and end, among all weights in order of name, of every stretch proved by itself."""
    out, first, held, shifts = list[tuple[int, int]](), 0, 0, _shifts(recipe)
    for i, (name, spec) in enumerate(weight_specs(recipe).items()):
        size = prod(spec.dims) * -(-shifts[name] // 16)
        if i > first and held + size > _ROUNDING_LOOKUPS:
            out.append((first, i))
            first, held = i, 0
        held += size
    return [*out, (first, len(weight_specs(recipe)))]


def build_rounding(
    recipe: Recipe,
    ends: tuple[int, int],
    master: Mapping[str, Ints] | None = None,
    published: Mapping[str, Ints] | None = None,
) -> Circuit:
    """The circuit of the rounding of a stretch of weights.

    Parameters
    ----------
    recipe : Recipe
        Scales.
    ends : tuple of int
        One of :func:`rounding_ranges`.
    master, published : mapping, optional
        The prover's integers; both or neither.
    """
    program, limits = program_of(recipe), state_limits(recipe, recipe.steps)
    specs = published_specs(program, choose_log_columns(program))
    given, chosen = {}, list(weight_specs(recipe))[slice(*ends)]
    for name in chosen:
        spec = weight_specs(recipe)[name]
        value = None if master is None else master[name]
        given[end_id(name)] = Given(spec, value, limit=limits[name])
    for name, spec in specs.items():
        if name in chosen:
            value = None if published is None else published[name]
            given[weight_id(name)] = Given(spec, value)
    b = Builder(given, master is not None)
    for name, shift in _shifts(recipe).items():
        if name not in chosen:
            continue
        rest = None
        if master is not None:
            rest = (master[name] + (1 << (shift - 1))) & ((1 << shift) - 1)
        w, p = b.array(end_id(name)), b.weight(name)
        r = w.bare() - p.bare() * (1 << shift) + (1 << (shift - 1))
        b.remainder(f"rounding {name}", "rounding", r, rest, shift)
    return finish_circuit(b)
