"""A committed model that is open for proofs: its files are read and checked against each other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type, require_whole
from veracity.codec.files import Source, exists
from veracity.engine import load_engine
from veracity.errors import UsageError
from veracity.formats.program import NetworkFile, ProgramFile
from veracity.formats.proof import check_context
from veracity.formats.secret import Secret
from veracity.graph import Trace
from veracity.progress import Progress
from veracity.work.kept import KeptPool
from veracity.work.links import Workers, prove_chain
from veracity.work.memory import Plan, plan_links
from veracity.work.programs import (
    AnyProgram,
    integer_program,
    load_network,
    load_program,
    page_weights,
    weights_digest,
)
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zkml.boundary import Boundary

__all__ = [
    "Means",
    "Opened",
    "check_pair",
    "load_secret",
    "open_model",
    "open_network",
    "require_told",
]

Program = TypeVar("Program", ProgramFile, NetworkFile)


@dataclass(frozen=True)
class Means:
    """What proofs may use; raises :class:`UsageError` where it is nonsense.

    Attributes
    ----------
    memory : int or None
        Bytes that all processes together may occupy.
    jobs : int
        Processes that prove segments side by side.
    ray : str or None
        ``HOST:PORT`` of a Ray cluster whose machines prove the segments.
    threads : int or None
        Threads of all processes together; all cores where None.
    backend : str
        The engine that computes.
    """

    memory: int | None = None
    jobs: int = 1
    ray: str | None = None
    threads: int | None = None
    backend: str = "cpu"

    def __post_init__(self) -> None:
        require_whole("memory", self.memory, 1, optional=True)
        require_whole("jobs", self.jobs, 1)
        require_type("ray", self.ray, str, optional=True)
        require_settings(self.threads, self.backend)


def require_told(context: str, progress: Progress) -> None:
    """Refuse a context that no proof can be bound to, and what is no callback.

    Parameters
    ----------
    context : str
        What a proof is bound to beside its words or values.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
    """
    require_type("context", context, str)
    require_settings(None, "cpu", progress)
    check_context(context)


class Opened(Generic[Program]):
    """A model, its secret, and what is kept from one proof to the next; for one thread at a time.

    Parameters
    ----------
    loaded : ProgramFile or NetworkFile
        The calibrated model.
    secret : Secret
        The opening of its commitment.
    means : Means
        What proofs may use.
    """

    def __init__(self, loaded: Program, secret: Secret, means: Means) -> None:
        self.means, self.secret = means, secret
        self.engine = load_engine(means.backend, threads=means.threads)
        self.loaded: Program = loaded
        if means.memory is not None:
            self.loaded = page_weights(loaded, means.memory)
        self._key: CommitmentKey | None = None
        self._pool = KeptPool()

    def __enter__(self) -> Opened[Program]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes that prove."""
        self._key = None
        self._pool.close()

    @property
    def key(self) -> CommitmentKey:
        """The generators, read once."""
        if self._key is None:
            self._key = load_key(self.engine, self.secret.commitment.model.log_columns)
        return self._key

    def plan(self, execution: zkml.Execution) -> Plan:
        """How a statement is proved with these means.

        Raises
        ------
        UsageError
            The smallest segment needs more memory than there may be.
        """
        return plan_links(execution, self.means.memory, self.means.jobs)

    def argue(
        self,
        statement: zkml.Statement,
        plan: Plan,
        progress: Progress,
        sealed: Mapping[str, Boundary] | None = None,
        whole: Trace | None = None,
    ) -> bytes:
        """The argument that a statement is true.

        Parameters
        ----------
        statement : Statement
            What is proved.
        plan : Plan
            How; its cuts are the statement's.
        progress : Progress
            Called as the work advances.
        sealed : mapping, optional
            What opens the committed ports of the statement, by port.
        whole : Trace, optional
            An execution of the whole program, where one is at hand and the proof has one link.

        Raises
        ------
        RangeError
            A value left its calibrated range.
        VeracityError
            A process that proves was ended from outside.
        """
        m = self.means
        plan.keep(self.engine)
        try:
            return prove_chain(
                self.engine,
                statement,
                self.loaded.weights,
                self.secret.opening,
                Workers(m.jobs, m.threads, m.backend, plan.memory, m.ray),
                progress,
                sealed,
                whole,
                key=self.key,
                kept=self._pool,
            )
        finally:
            if plan.memory is not None:
                self.engine.keep_memory(0)


def open_model(
    program: ProgramFile | str | Path, secret: Secret | Source, means: Means
) -> Opened[ProgramFile]:
    """A language model, open for proofs.

    Parameters
    ----------
    program : ProgramFile or path
        The calibrated model.
    secret : Secret, path, bytes or binary file
        The opening of its commitment.
    means : Means
        What proofs may use.

    Raises
    ------
    UsageError
        They do not belong together.
    """
    opened = secret if isinstance(secret, Secret) else load_secret(secret)
    loaded = load_program(program)
    check_pair(loaded, opened)
    return Opened(loaded, opened, means)


def open_network(
    program: NetworkFile | str | Path, secret: Secret | Source, means: Means
) -> Opened[NetworkFile]:
    """A network over arrays, open for proofs.

    Parameters
    ----------
    program : NetworkFile or path
        A network with its scales.
    secret : Secret, path, bytes or binary file
        The opening of its commitment.
    means : Means
        What proofs may use.

    Raises
    ------
    UsageError
        They do not belong together.
    """
    loaded = load_network(program)
    opened = secret if isinstance(secret, Secret) else load_secret(secret)
    check_pair(loaded, opened)
    return Opened(loaded, opened, means)


def load_secret(source: Source) -> Secret:
    """Read a ``.vsec`` file; says what to do where there is none."""
    if isinstance(source, str | os.PathLike) and not exists(source):
        name = Path(source).name[:80]
        raise UsageError(
            f"no secret opening {name!r}; give --secret, or run `veracity commit` first"
        )
    return Secret.load(source)


def check_pair(loaded: AnyProgram, opened: Secret) -> None:
    """Raise :class:`UsageError` unless ``opened`` opens a commitment to exactly this model."""
    if opened.commitment.metadata.program_digest != integer_program(loaded).digest:
        raise UsageError(
            "the secret belongs to another program (calibrated again since?); "
            "run `veracity commit` for this one"
        )
    if opened.weights_digest != weights_digest(loaded.weights):
        raise UsageError(
            "the secret belongs to other weights of the same program; "
            "use the program file that was committed"
        )
