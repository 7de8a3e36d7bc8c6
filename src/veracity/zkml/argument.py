"""The argument for one circuit: relations on committed arrays, proved in zero knowledge.

1. Both sides build the circuit of a link's ops for the public sizes.
2. The prover commits to all arrays of the witness; then to a random projection that bounds all
   quotients, and to the tables' multiplicities.
3. One lookup argument, linear identities at random points, and one sumcheck for all products.
4. One evaluation sumcheck turns every claim into one equation on one combined row.
5. One opening proves that and everything that was deferred about hidden messages.

Chains of circuits are :mod:`veracity.zkml.chain`. The composed theorem is in ``SECURITY.md``; each
step has its page in ``docs/protocols/``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from veracity.engine.api import Engine, Points
from veracity.zk.array_sums import KnownSums
from veracity.zk.batch import GroupEquation
from veracity.zk.committed import ArrayId, CommittedArray
from veracity.zk.hidden import HiddenChannel, HiddenProver, HiddenVerifier
from veracity.zk.keys import CommitmentKey
from veracity.zk.mle import axis_bits
from veracity.zk.opening import prove_opening, verify_opening
from veracity.zk.reduction import reduce_prover, reduce_verifier
from veracity.zk.transcript import ProverTranscript, VerifierTranscript
from veracity.zkml.circuit.build import Circuit
from veracity.zkml.circuit.lookups import prove_all_lookups, verify_all_lookups
from veracity.zkml.circuit.products import prove_products, verify_products
from veracity.zkml.circuit.relations import Claim, Resolver, group_zeros
from veracity.zkml.circuit.tables import tables_digest
from veracity.zkml.witness import bound_claim, commit_witness, read_witness

__all__ = ["Progress", "prove_circuit", "silent", "verify_circuit"]

Progress = Callable[[str, float], None]


def silent(_phase: str, _done: float) -> None:
    """No progress wanted."""


def _identities(
    channel: HiddenChannel, resolver: Resolver, engine: Engine, circuit: Circuit
) -> list[Claim]:
    """All identities at random points, one claim per shape."""
    claims = []
    for tensors in group_zeros(circuit.builder.zeros):
        instances = channel.challenges("identity instances", axis_bits(len(tensors)))
        weights = tuple(
            (1, engine.eq(channel.challenges("identity point", axis_bits(d)), d))
            for d in tensors[0].dims
        )
        scale = engine.to_ints(engine.eq(instances, len(tensors)))
        claims.append(resolver.claim(tensors, scale, weights, 0))
    return claims


def _tables(circuit: Circuit) -> bytes:
    """What both sides know of the circuit beside the statement: tables, length of the rows."""
    chosen = b"" if circuit.row_bits is None else bytes([circuit.row_bits])
    return tables_digest(circuit.plan.tables) + chosen


def prove_circuit(
    engine: Engine,
    key: CommitmentKey,
    circuit: Circuit,
    earlier: Mapping[ArrayId, CommittedArray],
    transcript: ProverTranscript,
    secret: bytes = b"",
    progress: Progress = silent,
) -> None:
    """Write the proof of a circuit whose arrays carry values.

    Nothing is checked here: a prover who puts false values into the circuit gets a proof that does
    not verify. That is what the soundness tests do.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators, as many as the circuit's rows have entries.
    circuit : Circuit
        With the prover's integers.
    earlier : mapping
        The arrays that were committed before: weights, and what is received and handed over.
    transcript : ProverTranscript
        Has absorbed the statement, and the rows of what is received and handed over.
    secret : bytes
        Hedges all randomness (:mod:`veracity.zk.randomness`).
    progress : callable
        Receives (phase, fraction of the phase done).
    """
    transcript.absorb("tables", _tables(circuit))
    witness = commit_witness(engine, key, circuit, earlier, transcript, secret, progress)
    channel = HiddenProver(engine, key, transcript, secret)
    resolver = Resolver(engine, circuit.layouts)
    bound = bound_claim(channel, resolver, engine, circuit, witness.directions)
    progress("lookups", 0.0)
    remaining = prove_all_lookups(
        channel,
        resolver,
        witness.plan,
        witness.multiplicities,
        lambda f: progress("lookups", f),
    )
    remaining += _identities(channel, resolver, engine, circuit)
    progress("products", 0.0)
    known = KnownSums()
    claims = [bound, *prove_products(channel, resolver, remaining, known)]
    progress("products", 0.5)
    arrays = {**witness.arrays, **earlier}
    equation = reduce_prover(channel, arrays, claims, known)
    progress("products", 1.0)
    prove_opening(channel, arrays, equation, lambda f: progress("opening", f))
    progress("opening", 1.0)


def verify_circuit(
    engine: Engine,
    key: CommitmentKey,
    circuit: Circuit,
    earlier: Mapping[ArrayId, Points],
    transcript: VerifierTranscript,
) -> tuple[GroupEquation, ...]:
    """Read the proof of a circuit; returns the group equations that remain to be checked.

    Parameters
    ----------
    engine, key : Engine, CommitmentKey
        Backend and generators, as many as the circuit's rows have entries.
    circuit : Circuit
        Public shapes.
    earlier : mapping
        Row commitments of weights, and of what is received and handed over.
    transcript : VerifierTranscript
        Has absorbed the statement, and the rows of what is received and handed over.

    Raises
    ------
    VerificationError, FormatError
    """
    transcript.absorb("tables", _tables(circuit))
    witness, directions = read_witness(engine, key, circuit, transcript)
    channel = HiddenVerifier(engine, key, transcript)
    resolver = Resolver(engine, circuit.layouts)
    bound = bound_claim(channel, resolver, engine, circuit, directions)
    remaining = verify_all_lookups(channel, resolver, circuit.plan)
    remaining += _identities(channel, resolver, engine, circuit)
    claims = [bound, *verify_products(channel, resolver, remaining)]
    shapes = circuit.shapes()
    equation = reduce_verifier(channel, shapes, claims)
    return verify_opening(channel, shapes, {**earlier, **witness}, equation)
