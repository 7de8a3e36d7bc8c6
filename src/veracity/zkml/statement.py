"""What is claimed: this program, on the weights of this commitment, maps these inputs to these.

A statement says of each port whether it is *public* (the verifier has the integers) or *committed*
(the statement names the tensor); everything between is internal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from veracity.errors import UsageError
from veracity.graph import Program
from veracity.graph.port import Port, bind_sizes
from veracity.graph.sampling import Sampling
from veracity.records import record
from veracity.zk.keys import GENERATOR_LABEL
from veracity.zk.projection import ENTRY_BITS
from veracity.zkml.committed import CommittedTensor, TensorSpec
from veracity.zkml.links import Link, links_of
from veracity.zkml.model import ModelCommitment, choose_log_columns, weight_spec

__all__ = ["PORT_ROW_BITS", "Execution", "PortValue", "Statement"]

#: Row length of committed ports, whatever that of the model: what one model gives another takes.
PORT_ROW_BITS = 12

#: A public port's integers, or the tensor that a committed port names.
PortValue = NDArray[np.int64] | CommittedTensor


@record(eq=False)
class Execution:
    """The public part of an execution.

    Attributes
    ----------
    program : Program
        What was run.
    inputs, outputs : mapping
        By port: integers where it is public, a tensor where it is committed.
    cuts : tuple of int
        Where the proof is cut into links: how it is proved, not what
        (:mod:`veracity.zkml.links`).
    sampling : Sampling or None
        How the tokens of a text decoder are drawn; None for the greedy choice.
    """

    program: Program
    inputs: Mapping[str, PortValue]
    outputs: Mapping[str, PortValue]
    cuts: tuple[int, ...] = ()
    sampling: Sampling | None = None

    @cached_property
    def log_columns(self) -> int:
        """Logarithm of the row length."""
        return choose_log_columns(self.program)

    @cached_property
    def ports(self) -> dict[str, Port]:
        """All ports by name."""
        return {**self.program.inputs, **self.program.outputs}

    @cached_property
    def sizes(self) -> dict[str, int]:
        """What the symbols stand for."""
        shapes = {n: _shape(v) for n, v in {**self.inputs, **self.outputs}.items()}
        return bind_sizes(self.ports, shapes, self.program.limits)

    @cached_property
    def committed_outputs(self) -> dict[str, CommittedTensor]:
        """The values that the statement commits to, by name of the value."""
        return {
            self.program.outputs[name].value: found
            for name, found in self.outputs.items()
            if isinstance(found, CommittedTensor)
        }

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """The links; UsageError where the program cannot be cut so."""
        return links_of(self.program, self.cuts, self.committed_outputs)

    def public_inputs(self) -> dict[str, NDArray[np.int64]]:
        """Integers of the inputs that are public."""
        return {n: v for n, v in self.inputs.items() if not isinstance(v, CommittedTensor)}

    def public_outputs(self) -> dict[str, NDArray[np.int64]]:
        """Integers of the outputs that are public, by name of the value."""
        return {
            self.program.outputs[n].value: v
            for n, v in self.outputs.items()
            if not isinstance(v, CommittedTensor)
        }

    def port_spec(self, name: str) -> TensorSpec:
        """How a port is committed, from the program and the sizes alone."""
        port = self.ports[name]
        dims = tuple(self.sizes[d] if isinstance(d, str) else d for d in port.dims)
        bits = min(PORT_ROW_BITS, self.log_columns)
        return TensorSpec(dims, port.exponent, port.low, port.high, bits)

    def boundary_spec(self, name: str) -> TensorSpec:
        """How a value is committed that leaves a link."""
        if name in self.committed_outputs:
            return self.committed_outputs[name].spec
        limit = (1 << ENTRY_BITS) - 1
        dims = self.program.dims_of(name, self.sizes)
        exponent = self.program.exponents.get(name, 0)
        return TensorSpec(dims, exponent, -limit, limit, self.log_columns)

    def weight_spec(self, name: str) -> TensorSpec:
        """How a weight is committed."""
        return weight_spec(self.program, name, self.log_columns)

    def check(self) -> None:
        """Raise UsageError unless ports, program and cuts fit together."""
        self.program.validate()
        if set(self.inputs) != set(self.program.inputs):
            raise UsageError(f"a statement needs the inputs {sorted(self.program.inputs)}")
        if set(self.outputs) != set(self.program.outputs):
            raise UsageError(f"a statement needs the outputs {sorted(self.program.outputs)}")
        if missing := set(self.program.limits) - set(self.sizes):
            raise UsageError(f"no port says how many {sorted(missing)[0]} there are")
        public = {**self.inputs, **self.outputs}
        self.program.check_ranges(
            {n: v for n, v in public.items() if not isinstance(v, CommittedTensor)}
        )
        for name, value in public.items():
            if isinstance(value, CommittedTensor):
                value.check(f"port {name}")
                if value.spec != self.port_spec(name):
                    raise UsageError(f"port {name} is committed with other dims, range or layout")
        read = {n for op in self.program.ops for n in op.inputs()}
        if unread := sorted(set(self.inputs) - set(self.public_inputs()) - read):
            raise UsageError(f"port {unread[0]} is committed, and nothing reads it")
        links_of(self.program, self.cuts, self.committed_outputs)


@record(eq=False, kw_only=True)
class Statement(Execution):
    """The claim that the program on the committed weights maps these inputs to these outputs.

    Attributes
    ----------
    commitment : ModelCommitment
        C; the verifier takes the one that its user trusts.
    context : bytes
        Anything else the proof is bound to (file digests, say).
    committed : Program or None
        The program of the commitment, where ``program`` follows from it by a public rule (the same
        on several samples, say); whoever verifies applies the rule. None where they are the same.
    """

    commitment: ModelCommitment = field(repr=False)
    context: bytes = field(default=b"", repr=False)
    committed: Program | None = field(default=None, repr=False)

    @property
    def log_columns(self) -> int:
        """Logarithm of the row length."""
        return self.commitment.log_columns

    def check(self) -> None:
        """Raise UsageError unless all parts fit together."""
        super().check()
        committed = self.program if self.committed is None else self.committed
        if self.commitment.program_digest.hex() != committed.digest:
            raise UsageError("the commitment belongs to another program; commit to this one first")
        if committed.weights != self.program.weights:
            raise UsageError("a program that follows from the committed one has the same weights")

    def encode(self) -> bytes:
        """Canonical encoding."""
        parts = [
            bytes.fromhex(self.program.digest),
            self.commitment.to_bytes(),
            GENERATOR_LABEL.encode(),
            self.context,
            np.asarray(self.cuts, dtype="<u4").tobytes(),
        ]
        for side in (self.inputs, self.outputs):
            for name in sorted(side):
                parts += [name.encode(), _encoded(side[name])]
        if self.sampling is not None:
            parts += [b"sampling", self.sampling.encode()]
        return b"".join(len(p).to_bytes(8, "little") + hashlib.sha256(p).digest() for p in parts)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the encoding: the premise of a chain."""
        return hashlib.sha256(b"veracity premise v3" + self.encode()).digest()


def _shape(value: PortValue) -> tuple[int, ...]:
    return value.spec.dims if isinstance(value, CommittedTensor) else np.shape(value)


def _encoded(value: PortValue) -> bytes:
    """Kind, dims and content of a port."""
    if isinstance(value, CommittedTensor):
        return b"committed" + value.digest
    dims = np.asarray(np.shape(value), dtype="<u8").tobytes()
    return b"public" + dims + np.asarray(value, dtype="<i8").tobytes()
