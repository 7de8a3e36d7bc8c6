"""Replies and chunks of a stream, for conversations and for texts to continue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from veracity.server.openai import usage

__all__ = ["Replies"]


@dataclass(frozen=True)
class Replies:
    """The shapes of one reply.

    Attributes
    ----------
    chat : bool
        A conversation (else a text to continue).
    ident, model, fingerprint : str
        Name of this reply, of the model, and of the committed program.
    created : int
        Seconds since 1970.
    usage : bool
        The client asked for a count of tokens at the end of a stream.
    """

    chat: bool
    ident: str
    model: str
    fingerprint: str
    created: int
    usage: bool = False

    def _outer(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.ident,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        }

    def whole(
        self, text: str, finish: str, counts: tuple[int, int], veracity: dict[str, Any]
    ) -> dict[str, Any]:
        """The reply to a request without stream.

        Parameters
        ----------
        text : str
            The answer.
        finish : str
            Why it ended: ``stop`` or ``length``.
        counts : tuple of int
            Tokens of prompt and answer.
        veracity : dict
            What is said beside OpenAI's format.
        """
        choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
        if self.chat:
            choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        else:
            choice["text"] = text
        kind = "chat.completion" if self.chat else "text_completion"
        return {
            **self._outer(kind, [choice]),
            "usage": usage(*counts),
            "veracity": veracity,
        }

    def first(self) -> dict[str, Any] | None:
        """The chunk that names the role; texts to continue have none."""
        return self._chunk({"role": "assistant", "content": ""}) if self.chat else None

    def piece(self, text: str) -> dict[str, Any]:
        """A chunk with text."""
        return self._chunk({"content": text}, text)

    def last(self, finish: str, veracity: dict[str, Any]) -> dict[str, Any]:
        """The last chunk with a choice."""
        return {**self._chunk({}, "", finish), "veracity": veracity}

    def count(self, prompt: int, answer: int) -> dict[str, Any]:
        """The chunk without choices that follows where the client asked for a count."""
        return {**self._outer(self._kind, []), "usage": usage(prompt, answer)}

    @property
    def _kind(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"

    def _chunk(
        self, delta: dict[str, str], text: str = "", finish: str | None = None
    ) -> dict[str, Any]:
        said: dict[str, Any] = {"delta": delta} if self.chat else {"text": text}
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": finish}
        chunk = self._outer(self._kind, [choice])
        return {**chunk, "usage": None} if self.usage else chunk
