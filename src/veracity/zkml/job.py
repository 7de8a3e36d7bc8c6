"""What the prover of a chain holds, and what its links hand over to each other.

Once the boundary tensors are fixed, links are independent: any process that has the job can prove
any of them. All values that are handed over follow from one forward pass that keeps little.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import field

import numpy as np

from veracity.engine.api import Engine, Integers, Ints
from veracity.errors import UsageError
from veracity.graph import State, Trace, execute
from veracity.graph.evaluate import run_ops
from veracity.graph.ops.base import Run
from veracity.records import record
from veracity.zk.keys import CommitmentKey
from veracity.zkml.boundary import Boundary, seal
from veracity.zkml.committed import CommittedTensor
from veracity.zkml.links import Link
from veracity.zkml.model import ModelOpening
from veracity.zkml.statement import Statement

__all__ = ["Job", "hand_over"]

Values = dict[str, Ints]


@record
class Job:
    """Everything that the prover of a chain holds.

    Attributes
    ----------
    statement : Statement
        What is proved, and in which links.
    weights : mapping
        The integers of the committed model (may be memory-mapped).
    opening : ModelOpening
        Opens the commitment.
    sealed : mapping
        The committed ports of the statement, by port.
    cut_seed : bytes
        32 secret bytes from the operating system: the blinds of this job's boundary tensors.
    """

    statement: Statement
    weights: Mapping[str, Ints] = field(repr=False)
    opening: ModelOpening = field(repr=False)
    sealed: Mapping[str, Boundary] = field(repr=False, default_factory=dict)
    cut_seed: bytes = field(repr=False, default_factory=lambda: os.urandom(32))

    def inputs(self) -> dict[str, Ints]:
        """Integers of all input ports."""
        public = self.statement.public_inputs()
        return {
            n: public[n] if n in public else self.sealed[n].values for n in self.statement.inputs
        }

    def run(
        self, link: Link, boundary: Mapping[str, Boundary], integers: Integers | None = None
    ) -> Trace:
        """Execute the ops of a link; of their results only inputs and what it hands over are kept.

        Parameters
        ----------
        link : Link
            Which ops.
        boundary : mapping
            At least the tensors that the link receives.
        integers : Integers, optional
            The products of the engine that computes; those of ``cpu`` where not given.
        """
        return execute(
            self.statement.program,
            self.weights,
            self.inputs(),
            self.statement.sizes,
            (link.start, link.stop),
            {name: boundary[name].values for name in link.receives},
            integers,
            self.statement.sampling,
            keep=(*self.statement.inputs, *link.hands),
        )

    def handed_values(self, integers: Integers | None = None) -> Iterator[tuple[Link, Values]]:
        """The values that each link hands over, link by link; keeps nothing that is not read later.

        Parameters
        ----------
        integers : Integers, optional
            The products of the engine that computes; those of ``cpu`` where not given.

        Yields
        ------
        tuple
            The link, and its values by name, those apart that the statement commits to.
        """
        s = self.statement
        values = self.inputs()
        run = Run(
            s.program.weights, self.weights, s.sizes, State(), integers, s.sampling,
            s.program.exponents,
        )  # fmt: skip
        for link in s.links:
            values = run_ops(s.program, run, values, (link.start, link.stop))
            yield link, {n: values[n] for n in link.hands if n not in s.committed_outputs}

    def check_outputs(self, trace: Trace) -> None:
        """Raise UsageError where an execution gives other outputs than the statement."""
        for name, found in trace.outputs.items():
            claimed = self.statement.outputs[name]
            if isinstance(claimed, CommittedTensor):
                sealed = self.sealed[name]
                fits = sealed.tensor == claimed and np.array_equal(sealed.values, found)
            else:
                fits = np.array_equal(claimed, found)
            if not fits:
                raise UsageError("the model gives another answer than the one to be proved")


def hand_over(
    engine: Engine, key: CommitmentKey, job: Job, link: Link, values: Mapping[str, Ints]
) -> dict[str, Boundary]:
    """Commit to the values that a link hands over: always to the same bytes within a job.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators.
    job : Job
        With its cut seed.
    link : Link
        Which values.
    values : mapping
        The values that it hands over, by name.
    """
    out = {}
    sealed = {
        port.value: job.sealed[n]
        for n, port in job.statement.program.outputs.items()
        if port.value in job.statement.committed_outputs
    }
    for name in link.hands:
        if name in sealed:
            out[name] = sealed[name]
            continue
        spec = job.statement.boundary_spec(name)
        domain = b"cut " + job.statement.digest + name.encode()
        out[name] = seal(engine, key, spec, values[name], job.cut_seed, domain)
    return out
