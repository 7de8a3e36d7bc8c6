"""What a network's owner does with tensors: compute an output and prove it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity import zkml
from veracity.codec.arguments import require_settings, require_whole
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.formats.program import NetworkFile
from veracity.formats.secret import Secret
from veracity.formats.tensor_proof import TensorProof, tensor_context, values_digest
from veracity.graph import execute
from veracity.progress import Progress, silent
from veracity.proving.grid import named_arrays, to_integers, to_reals
from veracity.proving.prove import load_secret
from veracity.work.memory import plan_links
from veracity.work.programs import load_network, page_weights, weights_digest

__all__ = ["ProvedTensors", "prove_tensors"]


@dataclass(frozen=True)
class ProvedTensors:
    """Outputs and their proof.

    Attributes
    ----------
    outputs : dict
        Real numbers by port, exact: the integers times a power of two.
    rounding : dict
        Largest error of each input's rounding to its port's grid.
    proof : TensorProof
        To be written beside the outputs.
    """

    outputs: dict[str, NDArray[np.float64]] = field(repr=False)
    rounding: dict[str, float]
    proof: TensorProof


def prove_tensors(
    program: NetworkFile | str | Path,
    secret: Secret | Source,
    inputs: Mapping[str, NDArray[Any]] | NDArray[Any],
    *,
    memory: int | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> ProvedTensors:
    """Run a committed network on public inputs and prove its outputs.

    Parameters
    ----------
    program : NetworkFile or path
        A network with its scales.
    secret : Secret or path
        The opening of its commitment.
    inputs : mapping or array
        Real numbers by port (one array where there is one port); rounded to the ports' grids.
    memory : int, optional
        Bytes that the process may occupy.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
        Secret and program do not belong together, or an input does not fit its port.
    RangeError
        A value left its calibrated range; no proof of this input can be made.
    """
    require_whole("memory", memory, 1, optional=True)
    require_settings(threads, backend, progress)
    progress("load", 0.0)
    loaded = load_network(program)
    opened = secret if isinstance(secret, Secret) else load_secret(secret)
    if memory is not None:
        loaded = page_weights(loaded, memory)
    held, commitment = loaded.program, opened.commitment
    if commitment.metadata.program_digest != held.digest:
        raise UsageError("the secret belongs to another program; run `veracity commit` for this")
    if opened.weights_digest != weights_digest(loaded.weights):
        raise UsageError("the secret belongs to other weights of the same program")
    integers, rounding = {}, {}
    for name, x in named_arrays(held.inputs, inputs, "input").items():
        integers[name], rounding[name] = to_integers(name, held.inputs[name], x)
    engine = load_engine(backend, threads=threads)
    progress("load", 1.0)
    progress("evaluate", 0.0)
    trace = execute(held, loaded.weights, integers)
    progress("evaluate", 1.0)
    outputs = trace.outputs
    plan = plan_links(zkml.Execution(held, integers, outputs), memory, 1)
    if memory is not None:
        engine.keep_memory(0)
    statement = zkml.Statement(
        held,
        integers,
        outputs,
        plan.cuts,
        commitment=commitment.model,
        context=tensor_context(commitment.digest),
    )
    whole = trace if not plan.cuts else None
    del trace
    argument = zkml.prove(engine, statement, loaded.weights, opened.opening, progress, whole)
    proof = TensorProof(
        commitment.digest,
        {n: values_digest(x) for n, x in integers.items()},
        {n: values_digest(x) for n, x in outputs.items()},
        argument,
        plan.cuts,
    )
    reals = {n: to_reals(held.outputs[n], x) for n, x in outputs.items()}
    return ProvedTensors(reals, rounding, proof)
