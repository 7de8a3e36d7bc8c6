"""OpenAI's wire format: requests in, replies and events out. Knows no model.

A parameter that does nothing at its neutral value is accepted there and refused anywhere else, by
name: nobody is given another answer than the one that was asked for. ``null`` is neutral always.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from veracity.errors import RequestError, UsageError
from veracity.formats.drawing import read_nonce, read_temperature
from veracity.text.chat import ROLES, Message, check_messages

__all__ = ["DONE", "KEEP_ALIVE", "Ask", "error_body", "event", "parse", "usage"]

#: Ends a stream; keeps a connection open that has nothing to say yet.
DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": \n\n"
MAX_STOPS = 4
MAX_STOP_CHARACTERS = 256
MAX_TOKENS = 1 << 20
_DIGEST = re.compile("[0-9a-f]{64}")


def _one_of(*values: object) -> Callable[[object], bool]:
    """Accepts these values; ``1`` is also ``1.0``, and no number is a truth value."""

    def accepts(value: object) -> bool:
        return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in values)

    return accepts


def _of(*kinds: type) -> Callable[[object], bool]:
    return lambda value: type(value) in kinds


#: What has no effect on a greedy answer. Whom a request is for, and how it is filed, never has.
_NEUTRAL: Mapping[str, Callable[[object], bool]] = {
    "frequency_penalty": _one_of(0),
    "logit_bias": _one_of({}),
    "metadata": _of(dict),
    "n": _one_of(1),
    "presence_penalty": _one_of(0),
    "prompt_cache_key": _of(str),
    "safety_identifier": _of(str),
    "service_tier": _of(str),
    "store": _of(bool),
    "top_p": _one_of(1),
    "user": _of(str),
}
_NEUTRAL_CHAT = {
    **_NEUTRAL,
    "function_call": _one_of("none"),
    "functions": _one_of([]),
    "logprobs": _one_of(False),
    "modalities": _one_of(["text"]),
    "parallel_tool_calls": _of(bool),
    "response_format": _one_of({"type": "text"}),
    "tool_choice": _one_of("none"),
    "tools": _one_of([]),
    "top_logprobs": _one_of(0),
}
_NEUTRAL_TEXT = {
    **_NEUTRAL,
    "best_of": _one_of(1),
    "echo": _one_of(False),
    "logprobs": _one_of(),
    "suffix": _one_of(""),
}
_WHY = {
    "logprobs": "probabilities of tokens are secret",
    "top_logprobs": "probabilities of tokens are secret",
}


@dataclass(frozen=True)
class Ask:
    """What a client wants.

    Attributes
    ----------
    chat : bool
        Messages (else a text to continue).
    model : str
        As the client calls it.
    messages : tuple of Message
        The conversation, or one message of the user: the text to continue.
    most : int or None
        Tokens of the answer.
    stops : tuple of str
        Texts that end the answer and are not sent.
    stream, usage : bool
        Send the answer as it comes; count tokens at the end of the stream.
    temperature : int
        In thousandths; 0 for the most likely tokens.
    nonce : bytes
        What the client gives to the seed of a draw.
    server_nonce : str
        Digest of the server's nonce that it was promised; empty where none.
    auditable : bool
        Whether auditors may read prompt and answer.
    """

    chat: bool
    model: str
    messages: tuple[Message, ...]
    most: int | None
    stops: tuple[str, ...]
    stream: bool
    usage: bool
    temperature: int = 0
    nonce: bytes = b""
    server_nonce: str = ""
    auditable: bool = False


def parse(body: bytes, *, chat: bool) -> Ask:
    """Read a request.

    Raises
    ------
    RequestError
        It is malformed, or asks for what is not done here; names the parameter.
    """
    given = _object(body)
    model = given.pop("model", None)
    if not isinstance(model, str) or not model:
        _refuse("give the name of a model", "model")
    messages = _messages(given.pop("messages", None)) if chat else _text(given.pop("prompt", None))
    most = _most(given, chat)
    stops = _stops(given.pop("stop", None))
    stream = given.pop("stream", None)
    if stream is not None and not isinstance(stream, bool):
        _refuse("true or false", "stream")
    counted = _stream_options(given.pop("stream_options", None), bool(stream))
    temperature = _temperature(given.pop("temperature", None))
    nonce, server_nonce, auditable = _own(
        given.pop("veracity", None), given.pop("seed", None), temperature
    )
    for name, value in given.items():
        accepts = (_NEUTRAL_CHAT if chat else _NEUTRAL_TEXT).get(name)
        if accepts is None:
            _refuse(f"no such parameter: {name[:80]!r}", name[:80], "unknown_parameter")
        if value is not None and not accepts(value):
            why = _WHY.get(name, "only its neutral value is supported")
            _refuse(f"{name}: {why}", name, "unsupported_value")
    return Ask(
        *(chat, model, messages, most, stops, bool(stream), counted),
        *(temperature, nonce, server_nonce, auditable),
    )


def _refuse(message: str, param: str | None, code: str = "invalid_value") -> NoReturn:
    raise RequestError(message, code, param)


def _object(body: bytes) -> dict[str, Any]:
    """A JSON object without names given twice, NaN, or strings that are no Unicode."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError
        return found

    def no_constant(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        value = json.loads(body.decode("utf-8"), object_pairs_hook=once, parse_constant=no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # refuses lone surrogates
    except (ValueError, RecursionError):
        _refuse("the body is no JSON object in UTF-8", None, "invalid_json")
    if not isinstance(value, dict):
        _refuse("the body is no JSON object", None, "invalid_json")
    return value


def _messages(value: object) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        _refuse("give a list of messages", "messages")
    found = []
    for index, one in enumerate(value):
        where = f"messages[{index}]"
        if not isinstance(one, dict):
            _refuse("a message is an object", where)
        role = one.get("role")
        role = "system" if role == "developer" else role
        if role not in ROLES:
            _refuse("the role is system, developer, user or assistant", f"{where}.role")
        extra = {n for n, v in one.items() if v not in (None, [])} - {"role", "content", "name"}
        if extra:
            name = min(extra)[:80]
            _refuse(f"a message has no {name!r} here", f"{where}.{name}", "unsupported_value")
        found.append(Message(role, _content(one.get("content"), f"{where}.content")))
    try:
        check_messages(found)
    except UsageError as error:
        _refuse(str(error), "messages")
    return tuple(found)


def _content(value: object, where: str) -> str:
    """A string, or parts of type text that follow each other."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        _refuse("the content is a string or a list of text parts", where)
    parts = []
    for part in value:
        text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
        if not isinstance(text, str):
            _refuse("only parts of type text are supported", where, "unsupported_value")
        parts.append(text)
    return "".join(parts)


def _text(value: object) -> tuple[Message, ...]:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        _refuse("the prompt is one string", "prompt")
    if not value:
        _refuse("the prompt is empty", "prompt")
    return (Message("user", value),)


def _most(given: dict[str, Any], chat: bool) -> int | None:
    found = None
    for name in ("max_tokens", "max_completion_tokens") if chat else ("max_tokens",):
        value = given.pop(name, None)
        if value is None:
            continue
        if type(value) is not int or not 1 <= value <= MAX_TOKENS:
            _refuse(f"a whole number of 1 .. {MAX_TOKENS}", name)
        if found not in (None, value):
            _refuse("max_tokens and max_completion_tokens differ", name)
        found = value
    return found


def _stops(value: object) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(stops, list) or len(stops) > MAX_STOPS:
        _refuse(f"a string, or up to {MAX_STOPS} strings", "stop")
    for stop in stops:
        if not isinstance(stop, str) or not 1 <= len(stop) <= MAX_STOP_CHARACTERS:
            _refuse(f"strings of 1 .. {MAX_STOP_CHARACTERS} characters", "stop")
    return tuple(stops)


def _temperature(value: object) -> int:
    if value is None or (value == 0 and not isinstance(value, bool)):
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        _refuse("temperature is a number", "temperature")
    try:
        return read_temperature(value)
    except UsageError as error:
        _refuse(str(error), "temperature", "unsupported_value")


def _own(value: object, seed: object, temperature: int) -> tuple[bytes, str, bool]:
    """Client's nonce, digest of the server's, consent to audits."""
    if seed is not None and (type(seed) is not int or not -(1 << 63) <= seed < 1 << 63):
        _refuse("the seed is a whole number of 64 bits", "seed")
    given = {} if value is None else value
    if not isinstance(given, dict) or given.keys() - {"nonce", "server_nonce", "auditable"}:
        _refuse("an object with 'nonce', 'server_nonce', 'auditable' or none of them", "veracity")
    nonce, server = given.get("nonce"), given.get("server_nonce")
    auditable = given.get("auditable", False)
    if not isinstance(auditable, bool):
        _refuse("auditable: true or false", "veracity")
    if not temperature:
        if nonce is not None or server is not None:
            _refuse("nonces are for answers that are drawn; give a temperature, too", "veracity")
        return b"", "", auditable
    if server is not None and (not isinstance(server, str) or not _DIGEST.fullmatch(server)):
        _refuse("server_nonce: the digest that /v1/nonce gave", "veracity")
    if nonce is None:
        own = b"" if seed is None else seed.to_bytes(8, "little", signed=True)
        return own, server or "", auditable
    if seed is not None:
        _refuse("give a seed or a nonce, not both", "seed")
    try:
        return read_nonce(nonce if isinstance(nonce, str) else ""), server or "", auditable
    except UsageError as error:
        _refuse(str(error), "veracity")


def _stream_options(value: object, stream: bool) -> bool:
    if value is None:
        return False
    if not stream:
        _refuse("stream_options goes with stream", "stream_options")
    if not isinstance(value, dict):
        _refuse("stream_options is an object", "stream_options")
    for name, said in value.items():
        where = f"stream_options.{name[:80]}"
        if name not in ("include_usage", "include_obfuscation"):
            _refuse(f"no such option: {name[:80]!r}", where, "unknown_parameter")
        if said is not None and said is not False and (name != "include_usage" or said is not True):
            _refuse("only its neutral value is supported", where, "unsupported_value")
    return value.get("include_usage") is True


def error_body(error: RequestError) -> dict[str, Any]:
    """What a client reads of a refusal."""
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": str(error),
            "type": kinds.get(error.status, kind),
            "param": error.param,
            "code": error.code,
        }
    }


def event(value: Mapping[str, Any]) -> bytes:
    """One event of a stream."""
    return b"data: " + json.dumps(value, separators=(",", ":")).encode("ascii") + b"\n\n"


def usage(prompt: int, answer: int) -> dict[str, int]:
    """Tokens read and written."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
    }
