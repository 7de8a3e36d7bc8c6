"""Checking receipts: signed by whom, of what, kept or broken.

A valid receipt is a promise. It becomes a fact with a proof of the same tokens, and evidence of
fraud with a proof, or a second receipt of the same key, of another answer to the same prompt:
decoding is greedy or follows from a seed, so of two true answers one begins the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from veracity.errors import UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.drawing import Drawing
from veracity.formats.dsse import Envelope, public_key_of
from veracity.formats.program import ProgramFile
from veracity.formats.proof import Proof
from veracity.formats.receipt import (
    CERTIFICATE_TYPE,
    RECEIPT_TYPE,
    KeyCertificate,
    Opening,
    Receipt,
    ReceiptFile,
)
from veracity.lm.text_decoder import context_of, vocabulary_of
from veracity.progress import Progress, silent
from veracity.proving.opened import Opened
from veracity.proving.prompts import AskedPrompt, prompt_bytes, read_prompt
from veracity.proving.prove import proof_of
from veracity.proving.verify import verify
from veracity.text.delivery import Delivery
from veracity.work.effort import MAX_TIME, STOP_S, TEXT_S, require_time

__all__ = [
    "CheckedReceipt",
    "certified_key",
    "check_kept",
    "check_proof",
    "check_receipt",
    "open_receipt",
    "prove_receipt",
    "require_no_equivocation",
    "require_receipt_effort",
]


@dataclass(frozen=True)
class CheckedReceipt:
    """A receipt that its publisher's server signed, opened.

    Attributes
    ----------
    receipt : Receipt
        What was signed.
    certificate : KeyCertificate
        Of the key that signed it.
    opening : Opening
        Token ids.
    words, text : str
        The user's words (of a conversation its last message), and the text that was sent.
    drawing : Drawing or None
        How the answer was drawn; None for a greedy one.
    """

    receipt: Receipt
    certificate: KeyCertificate
    opening: Opening
    words: str
    text: str
    drawing: Drawing | None = None


def certified_key(
    envelope: Envelope, publisher: Ed25519PublicKey, commitment: Commitment
) -> tuple[KeyCertificate, Ed25519PublicKey]:
    """A certificate of a server's key, and the key.

    Parameters
    ----------
    envelope : Envelope
        What the publisher signed.
    publisher : Ed25519PublicKey
        The key that the client trusts to speak for the model's publisher.
    commitment : Commitment
        The model that the client trusts to be the right one.

    Raises
    ------
    VerificationError
        The publisher did not certify this key for this model.
    FormatError
        The certificate does not parse.
    """
    certificate = KeyCertificate.from_bytes(envelope.verify(publisher, CERTIFICATE_TYPE))
    if certificate.commitment != commitment.digest:
        raise VerificationError("the server's key is certified for another model", "certificate")
    return certificate, public_key_of(bytes.fromhex(certificate.key), "certificate")


def require_receipt_effort(
    files: Sequence[ReceiptFile], commitment: Commitment, max_time: float
) -> None:
    """Refuse receipts whose texts may take too long to check.

    Parameters
    ----------
    files : sequence of ReceiptFile
        Nothing of them was checked.
    commitment : Commitment
        The model.
    max_time : float
        Seconds that all of them may take.

    Raises
    ------
    UsageError
        It may take longer, or ``max_time`` is no positive number.
    FormatError
        A receipt does not parse.
    """
    seconds = 0.0
    for file in files:
        receipt, opening = Receipt.from_bytes(file.receipt.payload), file.opening
        asked = AskedPrompt(receipt.frame, opening.prompt_ids, opening.messages)
        seconds += TEXT_S * prompt_bytes(asked, commitment)
        seconds += STOP_S * len(opening.answer_ids) * sum(map(len, receipt.stops))
    require_time(seconds, max_time)


def check_receipt(
    file: ReceiptFile,
    publisher: Ed25519PublicKey,
    commitment: Commitment,
    max_time: float = MAX_TIME,
) -> CheckedReceipt:
    """Check a receipt, as far as that goes without a proof.

    Parameters
    ----------
    file : ReceiptFile
        What the client has.
    publisher : Ed25519PublicKey
        The key that the client trusts to speak for the model's publisher.
    commitment : Commitment
        The model that the client trusts to be the right one.
    max_time : float
        Seconds that it may take, told from the sizes of its texts.

    Raises
    ------
    VerificationError
        It is not what the server signed, or promises nothing.
    FormatError
        A part does not parse.
    UsageError
        It may take longer than ``max_time``.
    """
    certificate, key = certified_key(file.certificate, publisher, commitment)
    receipt = Receipt.from_bytes(file.receipt.verify(key, RECEIPT_TYPE))
    require_receipt_effort([file], commitment, max_time)
    return open_receipt(receipt, certificate, file.opening, commitment)


def open_receipt(
    receipt: Receipt, certificate: KeyCertificate, opening: Opening, commitment: Commitment
) -> CheckedReceipt:
    """Check what a receipt says, whoever signed it.

    Parameters
    ----------
    receipt : Receipt
        What was signed.
    certificate : KeyCertificate
        Of the key that signed.
    opening : Opening
        Token ids and salts.
    commitment : Commitment
        The model.

    Raises
    ------
    VerificationError
        The opening is of something else, or the receipt promises nothing.
    """
    _require_promise(receipt, certificate, commitment)
    program = commitment.program
    ids = (*opening.prompt_ids, *opening.answer_ids)
    if any(token >= vocabulary_of(program) for token in ids):
        raise VerificationError("a token id is outside the vocabulary", "receipt")
    if not opening.prompt_ids or len(ids) > context_of(program) + 1:
        raise VerificationError("no such prompt and answer fit the model's context", "receipt")
    text = _text(receipt, opening, commitment)
    stated = {"prompt": receipt.prompt, "answer": receipt.answer, "text": receipt.text}
    for name, digest in opening.hashes(text).items():
        if digest != stated[name]:
            raise VerificationError(f"the {name} is not the one that was signed", "receipt")
    if bool(opening.messages) != (receipt.frame == "messages"):
        raise VerificationError("the messages do not fit the frame", "receipt")
    asked = AskedPrompt(receipt.frame, opening.prompt_ids, opening.messages)
    words = read_prompt(asked, commitment).words
    drawing = opening.drawing(receipt)
    told = "" if drawing is None else drawing.server_digest
    if told != receipt.server_nonce or (drawing is None and opening.server_nonce):
        raise VerificationError("the server's nonce is not the one that was signed", "receipt")
    return CheckedReceipt(receipt, certificate, opening, words, text, drawing)


def _require_promise(receipt: Receipt, certificate: KeyCertificate, commitment: Commitment) -> None:
    """What was signed is about this model, under this certificate, and can be held to."""
    metadata = commitment.metadata
    stated = (receipt.commitment, receipt.program, receipt.tokenizer)
    if stated != (commitment.digest, metadata.program_digest, metadata.tokenizer_digest):
        raise VerificationError("the receipt is about another model", "receipt")
    if not certificate.not_before <= receipt.time <= certificate.not_after:
        raise VerificationError("the key was not certified when the receipt was signed", "receipt")
    if receipt.url != certificate.url:
        raise VerificationError("the receipt names another server than its certificate", "receipt")
    if receipt.prove_by < receipt.time:
        raise VerificationError("the time for a proof ended before it began", "receipt")
    drawn = receipt.rule == "drawn"
    nonces = receipt.client_nonce or receipt.server_nonce
    if drawn != (receipt.temperature > 0) or (nonces and not drawn):
        raise VerificationError("the receipt contradicts itself", "receipt")
    refused = receipt.kind == "refused"
    if refused != (receipt.finish == "none") or (refused and receipt.stopped is not None):
        raise VerificationError("the receipt contradicts itself", "receipt")


def _text(receipt: Receipt, opening: Opening, commitment: Commitment) -> str:
    """The text that the answer's ids stand for, ended as the receipt says."""
    answer = opening.answer_ids
    if receipt.kind == "refused":
        if answer:
            raise VerificationError("a refusal with an answer", "receipt")
        return ""
    if not 1 <= len(answer) <= receipt.max_tokens:
        raise VerificationError("more or fewer tokens than may be", "receipt")
    delivery = Delivery(commitment.table, frozenset(commitment.metadata.stop_ids), receipt.stops)
    parts = []
    for token in answer:
        if delivery.finish is not None:
            raise VerificationError("the answer goes on after what ends it", "receipt")
        parts.append(delivery.push(token))
    ended = delivery.finish is not None
    parts.append(delivery.end("length"))
    if (delivery.finish, ended and receipt.stopped is not None) != (receipt.finish, False):
        raise VerificationError("the answer did not end as the receipt says", "receipt")
    if delivery.finish == "length" and receipt.stopped is None:
        room = context_of(commitment.program) + 1 - len(opening.prompt_ids)
        if len(answer) != min(receipt.max_tokens, room):
            raise VerificationError("the answer was cut before its end", "receipt")
    return "".join(parts)


