"""Checking a proved answer: two files in, the text it proves out.

Nothing here (nor below) imports a model format, a tokenizer, a device library or a source of
randomness: an architecture test runs it where those cannot be imported.
"""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from veracity import zkml
from veracity.codec.arguments import require_settings, require_type
from veracity.codec.files import Source
from veracity.engine import load_engine
from veracity.errors import FormatError, MismatchError, UsageError, VerificationError
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.drawing import read_nonce, read_temperature
from veracity.formats.proof import Proof, check_context, statement_context
from veracity.lm.text_decoder import context_of, is_text_decoder, ports_of, vocabulary_of
from veracity.progress import Progress, silent
from veracity.proving.discharge import discharge
from veracity.proving.drawn import DRAWN, NOT_DRAWN_ALONE, Draw, compare_drawing
from veracity.proving.prompts import Given, conversation_of, form_of, read_prompt, shown_messages
from veracity.text.chat import Message, as_messages
from veracity.work.effort import MAX_TIME
from veracity.zk.keys import MAX_LOG_COLUMNS, MIN_LOG_COLUMNS

__all__ = ["NOT_PROVED", "PROVED", "VerifiedAnswer", "verify"]

#: What an accepted proof establishes, and what it does not, in plain words.
PROVED = (
    "the committed model, run in its exact integer arithmetic, gives this answer to this prompt: "
    "every step from token ids to token ids, {choice}; its weights, "
    "fixed when it was committed, are integers"
)
GREEDY = "each token the most likely one"
#: Added to it: what the commitment's annex proves of the weights.
WEIGHTS_BOUNDED = " below 2^49"
WEIGHTS_EXACT = " within the widths that its program states"
NOT_PROVED = (
    "that this commitment is to the model its publisher promised (name, source and accuracy are "
    "the publisher's statements); that the template around the prompt, the tokens that end an "
    "answer and the table of tokens are the ones you would choose (they are the publisher's "
    "choice); or that what the answer says is true"
)
#: What is said of an argument that fails; the place that found it is told apart.
NOT_SHOWN = "the proof does not show that the committed model gives this answer to this prompt"
#: Added to the one where the commitment pins how text is encoded, to the other where it does not.
TOKENISATION_CHECKED = "; the prompt's token ids are the only ones that its text has"
TOKENISATION_UNCHECKED = (
    ". TOKENISATION NOT CHECKED: this model's tokenizer is of a form that the commitment cannot "
    "pin, so the prover may have chosen among many spellings of the prompt in token ids, and the "
    "answer may depend on that choice"
)


@dataclass(frozen=True)
class VerifiedAnswer:
    """An accepted proof, as text decoded by the verifier itself.

    Parameters
    ----------
    prompt : str
        The user's words, without the model's template: exactly the text that was encoded.
    prompt_before, prompt_after : str
        What the model read around the prompt: its template, special tokens by name. The publisher's
        choice.
    answer : str
        The whole answer; special tokens in it are shown by name. Only a special token that ends it
        is left out.
    special_tokens : tuple of (int, str)
        Where in ``answer`` special tokens stand, and their names.
    ended_by : str or None
        The token with which the model ended the answer; None where the prover cut it. Which tokens
        end an answer is the publisher's choice: where it is text, it is part of the answer.
    frame : str
        ``chat``, ``raw`` or ``messages``.
    prompt_tokens, answer_tokens : int
        Numbers of token ids, template included.
    tokenisation_checked : bool
        Whether the prompt's ids were compared with the one encoding of its text. False only for
        models whose tokenizer the commitment cannot pin.
    widths_checked : bool
        Whether every weight is proved to keep to its stated width (else: integers below 2^49).
    commitment_digest : str
        The commitment that the caller pinned.
    context : str
        What the proof is bound to beside its words; empty where its maker bound it to nothing.
    metadata : Metadata
        The publisher's statements about the model.
    proof_bytes : int
        Size of the proof file.
    seconds : float
        Time of the check.
    messages : tuple of Message
        The conversation that the prompt is, where it is one; ``prompt`` is its last message.
    draw : Draw or None
        How the answer was drawn; None where each token is the most likely one.
    """

    prompt: str
    prompt_before: str
    prompt_after: str
    answer: str
    special_tokens: tuple[tuple[int, str], ...]
    ended_by: str | None
    frame: str
    prompt_tokens: int
    answer_tokens: int
    tokenisation_checked: bool
    widths_checked: bool
    commitment_digest: str
    context: str
    metadata: Metadata = field(repr=False)
    proof_bytes: int
    seconds: float
    messages: tuple[Message, ...] = ()
    draw: Draw | None = None

    @property
    def complete(self) -> bool:
        """Whether the model ended the answer itself (else the prover cut it there)."""
        return self.ended_by is not None

    @property
    def proved(self) -> str:
        """What this proof establishes, for people."""
        weights = WEIGHTS_EXACT if self.widths_checked else WEIGHTS_BOUNDED
        proved = PROVED.format(choice=GREEDY if self.draw is None else DRAWN)
        return proved + weights + (TOKENISATION_CHECKED if self.tokenisation_checked else "")

    @property
    def not_proved(self) -> str:
        """What this proof does not establish, for people."""
        drawn = "" if self.draw is None else NOT_DRAWN_ALONE
        return NOT_PROVED + drawn + ("" if self.tokenisation_checked else TOKENISATION_UNCHECKED)

    def to_plain(self) -> dict[str, Any]:
        """Plain data for ``--json``."""
        return {
            "accepted": True,
            "prompt": self.prompt,
            **({"messages": [m.to_plain() for m in self.messages]} if self.messages else {}),
            **({"draw": asdict(self.draw)} if self.draw is not None else {}),
            "prompt_before": self.prompt_before,
            "prompt_after": self.prompt_after,
            "answer": self.answer,
            "special_tokens": [{"at": at, "name": name} for at, name in self.special_tokens],
            "complete": self.complete,
            "ended_by": self.ended_by,
            "frame": self.frame,
            "prompt_tokens": self.prompt_tokens,
            "answer_tokens": self.answer_tokens,
            "tokenisation_checked": self.tokenisation_checked,
            "widths_checked": self.widths_checked,
            "commitment": self.commitment_digest,
            "context": self.context,
            "stated": self.metadata.to_plain(),
            "proof_bytes": self.proof_bytes,
            "verify_s": round(self.seconds, 3),
            "proved": self.proved,
            "not_proved": self.not_proved,
        }


