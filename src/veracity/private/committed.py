"""Private answers of a committed model: its ``.vcom`` names the masked weights.

What this joins is the publisher's word: the file says that ``W - U`` with this digest hides the
committed W, and nothing proves it. It binds the owner to one set of weights from then on, and to
those that every other user of the file is served.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import PeerError, UsageError
from veracity.private.card import Card
from veracity.private.connect import cache_folder
from veracity.text.chat import ChatFrame
from veracity.text.table import PromptFrame, TokenTable

if TYPE_CHECKING:
    from veracity.formats.commitment import Commitment

__all__ = ["Pinned", "bind"]


@dataclass(frozen=True)
class Pinned:
    """What a commitment says of the model that a user wants to ask.

    Parameters
    ----------
    program, tokens, weights : str
        SHA-256 of program, token table and masked weights, hexadecimal.
    text : mapping
        What stands around prompts and messages, and which tokens end an answer, as plain data.
    """

    program: str
    tokens: str
    weights: str
    text: Mapping[str, Any]

    @classmethod
    def by(cls, source: Source) -> Pinned:
        """Read a ``.vcom`` file.

        Raises
        ------
        UsageError
            It names no masked weights.
        FormatError
        """
        from veracity.formats.commitment import Commitment

        found = Commitment.load(source)
        if not found.masked_weights:
            raise UsageError(
                "this commitment names no weights for private inference; its publisher adds them "
                "with `veracity private bind`"
            )
        return cls.of(found)

    @classmethod
    def of(cls, commitment: Commitment) -> Pinned:
        """What a commitment says."""
        stated = commitment.metadata
        text = _text(stated.frames, stated.stop_ids, stated.conversation)
        masked = commitment.masked_weights.hex()
        return cls(commitment.program.digest, commitment.table.digest, masked, text)

    def check(self, card: Card) -> None:
        """Compare what an owner serves.

        Raises
        ------
        PeerError
        """
        known = card.tokenizer
        table = TokenTable(tuple(known.token_bytes), frozenset(known.special_ids), known.rule)
        sides = {"raw": known.frame(chat=False), "chat": known.frame(chat=True)}
        frames = {n: PromptFrame(tuple(s[0]), tuple(s[1])) for n, s in sides.items() if s}
        served = Pinned(
            card.program.digest,
            table.digest,
            card.weights,
            _text(frames, sorted(known.stop_ids), known.conversation),
        )
        for name, what in (
            ("program", "program"),
            ("tokens", "tokenizer"),
            ("text", "frame of prompts, or end of answers"),
            ("weights", "set of weights"),
        ):
            if getattr(served, name) != getattr(self, name):
                raise PeerError(
                    f"the server has another model than the commitment: another {what}; ask its "
                    "owner for the commitment of what it serves"
                )


def _text(
    frames: Mapping[str, PromptFrame], stops: Sequence[int], between: ChatFrame | None
) -> dict[str, Any]:
    return {
        "frames": {name: frame.to_plain() for name, frame in frames.items()},
        "stop_ids": list(stops),
        "conversation": None if between is None else between.to_plain(),
    }


def bind(
    program: str | Path,
    commitment: str | Path,
    secret: str | Path,
    *,
    cache: str | Path | None = None,
    backend: str = "cpu",
) -> Card:
    """Name the masked weights of a committed model in its ``.vcom`` file.

    The digest of the commitment stays the same; the masks' seed is made if it is not there.

    Parameters
    ----------
    program : path
        The calibrated model.
    commitment, secret : path
        Its ``.vcom``, which is rewritten, and the ``.vsec`` that opens it.
    cache : path, optional
        The folder that `veracity private serve` is given: the seed of the masks is there.
    backend : str
        What computes; see :func:`veracity.engine.load_engine`.

    Returns
    -------
    Card
        What the owner will serve.

    Raises
    ------
    UsageError
        Where the three files do not belong together.
    FormatError
    """
    from veracity.formats.commitment import Commitment
    from veracity.formats.secret import Secret
    from veracity.private.services import masked_model
    from veracity.work.programs import load_program, weights_digest

    loaded, public, opening = (
        load_program(program),
        Commitment.load(commitment),
        Secret.load(secret),
    )
    if opening.commitment.digest != public.digest:
        raise UsageError(f"{secret} opens another commitment; give the pair that belongs together")
    if opening.weights_digest != weights_digest(loaded.weights):
        raise UsageError(f"{program} has other weights than were committed to; commit again")
    _, card = masked_model(load_engine(backend), cache_folder(cache, "owner"), loaded)
    named = replace(public, masked_weights=bytes.fromhex(card.weights))
    Pinned.of(named).check(card)
    named.save(commitment)
    return card
