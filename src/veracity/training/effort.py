"""How long the check of a training proof may take, told from its files before it begins.

Windows cannot be more than the proof has messages for, nor weights more than it has rows for, but
a short file may name many steps, many layers and long windows of convolutions. So everything is
counted that a verifier does: what is built for each layer and step, axes that the layers of a
window read, points that are decompressed, weights that are drawn.
"""

from __future__ import annotations

from veracity.engine.api import POINT_BYTES
from veracity.formats.data import DataFile
from veracity.formats.training import TrainingProof
from veracity.graph.training import Recipe
from veracity.graph.wires import wire_work
from veracity.work.effort import require_time, verification_seconds
from veracity.zkml.training.run import Run
from veracity.zkml.training.state import weight_specs

__all__ = ["require_training_effort", "training_seconds"]

# Seen on two cores with networks of three and of eight dense layers, and a LeNet.
#: The verifier's seconds for a layer in a step, and for a weight of a start that a seed gives.
STEP_S = 1.5e-3
WEIGHT_S = 1.5e-7
#: For an entry of an axis that a layer reads, in a window of any length: three products read it or
#: its transpose.
AXIS_S = 3e-7
#: For an example of the data set in a window: its place in the order.
PLACE_S = 4e-7


def training_seconds(run: Run, proof: TrainingProof, data: list[DataFile]) -> float:
    """Seconds that a check may take; nothing is computed that grows with what is stated.

    Parameters
    ----------
    run : Run
        What is claimed.
    proof : TrainingProof
        All messages.
    data : list of DataFile
        The data sets with their proofs of form.
    """
    recipe, messages = run.recipe, proof.proof
    windows = len(messages.windows)
    argument = sum(map(len, (*messages.windows, *messages.roundings))) // POINT_BYTES
    form = sum(len(link) for found in data for link in found.form) // POINT_BYTES
    examples = sum(found.commitment.examples for found in data)
    rows = sum(map(len, messages.cuts)) // POINT_BYTES + examples + recipe.steps * recipe.batch
    links = windows + len(messages.roundings) + sum(len(found.form) for found in data)
    seconds = verification_seconds(
        links, argument + form + rows, (argument + form) << run.log_columns
    )
    seconds += STEP_S * recipe.steps * recipe.layers + PLACE_S * windows * examples
    specs = weight_specs(recipe).values()
    seconds += AXIS_S * windows * axis_entries(recipe)
    if run.base is None:
        seconds += WEIGHT_S * sum(spec.rows << spec.row_bits for spec in specs)
    return seconds


def axis_entries(recipe: Recipe) -> int:
    """Entries of the axes that the layers read or make of one batch, averages and windows alike."""
    return sum(
        wire_work(stage.pooled + stage.rule.reads, (recipe.batch, *stage.source))
        for stage in recipe.stages
    )


def require_training_effort(
    run: Run, proof: TrainingProof, data: list[DataFile], max_time: float, beside: float = 0.0
) -> None:
    """Refuse to check what may take longer than the caller wants to wait.

    Parameters
    ----------
    run : Run
        What is claimed.
    proof : TrainingProof
        All messages.
    data : list of DataFile
        The data sets with their proofs of form.
    max_time : float
        Seconds, on a machine of two cores with compiled kernels.
    beside : float
        Seconds for what the commitments say of their weights.

    Raises
    ------
    UsageError
        It may take longer, or ``max_time`` is no positive number.
    """
    require_time(training_seconds(run, proof, data) + beside, max_time)
