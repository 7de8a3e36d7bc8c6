"""What a client's proxy does with receipts: check, keep, follow the log, have proofs made.

A promise is worth something to whoever holds it, so the client's side keeps everything: receipts,
proofs that they are in the log, heads, proofs, and what was refused. The folder holds prompts and
answers: it is its owner's alone.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from veracity.codec import make_folder, write_file
from veracity.errors import (
    FormatError,
    PeerError,
    RequestError,
    UsageError,
    VeracityError,
    VerificationError,
)
from veracity.formats.commitment import Commitment
from veracity.formats.log import MAX_FILE, LogProof
from veracity.formats.merkle import leaf_hash
from veracity.formats.proof import MAX_BYTES, Proof
from veracity.formats.receipt import ReceiptFile
from veracity.proving.log import check_included
from veracity.proving.prompts import conversation_of, form_of
from veracity.proving.receipts import (
    CheckedReceipt,
    check_proof,
    check_receipt,
    require_no_equivocation,
)
from veracity.server.client import Api
from veracity.server.openai import Ask
from veracity.server.witness import Witness

__all__ = ["ROUND", "Collector", "Keeper", "Keeps", "require_asked"]

#: Seconds by which the server's clock may differ, after which a receipt has to be in the log, and
#: between two rounds; receipts that are looked at in a round.
_CLOCK, _LOGGED, ROUND, _MOST = 300, 300, 15.0, 64
#: Seconds that the check of a proof may take.
_CHECK = 600.0


def require_asked(checked: CheckedReceipt, ask: Ask, pinned: Commitment) -> None:
    """Check that a receipt is of what was asked.

    Parameters
    ----------
    checked : CheckedReceipt
        The receipt, which is true to itself.
    ask : Ask
        The request.
    pinned : Commitment
        The model.

    Raises
    ------
    VerificationError
        It is of something else; the message quotes nothing of it.
    """
    signed, metadata = checked.receipt, pinned.metadata
    single = len(ask.messages) == 1 and ask.messages[0].role == "user"
    frame = form_of(metadata, raw=not ask.chat) if single else "messages"
    try:
        said = () if frame != "messages" else conversation_of(ask.messages, metadata.conversation)
    except UsageError as error:
        raise VerificationError(f"no receipt can be of this prompt: {error}", "receipt") from None
    asked = said or ask.messages[:1]
    if (signed.frame, checked.opening.messages) != (frame, said):
        raise VerificationError("the receipt is about another conversation", "receipt")
    if checked.words != asked[-1].content:
        raise VerificationError("the receipt is about another prompt", "receipt")
    wanted: dict[str, tuple[object, object]] = {
        "temperature": (signed.temperature, ask.temperature),
        "texts that end an answer": (signed.stops, ask.stops),
    }
    if ask.nonce or ask.server_nonce:
        wanted["nonce"] = (signed.client_nonce, ask.nonce.hex())
        wanted["server's nonce"] = (signed.server_nonce, ask.server_nonce)
    for name, (found, given) in wanted.items():
        if found != given:
            raise VerificationError(f"the receipt has another {name} than was asked", "receipt")
    if ask.most is not None and signed.max_tokens > ask.most:
        raise VerificationError("the receipt allows more tokens than were asked", "receipt")


class Keeps(Protocol):
    """Whoever takes receipts."""

    @property
    def broken(self) -> str | None:
        """The promise that the server broke; None while it broke none."""

    def accept(self, ask: Ask, plain: object, text: str, finish: str) -> object:
        """Take the receipt of an answer.

        Parameters
        ----------
        ask : Ask
            What was asked.
        plain : object
            ``veracity.receipt`` of the reply.
        text : str
            What was delivered.
        finish : str
            ``finish_reason`` of the reply; ``none`` for a refusal.
        """

    def work(self) -> None:
        """Do what is due."""


@dataclass(frozen=True)
class Collector:
    """Keeps receipts and checks none: `veracity receipt check` does it later.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    """

    folder: Path
    broken: str | None = None

    def accept(self, _ask: Ask, plain: object, _text: str, _finish: str) -> object:
        """Keep a receipt.

        Parameters
        ----------
        _ask : Ask
            Not looked at, as what follows the receipt.
        plain : object
            ``veracity.receipt`` of the reply.
        _text, _finish : str
            Not looked at.

        Raises
        ------
        FormatError
            It is no receipt.
        """
        file = ReceiptFile.from_plain(plain)
        data = file.to_bytes()
        make_folder(self.folder / "receipts")
        (self.folder / "receipts").chmod(0o700)
        name = hashlib.sha256(file.receipt.payload).hexdigest()[:32]
        write_file(self.folder / "receipts" / f"{name}.json", data, 0o600)
        return file

    def work(self) -> None:
        """Nothing is due."""


@dataclass
class Keeper:
    """The client's receipts of one server.

    Parameters
    ----------
    folder : Path
        Where they are kept.
    api : Api
        The server, for its log and for proofs.
    publisher : Ed25519PublicKey
        The key that the client trusts to speak for the model's publisher.
    commitment : Commitment
        The model that the client trusts to be the right one.
    share : float
        The share of answers, drawn at random, whose proofs are asked for.
    auditable : bool
        Whether the server's published policy lets auditors read all receipts.
    alarm : callable
        Told of each broken promise, in a sentence without words of prompts or answers.
    clock : callable
        Seconds since 1970; for tests.
    """

    folder: Path
    api: Api
    publisher: Ed25519PublicKey
    commitment: Commitment
    share: float = 0.0
    auditable: bool = False
    alarm: Callable[[str], None] = lambda _said: None
    clock: Callable[[], float] = time.time
    broken: str | None = None
    _said: dict[bytes, list[str]] = field(default_factory=dict, repr=False)
    _known: set[str] = field(default_factory=set, repr=False)
    _unlogged: dict[str, float] = field(default_factory=dict, repr=False)
    _wanted: set[str] = field(default_factory=set, repr=False)
    _told: set[str] = field(default_factory=set, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __post_init__(self) -> None:
        for name in ("receipts", "inclusion", "proofs", "wanted", "refused"):
            make_folder(self.folder / name)
            (self.folder / name).chmod(0o700)
        self._witness = Witness(
            self.api, self.publisher, self.commitment, self.folder / "log", clock=self.clock
        )
        for path in sorted((self.folder / "receipts").glob("*.json")):
            checked = check_receipt(ReceiptFile.load(path), self.publisher, self.commitment)
            self._remember(checked)
            if not self._path("inclusion", path.stem).exists():
                self._unlogged[path.stem] = checked.receipt.time
        self._wanted |= {path.stem for path in (self.folder / "wanted").glob("*.json")}

    def accept(self, ask: Ask, plain: object, text: str, finish: str) -> CheckedReceipt:
        """Check the receipt of an answer and keep it.

        Parameters
        ----------
        ask : Ask
            What was asked.
        plain : object
            ``veracity.receipt`` of the reply.
        text : str
            What was delivered; empty for a refusal.
        finish : str
            ``finish_reason`` of the reply; ``none`` for a refusal.

        Raises
        ------
        VerificationError, FormatError
            The receipt does not promise what was delivered for what was asked; it is kept among
            the refused ones.
        """
        with self._lock:
            try:
                file = ReceiptFile.from_plain(plain)
                with _in_time("receipt"):
                    checked = check_receipt(file, self.publisher, self.commitment)
                self._require(ask, checked, text, finish)
            except (VerificationError, FormatError):
                self._refuse(plain)
                raise
            ident = checked.receipt.ident
            write_file(self._path("receipts", ident), file.to_bytes(), 0o600)
            if checked.receipt.kind == "answer" and secrets.randbelow(1 << 32) < self.share * 2**32:
                write_file(self._path("wanted", ident), b"{}\n", 0o600)
                self._wanted.add(ident)
            self._remember(checked)
            self._unlogged[ident] = self.clock()
            return checked

    def _require(self, ask: Ask, checked: CheckedReceipt, text: str, finish: str) -> None:
        signed, now = checked.receipt, self.clock()
        require_asked(checked, ask, self.commitment)
        if (checked.text, signed.finish) != (text, finish):
            raise VerificationError(
                "the receipt is of another answer than was delivered", "receipt"
            )
        if abs(signed.time - now) > _CLOCK:
            raise VerificationError("the receipt was not signed now, by this clock", "receipt")
        if signed.prove_by <= now:
            raise VerificationError("the receipt promises no proof from now on", "receipt")
        if signed.auditable and not (ask.auditable or self.auditable):
            raise VerificationError("the receipt lets auditors read what you did not", "receipt")
        if signed.ident in self._known:
            raise VerificationError("this receipt was given before", "receipt")
        for other in self._said.get(_question(checked), []):
            require_no_equivocation([self._load(other), checked])

    def _path(self, kind: str, ident: str) -> Path:
        return self.folder / kind / f"{ident}{'.vproof' if kind == 'proofs' else '.json'}"

    def _load(self, ident: str) -> CheckedReceipt:
        file = ReceiptFile.load(self._path("receipts", ident))
        return check_receipt(file, self.publisher, self.commitment)

    def _remember(self, checked: CheckedReceipt) -> None:
        self._known.add(checked.receipt.ident)
        self._said.setdefault(_question(checked), []).append(checked.receipt.ident)

    def _refuse(self, plain: object) -> None:
        """Keep what a server showed, as evidence."""
        data = json.dumps(plain, sort_keys=True, indent=1).encode("ascii", "replace") + b"\n"
        write_file(self._path("refused", hashlib.sha256(data).hexdigest()), data, 0o600)

    def work(self) -> None:
        """One round: receipts that have to be in the log, and proofs that were asked for."""
        with self._lock:
            unlogged, wanted = list(self._unlogged.items())[:_MOST], sorted(self._wanted)[:_MOST]
        for step, names in ((self._look_up, unlogged), (self._fetch, [(w, 0.0) for w in wanted])):
            for ident, since in names:
                try:
                    step(ident, since)
                except VerificationError as error:
                    self._break(f"receipt {ident}: {error}")
                except (PeerError, FormatError, RequestError) as error:
                    self._tell(f"receipt {ident}: {error}")
                except VeracityError as error:
                    self._tell(f"receipt {ident}: {type(error).__name__}")

    def _look_up(self, ident: str, since: float) -> None:
        """Have the server show that a receipt is in its log, and that the log only grows."""
        file = ReceiptFile.load(self._path("receipts", ident))
        leaf = leaf_hash(file.receipt.to_bytes()).hex()
        try:
            reply = self.api.file(f"/v1/log/proof?receipt={leaf}", MAX_FILE)
        except RequestError as error:
            if self.clock() - since > _LOGGED:
                self._break(f"receipt {ident} is not in the server's log ({error.code})")
            return
        proof = LogProof.load(reply)
        check_included(file, proof, self.publisher, self.commitment)
        self._witness.follow(proof.head)
        write_file(self._path("inclusion", ident), reply, 0o600)
        with self._lock:
            del self._unlogged[ident]

    def _fetch(self, ident: str, _since: float) -> None:
        """Ask for a proof, and check it once it is there."""
        checked = self._load(ident)
        file = ReceiptFile.load(self._path("receipts", ident))
        if self.clock() > checked.receipt.prove_by:
            self._give_up(ident)
            self._break(f"receipt {ident}: the proof was asked for and did not come in time")
            return
        job = self.api.post("/v1/proofs", {"receipt": file.to_plain()})
        if job.get("status") == "failed":
            self._give_up(ident)
            self._break(f"receipt {ident}: the server failed to prove it")
        if job.get("status") != "done" or not isinstance(job.get("id"), str):
            return
        if not job["id"].isalnum():
            raise FormatError("reply", "no name of a proof")
        data = self.api.file(f"/v1/proofs/{job['id']}/file", MAX_BYTES)
        write_file(self._path("proofs", ident), data, 0o600)
        self._give_up(ident)
        with _in_time("proof"):
            check_proof(checked, Proof.from_bytes(data), self.commitment, _CHECK)

    def _give_up(self, ident: str) -> None:
        self._path("wanted", ident).unlink(missing_ok=True)
        with self._lock:
            self._wanted.discard(ident)

    def _break(self, said: str) -> None:
        """A promise was broken: nothing of this server is handed on any more."""
        self.broken = self.broken or said
        self._tell(f"ALARM: {said}")

    def _tell(self, said: str) -> None:
        if said not in self._told:
            self._told.add(said)
            self.alarm(said)


@contextmanager
def _in_time(what: str) -> Iterator[None]:
    """How long a check takes is the server's choice, and no way out of it.

    Raises
    ------
    VerificationError
        The check may take longer than is allowed.
    """
    try:
        yield
    except UsageError as error:
        raise VerificationError(f"its check would take too long ({error})", what) from error


def _question(checked: CheckedReceipt) -> bytes:
    """Names what one answer begins the other of: prompt, rule, temperature, nonces."""
    signed = checked.receipt
    drawn = (signed.rule, signed.temperature, signed.client_nonce, signed.server_nonce)
    ids = b"".join(i.to_bytes(4, "little") for i in checked.opening.prompt_ids)
    return hashlib.sha256(json.dumps(drawn).encode("ascii") + ids).digest()
