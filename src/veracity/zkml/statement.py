"""What is claimed: this program, on the weights of this commitment, answers so."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from veracity.errors import UsageError
from veracity.graph import Program
from veracity.zk.keys import GENERATOR_LABEL
from veracity.zk.projection import ENTRY_BITS
from veracity.zkml.committed import TensorSpec
from veracity.zkml.links import Link, links_of
from veracity.zkml.model import ModelCommitment, choose_log_columns, weight_spec

__all__ = ["Execution", "Statement"]


@dataclass(frozen=True)
class Execution:
    """The public part of an execution.

    Attributes
    ----------
    program : Program
        What was run.
    tokens : tuple of int
        Prompt and answer; the last answer token is not an input.
    prompt_length : int
        How many of them are the prompt.
    cuts : tuple of int
        Where the proof is cut into links: how it is proved, not what
        (:mod:`veracity.zkml.links`).
    """

    program: Program
    tokens: tuple[int, ...]
    prompt_length: int
    cuts: tuple[int, ...] = ()

    @property
    def log_columns(self) -> int:
        """Logarithm of the row length."""
        return choose_log_columns(self.program)

    @cached_property
    def links(self) -> tuple[Link, ...]:
        """The links; UsageError where the program cannot be cut so."""
        return links_of(self.program, self.cuts)

    @cached_property
    def _dims(self) -> dict[str, tuple[int, ...]]:
        from veracity.graph.program import _width

        widths: dict[str, int] = {}
        for op in self.program.ops:
            widths[op.name] = _width(self.program, op, widths)
        return {name: (len(self.tokens) - 1, width) for name, width in widths.items()}

    def boundary_spec(self, name: str) -> TensorSpec:
        """How a value is committed that crosses from one link to another."""
        limit = (1 << ENTRY_BITS) - 1
        exponent = self.program.exponents.get(name, 0)
        return TensorSpec(self._dims[name], exponent, -limit, limit, self.log_columns)

    def weight_spec(self, name: str) -> TensorSpec:
        """How a weight is committed."""
        return weight_spec(self.program, name, self.log_columns)

    def check(self) -> None:
        """Raise UsageError unless tokens, program and cuts fit together."""
        if not 1 <= self.prompt_length < len(self.tokens):
            raise UsageError("a statement needs at least one prompt token and one answer token")
        if len(self.tokens) - 1 > self.program.context:
            raise UsageError(
                f"{len(self.tokens)} tokens exceed the model's context of {self.program.context}; "
                "shorten the prompt"
            )
        if any(not 0 <= t < self.program.vocab for t in self.tokens):
            raise UsageError("a token id is outside the model's vocabulary")
        links_of(self.program, self.cuts)


@dataclass(frozen=True, kw_only=True)
class Statement(Execution):
    """The claim that the program on the committed weights maps this prompt to this answer.

    Attributes
    ----------
    commitment : ModelCommitment
        C; the verifier takes the one that its user trusts.
    context : bytes
        Anything else the proof is bound to (file digests, say).
    """

    commitment: ModelCommitment = field(repr=False)
    context: bytes = field(default=b"", repr=False)

    @property
    def log_columns(self) -> int:
        """Logarithm of the row length."""
        return self.commitment.log_columns

    def check(self) -> None:
        """Raise UsageError unless all parts fit together."""
        super().check()
        if self.commitment.program_digest.hex() != self.program.digest:
            raise UsageError("the commitment belongs to another program; commit to this one first")

    def encode(self) -> bytes:
        """Canonical encoding."""
        parts = [
            bytes.fromhex(self.program.digest),
            self.commitment.to_bytes(),
            GENERATOR_LABEL.encode(),
            self.prompt_length.to_bytes(8, "little"),
            np.asarray(self.tokens, dtype="<u4").tobytes(),
            self.context,
            np.asarray(self.cuts, dtype="<u4").tobytes(),
        ]
        return b"".join(len(p).to_bytes(8, "little") + hashlib.sha256(p).digest() for p in parts)

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of the encoding: the premise of a chain."""
        return hashlib.sha256(b"veracity premise v3" + self.encode()).digest()
