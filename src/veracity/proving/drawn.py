"""What an accepted proof of a drawn answer says about the draw, and who could have chosen it."""

from __future__ import annotations

from veracity.errors import MismatchError
from veracity.formats.drawing import Drawing
from veracity.records import record

__all__ = ["DRAWN", "NOT_DRAWN_ALONE", "Draw", "compare_drawing"]

#: Takes the place of "each token the most likely one".
DRAWN = (
    "each token sampled: the largest sum of logit and noise, where the noise is that of this "
    "temperature and follows from model, prompt, temperature and the two nonces alone"
)
#: Added to what is not proved.
NOT_DRAWN_ALONE = (
    ". Nor does it show that no other answer was drawn with other nonces and thrown away (who could"
    " have done that is said under 'seed'), nor how likely this answer was: the proof bounds logits"
    " by each other, it does not tell them"
)


@record
class Draw:
    """How an accepted answer was drawn.

    Parameters
    ----------
    temperature : str
        The temperature.
    nonce : str
        The user's nonce, hexadecimal; empty where there is none.
    server_nonce : str
        The digest of the server's nonce in the proof; empty where there is none.
    seed : str
        Who could have chosen the seed, in a sentence.
    """

    temperature: str
    nonce: str
    server_nonce: str
    seed: str

    @classmethod
    def of(cls, drawing: Drawing, expected: frozenset[str]) -> Draw:
        """What is to be said of a draw.

        Parameters
        ----------
        drawing : Drawing
            The proof's.
        expected : frozenset of str
            What the verifier insisted on, of ``nonce``, ``server nonce``, ``temperature`` and
            ``prompt``: the seed follows from all of them.
        """
        return cls(
            drawing.shown_temperature,
            drawing.user_nonce.hex(),
            drawing.server_digest,
            _who(bool(drawing.user_nonce), bool(drawing.server_nonce), expected),
        )


#: What a seed follows from beside the model, and how to insist on it.
_FREE = {
    "nonce": "the user's nonce (it is in the proof; --nonce insists on yours)",
    "server nonce": "the server's nonce (--server-nonce insists on the one that was fixed before)",
    "temperature": "the temperature (a thousandth more is another seed; --temperature insists)",
    "prompt": "the prompt (a space more is another seed; --prompt or --message insists)",
}


def _who(user: bool, server: bool, expected: frozenset[str]) -> str:
    """Who could have chosen among seeds."""
    if not user and not server:
        return "nobody's nonce: it follows from model, prompt and temperature, whoever chose these"
    present = {"nonce": user, "server nonce": server}
    free = [t for name, t in _FREE.items() if present.get(name, True) and name not in expected]
    if free:
        *others, last = free
        both = f"{', '.join(others)} and {last}" if others else last
        return f"WARNING: the prover may have tried many answers by choosing {both}"
    if user and server:
        return "chosen by neither side: the server's nonce was fixed before yours was known"
    if user:
        return "by your nonce alone: you could have tried many, the prover could not"
    return "by the server's nonce alone, which was fixed when its digest was told"


def compare_drawing(
    drawing: Drawing | None, temperature: int | None, nonce: bytes | None, server: str | None
) -> None:
    """Raise :class:`MismatchError` unless a draw is the one that was expected.

    Parameters
    ----------
    drawing : Drawing or None
        The proof's; None for the greedy choice.
    temperature : int, optional
        In thousandths; 0 for the greedy choice.
    nonce : bytes, optional
        The user's nonce.
    server : str, optional
        The digest of the server's nonce, hexadecimal.
    """
    found = drawing or Drawing(0)
    if temperature is not None and temperature != found.temperature:
        expected = Drawing(temperature).shown_temperature
        raise MismatchError("temperature", expected, found.shown_temperature)
    if nonce is not None and nonce != found.user_nonce:
        raise MismatchError("nonce", nonce.hex(), found.user_nonce.hex())
    if server is not None and server != found.server_digest:
        raise MismatchError("server nonce", server, found.server_digest)
