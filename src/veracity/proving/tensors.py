"""What a network's owner does with tensors: compute an output and prove it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type, require_whole
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.formats.program import NetworkFile
from veracity.formats.proof import check_context
from veracity.formats.secret import Secret
from veracity.formats.tensor_proof import TensorProof, tensor_context, values_digest
from veracity.graph import Program, State, Trace, execute
from veracity.graph.evaluate import run_ops
from veracity.graph.ops.base import Run
from veracity.graph.samples import program_over
from veracity.progress import Progress, silent
from veracity.proving.grid import (
    arranged,
    named_arrays,
    samples_of,
    shown_samples,
    to_integers,
    to_reals,
)
from veracity.proving.prove import load_secret
from veracity.work.links import Workers, prove_chain
from veracity.work.memory import plan_links
from veracity.work.programs import load_network, page_weights, weights_digest

__all__ = ["ProvedTensors", "check_network", "computed", "prove_tensors"]


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
    context: str = "",
    memory: int | None = None,
    jobs: int = 1,
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
        With a first axis more they are several samples, proved as one statement.
    context : str
        What the proof is bound to beside its values, such as a nonce; part of the proof, public.
    memory : int, optional
        Bytes that all processes together may occupy.
    jobs : int
        Processes that prove segments side by side.
    threads : int, optional
        Threads of all processes together; all cores by default.
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
    require_type("context", context, str)
    check_context(context)
    require_whole("memory", memory, 1, optional=True)
    require_whole("jobs", jobs, 1)
    require_settings(threads, backend, progress)
    progress("load", 0.0)
    loaded = load_network(program)
    opened = secret if isinstance(secret, Secret) else load_secret(secret)
    if memory is not None:
        loaded = page_weights(loaded, memory)
    held, commitment = loaded.program, opened.commitment
    check_network(loaded, opened)
    arrays = named_arrays(held.inputs, inputs, "input")
    samples = samples_of(held.inputs, arrays)
    run = program_over(held, samples) if samples else held
    integers, rounding = {}, {}
    for name, x in arrays.items():
        laid = arranged(name, held.inputs[name].dims, x, samples)
        integers[name], rounding[name] = to_integers(name, held.inputs[name], laid)
    engine = load_engine(backend, threads=threads)
    progress("load", 1.0)
    progress("evaluate", 0.0)
    outputs, whole = computed(run, loaded.weights, integers, engine, memory is None and jobs == 1)
    progress("evaluate", 1.0)
    plan = plan_links(zkml.Execution(run, integers, outputs), memory, jobs)
    if memory is not None:
        engine.keep_memory(0)
    statement = zkml.Statement(
        run,
        integers,
        outputs,
        plan.cuts,
        commitment=commitment.model,
        context=tensor_context(commitment.digest, context),
        committed=held if samples else None,
    )
    workers = Workers(jobs, threads, backend, plan.memory)
    argument = prove_chain(
        engine, statement, loaded.weights, opened.opening, workers, progress, whole=whole
    )
    proof = TensorProof(
        commitment.digest,
        {n: values_digest(x) for n, x in integers.items()},
        {n: values_digest(x) for n, x in outputs.items()},
        argument,
        plan.cuts,
        samples,
        context,
    )
    reals = {
        n: shown_samples(held.outputs[n].dims, to_reals(held.outputs[n], x), samples)
        for n, x in outputs.items()
    }
    return ProvedTensors(reals, rounding, proof)


def computed(
    program: Program,
    weights: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, NDArray[np.int64]],
    engine: Engine,
    whole: bool,
) -> tuple[dict[str, NDArray[np.int64]], Trace | None]:
    """Outputs by port, and all values beside them where memory is no matter.

    Parameters
    ----------
    program : Program
        What is run.
    weights, inputs : mapping
        Integers by name.
    engine : Engine
        Whose products compute.
    whole : bool
        Whether to keep all values.
    """
    if whole:
        trace = execute(program, weights, inputs, integers=engine.integers)
        return trace.outputs, trace
    sizes = program.check_inputs(inputs)
    state = Run(program.weights, weights, sizes, State(), engine.integers)
    shown = {port.value for port in program.outputs.values()}
    left = run_ops(program, state, inputs, keep=shown)
    return {n: left[port.value] for n, port in program.outputs.items()}, None


def check_network(loaded: NetworkFile, opened: Secret) -> None:
    """Raise UsageError unless ``opened`` opens a commitment to exactly this network."""
    if opened.commitment.metadata.program_digest != loaded.program.digest:
        raise UsageError("the secret belongs to another program; run `veracity commit` for this")
    if opened.weights_digest != weights_digest(loaded.weights):
        raise UsageError("the secret belongs to other weights of the same program")
