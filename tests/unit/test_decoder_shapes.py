"""Configurations, tokenizers and tokens of a decoder, each wrong in one field."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.programs import small_model
from veracity.errors import FormatError, UsageError
from veracity.lm.config import Config
from veracity.lm.decoder import FloatModel, check_model
from veracity.lm.text_decoder import check_tokens, forward, logits, ports_of
from veracity.lm.tokenizer import Tokenizer
from veracity.lm.tokenizer_rules import stated_rule
from veracity.text import ByteLevel

GOOD = Config("llama", 8, 2, 1, 2, 4, 12, 260, 32, 1e-5, "10000", "half")
TURNING = ((1, 2), (3, (1 << 56) - 1))
RICH = replace(
    GOOD, rotations=TURNING, rotation_of=(-1, 1), windows=(0, 4), slopes=("0.5", "0.25"),
    score_cap="50", logit_cap="30.0", qk_norm="head",
)  # fmt: skip
COUNTS = ("dim", "layers", "kv_heads", "group", "head_dim", "hidden", "vocab", "context")
SENSIBLE = "is not a sensible number"
ROTARY = "norm epsilon or rotary embedding"


def test_sound_configurations() -> None:
    for config in (GOOD, RICH, replace(GOOD, rope_style="", head_dim=3, rope_base="")):
        config.check("model")


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("count", [0, -1, 1 << 20, True, 8.0, "8"])
def test_counts_that_are_none(name: str, count: object) -> None:
    change: dict[str, Any] = {name: count}
    with pytest.raises(FormatError, match=f"{name} {SENSIBLE}"):
        replace(GOOD, **change).check("model")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"family": 7}, "family has no name"),
        ({"family": "a\nb"}, "family has no name"),
        ({"family": "\x1b[2J"}, "family has no name"),
        ({"rope_style": "spiral"}, "unknown rotary style"),
        ({"norm": "batch"}, "unknown norm"),
        ({"qk_norm": "every"}, "unknown norm"),
        ({"activation": "tanh"}, "unknown activation"),
        ({"norm_eps": 0.0}, ROTARY),
        ({"norm_eps": -1e-5}, ROTARY),
        ({"norm_eps": 1.0}, ROTARY),
        ({"norm_eps": float("nan")}, ROTARY),
        ({"head_dim": 3}, ROTARY),
        ({"rope_base": ""}, ROTARY),
        *(({name: 1}, "neither true nor false") for name in ("gated", "positions", "parallel")),
        *(({name: None}, "neither true nor false") for name in ("pre_norm", "post_norm")),
    ],
)
def test_choices_that_are_none(change: dict[str, Any], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        replace(GOOD, **change).check("model")


LAYER = "not one sound value for every layer"


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rotations": ((1, 2), (3,))}, "do not fit the heads"),
        ({"rotations": ((1, 2), (3, 4, 5))}, "do not fit the heads"),
        ({"rotations": ((1, 2), (3, -1))}, "do not fit the heads"),
        ({"rotations": ((1, 2), (3, 1 << 56))}, "do not fit the heads"),
        ({"rotations": ((1, 2), (3, 4.0))}, "do not fit the heads"),
        ({"rotation_of": (0,)}, LAYER),
        ({"rotation_of": (0, 1, 1)}, LAYER),
        ({"rotation_of": (-2, 0)}, LAYER),
        ({"rotation_of": (0, 2)}, LAYER),
        ({"rotation_of": (0, True)}, LAYER),
        ({"windows": (1,)}, LAYER),
        ({"windows": (0, -1)}, LAYER),
        ({"windows": (0, (1 << 30) + 1)}, LAYER),
        ({"windows": (0, 1.0)}, LAYER),
        ({"score_cap": 50}, "a soft cap is no number"),
        ({"score_cap": None}, "a soft cap is no number"),
        ({"logit_cap": 0}, "a soft cap is no number"),
        ({"logit_cap": "-3"}, "a soft cap is no number"),
        ({"score_cap": "1e9"}, "a soft cap is no number"),
        ({"slopes": ("0.5",)}, "not one slope for every head"),
        ({"slopes": ("0.5", "1", "2")}, "not one slope for every head"),
        ({"slopes": ("0.5", "much")}, "a slope is no number"),
        ({"slopes": ("0.5", 1)}, "a slope is no number"),
    ],
)
def test_layers_that_do_not_fit(change: dict[str, Any], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        replace(RICH, **change).check("model")


def tensors(config: Config) -> dict[str, np.ndarray]:
    inner = {
        "attn.q": (8, 8), "attn.k": (4, 8), "attn.v": (4, 8), "attn.o": (8, 8),
        "mlp.gate": (12, 8), "mlp.up": (12, 8), "mlp.down": (8, 12),
    }  # fmt: skip
    layers = {f"layers.{i}.{n}": s for i in range(config.layers) for n, s in inner.items()}
    shapes = {"embed": (260, 8), "final_gain": (8,)} | layers
    return {n: np.zeros(s, dtype=np.float32) for n, s in shapes.items()}


def test_tensors_that_are_there() -> None:
    check_model(FloatModel(GOOD, tensors(GOOD)), "model")


@pytest.mark.parametrize("name", sorted(tensors(GOOD)))
def test_tensors_that_are_missing_or_differ(name: str) -> None:
    whole = tensors(GOOD)
    lacking = {n: t for n, t in whole.items() if n != name}
    if name != "final_gain":
        with pytest.raises(FormatError, match=f"tensor {name} is missing"):
            check_model(FloatModel(GOOD, lacking), "model")
    with pytest.raises(FormatError, match=f"tensor {name} has shape"):
        check_model(FloatModel(GOOD, whole | {name: np.zeros((1, 1), np.float32)}), "model")
    odd = whole[name].copy()
    odd.flat[-1] = np.inf
    with pytest.raises(FormatError, match=f"tensor {name} has entries that are not finite"):
        check_model(FloatModel(GOOD, whole | {name: odd}), "model")
    check_model(FloatModel(GOOD, whole | {name: odd}), "model", values=False)


def test_more_layers_than_tensors() -> None:
    with pytest.raises(FormatError, match="1000 layers are stated"):
        check_model(FloatModel(replace(GOOD, layers=1000), tensors(GOOD)), "model")
    with pytest.raises(FormatError, match="dim is not a sensible number"):
        check_model(FloatModel(replace(GOOD, dim=0), tensors(GOOD)), "model")


EXAMPLE = small_model(layers=1)
PROGRAM, WEIGHTS = EXAMPLE.program, EXAMPLE.weights


@pytest.mark.parametrize("length", [0, -1, 3, 4])
def test_prompts_that_leave_nothing(length: int) -> None:
    assert ports_of([1, 2, 3], 2)[1]["answer"].tolist() == [3]
    with pytest.raises(UsageError, match="at least one prompt token and one answer token"):
        ports_of([1, 2, 3], length)


@pytest.mark.parametrize(
    ("ids", "length", "match"),
    [
        ([1, 2, 3], 0, "needs at least one token"),
        ([1, 2, 3], 4, "needs at least one token"),
        ([], 1, "do not fit the context"),
        ([0] * (PROGRAM.limits["T"] + 1), 1, "do not fit the context"),
        ([1, -1], 1, "outside the vocabulary"),
        ([1, PROGRAM.inputs["tokens"].high + 1], 1, "outside the vocabulary"),
    ],
)
def test_tokens_that_cannot_be_read(ids: list[int], length: int, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        forward(PROGRAM, WEIGHTS, ids, length)


def test_a_program_without_a_head_has_no_logits() -> None:
    headless = replace(PROGRAM, ops=PROGRAM.ops[:-1])
    with pytest.raises(UsageError, match="has no head"):
        logits(headless, WEIGHTS, [1, 2])
    assert check_tokens(PROGRAM, [1, 2]).tolist() == [1, 2]


BODY: dict[str, Any] = {
    "kind": "pieces",
    "tokens": [base64.b64encode(t).decode() for t in (b"<s>", b"a", b"b")],
    "scores": ["0.0", "-1", "-2"],
    "special": [0],
    "stop": [0],
    "raw": [[0], []],
    "chat": [[0], [1]],
}
JSON = {k: v for k, v in BODY.items() if k != "scores"} | {"kind": "bytes", "json": "{}"}


def test_tokenizers_that_fit() -> None:
    for body in (BODY, JSON, BODY | {"chat": None}):
        Tokenizer(body).check()


@pytest.mark.parametrize(
    ("body", "match"),
    [
        *((BODY | {"raw": r}, "malformed raw frame") for r in (None, {}, "ab", [[0]], [[0]] * 3)),
        *((BODY | {"chat": c}, "malformed chat frame") for c in ({}, "ab", [], [[0]], [[0]] * 3)),
        *(
            (BODY | {name: ids}, "malformed list of token ids")
            for name in ("special", "stop")
            for ids in (None, {}, "0", [3], [-1], [True], [1.0], ["1"])
        ),
        (BODY | {"raw": [[0], [3]]}, "malformed list of token ids"),
        (BODY | {"raw": [[-1], []]}, "malformed list of token ids"),
        (BODY | {"chat": [[0], None]}, "malformed list of token ids"),
        (BODY | {"scores": ["0.0", "1"]}, "not one score"),
        (BODY | {"scores": ["0.0", "1", "x"]}, "malformed scores"),
        (BODY | {"scores": None}, "malformed scores"),
        (BODY | {"tokens": ["?"]}, "malformed token table"),
        (JSON | {"kind": "words"}, "unknown kind"),
        (JSON | {"kind": None}, "unknown kind"),
        (JSON | {"json": {}}, "unknown kind"),
        ({k: v for k, v in JSON.items() if k != "json"}, "unknown kind"),
    ],
)
def test_tokenizers_that_do_not_fit(body: Mapping[str, Any], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        Tokenizer(body).check()


def test_a_tokenizer_is_prepared_only_if_its_rule_fits() -> None:
    Tokenizer(BODY).prepare()
    long = base64.b64encode(b"x" * 1025).decode()
    body = BODY | {"tokens": [*BODY["tokens"][:2], long]}
    Tokenizer(body).check()
    with pytest.raises(FormatError, match="a token is longer than 1024 bytes"):
        Tokenizer(body).prepare()


def stated(merge: object, **vocab: int) -> str:
    """A ``tokenizer.json`` of byte-level BPE with one merge."""
    model = {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2} | vocab, "merges": [merge]}
    splitter = {"type": "ByteLevel", "add_prefix_space": False}
    return json.dumps({"model": model, "pre_tokenizer": splitter})


@pytest.mark.parametrize("merge", ["a b", ["a", "b"]])
def test_a_vocabulary_is_the_decode_tables(merge: object) -> None:
    rule, _ = stated_rule(stated(merge), (b"a", b"b", b"ab"))
    assert rule == ByteLevel(((2, 1),))
    for tokens in ((b"a", b"b", b"ba"), (b"a", b"b", b""), (b"a", b"b", b"ab ")):
        with pytest.raises(FormatError, match="vocabulary and decode table differ"):
            stated_rule(stated(merge), tokens)
    with pytest.raises(FormatError, match="vocabulary and decode table differ"):
        stated_rule(stated(merge, ab=1), (b"a", b"b", b"ab"))
    for text in ("", "[]", "{}", stated("ab"), stated("a c"), stated(merge, ab=9)):
        with pytest.raises(FormatError, match="does not parse"):
            stated_rule(text, (b"a", b"b", b"ab"))


@pytest.mark.parametrize(
    ("change", "of_model", "why"),
    [
        ({"type": "Unigram"}, True, "its model is Unigram, not BPE"),
        *(({n: {"x": 1}}, False, f"it has {n}") for n in ("truncation", "padding")),
        ({"post_processor": {"type": "x"}}, False, "it has post_processor"),
        ({"dropout": 0.1}, True, "its model has dropout"),
        ({"continuing_subword_prefix": "##"}, True, "its model has continuing_subword_prefix"),
        ({"end_of_word_suffix": "</w>"}, True, "its model has end_of_word_suffix"),
    ],
)
def test_forms_that_no_rule_of_ours_is(change: dict[str, Any], of_model: bool, why: str) -> None:
    body = json.loads(stated("a b"))
    (body["model"] if of_model else body).update(change)
    assert stated_rule(json.dumps(body), (b"a", b"b", b"ab")) == (None, why)
