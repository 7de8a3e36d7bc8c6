"""What the sessions of all modes share: labels of material, and the order of passes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from veracity.errors import PeerError
from veracity.graph.program import Program
from veracity.mpc.material import Label
from veracity.mpc.party import OWNER, USER

__all__ = ["Dealt", "check_follows", "check_label", "label_both"]


@dataclass(frozen=True)
class Dealt:
    """Material of one pass for one party: where the explicit pieces went is the sink's matter."""

    label: Label
    seed: bytes
    size: int


def check_follows(program: Program, fed: int, start: int, rows: int) -> None:
    """Raise PeerError unless a pass can follow a session that dealt for ``fed`` tokens."""
    if not (0 <= start <= fed and rows >= 1 and start + rows <= program.context):
        raise PeerError("a pass that does not follow the session's earlier ones")


def check_label(
    label: Label, program: Program, session: bytes, party: int, number: int, fed: int
) -> None:
    """Raise PeerError unless material is for this party's next pass.

    ``number`` and ``fed`` are those of the passes before.
    """
    fits = (
        label.model == bytes.fromhex(program.digest)
        and label.session == session
        and label.party == party
        and label.number > number
        and label.start <= fed
    )
    if not fits:
        raise PeerError("the dealer's material is for another pass")


def label_both(
    program: Program,
    session: bytes,
    number: int,
    at: tuple[int, int],
    seeds: tuple[bytes, bytes],
    sizes: Sequence[int],
) -> tuple[Dealt, Dealt]:
    """Both parties' material of a pass; ``at`` is its start and its rows."""
    model = bytes.fromhex(program.digest)
    owner, user = (
        Dealt(Label(model, session, number, *at, party), seeds[party], sizes[party])
        for party in (OWNER, USER)
    )
    return owner, user
