"""What a network's owner does with labelled examples: count right answers, and prove them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type, require_whole
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.formats.accuracy import AccuracyProof, accuracy_context
from veracity.formats.examples import Examples
from veracity.formats.program import NetworkFile
from veracity.formats.proof import check_context
from veracity.formats.secret import Secret
from veracity.graph.samples import choices_over, sample_ports
from veracity.progress import Progress, silent
from veracity.proving.grid import arranged, example_arrays, to_integers
from veracity.proving.prove import load_secret
from veracity.proving.tensors import check_network, computed
from veracity.work.links import Workers, prove_chain
from veracity.work.memory import plan_links
from veracity.work.programs import load_network, page_weights

__all__ = ["Accuracy", "evaluate"]


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
    require_type("context", context, str)
    check_context(context)
    require_whole("memory", memory, 1, optional=True)
    require_whole("jobs", jobs, 1)
    require_type("ray", ray, str, optional=True)
    require_settings(threads, backend, progress)
    progress("load", 0.0)
    loaded = load_network(program)
    given = examples if isinstance(examples, Examples) else Examples.load(examples)
    opened = None
    if secret is not None:
        opened = secret if isinstance(secret, Secret) else load_secret(secret)
        check_network(loaded, opened)
    if memory is not None:
        loaded = page_weights(loaded, memory)
    held = loaded.program
    run, classes = choices_over(held, given.count, output)
    integers, rounding = {}, {}
    ports = sample_ports(held)
    for name, x in example_arrays(ports, given.inputs).items():
        port = ports[name]
        laid = arranged(name, port.dims, x, given.count)
        integers[name], rounding[name] = to_integers(name, port, laid)
    if int(given.labels.max()) >= classes:
        raise UsageError(f"a label is not within the network's 0 .. {classes - 1}")
    engine = load_engine(backend, threads=threads)
    progress("load", 1.0)
    progress("evaluate", 0.0)
    alone = memory is None and jobs == 1 and opened is not None
    outputs, whole = computed(run, loaded.weights, integers, engine, alone)
    progress("evaluate", 1.0)
    answers = outputs["class"]
    digest = given.digest
    found = Accuracy(int((answers == given.labels).sum()), given.count, answers, digest, rounding)
    if opened is None:
        return found
    plan = plan_links(zkml.Execution(run, integers, outputs), memory, jobs)
    if memory is not None:
        engine.keep_memory(0)
    pinned = opened.commitment
    shown = AccuracyProof(pinned.digest, digest, output or "", answers, b"", plan.cuts, context)
    statement = zkml.Statement(
        run,
        integers,
        outputs,
        plan.cuts,
        commitment=pinned.model,
        context=accuracy_context(shown),
        committed=held,
    )
    workers = Workers(jobs, threads, backend, plan.memory, ray)
    argument = prove_chain(
        engine, statement, loaded.weights, opened.opening, workers, progress, whole=whole
    )
    return replace(found, proof=replace(shown, argument=argument))
