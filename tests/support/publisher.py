"""What a dishonest publisher makes: programs that nobody would import, and files that hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

import numpy as np

from veracity.engine import Engine, load_engine
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.proof import Proof
from veracity.graph import Program, WeightSpec
from veracity.graph.ops import Embed, Head, Op
from veracity.lm.text_decoder import text_decoder, vocabulary_of
from veracity.text.table import PromptFrame, TokenTable
from veracity.zk.keys import CommitmentKey, load_key
from veracity.zkml import ModelCommitment

#: Short rows: hostile statements are small.
LOG_COLUMNS = 6


@dataclass(frozen=True)
class Model:
    """A program with its weights, as :mod:`tests.support.cheating` wants examples."""

    program: Program
    weights: Mapping[str, np.ndarray]
    tokens: list[int]
    prompt_length: int


@lru_cache(maxsize=1)
def setting() -> tuple[Engine, CommitmentKey]:
    """Backend and generators of all attacks."""
    engine = load_engine("cpu")
    return engine, load_key(engine, LOG_COLUMNS)


def decoder(
    *ops: Op,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    last: str = "x",
    vocab: int = 4,
    width: int = 4,
    context: int = 8,
    name: str = "hostile",
    dtypes: Mapping[str, str] | None = None,
    projection: str = "t",
    ends: bool = True,
) -> Program:
    """A text decoder that nothing was checked of: ``x`` is embedded, ``last`` is projected.

    Parameters
    ----------
    ops : Op
        What stands between.
    shapes : mapping
        Of all weights; by default only ``t``, (vocab, width).
    dtypes : mapping
        Of weights that are not int16.
    projection : str
        The Head's weight.
    ends : bool
        Whether a Head called ``head`` is put at the end.
    """
    shapes = {"t": (vocab, width)} if shapes is None else shapes
    dtypes = {} if dtypes is None else dtypes
    ending = (Head(name="head", x=last, weight=projection, shift=0),) if ends else ()

    def spec(name: str) -> WeightSpec:
        dtype = dtypes.get(name, "int16")
        return WeightSpec(tuple(shapes[name]), dtype, 0, 8 * np.dtype(dtype).itemsize)

    return text_decoder(
        name=name,
        arch={},
        vocab=vocab,
        context=context,
        ops=(Embed(name="x", table="t"), *ops, *ending),
        weights={n: spec(n) for n in shapes},
        exponents={},
    )


def checked(program: Program) -> Program:
    """The same program as a verifier reads it from a file; raises FormatError."""
    return Program.from_json(program.to_json())


def published(
    program: Program,
    model: ModelCommitment | None = None,
    table: TokenTable | None = None,
    frames: Mapping[str, PromptFrame] | None = None,
    stop_ids: tuple[int, ...] = (),
    well_formed: bytes = b"",
) -> Commitment:
    """The file of a publisher who takes care that every digest in it is right.

    Parameters
    ----------
    program : Program
        Hostile or not.
    model : ModelCommitment, optional
        Rows; by default as many as the weights take, each of them the neutral point.
    table : TokenTable, optional
        By default token ``i`` is the word ``<i>``.
    frames : mapping, optional
        By default nothing stands around a prompt.
    stop_ids : tuple of int
        What ends an answer.
    well_formed : bytes
        The annex.
    """
    if table is None:
        table = TokenTable(
            tuple(b" %d" % i for i in range(vocabulary_of(program))), frozenset(), None
        )
    if model is None:
        rows = sum(rows_of(spec.shape) for spec in program.weights.values())
        model = ModelCommitment(LOG_COLUMNS, bytes.fromhex(program.digest), bytes(32 * rows))
    metadata = Metadata(
        source={"name": program.name[:80]},
        parameters=1,
        program_digest=program.digest,
        tokenizer_digest=table.digest,
        quantisation={},
        calibration={},
        accuracy={},
        frames={"raw": PromptFrame((), ())} if frames is None else frames,
        stop_ids=stop_ids,
        package_version="0",
    )
    return Commitment(metadata, program, table, model, well_formed)


def rows_of(shape: Sequence[int]) -> int:
    """Rows of an array of full rows."""
    return -(-prod(shape) // (1 << LOG_COLUMNS))


def garbage(points: int = 400) -> bytes:
    """Bytes that parse as points wherever a proof has points."""
    engine, _ = setting()
    made = engine.compress(engine.generators("garbage", 16))
    return bytes(made) * -(-points // 16)


def claimed(
    commitment: Commitment,
    tokens: Sequence[int],
    prompt_length: int,
    argument: bytes,
    cuts: tuple[int, ...] = (),
) -> Proof:
    """A proof file for whatever commitment.

    Parameters
    ----------
    commitment : Commitment
        What it refers to.
    tokens, prompt_length
        Prompt and answer.
    argument : bytes
        Its messages.
    cuts : tuple of int
        Where it is cut.
    """
    return Proof(commitment.digest, "raw", tuple(tokens), prompt_length, argument, cuts)
