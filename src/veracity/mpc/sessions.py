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
    """Raise PeerError unless a pass can follow a session that dealt for ``fed`` tokens.

    Parameters
    ----------
    program : Program
        Public part of the model.
    fed : int
        Tokens dealt for so far.
    start : int
        Position of the pass's first token.
    rows : int
        Tokens that it feeds.
    """
    if not (0 <= start <= fed and rows >= 1 and start + rows <= program.context):
        raise PeerError("a pass that does not follow the session's earlier ones")


def check_label(
    label: Label, program: Program, session: bytes, party: int, number: int, fed: int
) -> None:
    """Raise PeerError unless material is for this party's next pass.

    Parameters
    ----------
    label : Label
        What the material says it is for.
    program : Program
        Public part of the model.
    session : bytes
        The session's name.
    party : int
        Owner or user.
    number : int
        Of the last pass.
    fed : int
        Tokens fed so far.
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
    """Both parties' material of a pass.

    Parameters
    ----------
    program : Program
        Public part of the model.
    session : bytes
        The session's name.
    number : int
        Of the pass.
    at : tuple of int
        Its start and its rows.
    seeds : tuple of bytes
        The owner's and the user's.
    sizes : sequence of int
        Bytes of both materials.
    """
    model = bytes.fromhex(program.digest)
    owner, user = (
        Dealt(Label(model, session, number, *at, party), seeds[party], sizes[party])
        for party in (OWNER, USER)
    )
    return owner, user
