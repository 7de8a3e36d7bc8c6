"""Inner-product argument: a committed vector has a stated inner product with a public one.

Relation. ``P = <a, G> + <a, b> U`` for public ``b``.
Messages. Per round ``L = <a_lo, G_hi> + <a_lo, b_hi> U`` and ``R = <a_hi, G_lo> + <a_hi, b_lo> U``,
both sent before the challenge ``x`` of the round (a challenge known before its cross terms forges
any value); at the end the folded ``a``.
Folding. ``a' = a_lo + x^-1 a_hi``, ``b' = b_lo + x b_hi``, ``G' = G_lo + x G_hi``, so that
``P' = P + x L + x^-1 R``.
Check. ``P + sum x L + x^-1 R = a (<s, G> + <s, b> U)``, ``s_i = prod x_j^(bit of i)``; the caller
adds the terms of this one equation to its own.
Not hiding by itself: here the vector is already masked. Lengths are padded to a power of two with
absent generators, which cost nothing. Soundness error ``3 / |F|`` a round, plus discrete log.
Reference: Bootle et al. (eprint 2016/263), Bulletproofs (2017/1066).
"""

from __future__ import annotations

from collections.abc import Callable

from veracity.engine.api import Engine, Points, Vec
from veracity.errors import FormatError
from veracity.records import record
from veracity.zk.transcript import ProverTranscript, VerifierTranscript

__all__ = ["InnerProductEnd", "prove_inner_product", "verify_inner_product"]


@record
class InnerProductEnd:
    """What the verifier read.

    Attributes
    ----------
    cross : bytes
        Compressed ``L_1, R_1, L_2, ...``.
    challenges : list of int
        ``x_j`` of each round.
    scalar : int
        The folded ``a``.
    """

    cross: bytes
    challenges: list[int]
    scalar: int


def _rounds(n: int) -> int:
    return (n - 1).bit_length()


def prove_inner_product(
    engine: Engine,
    transcript: ProverTranscript,
    bases: Points,
    inner: Points,
    a: Vec,
    b: Vec,
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Write the argument for ``<a, b>`` with ``a`` committed over ``bases``.

    Parameters
    ----------
    engine : Engine
        Backend.
    transcript : ProverTranscript
        Where messages go.
    bases : Points
        ``G``, as many as ``a`` has entries.
    inner : Points
        ``U``, already multiplied by the caller's challenge.
    a : Vec
        The committed vector; masked by the caller.
    b : Vec
        The public vector, of the same length.
    progress : callable, optional
        Receives the fraction done.
    """
    rounds = _rounds(len(a))
    operands = engine.inner_product(bases, inner, a, b)
    for j in range(rounds):
        transcript.write("inner product cross", engine.compress(operands.cross()))
        operands.fold(transcript.challenge("inner product"))
        progress(1 - 2.0 ** -(j + 1))
    transcript.write_scalar("inner product end", operands.end())


def verify_inner_product(transcript: VerifierTranscript, n: int) -> InnerProductEnd:
    """Read the argument for vectors of length ``n``."""
    cross, challenges = b"", []
    for _ in range(_rounds(n)):
        cross += transcript.read("inner product cross", 64)
        x = transcript.challenge("inner product")
        if x == 0:
            raise FormatError("proof, inner product", "a challenge is zero")
        challenges.append(x)
    return InnerProductEnd(cross, challenges, transcript.read_scalar("inner product end"))
