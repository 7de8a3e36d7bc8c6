"""What a network's owner does with labelled examples: count right answers, and prove them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veracity import zkml
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.errors import UsageError
from veracity.formats.accuracy import AccuracyProof, accuracy_context
from veracity.formats.commitment import Commitment
from veracity.formats.examples import Examples
from veracity.formats.pointer import ProofPointer
from veracity.formats.program import NetworkFile
from veracity.formats.secret import Secret
from veracity.graph import Program, Trace
from veracity.graph.samples import choices_over, sample_ports
from veracity.progress import Progress, silent
from veracity.proving.grid import arranged, example_arrays, to_integers
from veracity.proving.opened import Means, Opened, load_secret, open_network, require_told
from veracity.proving.tensors import computed
from veracity.work.programs import load_network, page_weights

__all__ = ["Accuracy", "attach", "counted", "evaluate", "require_pair"]


@dataclass(frozen=True)
class Accuracy:
    """Answers to labelled examples.

    Attributes
    ----------
    correct, samples : int
        K of N.
    answers : int64 array, (N,)
        Class by example.
    examples_digest : str
        Inputs and labels.
    rounding : dict
        Largest error of each input's rounding to its port's grid.
    proof : AccuracyProof or None
        Where one was wanted.
    """

    correct: int
    samples: int
    answers: NDArray[np.int64] = field(repr=False)
    examples_digest: str
    rounding: dict[str, float]
    proof: AccuracyProof | None = None


def evaluate(
    program: NetworkFile | str | Path,
    examples: Examples | Source,
    *,
    secret: Secret | Source | None = None,
    output: str | None = None,
    context: str = "",
    memory: int | None = None,
    jobs: int = 1,
    ray: str | None = None,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> Accuracy:
    """Ask a network public examples and count right answers; with a secret, prove the answers.

    Parameters
    ----------
    program : NetworkFile or path
        A network with its scales.
    examples : Examples or path
        Inputs and labels (``.npz``).
    secret : Secret or path, optional
        The opening of its commitment; without it nothing is proved.
    output : str, optional
        The output whose largest entry is the answer; the only one by default.
    context : str
        What the proof is bound to, such as a nonce; part of the proof, public.
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
        Files that do not belong together, or inputs that do not fit the network.
    RangeError
        A value left its calibrated range.
    """
    means = Means(memory, jobs, ray, threads, backend)
    require_told(context, progress)
    progress("load", 0.0)
    if secret is not None:
        with open_network(program, secret, means) as model:
            return counted(model, examples, output=output, context=context, progress=progress)
    loaded = load_network(program)
    asked = _asked(loaded.program, examples, output)
    progress("load", 1.0)
    engine = load_engine(backend, threads=threads)
    weights = loaded.weights if memory is None else page_weights(loaded, memory).weights
    return _answered(asked, weights, engine, False, progress)[0]


@dataclass(frozen=True)
class _Asked:
    """Examples as a network's integers."""

    examples: Examples
    run: Program
    integers: dict[str, NDArray[np.int64]]
    rounding: dict[str, float]


def _asked(held: Program, examples: Examples | Source, output: str | None) -> _Asked:
    """Round examples to a network's grids.

    Parameters
    ----------
    held : Program
        The network.
    examples : Examples or path
        Inputs and labels.
    output : str or None
        The output whose largest entry is the answer.
    """
    given = examples if isinstance(examples, Examples) else Examples.load(examples)
    run, classes = choices_over(held, given.count, output)
    integers, rounding = {}, {}
    ports = sample_ports(held)
    for name, x in example_arrays(ports, given.inputs).items():
        port = ports[name]
        laid = arranged(name, port.dims, x, given.count)
        integers[name], rounding[name] = to_integers(name, port, laid)
    if int(given.labels.max()) >= classes:
        raise UsageError(f"a label is not within the network's 0 .. {classes - 1}")
    return _Asked(given, run, integers, rounding)


def _answered(
    asked: _Asked,
    weights: Mapping[str, NDArray[Any]],
    engine: Engine,
    whole: bool,
    progress: Progress,
) -> tuple[Accuracy, Trace | None]:
    """The answers without a proof, and all values beside them where they are wanted.

    Parameters
    ----------
    asked : _Asked
        The examples.
    weights : mapping
        The network's integers.
    engine : Engine
        That computes.
    whole : bool
        Whether to keep all values.
    progress : Progress
        Called as the work advances.
    """
    progress("evaluate", 0.0)
    outputs, trace = computed(asked.run, weights, asked.integers, engine, whole)
    progress("evaluate", 1.0)
    answers, given = outputs["class"], asked.examples
    correct = int((answers == given.labels).sum())
    return Accuracy(correct, given.count, answers, given.digest, asked.rounding), trace


def counted(
    model: Opened[NetworkFile],
    examples: Examples | Source,
    *,
    output: str | None,
    context: str,
    progress: Progress,
) -> Accuracy:
    """:func:`evaluate` with a proof, by a network that is open.

    Parameters
    ----------
    model : Opened
        The network.
    examples, output, context, progress
        As there.
    """
    held, pinned = model.loaded.program, model.secret.commitment
    asked = _asked(held, examples, output)
    progress("load", 1.0)
    alone = model.means.memory is None and model.means.jobs == 1
    found, trace = _answered(asked, model.loaded.weights, model.engine, alone, progress)
    outputs = {"class": found.answers}
    plan = model.plan(zkml.Execution(asked.run, asked.integers, outputs))
    shown = AccuracyProof(
        pinned.digest, found.examples_digest, output or "", found.answers, b"", plan.cuts, context
    )
    statement = zkml.Statement(
        asked.run,
        asked.integers,
        outputs,
        plan.cuts,
        commitment=pinned.model,
        context=accuracy_context(shown),
        committed=held,
    )
    argument = model.argue(statement, plan, progress, whole=trace)
    return replace(found, proof=replace(shown, argument=argument))


def require_pair(commitment: str | Path, secret: str | Path, name: str) -> None:
    """Raise UsageError where a proof could not be named in a commitment, before it is made.

    Parameters
    ----------
    commitment, secret : path
        Which must belong together.
    name : str
        Of the file that the proof will be.
    """
    if Commitment.load(commitment).digest != load_secret(secret).commitment.digest:
        raise UsageError(f"{secret} opens another commitment than {commitment}")
    ProofPointer(name, bytes(32).hex())


def attach(commitment: str | Path, proof: AccuracyProof, name: str) -> ProofPointer:
    """Name a proof about accuracy in the ``.vcom`` file of its network, which is rewritten.

    The digest of the commitment stays the same. Whoever reads it there has the publisher's word
    that there is such a proof, until they check it.

    Parameters
    ----------
    commitment : path
        The network's commitment.
    proof : AccuracyProof
        The proof.
    name : str
        What its file is called where it is published.

    Raises
    ------
    UsageError
        The proof is of another commitment, or the name is no plain one.
    FormatError
        The commitment is damaged.
    """
    pinned = Commitment.load(commitment)
    if pinned.digest != proof.commitment_digest:
        raise UsageError(f"{commitment} is another commitment than the proof is about")
    pointer = ProofPointer(name, hashlib.sha256(proof.to_bytes()).hexdigest())
    pinned.naming(pointer).save(commitment)
    return pointer
