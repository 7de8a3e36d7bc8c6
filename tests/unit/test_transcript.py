"""What a transcript binds, and what the smallest verifiers refuse before any equation."""

from __future__ import annotations

import pytest

from veracity.engine import load_engine
from veracity.errors import FormatError, VerificationError
from veracity.zk.hidden import HiddenVerifier
from veracity.zk.ipa import verify_inner_product
from veracity.zk.keys import load_key
from veracity.zk.reduction import reduce_verifier
from veracity.zk.transcript import ProverTranscript, VerifierTranscript


def challenge(
    protocol: str = "p",
    statement: bytes = b"s",
    said: tuple[tuple[str, bytes], ...] = (("a", b"1"),),
    label: str = "c",
) -> int:
    transcript = ProverTranscript(protocol, statement)
    for name, data in said:
        transcript.write(name, data)
    return transcript.challenge(label)


def test_a_challenge_depends_on_all_that_was_said() -> None:
    """Each differs from the first in one thing: name of the protocol, label, or bytes."""
    others = [
        {},
        {"protocol": "q"},
        {"statement": b"t"},
        {"label": "d"},
        {"said": ()},
        {"said": (("a", b"2"),)},
        {"said": (("b", b"1"),)},
        {"said": (("a", b"1"), ("a", b""))},
        {"said": (("a1", b""),)},
        {"said": (("", b"a1"),)},
    ]
    found = [challenge(**other) for other in others]
    assert len(set(found)) == len(others)
    assert found[0] == challenge()


def test_challenges_follow_each_other() -> None:
    transcript = ProverTranscript("p", b"s")
    one, two = transcript.challenges("c", 2)
    assert one != two
    other = ProverTranscript("p", b"s")
    assert other.challenge("d") != one
    assert other.challenge("c") != two


def test_the_state_is_no_challenge() -> None:
    """Seeds of what is secret come from the state, and nothing that is sent tells them."""
    transcript = ProverTranscript("p", b"s")
    state = transcript.state()
    assert state == transcript.state()
    assert state != transcript._hash.copy().digest(32)
    assert state != transcript.challenge_bytes("", 32)
    assert transcript.state() != state


def test_what_is_written_is_read_to_the_byte() -> None:
    sender = ProverTranscript("p", b"s")
    sender.write("a", b"12")
    sender.write_scalar("b", 7)
    proof = sender.finish()
    reader = VerifierTranscript("p", b"s", proof)
    assert (reader.read("a", 2), reader.read_scalar("b")) == (b"12", 7)
    assert reader.challenge("c") == sender.challenge("c")
    reader.finish()
    for size in (33, 34):
        cut = VerifierTranscript("p", b"s", proof[:size])
        cut.read("a", 2)
        with pytest.raises(FormatError, match="truncated"):
            cut.read("b", 32) if size == 33 else cut.read("b", 33)
    with pytest.raises(FormatError):
        VerifierTranscript("p", b"s", proof).finish()


class Zero(VerifierTranscript):
    """Draws zero, as an honest one does once in 2^254 times."""

    def challenge(self, label: str) -> int:
        super().challenge(label)
        return 0


def test_a_zero_challenge_is_refused() -> None:
    """It has no inverse, and would leave one half of both vectors out."""
    proof = bytes(64 + 32)
    assert verify_inner_product(VerifierTranscript("p", b"s", proof), 2).cross == proof[:64]
    with pytest.raises(FormatError, match="a challenge is zero"):
        verify_inner_product(Zero("p", b"s", proof), 2)


def test_more_hidden_values_than_the_key_has_slots() -> None:
    engine = load_engine("cpu")
    key = load_key(engine, 4)
    channel = HiddenVerifier(engine, key, VerifierTranscript("p", b"s", bytes(96)))
    assert len(channel.receive("most", key.slot_count)) == key.slot_count
    with pytest.raises(VerificationError, match="more slots than the key has"):
        channel.receive("one more", 1)


def test_a_statement_without_claims_shows_nothing() -> None:
    engine = load_engine("cpu")
    transcript = VerifierTranscript("p", b"s", bytes(4096))
    with pytest.raises(VerificationError, match="no claim about any array"):
        reduce_verifier(HiddenVerifier(engine, load_key(engine, 4), transcript), {}, [])
