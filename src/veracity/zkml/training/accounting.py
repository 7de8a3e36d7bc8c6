"""What the proofs of windows and of the rounding will cost, from a recipe alone."""

from __future__ import annotations

from math import prod

from veracity.graph.training import Recipe
from veracity.zkml.accounting import Costs, count_circuit
from veracity.zkml.training.rounding import build_rounding, rounding_ranges
from veracity.zkml.training.state import state_specs, weight_specs
from veracity.zkml.training.window import build_window

__all__ = ["count_rounding", "count_window"]


def count_window(recipe: Recipe, steps: int, log_columns: int) -> Costs:
    """Counts of a window of so many steps, after the first one.

    Parameters
    ----------
    recipe : Recipe
        What the steps do.
    steps : int
        How many.
    log_columns : int
        Logarithm of the row length.
    """
    first = 0 if recipe.steps <= steps else steps
    circuit = build_window(recipe, first, min(first + steps, recipe.steps))
    specs = state_specs(recipe, recipe.steps).values()
    return count_circuit(
        circuit,
        log_columns,
        weights=sum(prod(spec.dims) for spec in specs),
        handed=(sum(prod(s.dims) for s in specs), sum(s.rows for s in specs)),
    )


def count_rounding(recipe: Recipe, log_columns: int) -> list[Costs]:
    """Counts of the rounding at the end of a run, stretch by stretch.

    Parameters
    ----------
    recipe : Recipe
        Shapes and scales.
    log_columns : int
        Logarithm of the row length.
    """
    sizes = [prod(spec.dims) for spec in weight_specs(recipe).values()]
    return [
        count_circuit(
            build_rounding(recipe, ends), log_columns, 2 * sum(sizes[slice(*ends)]), (0, 0)
        )
        for ends in rounding_ranges(recipe)
    ]
