"""The committed model behind the server: prompts to token ids, token ids to answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.engine.api import Integers
from veracity.errors import RequestError, UnsupportedModelError, UsageError
from veracity.formats.drawing import Drawing
from veracity.formats.program import ProgramFile
from veracity.formats.secret import Secret
from veracity.graph.sampling import Sampling, check_scale
from veracity.lm.generate import tokens
from veracity.lm.text_decoder import check_drawable, context_of
from veracity.proving.answering import encode_asked
from veracity.proving.opened import check_pair, load_secret
from veracity.proving.prompts import form_of
from veracity.text.chat import Message
from veracity.work.programs import integer_program, load_program

__all__ = ["EncodedPrompt", "ServedModel"]


@dataclass(frozen=True)
class EncodedPrompt:
    """A prompt as the model reads it.

    Attributes
    ----------
    frame : str
        ``raw``, ``chat`` or ``messages``.
    ids : tuple of int
        Token ids.
    messages : tuple of Message
        The conversation that it is; empty for other frames.
    """

    frame: str
    ids: tuple[int, ...]
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True)
class ServedModel:
    """A model, its commitment and what evaluates it.

    Attributes
    ----------
    name : str
        As clients call it.
    program : ProgramFile
        The calibrated model.
    secret : Secret
        The opening of its commitment.
    integers : Integers
        The products of the engine that computes.
    """

    name: str
    program: ProgramFile
    secret: Secret
    integers: Integers

    @classmethod
    def load(
        cls,
        program: str | Path,
        secret: Source,
        *,
        name: str | None = None,
        threads: int | None = None,
        backend: str = "cpu",
    ) -> ServedModel:
        """Open both files.

        Parameters
        ----------
        program : path
            A calibrated ``.vprog`` file.
        secret : path, bytes or binary file
            The ``.vsec`` file of its commitment.
        name : str, optional
            As clients call the model; the name of its source by default.
        threads : int, optional
            Threads that compute; all cores by default.
        backend : str
            The engine that computes.

        Raises
        ------
        UsageError
            They do not belong together.
        FormatError
            A file is damaged.
        """
        engine = load_engine(backend, threads=threads)
        loaded, opened = load_program(program), load_secret(secret)
        check_pair(loaded, opened)
        called = name or str(loaded.source.get("name") or "model")
        return cls(called, loaded, opened, engine.integers)

    @property
    def commitment_digest(self) -> str:
        """Names the committed model."""
        return self.secret.commitment.digest

    @property
    def fingerprint(self) -> str:
        """OpenAI's ``system_fingerprint``: first digits of commitment and program."""
        program = self.secret.commitment.metadata.program_digest
        return f"vc_{self.commitment_digest[:16]}_{program[:16]}"

    @property
    def context(self) -> int:
        """Most positions."""
        return context_of(integer_program(self.program))

    @property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end an answer."""
        return frozenset(self.secret.commitment.metadata.stop_ids)

    def frame_name(self, chat: bool) -> str:
        """The frame around one message; a model without a chat template reads it as it is."""
        return form_of(self.secret.commitment.metadata, raw=not chat)

    @property
    def converses(self) -> bool:
        """Whether the model reads conversations, by a chat template of its own."""
        return self.secret.commitment.metadata.conversation is not None

    def encode(self, messages: Sequence[Message], *, chat: bool) -> EncodedPrompt:
        """A conversation in token ids.

        Raises
        ------
        RequestError
            The model takes no such conversation, its text has no one encoding, or it is too long.
        """
        where = "messages" if chat else "prompt"
        single = len(messages) == 1 and messages[0].role == "user"
        # A text of more bytes than the context can spell is not encoded to be counted.
        spelled = sum(len(m.content.encode("utf-8")) for m in messages)
        if spelled > self.context * self._longest:
            raise self._too_long(f"more than {self.context}", where)
        try:
            name, said, ids = encode_asked(
                self.program,
                self.secret.commitment,
                messages[0].content if single else None,
                None if single else messages,
                raw=not chat,
            )
        except UsageError as error:
            raise RequestError(str(error), "prompt_not_provable", where) from None
        if not 1 <= len(ids) <= self.context:
            raise self._too_long(str(len(ids)), where)
        return EncodedPrompt(name, tuple(ids), said)

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.secret.commitment.table.pieces))

    def sampling(self, drawing: Drawing, ids: Sequence[int]) -> Sampling:
        """Seed and temperature of a draw.

        Raises
        ------
        RequestError
            The model's answers cannot be drawn, or not at this temperature.
        """
        program = self.secret.commitment.program
        sampling = drawing.sampling(self.commitment_digest, ids)
        try:
            check_drawable(program)
            check_scale(sampling, program.exponents.get(program.ops[-1].name, -1))
        except (UsageError, UnsupportedModelError) as error:
            raise RequestError(str(error), "unsupported_value", "temperature") from None
        return sampling

    def _too_long(self, count: str, where: str) -> RequestError:
        return RequestError(
            f"the prompt has {count} tokens, the model's context holds {self.context}",
            "context_length_exceeded",
            where,
        )

    def answer(
        self, ids: Sequence[int], most: int, sampling: Sampling | None = None
    ) -> Iterator[int]:
        """The answer, a token each time one is asked for; ends where the model ends it.

        Parameters
        ----------
        ids : sequence of int
            The prompt.
        most : int
            Tokens of the answer.
        sampling : Sampling, optional
            How it is drawn; greedily where not given.

        Raises
        ------
        RangeError
            A value left its calibrated range.
        """
        return tokens(
            integer_program(self.program),
            self.program.weights,
            ids,
            most,
            self.stop_ids,
            self.integers,
            sampling,
        )
