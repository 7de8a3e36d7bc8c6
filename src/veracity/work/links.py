"""Proving the links of a chain in several processes, of one machine or of many.

This process runs the model once, keeping nothing but what links hand over to each other, and
commits to that; workers prove the links (:mod:`veracity.work.pool`), each executing its own ops
again. What a worker is sent: the statement, where the weights lie (or the weights, where they are
not memory-mapped), the opening of the model, and with every link the values and blinds of the
tensors that it receives and hands over. All other randomness is drawn in the worker, at its place.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from veracity import zkml
from veracity.engine import load_engine
from veracity.engine.api import Engine, Ints
from veracity.errors import UsageError
from veracity.formats.paging import PagedWeights, drop_pages
from veracity.graph import Program, Trace
from veracity.graph.port import Port
from veracity.graph.sampling import Sampling
from veracity.progress import Progress, silent
from veracity.work.kept import KeptPool
from veracity.work.memory import Plan
from veracity.work.messages import Message
from veracity.work.pool import WorkerPool
from veracity.zk.committed import ArrayId
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zk.transcript import Span
from veracity.zkml import ModelCommitment, ModelOpening, Statement
from veracity.zkml.boundary import Boundary
from veracity.zkml.chain import assemble, prove_link
from veracity.zkml.committed import CommittedTensor, TensorSpec
from veracity.zkml.job import Job, hand_over
from veracity.zkml.links import Link
from veracity.zkml.statement import PORT_ROW_BITS, PortValue

if TYPE_CHECKING:
    from veracity.work.cluster.pool import ClusterPool

__all__ = ["Workers", "files_of", "open_chain", "prove_chain", "relocated", "setup_message"]

_ENTRY = f"{__name__}:open_chain"
_SCALAR = 32


@dataclass(frozen=True)
class Workers:
    """How a job is spread over processes.

    Attributes
    ----------
    jobs : int
        How many processes prove.
    threads : int or None
        Threads of all of them together; all cores where None.
    backend : str
        The engine of each.
    memory : int or None
        Bytes that each of them may occupy.
    cluster : str or None
        ``HOST:PORT`` of a Ray cluster whose machines they run on; this machine where None.
    """

    jobs: int = 1
    threads: int | None = None
    backend: str = "cpu"
    memory: int | None = None
    cluster: str | None = None


def prove_chain(
    engine: Engine,
    statement: Statement,
    weights: Mapping[str, Ints],
    opening: ModelOpening,
    workers: Workers,
    progress: Progress = silent,
    sealed: Mapping[str, Boundary] | None = None,
    whole: Trace | None = None,
    key: CommitmentKey | None = None,
    kept: KeptPool | None = None,
) -> bytes:
    """Prove a statement, its links side by side where there are several jobs.

    Parameters
    ----------
    engine : Engine
        Backend of this process.
    statement : Statement
        What to prove, and in which links.
    weights : mapping
        The integers of the committed model (may be memory-mapped).
    opening : ModelOpening
        Opens the commitment.
    workers : Workers
        How many processes, and what each may use.
    progress : Progress
        Receives (phase, share of all links' phase done).
    sealed : mapping, optional
        What opens the committed ports of the statement, by port.
    whole : Trace, optional
        An execution of the whole program, where one is at hand and the proof has one link.
    key : CommitmentKey, optional
        Generators, if loaded already.
    kept : KeptPool, optional
        Whose processes prove where they are of this machine; they live on.

    Returns
    -------
    bytes
        The proof.

    Raises
    ------
    RangeError
        If a value leaves its calibrated range.
    UsageError
        If the answer is not the model's, or files do not belong together.
    VeracityError
        If a worker dies, or no machine of the cluster takes part.
    """
    if workers.jobs == 1 and workers.cluster is None:
        told = _giving_back(weights, progress)
        return zkml.prove(engine, statement, weights, opening, told, whole, key, sealed)
    statement.check()
    opening.check(statement.commitment)
    job = Job(statement, weights, opening, sealed or {})
    made: dict[str, CommittedTensor] = {}
    report = _Mean(len(statement.links), progress)
    count = min(workers.jobs, len(statement.links))
    setup = setup_message(engine, job, workers)
    key = load_key(engine, statement.log_columns) if key is None else key
    with _pool(setup, workers, count, kept) as pool:
        results = pool.run(_tasks(engine, job, made, key), report)
    proofs = [(r.parts[0], [Span(*span) for span in r.body["spans"]]) for r in results]
    return assemble(statement, made, proofs)[0]


def _giving_back(weights: Mapping[str, Ints], progress: Progress) -> Progress:
    """A progress that gives back the pages of mapped weights where lookups begin.

    No lookup reads a weight, and then a proof takes the most memory.
    """
    last = ""

    def told(phase: str, done: float) -> None:
        nonlocal last
        if phase == "lookups" != last:
            drop_pages(weights)
        last = phase
        progress(phase, done)

    return told


def _pool(
    setup: Message, workers: Workers, count: int, kept: KeptPool | None
) -> AbstractContextManager[WorkerPool | ClusterPool]:
    if workers.cluster is None and kept is not None:
        return kept.opened(_ENTRY, setup, count, workers.threads)
    if workers.cluster is None:
        return WorkerPool(_ENTRY, setup, count, workers.threads)
    from veracity.work.cluster.connect import connect

    return connect(
        workers.cluster,
        setup,
        files_of(setup),
        workers=count,
        threads=workers.threads,
        memory=workers.memory,
    )


def _tasks(
    engine: Engine, job: Job, made: dict[str, CommittedTensor], key: CommitmentKey
) -> Iterator[Message]:
    """One message a link; ``made`` is filled with the boundary tensors on the way.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    job : Job
        What is proved.
    made : dict
        To be filled.
    """
    last = {name: link.index for link in job.statement.links for name in link.receives}
    boundary: dict[str, Boundary] = {}
    for link, values in job.handed_values(engine.integers):
        fresh = hand_over(engine, key, job, link, values)
        boundary |= fresh
        made |= {name: b.tensor for name, b in fresh.items()}
        names = [*link.receives, *link.hands]
        parts = [p for name in names for p in _boundary_parts(engine, boundary[name])]
        yield Message("link", {"index": link.index}, tuple(parts))
        boundary = {n: b for n, b in boundary.items() if last.get(n, 0) > link.index}


class _Mean:
    """Progress of all links together: the mean share of each phase."""

    def __init__(self, links: int, progress: Progress) -> None:
        self._links, self._progress = links, progress
        self._done: dict[str, dict[int, float]] = {}

    def __call__(self, part: int, phase: str, share: float) -> None:
        shares = self._done.setdefault(phase, {})
        shares[part] = max(share, shares.get(part, 0.0))
        self._progress(phase, sum(shares.values()) / self._links)


# ---- messages ----------------------------------------------------------------------------------
def setup_message(engine: Engine, job: Job, workers: Workers) -> Message:
    """All that the links of a job share.

    Parameters
    ----------
    engine : Engine
        Backend of this process.
    job : Job
        What is proved.
    workers : Workers
        What each of them may use.
    """
    s = job.statement
    parts = [
        s.program.to_json().encode(),
        s.commitment.to_bytes(),
        s.context,
        job.opening.to_bytes(),
        b"" if s.committed is None else s.committed.to_json().encode(),
        b"" if s.sampling is None else s.sampling.seed,
    ]
    sides: list[dict[str, Any]] = []
    for side in (s.inputs, s.outputs):
        described: dict[str, Any] = {}
        for name in sorted(side):
            value = side[name]
            if isinstance(value, CommittedTensor):
                described[name] = {"dims": list(value.spec.dims), "committed": True}
                parts += _boundary_parts(engine, job.sealed[name])
            else:
                described[name] = {"dims": list(np.shape(value)), "committed": False}
                parts.append(_int64(value))
        sides.append(described)
    places: dict[str, Any] = {}
    for name in sorted(s.program.weights):
        places[name], found = _place(job.weights[name])
        parts += found
    body = {
        "cuts": list(s.cuts),
        "temperature": 0 if s.sampling is None else s.sampling.temperature,
        "inputs": sides[0],
        "outputs": sides[1],
        "weights": places,
        "backend": workers.backend,
        "memory": workers.memory,
    }
    return Message("chain", body, tuple(parts))


def files_of(setup: Message) -> list[str]:
    """The files that a setup names."""
    return sorted({p["file"] for p in setup.body["weights"].values() if "file" in p})


def relocated(setup: Message, places: Mapping[str, str]) -> Message:
    """A setup for a machine on which its files lie elsewhere.

    Parameters
    ----------
    setup : Message
        Of the machine that asks.
    places : mapping
        Where its files lie, by where they lay there.
    """
    weights = {
        name: {**place, "file": places[place["file"]]} if "file" in place else place
        for name, place in setup.body["weights"].items()
    }
    return Message(setup.kind, {**setup.body, "weights": weights}, setup.parts)


def open_chain(setup: Message) -> Callable[[Message, Progress], Message]:
    """The worker's side: what proves links of the job that a setup describes."""
    engine = load_engine(setup.body["backend"])
    job = _read_job(engine, setup)
    key = load_key(engine, job.statement.log_columns)
    Plan(memory=setup.body["memory"]).keep(engine)

    def work(part: Message, progress: Progress) -> Message:
        link: Link = job.statement.links[part.body["index"]]
        boundary = {}
        for i, name in enumerate((*link.receives, *link.hands)):
            spec = job.statement.boundary_spec(name)
            boundary[name] = _boundary(engine, spec, part.parts[3 * i : 3 * i + 3])
        proof, spans = prove_link(engine, key, job, link, boundary, None, progress)
        return Message("proof", {"spans": [[s.label, s.start, s.stop] for s in spans]}, (proof,))

    return work


def _read_job(engine: Engine, setup: Message) -> Job:
    program_text, commitment, context, opening, committed, seed, *rest = setup.parts
    program, model = (
        Program.from_json(program_text.decode()),
        ModelCommitment.from_bytes(commitment),
    )
    parts = iter(rest)
    sealed: dict[str, Boundary] = {}
    sides: list[dict[str, PortValue]] = []
    ports: dict[str, Port] = {**program.inputs, **program.outputs}
    for side in (setup.body["inputs"], setup.body["outputs"]):
        read: dict[str, PortValue] = {}
        for name in sorted(side):
            how = side[name]
            dims = tuple(how["dims"])
            if how["committed"]:
                port = ports[name]
                bits = min(PORT_ROW_BITS, model.log_columns)
                spec = TensorSpec(dims, port.exponent, port.low, port.high, bits)
                sealed[name] = _boundary(engine, spec, [next(parts) for _ in range(3)])
                read[name] = sealed[name].tensor
            else:
                read[name] = np.frombuffer(next(parts), dtype="<i8").reshape(dims)
        sides.append(read)
    weights: Mapping[str, NDArray[Any]] = {
        name: _weight(place, parts) for name, place in sorted(setup.body["weights"].items())
    }
    if setup.body["memory"] is not None:
        weights = PagedWeights(weights, setup.body["memory"] // 16)
    statement = Statement(
        program,
        sides[0],
        sides[1],
        tuple(setup.body["cuts"]),
        Sampling(seed, setup.body["temperature"]) if seed else None,
        commitment=model,
        context=context,
        committed=Program.from_json(committed.decode()) if committed else None,
    )
    return Job(statement, weights, ModelOpening.from_bytes(opening), sealed)


def _place(weight: NDArray[Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Where a weight lies on the disk, or the weight itself."""
    place: dict[str, Any] = {"type": weight.dtype.str, "dims": list(weight.shape)}
    base: Any = weight.base  # the mapping itself: no part of an array
    whole = isinstance(base, mmap.mmap) and weight.flags.c_contiguous
    if isinstance(weight, np.memmap) and whole and weight.filename is not None:
        return {**place, "file": str(weight.filename), "offset": weight.offset}, []
    return place, [np.ascontiguousarray(weight).tobytes()]


def _weight(place: Mapping[str, Any], parts: Iterator[bytes]) -> NDArray[Any]:
    kind, dims = np.dtype(place["type"]), tuple(place["dims"])
    if "file" not in place:
        return np.frombuffer(next(parts), dtype=kind).reshape(dims)
    try:
        return np.memmap(place["file"], dtype=kind, mode="r", offset=place["offset"], shape=dims)
    except (OSError, ValueError):
        raise UsageError("the program file has changed while it was being proved") from None


def _int64(values: Any) -> bytes:
    return np.ascontiguousarray(values, dtype="<i8").tobytes()


def _boundary_parts(engine: Engine, boundary: Boundary) -> list[bytes]:
    """Rows, integers in natural order, and blinds of a tensor."""
    blinds = [b.to_bytes(_SCALAR, "little") for b in engine.to_ints(boundary.array.blinds)]
    return [boundary.tensor.data, _int64(boundary.values), b"".join(blinds)]


def _boundary(engine: Engine, spec: TensorSpec, parts: Sequence[bytes]) -> Boundary:
    """Inverse of :func:`_boundary_parts`."""
    rows, integers, secret = parts
    values = np.frombuffer(integers, dtype="<i8", count=prod(spec.dims)).reshape(spec.dims)
    blinds = engine.from_ints(
        [int.from_bytes(secret[i : i + _SCALAR], "little") for i in range(0, len(secret), _SCALAR)]
    )
    array = spec.arrays(ArrayId("sealed", ""), values, blinds)
    return Boundary(CommittedTensor(spec, rows), array)
