"""Files that make a verifier work: refused with a typed error, in bounded time and memory.

Every program below has the canonical encoding and right digests; its proof is garbage that parses.
The verifier may spend ten seconds and 100 MB, and 64 bytes for each byte of the files.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.publisher import claimed, decoder, garbage, published
from tests.support.refusal import SECONDS, allowed_memory, refusal
from veracity.graph import Program
from veracity.graph.ops import (
    Add,
    Attention,
    Function,
    Gain,
    Head,
    Linear,
    Norm,
    Op,
    Positions,
    Rescale,
    Rope,
)


@dataclass(frozen=True)
class Pair:
    """A hostile program with the tokens that a proof states; as many points follow."""

    program: Program
    tokens: tuple[int, ...] = (0, 1, 2, 3)
    prompt_length: int = 2
    cuts: tuple[int, ...] = ()
    points: int = 400


def rescale(name: str, x: str) -> Rescale:
    return Rescale(name=name, x=x, shift=0, bits=16)


def add(name: str, a: str, b: str) -> Add:
    return Add(name=name, a=a, b=b, shift_a=0, shift_b=0)


def attention(q: str, k: str, v: str, **rest: int) -> Attention:
    sizes = {"kv_heads": 1, "group": 1, "head_dim": 4, "score_shift": 1, **rest}
    return Attention(name="at", q=q, k=k, v=v, exp_k=6, mix_shift=0, bits=16, **sizes)


def rope(base: str, head_dim: int = 4, heads: int = 1, x: str = "l", name: str = "r") -> Rope:
    return Rope(
        name=name, x=x, heads=heads, head_dim=head_dim, style="half", base=base, frac=16, bits=16
    )


def linear(name: str, x: str, weight: str = "t") -> Linear:
    return Linear(name=name, x=x, weight=weight, bias=None, shift=0, bits=16)


# ---- many of something ------------------------------------------------------------------------
def many_terms(n: int) -> Pair:
    """Each rescale of a sum of everything before: relations of n terms, n of them."""
    ops: list[Op] = []
    current = "x"
    for i in range(n):
        ops += [rescale(f"r{i}", current), add(f"s{i}", current, f"r{i}")]
        current = f"s{i}"
    return Pair(decoder(*ops, last=current, vocab=2, width=1), (0, 1), 1)


def many_live(n: int) -> Pair:
    """All results are needed until the end."""
    ops: list[Op] = [rescale(f"r{i}", "x") for i in range(n)]
    current = "x"
    for i in range(n):
        ops.append(add(f"s{i}", current, f"r{n - 1 - i}"))
        current = f"s{i}"
    return Pair(decoder(*ops, last=current, vocab=2, width=1), (0, 1), 1)


def many_sums(n: int) -> Pair:
    """Nothing but sums."""
    ops: list[Op] = [add("s0", "x", "x")]
    ops += [add(f"s{i}", f"s{i - 1}", f"s{i - 1}") for i in range(1, n)]
    return Pair(decoder(*ops, last=f"s{n - 1}", vocab=2, width=1), (0, 1), 1)


def many_cuts(n: int) -> Pair:
    """A link for every op."""
    ops = [rescale("r0", "x"), *[rescale(f"r{i}", f"r{i - 1}") for i in range(1, n)]]
    program = decoder(*ops, last=f"r{n - 1}", vocab=2, width=1)
    return Pair(program, (0, 1), 1, tuple(range(1, n)), 400 + n)


def many_crossings(n: int) -> Pair:
    """Everything crosses every cut."""
    pair = many_live(n)
    return replace(pair, cuts=tuple(range(1, 2 * n)), points=n * n // 2)


def many_tables(n: int) -> Pair:
    """Other function tables for every op."""
    ops: list[Op] = []
    current, i = "x", 0
    for k_in in range(17):
        for k_out in range(17):
            for fn in ("silu", "gelu_tanh"):
                if i < n:
                    ops.append(Function(name=f"f{i}", x=current, fn=fn, k_in=k_in, k_out=k_out))
                    current, i = f"f{i}", i + 1
    return Pair(decoder(*ops, last=current, vocab=2, width=1), (0, 1), 1)


def many_weights(n: int) -> Pair:
    """A gain of one entry for every op."""
    ops: list[Op] = []
    for i in range(n):
        x = f"g{i - 1}" if i else "x"
        ops.append(Gain(name=f"g{i}", x=x, weight=f"w{i}", bias=None, shift=0, bits=16))
    shapes = {"t": (2, 1), **{f"w{i}": (1,) for i in range(n)}}
    return Pair(decoder(*ops, last=f"g{n - 1}", shapes=shapes, vocab=2), (0, 1), 1)


def many_rotations(n: int) -> Pair:
    """Another rotation for every op, over a long context."""
    ops: list[Op] = []
    for i in range(n):
        ops += [linear(f"l{i}", f"r{i - 1}" if i else "x")]
        ops += [rope(str(100 + i), x=f"l{i}", name=f"r{i}")]
    program = decoder(*ops, last=f"r{n - 1}", context=1 << 16)
    return Pair(program, (0, 1, 2, 3) * (1 << 14), 2)


# ---- large sizes ------------------------------------------------------------------------------
def long_context(**rest: Any) -> Pair:
    """Attention over 65,536 tokens."""
    program = decoder(attention("x", "x", "x"), last="at", context=1 << 16)
    return Pair(program, (0, 1, 2, 3) * (1 << 14), rest.get("prompt_length", 2))


def many_heads() -> Pair:
    """Features that cost little and heads that cost much."""
    width = 1 << 16
    shapes = {"t": (4, width)}
    op = attention("x", "x", "x", kv_heads=1 << 12, head_dim=16)
    program = decoder(op, shapes=shapes, last="at", context=1 << 10)
    return Pair(program, (0, 1, 2, 3) * 256, 2)


def large_vocabulary() -> Pair:
    """A million tokens to choose from, thousands of times."""
    program = decoder(shapes={"t": (1 << 20, 1)}, vocab=1 << 20, context=1 << 13)
    return Pair(program, (0, 1) * (1 << 12), 1)


def wide_rows() -> Pair:
    """Weights of 2^24 entries: half a million rows."""
    shapes = {"t": (4, 1), "w": (1 << 21, 1), "u": (1, 1 << 21)}
    program = decoder(linear("y", "x", "w"), linear("z", "y", "u"), shapes=shapes, last="z")
    return Pair(program)


def rotary_tables() -> Pair:
    """Tables of 65,536 positions and 2,048 pairs."""
    shapes = {"t": (4, 1), "w": (1 << 12, 1), "u": (1, 1 << 12)}
    program = decoder(
        linear("l", "x", "w"),
        rope("10000", 1 << 12),
        linear("z", "r", "u"),
        shapes=shapes,
        last="z",
        context=1 << 16,
    )
    return Pair(program, (0, 1, 2, 3) * (1 << 14), 2)


def norm_constant() -> Pair:
    """Numbers as long as they may be."""
    op = Norm(
        name="n", x="x", kind="layer", constant=1 << 127, eps=1 << 64, shift=32, bits=16, x_bits=40
    )
    return Pair(decoder(op, last="n"))


# ---- names ------------------------------------------------------------------------------------
LONG = "n" * 70_000


def named(name: str, cuts: tuple[int, ...] = ()) -> Pair:
    return Pair(decoder(rescale(name, "x"), last=name), (0, 1, 2), 1, cuts)


def long_weight_name() -> Pair:
    op = Gain(name="g", x="x", weight=LONG, bias=None, shift=0, bits=16)
    return Pair(decoder(op, shapes={"t": (4, 4), LONG: (4,)}, last="g"))


def long_exponent_name() -> Pair:
    program = decoder(rescale(LONG, "x"), last=LONG)
    return Pair(replace(program, exponents={LONG: 1}), (0, 1, 2), 1, (2,))


# ---- ops where nobody expects them ------------------------------------------------------------
EARLY = Head(name="h0", x="x", weight="t", shift=0)
CASES: dict[str, Callable[[], Pair]] = {
    "8,000 ops of many terms": lambda: many_terms(4000),
    "2,000 ops of many terms": lambda: many_terms(1000),
    "5,000 values alive": lambda: many_live(5000),
    "200,000 sums": lambda: many_sums(200_000),
    "4,000 links": lambda: many_cuts(4000),
    "values that cross every cut": lambda: many_crossings(300),
    "500 function tables": lambda: many_tables(500),
    "16,000 weights": lambda: many_weights(16_000),
    "300 rotations of a long context": lambda: many_rotations(300),
    "a long context": long_context,
    "a long context of answers": lambda: long_context(prompt_length=1),
    "4,096 heads": many_heads,
    "a million tokens": large_vocabulary,
    "wide rows": wide_rows,
    "tables of rotations": rotary_tables,
    "a norm's largest constant": norm_constant,
    "a long name": lambda: named(LONG),
    "a long name at a cut": lambda: named(LONG, (2,)),
    "a name of 66,000 two-byte characters at a cut": lambda: named("ä" * 66_000, (2,)),
    "a name with a surrogate at a cut": lambda: named("n\ud800", (2,)),
    "a name with a control at a cut": lambda: named("n\x1b[2J\n", (2,)),
    "an empty name at a cut": lambda: named("", (2,)),
    "a weight's long name": long_weight_name,
    "a long name with an exponent": long_exponent_name,
    "a program's long name": lambda: Pair(decoder(name=LONG)),
    "a head that is added": lambda: Pair(decoder(EARLY, add("y", "x", "h0"), last="y")),
    "two heads": lambda: Pair(decoder(EARLY)),
    "a head that is attended to": lambda: Pair(
        decoder(EARLY, attention("h0", "x", "x"), last="at")
    ),
    "a head of a head": lambda: Pair(decoder(EARLY, last="h0")),
    "a head that is normalised": lambda: Pair(
        decoder(
            EARLY,
            Norm(name="n", x="h0", kind="rms", constant=4, eps=1, shift=0, bits=16, x_bits=16),
            last="n",
        )
    ),
    "a head that is multiplied": lambda: Pair(decoder(EARLY, linear("y", "h0"), last="y")),
    "a head that crosses a cut": lambda: Pair(
        decoder(EARLY, add("y", "h0", "x"), last="y"), cuts=(2,)
    ),
    "no head": lambda: Pair(decoder(rescale("y", "x"), ends=False)),
    "attention of sums": lambda: Pair(
        decoder(
            Add(name="y", a="x", b="x", shift_a=32, shift_b=32),
            attention("y", "y", "y", score_shift=0),
            last="at",
        )
    ),
    "a rotation of a sum": lambda: Pair(decoder(add("l", "x", "x"), rope("10000"), last="r")),
    "a rotation that crosses a cut": lambda: Pair(
        decoder(linear("l", "x"), rope("10000"), last="r"), cuts=(2,)
    ),
    "a rotation's tiny base": lambda: Pair(
        decoder(linear("l", "x"), rope("0." + "0" * 28 + "1"), last="r")
    ),
    "a rotation's tinier base": lambda: Pair(
        decoder(linear("l", "x"), rope("." + "0" * 30 + "1", 1 << 2), last="r"),
        (0, 1, 2, 3) * 2,
    ),
    "a rotation's largest base": lambda: Pair(decoder(linear("l", "x"), rope("9" * 32), last="r")),
    "positions in the middle": lambda: Pair(
        decoder(
            rescale("y", "x"),
            Positions(name="p", table="p"),
            add("z", "y", "p"),
            shapes={"t": (4, 4), "p": (8, 4)},
            last="z",
        )
    ),
    "a weight that is a bias and a gain": lambda: Pair(
        decoder(
            Linear(name="l", x="x", weight="t", bias="b", shift=0, bits=16),
            Gain(name="g", x="l", weight="b", bias="b", shift=0, bits=16),
            shapes={"t": (4, 4), "b": (4,)},
            last="g",
        )
    ),
}


#: What would take longer than anybody asked for (``--max-time``).
FORETOLD = {"500 function tables"}


@pytest.mark.parametrize("name", CASES)
def test_refused_cheaply(name: str, tmp_path: Path) -> None:
    pair = CASES[name]()
    commitment = published(pair.program)
    argument = garbage(pair.points)
    proof = claimed(commitment, pair.tokens, pair.prompt_length, argument, pair.cuts)
    found = refusal(tmp_path, commitment, proof)
    foretold = ("UsageError",) if name in FORETOLD else ("FormatError", "VerificationError")
    assert found.kind in foretold, found
    assert len(found.message) < 400
    assert found.seconds < SECONDS, found
    assert found.memory < allowed_memory(tmp_path), found
