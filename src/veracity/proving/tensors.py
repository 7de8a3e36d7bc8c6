"""What a network's owner does with tensors: compute an output and prove it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity import zkml
from veracity.codec.files import Source
from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.formats.program import NetworkFile
from veracity.formats.seal import SealKey
from veracity.formats.secret import Secret
from veracity.formats.tensor_proof import TensorProof, tensor_context, values_digest
from veracity.graph import Program, State, Trace, execute
from veracity.graph.evaluate import run_ops
from veracity.graph.ops.base import Run
from veracity.graph.port import Port
from veracity.graph.samples import program_over
from veracity.progress import Progress, silent
from veracity.proving.grid import (
    arranged,
    by_port,
    samples_of,
    shown_samples,
    to_integers,
    to_reals,
)
from veracity.proving.opened import Means, Opened, open_network, require_told
from veracity.proving.pictures import Picture, picture_of, port_values
from veracity.proving.sealing import open_seal, seal_values
from veracity.zkml.statement import PortValue

__all__ = ["ProvedTensors", "computed", "prove_tensors", "tensors_proved"]


#: What an input may be given as.
Given = NDArray[Any] | Picture | SealKey


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
    seals : dict
        What opens each port that was to be sealed; keep it, and publish its seal.
    pictures : dict
        Outputs that are pictures, where an input was one.
    """

    outputs: dict[str, NDArray[np.float64]] = field(repr=False)
    rounding: dict[str, float]
    proof: TensorProof
    seals: dict[str, SealKey] = field(default_factory=dict, repr=False)
    pictures: dict[str, Picture] = field(default_factory=dict, repr=False)


def prove_tensors(
    program: NetworkFile | str | Path,
    secret: Secret | Source,
    inputs: Mapping[str, Given] | Given,
    *,
    seal: Collection[str] = (),
    context: str = "",
    memory: int | None = None,
    jobs: int = 1,
    ray: str | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> ProvedTensors:
    """Run a committed network on inputs and prove its outputs.

    Parameters
    ----------
    program : NetworkFile or path
        A network with its scales.
    secret : Secret or path
        The opening of its commitment.
    inputs : mapping or array
        Real numbers by port (one array where there is one port); rounded to the ports' grids.
        With a first axis more they are several samples, proved as one statement. A seal's key
        stands for the values that it sealed: the proof is about that seal and shows none of them.
        A picture stands for its pixels, where a port takes bytes.
    seal : collection of str
        Inputs and outputs to seal: the proof names a commitment in place of their values.
    context : str
        What the proof is bound to beside its values, such as a nonce; part of the proof, public.
    memory : int, optional
        Bytes that all processes together may occupy.
    jobs : int
        Processes that prove segments side by side.
    ray : str, optional
        ``HOST:PORT`` of a Ray cluster whose machines prove the segments.
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
    means = Means(memory, jobs, ray, threads, backend)
    require_told(context, progress)
    progress("load", 0.0)
    with open_network(program, secret, means) as model:
        return tensors_proved(model, inputs, seal=seal, context=context, progress=progress)


def tensors_proved(
    model: Opened[NetworkFile],
    inputs: Mapping[str, Given] | Given,
    *,
    seal: Collection[str],
    context: str,
    progress: Progress,
) -> ProvedTensors:
    """:func:`prove_tensors` with a network that is open.

    Parameters
    ----------
    model : Opened
        The network.
    inputs, seal, context, progress
        As there.
    """
    loaded, opened, engine = model.loaded, model.secret, model.engine
    held, commitment = loaded.program, opened.commitment
    given: dict[str, Given] = by_port(held.inputs, inputs, "input")
    keys = {n: x for n, x in given.items() if isinstance(x, SealKey)}
    arrays = {n: _array(n, held.inputs[n], x) for n, x in given.items()}
    samples = samples_of(held.inputs, arrays)
    run = program_over(held, samples) if samples else held
    integers, rounding = {}, {}
    for name, x in arrays.items():
        port = held.inputs[name]
        laid = arranged(name, port.dims, x, samples)
        if name in keys:
            integers[name] = laid
        else:
            integers[name], rounding[name] = to_integers(name, port, laid)
    if unknown := sorted(set(seal) - set(held.inputs) - set(held.outputs)):
        raise UsageError(f"no port {unknown[0]!r}; there are {', '.join(_ports(held))}")
    if twice := sorted(set(seal) & set(keys)):
        raise UsageError(f"{twice[0]} is sealed already: a seal is not made anew")
    progress("load", 1.0)
    progress("evaluate", 0.0)
    outputs, whole = computed(
        run, loaded.weights, integers, engine, model.means.memory is None and model.means.jobs == 1
    )
    progress("evaluate", 1.0)
    public = zkml.Statement(run, integers, outputs, commitment=commitment.model)
    for name in seal:
        values = integers[name] if name in integers else outputs[name]
        keys[name] = seal_values(engine, public.port_spec(name), values)
    opened_seals = {n: open_seal(engine, key) for n, key in keys.items()}
    tensors = {n: key.seal.tensor for n, key in keys.items()}
    for name, tensor in tensors.items():
        if tensor.spec != public.port_spec(name):
            raise UsageError(f"{name} takes another range, exponent or dims than those sealed")
    sides: list[dict[str, PortValue]] = [
        {n: tensors.get(n, x) for n, x in side.items()} for side in (integers, outputs)
    ]
    plan = model.plan(zkml.Execution(run, sides[0], sides[1]))
    statement = zkml.Statement(
        run,
        sides[0],
        sides[1],
        plan.cuts,
        commitment=commitment.model,
        context=tensor_context(commitment.digest, context),
        committed=held if samples else None,
    )
    argument = model.argue(
        statement, plan, progress, opened_seals, whole if not plan.cuts else None
    )
    digests = [
        {n: tensors[n].digest if n in tensors else values_digest(v) for n, v in side.items()}
        for side in (integers, outputs)
    ]
    proof = TensorProof(
        commitment.digest,
        digests[0],
        digests[1],
        argument,
        plan.cuts,
        samples,
        context,
        frozenset(tensors),
    )
    reals = {
        n: shown_samples(held.outputs[n].dims, to_reals(held.outputs[n], x), samples)
        for n, x in outputs.items()
    }
    pictures = {}
    if not samples and any(isinstance(x, Picture) for x in given.values()):
        found = {n: picture_of(held.outputs[n], x) for n, x in outputs.items()}
        pictures = {n: x for n, x in found.items() if x is not None}
    return ProvedTensors(reals, rounding, proof, {n: keys[n] for n in seal}, pictures)


def _array(name: str, port: Port, given: Given) -> NDArray[Any]:
    """What was given as numbers: integers of a key, bytes of a picture."""
    if isinstance(given, SealKey):
        return given.values
    return port_values(name, port, given) if isinstance(given, Picture) else np.asarray(given)


def _ports(program: Program) -> list[str]:
    return sorted([*program.inputs, *program.outputs])


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