def check_proof(
    checked: CheckedReceipt, proof: Proof, commitment: Commitment, max_time: float = MAX_TIME
) -> None:
    """Check that a proof keeps a receipt's promise.

    Parameters
    ----------
    checked : CheckedReceipt
        The receipt.
    proof : Proof
        What the server gave for it.
    commitment : Commitment
        The model.
    max_time : float
        Seconds that the check of the proof may take, told from sizes before it begins.

    Raises
    ------
    VerificationError
        The proof is false, of something else, or shows that the receipt lies.
    UsageError
        It may take longer than ``max_time``.
    """
    verify(proof, commitment, max_time=max_time)
    check_kept(checked, proof)


def check_kept(checked: CheckedReceipt, proof: Proof) -> None:
    """Check that what a true proof says is what a receipt says.

    Parameters
    ----------
    checked : CheckedReceipt
        The receipt.
    proof : Proof
        A proof that was verified under the same commitment.

    Raises
    ------
    VerificationError
        It is of something else, or shows that the receipt lies.
    """
    opening = checked.opening
    if proof.drawing != checked.drawing:
        raise VerificationError("the proof is true, but of an answer drawn otherwise", "receipt")
    asked = (proof.prompt, proof.frame, proof.messages)
    if asked != (opening.prompt_ids, checked.receipt.frame, opening.messages):
        raise VerificationError("the proof is true, but of another prompt", "receipt")
    shared = min(len(proof.answer), len(opening.answer_ids))
    if proof.answer[:shared] != opening.answer_ids[:shared]:
        raise VerificationError(
            "FRAUD: the committed model gives another answer than the receipt says; "
            "receipt and proof together show it to anybody",
            "receipt",
        )
    if _goes_on(checked, len(proof.answer)):
        raise VerificationError(
            "FRAUD: the committed model goes on where the receipt says that a value left its range;"
            " receipt and proof together show it to anybody",
            "receipt",
        )
    if shared < len(opening.answer_ids):
        raise VerificationError("the proof covers a part of the answer only", "receipt")


