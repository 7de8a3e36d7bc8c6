"""OpenAI's format: neutral values pass, others are refused by name, nothing else is raised."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from tests.support.mutations import changed, fuzz, mutated, parsed
from veracity.errors import RequestError
from veracity.server.openai import Ask, event, parse
from veracity.text.chat import Message

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
TEXT: dict[str, Any] = {"model": "m", "prompt": "hello"}
FULL = {
    **CHAT,
    "max_completion_tokens": 5,
    "stop": ["a", "b"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "temperature": 0,
}
NEUTRAL = {
    "n": 1,
    "top_p": 1.0,
    "presence_penalty": 0,
    "frequency_penalty": 0.0,
    "logit_bias": {},
    "logprobs": False,
    "tools": [],
    "tool_choice": "none",
    "response_format": {"type": "text"},
    "parallel_tool_calls": True,
    "user": "somebody",
    "store": False,
    "metadata": {"a": "b"},
    "service_tier": "auto",
    "seed": 7,
    "temperature": 0,
}
OTHER = {
    "n": 2,
    "top_p": 0.5,
    "presence_penalty": 1,
    "frequency_penalty": True,
    "logit_bias": {"5": 1},
    "logprobs": True,
    "tools": [{"type": "function"}],
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "temperature": 5,
    "veracity": {"nonce": "ab"},
    "stream": 1,
    "stop": ["a"] * 5,
    "max_tokens": 0,
    "max_completion_tokens": "9",
    "stream_options": {"include_usage": True},
    "messages": [],
    "model": 5,
    "audio": {},
}


def ask(value: Any, *, chat: bool = True) -> Ask:
    return parse(json.dumps(value).encode(), chat=chat)


@pytest.mark.parametrize("name", NEUTRAL)
def test_neutral_values_change_nothing(name: str) -> None:
    plain = ask(CHAT)
    assert ask({**CHAT, name: NEUTRAL[name]}) == plain
    assert ask({**CHAT, name: None}) == plain


@pytest.mark.parametrize("name", OTHER)
def test_other_values_are_refused_by_name(name: str) -> None:
    with pytest.raises(RequestError) as refused:
        ask({**CHAT, name: OTHER[name]})
    assert refused.value.param == name
    assert refused.value.status == 400


def test_a_truth_value_is_no_number() -> None:
    for name in ("n", "top_p", "temperature", "max_tokens"):
        with pytest.raises(RequestError):
            ask({**CHAT, name: bool(NEUTRAL.get(name, 1))})


def test_everything_that_is_understood() -> None:
    assert ask(FULL) == Ask(True, "m", (Message("user", "hello"),), 5, ("a", "b"), True, True)
    assert ask({**TEXT, "stop": "x", "max_tokens": 3}, chat=False) == Ask(
        False, "m", (Message("user", "hello"),), 3, ("x",), False, False
    )
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    told = [{"role": "developer", "content": "s"}, {"role": "user", "content": parts}]
    assert ask({**CHAT, "messages": told}).messages == (
        Message("system", "s"),
        Message("user", "ab"),
    )


@pytest.mark.parametrize("role", [[], {}, None, 5, "tool"])
def test_a_role_is_one_of_four_words(role: Any) -> None:
    with pytest.raises(RequestError) as refused:
        ask({**CHAT, "messages": [{"role": role, "content": "a"}]})
    assert refused.value.param == "messages[0].role"


def test_limits_that_contradict_each_other() -> None:
    assert ask({**CHAT, "max_tokens": 4, "max_completion_tokens": 4}).most == 4
    with pytest.raises(RequestError, match="differ"):
        ask({**CHAT, "max_tokens": 4, "max_completion_tokens": 5})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"model": NaN}',
        b'{"model": "a", "model": "b"}',
        b"[" * 100_000,
        b'{"model": "m", "prompt": "\\ud800"}',
        b'{"model": ' + b"9" * 5000 + b"}",
    ],
)
def test_bodies_that_are_no_json_object(body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        parse(body, chat=False)
    assert refused.value.code == "invalid_json"


@given(mutated([json.dumps(FULL).encode(), json.dumps(TEXT).encode()]))
@fuzz
def test_hostile_bytes(data: bytes) -> None:
    for chat in (False, True):
        parsed(lambda chat=chat: parse(data, chat=chat), RequestError)


@given(changed({**FULL, **NEUTRAL}))
@fuzz
def test_hostile_values(value: Any) -> None:
    data = json.dumps(value).encode()
    parsed(lambda: parse(data, chat=True), RequestError)


def test_an_event_is_one_line_whatever_it_says() -> None:
    line = event({"text": "a\n\ndata: [DONE]\r\u2028\u202e"})
    assert line.count(b"\n") == 2
    assert json.loads(line[6:])["text"] == "a\n\ndata: [DONE]\r\u2028\u202e"
