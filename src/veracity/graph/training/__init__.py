"""What training means, in integers: the recipe, the order of examples, one step of exact SGD."""

from veracity.graph.training.order import batch_rows, order_seed
from veracity.graph.training.recipe import Recipe
from veracity.graph.training.start import start_weights
from veracity.graph.training.step import Step, Weights, predict, train_step

__all__ = [
    "Recipe",
    "Step",
    "Weights",
    "batch_rows",
    "order_seed",
    "predict",
    "start_weights",
    "train_step",
]
