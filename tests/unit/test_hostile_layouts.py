"""Seals, proofs and what they are about: one field wrong at a time, named by the error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tests.support.hostile import sealed, written
from veracity.codec import canonical_json
from veracity.errors import FormatError, UsageError
from veracity.formats.proof import MAX_CONTEXT, Proof, check_context
from veracity.formats.seal import Seal, SealKey
from veracity.formats.tensor_proof import TensorProof

LAYOUT = {"dims": [2, 3], "exponent": 4, "high": 9, "low": -9, "row_bits": 12}
LARGEST = 1 << 62


def seal(layout: object, rows: bytes = bytes(32)) -> bytes:
    return written(canonical_json(layout), rows, kind=b"VSEA")


def key(*values: int, public: bytes = seal(LAYOUT)) -> bytes:
    return sealed(written(public, [bytes(32)], np.array(values, "<i8").tobytes(), kind=b"VSKY"))


def test_what_is_within_bounds_is_read() -> None:
    assert Seal.from_bytes(seal(LAYOUT)).tensor.spec.dims == (2, 3)
    widest = {"dims": [1] * 9, "high": LARGEST - 1, "low": 1 - LARGEST, "exponent": -64}
    assert Seal.from_bytes(seal(LAYOUT | widest)).tensor.spec.high == LARGEST - 1
    assert SealKey.from_bytes(key(-9, 9, 0, 0, 0, 0)).values.tolist() == [[-9, 9, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"more": 1}, "not a layout"),
        ({"dims": 6}, "not a layout"),
        ({"dims": [2, 3.0]}, "whole numbers"),
        ({"dims": [2, True]}, "whole numbers"),
        ({"exponent": "4"}, "whole numbers"),
        ({"dims": []}, "dims out of bounds"),
        ({"dims": [1] * 10}, "dims out of bounds"),
        ({"dims": [0, 3]}, "dims out of bounds"),
        ({"dims": [1, (1 << 28) + 1]}, "dims out of bounds"),
        ({"dims": [1 << 15, 1 << 14]}, "dims out of bounds"),
        ({"low": -LARGEST}, "no such range"),
        ({"low": 10}, "no such range"),
        ({"high": LARGEST}, "no such range"),
        ({"exponent": 65}, "exponent out of bounds"),
        ({"exponent": -65}, "exponent out of bounds"),
        ({"row_bits": 0}, "row length out of bounds"),
        ({"row_bits": 60}, "row length out of bounds"),
    ],
)
def test_layouts_that_cannot_be(change: dict[str, object], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        Seal.from_bytes(seal(LAYOUT | change))


@pytest.mark.parametrize("layout", [[], list(LAYOUT), "dims", 7, None])
def test_layouts_that_are_no_object(layout: object) -> None:
    with pytest.raises(FormatError, match="not a layout"):
        Seal.from_bytes(seal(layout))


@pytest.mark.parametrize(
    ("read", "content", "match"),
    [
        (Seal.from_bytes, seal(LAYOUT, bytes(64)), "rows: not as many"),
        (Seal.from_bytes, seal(LAYOUT) + b"\0", "too many"),
        (SealKey.from_bytes, key(0, 0, 0, 0, 0), "values: not as many"),
        (SealKey.from_bytes, key(-10, 0, 0, 0, 0, 0), "not in the seal's range"),
        (SealKey.from_bytes, key(0, 0, 0, 0, 0, 10), "not in the seal's range"),
        (SealKey.from_bytes, sealed(key(0, 0, 0, 0, 0, 0)[:-32] + b"\0"), "too many"),
        (SealKey.from_bytes, key(0, 0, 0, 0, 0, 0)[:-1] + b"\0", "checksum"),
    ],
)
def test_seals_that_do_not_fit(read: Callable[[bytes], object], content: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        read(content)


INPUT, OUTPUT = (1, b"x", 0, [bytes(32)]), (1, b"y", 1, [bytes(32)])


def tensors(
    samples: int = 0,
    inputs: tuple[int | bytes | list[bytes], ...] = INPUT,
    outputs: tuple[int | bytes | list[bytes], ...] = OUTPUT,
    cuts: bytes = b"",
) -> bytes:
    """A proof about tensors, port by port."""
    parts = ([bytes(32)], samples, b"", *inputs, *outputs, cuts, b"argument")
    return written(*parts, kind=b"VPRT", version=2)


def ports(*names: bytes) -> tuple[int | bytes | list[bytes], ...]:
    return (len(names), *(f for name in names for f in (name, 0, [bytes(32)])))


def test_a_proof_about_tensors_is_read() -> None:
    found = TensorProof.from_bytes(tensors(1 << 20, cuts=bytes(8)))
    assert (list(found.inputs), list(found.outputs), found.sealed) == (["x"], ["y"], {"y"})
    assert (found.samples, found.cuts) == (1 << 20, (0, 0))


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (tensors(samples=(1 << 20) + 1), "samples: 1048577 is over the limit"),
        (tensors(inputs=ports(b"y")), "an input and an output have one name"),
        (tensors(inputs=ports(b"b", b"a")), "not in order"),
        (tensors(inputs=ports(b"a", b"a")), "not in order"),
        (tensors(outputs=ports(b"b", b"c", b"a")), "not in order"),
        (tensors(inputs=ports(*(b"p%03d" % i for i in range(65)))), "inputs: 65 is over the limit"),
        (tensors(outputs=(1, b"y", 2, [bytes(32)])), "kind of port: 2 is over the limit"),
        (tensors(inputs=ports(b"\xff")), "a name that is no text"),
        (tensors(cuts=bytes(6)), "cuts: not a whole number"),
        (tensors() + b"\0", "too many"),
    ],
)
def test_proofs_about_tensors_that_cannot_be(content: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        TensorProof.from_bytes(content)


def answer(
    prompt: int = 1, ids: bytes = bytes(8), cuts: bytes = b"", messages: object = None
) -> bytes:
    """A proof of an answer; of an answer to messages where there are any."""
    extended = messages is not None
    more = (0, b"", b"", canonical_json(messages)) if extended else ()
    fields = ([bytes(32)], 2 if extended else 0, b"", prompt, ids, cuts, *more, b"argument")
    return written(*fields, kind=b"VPRF", version=4 if extended else 3)


SAID = {"role": "user", "content": "hi"}


def test_proofs_of_answers_are_read() -> None:
    assert Proof.from_bytes(answer()).tokens == (0, 0)
    assert Proof.from_bytes(answer(messages=[SAID])).messages[0].content == "hi"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (answer(prompt=(1 << 20) + 1), "prompt length: 1048577 is over the limit"),
        (answer(prompt=0), "at least one token each"),
        (answer(prompt=2), "at least one token each"),
        (answer(ids=bytes(9)), "tokens: not a whole number"),
        (answer(cuts=bytes(3)), "cuts: not a whole number"),
        (answer(messages={"role": "user"}), "messages: no list"),
        (answer(messages=[]), "do not fit the frame"),
        (answer(messages=["hi"]), "exactly 'role' and 'content'"),
        (answer(messages=[SAID | {"name": "x"}]), "exactly 'role' and 'content'"),
        (answer(messages=[SAID | {"role": "nobody"}]), "no such role, or no text"),
        (answer(messages=[SAID | {"content": 7}]), "no such role, or no text"),
        (answer() + b"\0", "too many"),
    ],
)
def test_proofs_of_answers_that_cannot_be(content: bytes, match: str) -> None:
    with pytest.raises(FormatError, match=match):
        Proof.from_bytes(content)


def test_half_a_character_in_a_message() -> None:
    said = b'[{"content":"\\ud800","role":"user"}]'
    whole = answer(messages=[SAID])
    content = whole.replace(written(canonical_json([SAID])), written(said))
    assert content != whole
    with pytest.raises(FormatError, match="not valid JSON"):
        Proof.from_bytes(content)


def test_a_context_has_at_most_4096_bytes() -> None:
    check_context("x" * MAX_CONTEXT)
    for long in ("x" * (MAX_CONTEXT + 1), "é" * (MAX_CONTEXT // 2 + 1)):
        with pytest.raises(UsageError, match="at most 4096 are allowed"):
            check_context(long)
