"""Checking a log of receipts: that one receipt is in it, and that it only grows.

A server that shows one log to some and another to others is found by nobody alone: heads have to be
compared between people, or kept where everybody sees them.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from veracity.errors import VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import Envelope
from veracity.formats.log import HEAD_TYPE, WITNESS_TYPE, LogHead, LogProof, SeenHead
from veracity.formats.merkle import leaf_hash, verify_consistency, verify_inclusion
from veracity.formats.receipt import ReceiptFile
from veracity.proving.receipts import certified_key

__all__ = ["check_growth", "check_head", "check_included", "check_witness"]


def check_head(
    head: Envelope, envelope: Envelope, publisher: Ed25519PublicKey, commitment: Commitment
) -> LogHead:
    """A head that a certified server signed.

    Parameters
    ----------
    head : Envelope
        What the server showed.
    envelope : Envelope
        The certificate of its key.
    publisher : Ed25519PublicKey
        The key that the client trusts to speak for the model's publisher.
    commitment : Commitment
        The model.

    Raises
    ------
    VerificationError
    """
    certificate, key = certified_key(envelope, publisher, commitment)
    found = LogHead.from_bytes(head.verify(key, HEAD_TYPE))
    if (found.commitment, found.url) != (certificate.commitment, certificate.url):
        raise VerificationError("the head is of another log", "log")
    if not certificate.not_before <= found.time <= certificate.not_after:
        raise VerificationError("the key was not certified when the head was signed", "log")
    return found


def check_included(
    file: ReceiptFile, proof: LogProof, publisher: Ed25519PublicKey, commitment: Commitment
) -> LogHead:
    """Check that a receipt is in its server's log; the head under which it is.

    Parameters
    ----------
    file : ReceiptFile
        The receipt.
    proof : LogProof
        What the server showed.
    publisher : Ed25519PublicKey
        The key that the client trusts to speak for the model's publisher.
    commitment : Commitment
        The model.

    Raises
    ------
    VerificationError
    """
    head = check_head(proof.head, file.certificate, publisher, commitment)
    leaf = leaf_hash(file.receipt.to_bytes())
    verify_inclusion(leaf, proof.place, head.size, proof.path, bytes.fromhex(head.root))
    return head


def check_growth(old: LogHead, new: LogHead, proof: LogProof) -> None:
    """Check that a log begins with what it was.

    Parameters
    ----------
    old, new : LogHead
        Two checked heads.
    proof : LogProof
        What the server showed for them.

    Raises
    ------
    VerificationError
        The log was rewritten; both heads together show it.
    """
    if proof.place != old.size:
        raise VerificationError("the proof is about another older log", "log")
    roots = bytes.fromhex(old.root), bytes.fromhex(new.root)
    verify_consistency(old.size, new.size, proof.path, *roots)


def check_witness(envelope: Envelope, witness: Ed25519PublicKey, head: LogHead) -> SeenHead:
    """Check that a witness saw a head.

    Parameters
    ----------
    envelope : Envelope
        What the witness signed.
    witness : Ed25519PublicKey
        The key of a witness that the client trusts.
    head : LogHead
        The head.

    Raises
    ------
    VerificationError
        Somebody else signed, or about another head.
    """
    found = SeenHead.from_bytes(envelope.verify(witness, WITNESS_TYPE))
    if found.head != head:
        raise VerificationError("the witness saw another head than this one", "log")
    return found