def verify(
    proof: Proof | Source,
    commitment: Commitment | Source,
    *,
    prompt: str | None = None,
    answer: str | None = None,
    messages: Given | None = None,
    raw: bool = False,
    temperature: float | str | None = None,
    nonce: str | None = None,
    server_nonce: str | None = None,
    digest: str | None = None,
    context: str | None = None,
    max_time: float = MAX_TIME,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> VerifiedAnswer:
    """Check that the committed model gives the answer in ``proof``.

    Parameters
    ----------
    proof : Proof, path, bytes or binary file
        The answer with its proof.
    commitment : Commitment, path, bytes or binary file
        The model that the caller trusts to be the right one; nothing in the proof can change it.
    prompt : str, optional
        Words the caller expects to have been asked: every character counts, white space at the ends
        included. They are expected in the model's chat template, where it has one, unless ``raw``.
    answer : str, optional
        Words the caller expects as the answer, up to white space at both ends (models begin answers
        with a space; nobody chose it).
    messages : sequence of (role, content), optional
        The conversation that the caller expects to have been answered.
    raw : bool
        The prompt is expected without a template.
    temperature : float or str, optional
        At which the caller expects the answer to have been drawn; 0 for the most likely tokens.
    nonce : str, optional
        The caller's own nonce, hexadecimal: without it the prover may have chosen another.
    server_nonce : str, optional
        The digest that the server told of its nonce before it knew the caller's, 64 hexadecimal
        digits.
    digest : str, optional
        The commitment's digest as its publisher announces it, 64 hexadecimal digits; any other
        commitment is refused.
    context : str, optional
        What the caller expects the proof to be bound to, such as the nonce of its request; empty
        for nothing.
    max_time : float
        Seconds that the check may take, told from the sizes of the files before it begins.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes: ``"cpu"``, or ``"reference"``, which is slow and runs everywhere.
    progress : Progress
        Called as the check advances.

    Returns
    -------
    VerifiedAnswer
        Only ever for an accepted proof.

    Raises
    ------
    VerificationError
        The proof is false, or the commitment is not the one that was announced.
    MismatchError
        The proof is true, but of another prompt, answer, frame or context than expected.
    FormatError
        A file is damaged, of another kind or of another version.
    UsageError
        An argument is of a wrong type, a path cannot be read, no backend has this name,
        ``digest`` is none, or the check may take longer than ``max_time``.
    BackendUnavailable
        The backend is not built here.
    """
    started = time.perf_counter()
    for name, text in (("prompt", prompt), ("answer", answer), ("digest", digest)):
        require_type(name, text, str, optional=True)
    require_type("context", context, str, optional=True)
    require_type("raw", raw, bool)
    require_settings(threads, backend, progress)
    if messages is not None and prompt is not None:
        raise UsageError("expect a prompt or messages, one of them")
    expected = None if messages is None else as_messages(messages)
    wanted = None
    if temperature is not None:
        wanted = 0 if str(temperature) in ("0", "0.0") else read_temperature(temperature)
    own = None if nonce is None else read_nonce(nonce)
    told = None if server_nonce is None else read_digest(server_nonce, "server's nonce")
    announced = None if digest is None else read_digest(digest)
    if context is not None:
        check_context(context)
    progress("load", 0.0)
    pinned = commitment if isinstance(commitment, Commitment) else Commitment.load(commitment)
    given = as_read(proof) if isinstance(proof, Proof) else Proof.load(proof)
    check_commitment(pinned)
    if announced not in (None, pinned.digest):
        raise VerificationError(
            f"the commitment given is not the one announced: its digest is {pinned.digest}",
            "commitment",
        )
    if given.commitment_digest != pinned.digest:
        raise VerificationError(
            "the proof was made for another commitment than the one given", "commitment"
        )
    program, metadata = pinned.program, pinned.metadata
    if any(token >= vocabulary_of(program) for token in given.tokens):
        raise VerificationError("a token id is outside the vocabulary", "tokens")
    if len(given.tokens) - 1 > context_of(program):
        raise VerificationError("more tokens than the model's context holds", "tokens")
    if set(metadata.stop_ids) & set(given.answer[:-1]):
        raise VerificationError("the answer goes on after the token that ends it", "answer")
    asked = read_prompt(given, pinned)
    if expected is not None:
        expected = list(conversation_of(expected, metadata.conversation))
    shown = pinned.table.show_answer(given.answer, frozenset(metadata.stop_ids))

    engine = load_engine(backend, threads=threads)
    statement = zkml.Statement(
        program,
        *ports_of(given.tokens, given.prompt_length),
        given.cuts,
        None if given.drawing is None else given.drawing.sampling(pinned.digest, given.prompt),
        commitment=pinned.model,
        context=statement_context(
            pinned.digest, given.frame, given.context, given.drawing, given.messages
        ),
    )
    discharge(
        engine, pinned, statement, given.argument, NOT_SHOWN, max_time=max_time, progress=progress
    )
    # Words are compared last: "not what you expected" is said of true proofs only.
    if prompt is not None:
        form = form_of(metadata, raw)
        if form == "messages" and metadata.conversation is not None:
            expected = [Message("user", prompt)]
        else:
            require_same("frame", form, given.frame)
            require_same("prompt", prompt, asked.words)
    if expected is not None:
        require_same("frame", "messages", given.frame)
        require_same("messages", shown_messages(expected), shown_messages(asked.messages))
    compare_drawing(given.drawing, wanted, own, told)
    words = prompt if messages is None else messages
    given_by_caller = {
        "nonce": own, "server nonce": told, "temperature": wanted, "prompt": words,
    }  # fmt: skip
    insisted = frozenset(name for name, value in given_by_caller.items() if value is not None)
    if answer is not None:
        require_same("answer", answer.strip(), shown.text.strip())
    if context is not None:
        require_same("context", context, given.context)
    return VerifiedAnswer(
        prompt=asked.words,
        prompt_before=asked.before,
        prompt_after=asked.after,
        answer=shown.text,
        special_tokens=shown.special,
        ended_by=shown.ended_by,
        frame=given.frame,
        prompt_tokens=given.prompt_length,
        answer_tokens=len(given.answer),
        tokenisation_checked=pinned.table.encoder is not None,
        widths_checked=bool(pinned.widths),
        commitment_digest=pinned.digest,
        context=given.context,
        metadata=metadata,
        proof_bytes=len(given.to_bytes()),
        seconds=time.perf_counter() - started,
        messages=asked.messages,
        draw=None if given.drawing is None else Draw.of(given.drawing, insisted),
    )


def require_same(what: str, expected: str, proved: str) -> None:
    """Raise :class:`MismatchError` unless what is proved is what was expected.

    Parameters
    ----------
    what : str
        What is compared.
    expected : str
        The caller's text.
    proved : str
        The proof's.
    """
    if expected != proved:
        raise MismatchError(what, expected, proved)


def read_digest(text: str, what: str = "digest") -> str:
    """A digest as somebody copied it; raises :class:`UsageError` where it is none."""
    digits = text.strip().lower()
    if re.fullmatch("[0-9a-f]{64}", digits) is None:
        who = "publisher announces" if what == "digest" else "server gave"
        raise UsageError(f"the {what} is not one: give the 64 hexadecimal digits that the {who}")
    return digits


def as_read(proof: Proof) -> Proof:
    """A proof that was built in memory, as its file would be read.

    Raises
    ------
    FormatError
        No file holds such a proof.
    """
    try:
        data = proof.to_bytes()
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        reason = "a field is of a wrong type or out of range"
        raise FormatError("proof", reason) from None
    return Proof.from_bytes(data)


def check_commitment(pinned: Commitment) -> None:
    """What a commitment that was built in memory may lack; those from files were checked.

    Raises
    ------
    FormatError
    """
    if not MIN_LOG_COLUMNS <= pinned.model.log_columns <= MAX_LOG_COLUMNS:
        raise FormatError("commitment", "row length out of bounds")
    if not is_text_decoder(pinned.program):
        raise FormatError("commitment", "its program is no text decoder")
    if len(pinned.table.pieces) != vocabulary_of(pinned.program):
        raise FormatError("commitment", "program and token table have different vocabularies")
    if "raw" not in pinned.metadata.frames:
        raise FormatError("commitment", "it has no raw frame")
    pinned.metadata.frames["raw"].require_wordless(pinned.table, "commitment")