def _goes_on(checked: CheckedReceipt, tokens: int) -> bool:
    """Whether an answer of so many tokens goes on where a receipt says that there is none."""
    ended = checked.receipt.kind == "refused" or checked.receipt.stopped == "range"
    return ended and tokens > len(checked.opening.answer_ids)


def require_no_equivocation(receipts: list[CheckedReceipt]) -> None:
    """Raise :class:`VerificationError` where two receipts cannot both be true."""
    for one, other in combinations(receipts, 2):
        same = all(
            getattr(one.receipt, name) == getattr(other.receipt, name)
            for name in ("commitment", "rule", "temperature", "client_nonce", "server_nonce")
        )
        if not same or one.opening.prompt_ids != other.opening.prompt_ids:
            continue
        a, b = one.opening.answer_ids, other.opening.answer_ids
        shared = min(len(a), len(b))
        if _goes_on(one, len(b)) or _goes_on(other, len(a)) or a[:shared] != b[:shared]:
            raise VerificationError(
                f"FRAUD: receipts {one.receipt.ident} and {other.receipt.ident} say different "
                "things of one prompt; both together show it to anybody",
                "receipt",
            )


def prove_receipt(
    checked: CheckedReceipt, model: Opened[ProgramFile], *, progress: Progress = silent
) -> Proof:
    """Keep a receipt's promise: prove its answer.

    Parameters
    ----------
    checked : CheckedReceipt
        The receipt.
    model : Opened
        The model, its secret, and what the proof may use.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
        The receipt is of a refusal.
    """
    if checked.receipt.kind == "refused":
        raise UsageError("a refusal promises no proof")
    return proof_of(
        model,
        list(checked.opening.prompt_ids),
        list(checked.opening.answer_ids),
        checked.receipt.frame,
        messages=checked.opening.messages,
        drawing=checked.drawing,
        context=f"receipt {checked.receipt.ident}",
        progress=progress,
    )
