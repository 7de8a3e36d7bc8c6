"""A request on its way: its limits, what it became, how it ended."""

from __future__ import annotations

from dataclasses import dataclass

from veracity.formats.drawing import Drawing, ServerNonce
from veracity.graph.sampling import Sampling
from veracity.server.desk import Answered
from veracity.server.model import EncodedPrompt
from veracity.server.nonces import Nonces
from veracity.server.openai import Ask
from veracity.server.replies import Replies

__all__ = ["Job", "Limits", "Outcome", "drawing_for"]


@dataclass(frozen=True)
class Limits:
    """What a request may take.

    Attributes
    ----------
    body : int
        Bytes.
    body_time : float
        Seconds until all of it has arrived.
    tokens : int
        Of an answer whose length the client does not say, and of any.
    """

    body: int = 1 << 20
    body_time: float = 10.0
    tokens: int = 1024


@dataclass(frozen=True)
class Job:
    """A request that has been let in.

    Attributes
    ----------
    owner : str
        Name of the key that asks.
    ask : Ask
        What it wants.
    prompt : EncodedPrompt
        What the model reads.
    most : int
        Tokens of the answer.
    replies : Replies
        The shapes of its reply.
    drawing : Drawing or None
        How the answer is drawn; None for the most likely tokens.
    sampling : Sampling or None
        Seed and temperature that follow.
    """

    owner: str
    ask: Ask
    prompt: EncodedPrompt
    most: int
    replies: Replies
    drawing: Drawing | None = None
    sampling: Sampling | None = None

    def answered(self, outcome: Outcome) -> Answered:
        """What a receipt of the outcome binds."""
        return Answered(
            frame=self.prompt.frame,
            prompt=self.prompt.ids,
            answer=outcome.ids,
            text=outcome.text,
            max_tokens=self.most,
            stops=self.ask.stops,
            finish=outcome.finish,
            stopped=outcome.stopped,
            messages=self.prompt.messages,
            drawing=self.drawing,
            auditable=self.ask.auditable,
        )


@dataclass(frozen=True)
class Outcome:
    """An answer that has ended, or a refusal.

    Attributes
    ----------
    ids : tuple of int
        All tokens that were evaluated.
    text : str
        All text that was sent.
    finish : str
        ``stop``, ``length``, or ``none`` for a refusal.
    stopped : str or None
        ``range`` where a value left its range after some tokens.
    """

    ids: tuple[int, ...]
    text: str
    finish: str
    stopped: str | None = None

    @property
    def refused(self) -> bool:
        """Whether a value left its range before the first token."""
        return self.finish == "none"


def drawing_for(ask: Ask, owner: str, nonces: Nonces) -> Drawing | None:
    """How an answer is drawn; None for the most likely tokens.

    Without any nonce of the client's, and none that was promised, the server picks one: the client
    is told that it could have picked among answers.

    Parameters
    ----------
    ask : Ask
        What the client wants.
    owner : str
        The key that asks.
    nonces : Nonces
        Promised ones.

    Raises
    ------
    RequestError
        The promised nonce does not wait.
    """
    if not ask.temperature:
        return None
    server = nonces.take(owner, ask.server_nonce) if ask.server_nonce else b""
    if not ask.nonce and not server:
        server = ServerNonce.new().nonce
    return Drawing(ask.temperature, ask.nonce, server)
