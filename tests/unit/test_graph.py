"""The integer meaning of every op against Python integers, one element at a time."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest

from tests.support.meanings import MEANINGS, wide
from tests.support.programs import Example, small_model
from veracity.engine import load_engine
from veracity.engine.api import Integers
from veracity.engine.reference.integers import ReferenceIntegers
from veracity.errors import FormatError, RangeError, UsageError
from veracity.graph import Output, Port, Program, WeightSpec, execute
from veracity.graph.exact import linear, matmul, rhu, sums_of_squares
from veracity.graph.functions import FUNCTIONS, PARAMETRIC, find_function
from veracity.graph.ops import Contract, Head, HeadWithBias, Linear, Rope, rope_tables
from veracity.graph.ops.contract import Operand, Product
from veracity.graph.ops.rotary import _angle, _cos_sin
from veracity.graph.tables import exp_table, function_table, round_exactly
from veracity.lm.generate import generate
from veracity.lm.text_decoder import TOKENS, answer_of, forward, logits


def round_half_up(x: int, shift: int) -> int:
    return floor(Fraction(x, 1 << shift) + Fraction(1, 2)) if shift else x


@pytest.fixture(scope="module", params=["llama", "gpt2", "adjusted"])
def example(request: pytest.FixtureRequest) -> Example:
    return small_model(request.param, seed=1)


def test_every_op_means_what_its_definition_says(example: Example) -> None:
    ids = example.tokens[:-1]
    trace = forward(example.program, example.weights, ids, example.prompt_length)
    values: dict[str, Any] = {"tokens": ids}
    weights = {name: wide(w) for name, w in example.weights.items()}
    for op in example.program.ops:
        if isinstance(op, Head):
            table = example.weights[op.weight].tolist()
            bias = [0] * len(table)
            if isinstance(op, HeadWithBias):
                bias = example.weights[op.bias].tolist()
            for row, chosen in zip(
                values[op.x][example.prompt_length - 1 :], answer_of(trace), strict=True
            ):
                z = [
                    round_half_up(sum(x * y for x, y in zip(row, k, strict=True)) + b, op.shift)
                    for k, b in zip(table, bias, strict=True)
                ]
                assert chosen == z.index(max(z))
            continue
        meant = MEANINGS[type(op)](op, [wide(values[n]) for n in op.inputs()], weights)
        assert meant.fits, op.name
        values[op.name] = meant.value[: len(ids)].tolist()
        assert trace.values[op.name].tolist() == values[op.name], op.name


def test_generation_equals_one_pass(example: Example) -> None:
    p, prompt = example.program, example.tokens[: example.prompt_length]
    answer = generate(p, example.weights, prompt, 6)
    whole = forward(p, example.weights, [*prompt, *answer[:-1]], len(prompt))
    assert answer_of(whole) == answer
    assert generate(p, example.weights, prompt, 6, stop_ids={answer[0]}) == answer[:1]


def test_scores_are_those_of_the_head(example: Example) -> None:
    ids = example.tokens[:-1]
    z = logits(example.program, example.weights, ids)
    whole = forward(example.program, example.weights, ids, 1)
    assert z.argmax(axis=1).tolist() == answer_of(whole)


def test_out_of_range_and_wrong_tokens(example: Example) -> None:
    big = {k: np.full_like(v, 32000) for k, v in example.weights.items()}
    with pytest.raises(RangeError):
        forward(example.program, big, [1, 2, 3], 2)
    for prompt_ids in ([], [99], [-1], [1 << 70], [1] * 65):
        with pytest.raises(UsageError):
            generate(example.program, example.weights, prompt_ids, 1)
    for tokens, prompt in (([], 1), ([99], 1), ([-1], 1), ([1], 2), ([1], 0), ([1] * 65, 1)):
        with pytest.raises(UsageError):
            forward(example.program, example.weights, tokens, prompt)


@pytest.mark.parametrize("bits", [1, 20, 27, 28, 29, 31, 32, 40, 51, 52, 60])
@pytest.mark.parametrize("d", [1, 2, 768, 4096])
def test_sums_of_squares_are_exact(bits: int, d: int) -> None:
    rng = np.random.default_rng(bits)
    some = rng.integers(-(1 << bits), 1 << bits, (2, d), dtype=np.int64)
    edges = np.array([[-(1 << bits)] * d, [(1 << bits) - 1] * d], dtype=np.int64)
    for c in (some, edges, edges.astype(object)):
        assert [int(m) for m in sums_of_squares(c)] == [sum(int(x) ** 2 for x in row) for row in c]


@pytest.mark.parametrize("bits", [10, 30, 40])
def test_matrix_products_are_exact(bits: int) -> None:
    rng = np.random.default_rng(bits)
    a = rng.integers(-(1 << bits), 1 << bits, (3, 7))
    b = rng.integers(-(1 << 15), 1 << 15, (7, 5))
    want = [[sum(int(x) * int(y) for x, y in zip(r, c, strict=True)) for c in b.T] for r in a]
    assert matmul(a, b).tolist() == want
    assert linear(a, np.ascontiguousarray(b.T.astype(np.int16))).tolist() == want
    with pytest.raises(UsageError):
        matmul(a << 20, b << 20)


@pytest.mark.parametrize("integers", [None, load_engine("cpu").integers])
def test_rounding_is_half_up(integers: Integers | None) -> None:
    found = rhu(np.array([-3, -2, -1, 0, 1, 2, 3]), 1, integers)
    assert (found.dtype, found.tolist()) == (np.int64, [-1, -1, 0, 0, 1, 1, 2])
    columns = np.arange(6, dtype=np.int64).reshape(2, 3).T
    assert rhu(columns, 2, integers).tolist() == [[0, 1], [0, 1], [1, 1]]


# ---- programs as text --------------------------------------------------------------------------
def test_canonical_text_and_digest(example: Example) -> None:
    text = example.program.to_json()
    again = Program.from_json(text)
    assert again == example.program
    assert again.digest == example.program.digest
    assert replace(again, name="x").digest != again.digest


def _changes(text: str) -> list[str]:
    body = json.loads(text)
    out = ["", "{}", "[]", "null", text[:-1], text + " ", json.dumps(body)]
    for key in body:
        out.append(json.dumps({k: v for k, v in body.items() if k != key}))
        out.append(json.dumps({**body, key: None}))
    for i, op in enumerate(body["ops"]):
        for name in op:
            for value in (None, "?", -1, 1 << 200, 1.5, []):
                if op[name] == value or (name == "bias" and value is None):
                    continue
                changed = [*body["ops"]]
                changed[i] = {**op, name: value}
                out.append(
                    json.dumps({**body, "ops": changed}, sort_keys=True, separators=(",", ":"))
                )
    return out


def test_malformed_programs_are_format_errors(example: Example) -> None:
    original = example.program
    for text in _changes(original.to_json()):
        try:
            parsed = Program.from_json(text)
        except FormatError:
            continue
        # the rest are other programs, well formed: names that nothing reads, other statements
        assert parsed != original
        parsed.validate()


def _canonical(body: dict[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


@pytest.mark.parametrize(
    "change",
    [
        {"exponents": {"embed": 10**30}},
        {"exponents": {"of no value": 1}},
        {"arch": json.loads('{"a":' * 700 + "1" + "}" * 700)},
        {"format": 1},
        {"vocab": True},
    ],
)
def test_programs_out_of_bounds(example: Example, change: dict[str, Any]) -> None:
    body = json.loads(example.program.to_json())
    with pytest.raises(FormatError):
        Program.from_json(_canonical({**body, **change}))


@pytest.mark.parametrize(
    "change", [{"dtype": "object"}, {"bits": 0}, {"exponent": 65}, {"exponent": 1.0}, {"shape": []}]
)
def test_weight_specs_out_of_bounds(example: Example, change: dict[str, Any]) -> None:
    body = json.loads(example.program.to_json())
    body["weights"]["embedding"].update(change)
    with pytest.raises(FormatError):
        Program.from_json(_canonical(body))


def test_a_rotary_base_is_written_in_plain_digits() -> None:
    body = json.loads(small_model("llama").program.to_json())
    for op in body["ops"]:
        if op["op"] == "Rope":
            op["base"] = "\u00b2"
    with pytest.raises(FormatError):
        Program.from_json(_canonical(body))


# ---- tables --------------------------------------------------------------------------------------
def test_tables_round_their_exact_values() -> None:
    exp = exp_table(6)
    assert exp[0] == 1 << 15
    assert exp[65535] == 0
    for i in (1, 2, 17, 300, 709):
        exact = (-Decimal(i) / 64).exp() * 2**15
        assert abs(exact - int(exp[i])) <= Decimal("0.5")
    silu = function_table("silu", 10, 10)
    assert silu[32768] == 0
    assert silu[32768 + 20480] == 20480
    gelu = function_table("gelu", 10, 10)
    assert gelu[32768 + 1024] == round(1024 * 0.8413447)
    with pytest.raises(UsageError):
        function_table("sine", 1, 1)


WITH_NUMBERS = (
    "leaky(0.01)", "elu(1.5)", "celu(0.7)", "clip(-1;2.5)", "hard_sigmoid(0.2;0.5)",
    "softcap(30)", "power(3)", "power(-1)", "power(-0.5)", "power(0)",
)  # fmt: skip


@pytest.mark.parametrize(
    ("fn", "k_in", "k_out", "digest"),
    [
        ("gelu", 12, 11, "cfb67da14e41b86cdeffcba99f6ef810856a19b35dcac31420200fe6146fb626"),
        ("gelu", 10, 5, "a0afda327bf8fb135d1840d9d67270283fb49a15e7e1dbd2b918bd66c8e1639d"),
        ("erf", 13, 15, "22f24fdcc95df0fad95c66f8cca642fe17bf1fe1bd3808f9d0a93d8e19785872"),
    ],
)
def test_tables_with_many_ties_stay_as_they_are(
    fn: str, k_in: int, k_out: int, digest: str
) -> None:
    """Of large x a gelu is x less next to nothing: half of the entries lie beside a tie."""
    table = function_table(fn, k_in, k_out)
    assert hashlib.sha256(table.astype("<i8").tobytes()).hexdigest() == digest


@pytest.mark.parametrize("fn", [*sorted(FUNCTIONS), *WITH_NUMBERS])
def test_exact_and_fast_functions_agree(fn: str) -> None:
    fast, exact = find_function(fn)
    function_table(fn, 3, 3)
    grid = np.array([-31.5, -9.25, -4.0, -1.0, -0.001, 0.0, 0.001, 0.7, 3.0, 8.75, 31.5])
    for x, y in zip(grid, fast(grid), strict=True):
        assert abs(float(exact(Decimal(float(x)))) - y) < 1e-12 * max(1, abs(y))


def test_functions_with_numbers_are_all_tried() -> None:
    assert {name.partition("(")[0] for name in WITH_NUMBERS} == set(PARAMETRIC)


@pytest.mark.parametrize(
    "fn", ["relu(1)", "leaky", "leaky()", "leaky(1;2)", "leaky(nan)", "leaky(1e9)", "clip(1)",
           "power(99)", "celu(0)", "softcap(0)", "leaky(0.01", "LEAKY(1)"]
)  # fmt: skip
def test_names_that_are_no_function(fn: str) -> None:
    with pytest.raises(UsageError):
        function_table(fn, 3, 3)


def test_exact_and_fast_rotations_agree() -> None:
    for position, pair in ((0, 0), (1, 0), (511, 3), (40000, 31)):
        angle = position * 10000.0 ** (-2 * pair / 64)
        cos, sin = _cos_sin(_angle(position, pair, 64, "10000"))
        assert abs(float(cos) - np.cos(angle)) < 1e-9
        assert abs(float(sin) - np.sin(angle)) < 1e-9


def test_tables_agree_with_decimals() -> None:
    for fn, table in ((None, exp_table(6)), ("silu", function_table("silu", 11, 11))):
        for i in range(0, 1 << 16, 997):
            if fn is None:
                exact = (-Decimal(i) / 64).exp() * 2**15
            else:
                exact = FUNCTIONS[fn][1](Decimal(i - 32768) / 2**11) * 2**11
            rounded = int((exact + Decimal("0.5")).to_integral_value(rounding=ROUND_FLOOR))
            assert table[i] == (rounded if fn is None else max(-32768, min(32767, rounded)))


def test_near_ties_are_decided_exactly() -> None:
    near = np.array([0.5 - 1e-9, 0.5 + 1e-9, 2.25])
    below = round_exactly(near, lambda i: [Decimal("0.4999999"), Decimal("0.4999999")][i])
    assert below.tolist() == [0, 0, 2]


@pytest.mark.parametrize("style", ["interleaved", "half"])
def test_rotary_tables(style: str) -> None:
    op = Rope(name="r", x="x", heads=1, head_dim=8, style=style, base="10000", frac=14, bits=16)
    cos, sin = rope_tables(op, 50)
    assert cos.shape == sin.shape == (50, 4)
    assert cos[0].tolist() == [1 << 14] * 4
    assert not sin[0].any()
    assert np.abs(cos**2 + sin**2 - (1 << 28)).max() < 1 << 15


def test_a_value_has_at_most_eight_axes() -> None:
    spec = "abcdefgh,ijh->abcdefgij"
    product = Product(spec=spec, a=Operand(x="x"), b=Operand(x="w", of="weight"))
    program = Program(
        name="axes",
        arch={},
        inputs={"x": Port((2,) * 8, 8, -9, 9)},
        outputs={"y": Output((3,), 8, -9, 9, "y")},
        limits={},
        ops=(
            Contract(name="c", products=(product,), addends=(), shift=0, bits=16),
            Linear(name="y", x="c", weight="w", bias=None, shift=0, bits=16),
        ),
        weights={"w": WeightSpec((2,) * 3, "int16", 8, 16)},
        exponents={},
    )
    with pytest.raises(UsageError, match="1 to 8 dims"):
        program.validate()
    with pytest.raises(FormatError, match="1 to 8 dims"):
        Program.from_json(program.to_json())


# ---- the engine that computes --------------------------------------------------------------------
class Counting(ReferenceIntegers):
    """The products of the slow engine, counted."""

    calls = 0

    def matmul_transposed(self, x: Any, w: Any) -> Any:
        self.calls += 1
        return super().matmul_transposed(x, w)


@pytest.mark.parametrize("style", ["llama", "gpt2"])
def test_all_products_with_weights_are_those_of_the_engine(
    style: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = small_model(style)
    program, tokens = example.program, example.tokens[:-1]
    known = forward(program, example.weights, tokens, example.prompt_length)
    answer = generate(program, example.weights, example.tokens[:3], 4)

    def none() -> None:
        raise AssertionError("an engine was given")

    monkeypatch.setattr("veracity.graph.exact._compiled", none)
    integers = Counting()
    inputs = {TOKENS: np.asarray(tokens)}
    sizes = {"A": len(tokens) - example.prompt_length + 1}
    found = execute(program, example.weights, inputs, sizes, integers=integers)
    assert all(np.array_equal(found.values[n], v) for n, v in known.values.items())
    products = sum(isinstance(op, Linear | Head) for op in program.ops)
    assert integers.calls == products
    again = generate(program, example.weights, example.tokens[:3], 4, integers=integers)
    assert again == answer
    assert integers.calls == 5 * products
