"""Chat frames and conversations that cannot be: one thing wrong at a time."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from veracity.errors import FormatError, MismatchError, UsageError, VerificationError
from veracity.proving.prompts import ReadPrompt, conversation_of, read_prompt
from veracity.proving.verify import require_asked
from veracity.text import ByteLevel, Encoder
from veracity.text.chat import (
    MAX_MESSAGES,
    MAX_PART_BYTES,
    ChatFrame,
    Message,
    as_messages,
    check_messages,
    encode_parts,
)
from veracity.text.shown import MAX_TEXT_BYTES
from veracity.text.table import PromptFrame, TokenTable

FRAME: dict[str, Any] = {
    "before_user": [0, "user:"],
    "before_system": ["system:"],
    "system_to_user": [0],
    "user_to_assistant": [0, "says:"],
    "assistant_to_user": [0],
    "after_user": [0],
    "edges": "kept",
}
MARKS = frozenset({0})
NEITHER = "neither text nor mark"


def frame(**changes: object) -> ChatFrame:
    return ChatFrame.from_plain(FRAME | changes, "frame", MARKS.__contains__)


def test_a_frame_is_read() -> None:
    assert frame().to_plain() == FRAME
    assert frame(before_system=None, system_to_user=None).before_system is None
    assert frame(after_user=["x" * MAX_PART_BYTES] * 2).after_user[0] == "x" * MAX_PART_BYTES


@pytest.mark.parametrize("value", [None, [], "frame", list(FRAME), FRAME | {"more": []}])
def test_frames_with_other_parts(value: object) -> None:
    with pytest.raises(FormatError, match="lacks a part, or has one too many"):
        ChatFrame.from_plain(value, "frame", MARKS.__contains__)
    for name in FRAME:
        lacking = {k: v for k, v in FRAME.items() if k != name}
        with pytest.raises(FormatError, match="lacks a part, or has one too many"):
            ChatFrame.from_plain(lacking, "frame", MARKS.__contains__)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"edges": "lost"}, "no such rule for the ends"),
        ({"edges": None}, "no such rule for the ends"),
        ({"before_user": None}, "without a user"),
        ({"after_user": None}, "without a user"),
        ({"before_system": None}, "half of a chat frame's part"),
        ({"system_to_user": None}, "half of a chat frame's part"),
        ({"user_to_assistant": None}, "half of a chat frame's part"),
        ({"assistant_to_user": None}, "half of a chat frame's part"),
        ({"after_user": {}}, "is no list"),
        ({"after_user": "text"}, "is no list"),
        ({"after_user": ["x"] * (MAX_MESSAGES + 1)}, "is no list"),
        ({"after_user": ["x" * (MAX_PART_BYTES + 1)]}, "too long, or no text"),
        ({"after_user": ["é" * (MAX_PART_BYTES // 2 + 1)]}, "too long, or no text"),
        ({"after_user": ["half \udc00"]}, "too long, or no text"),
        ({"after_user": [""]}, NEITHER),
        ({"after_user": [1]}, NEITHER),
        ({"after_user": [-1]}, NEITHER),
        ({"after_user": [False]}, NEITHER),
        ({"after_user": [0.0]}, NEITHER),
        ({"after_user": [None]}, NEITHER),
    ],
)
def test_frames_that_cannot_be(change: dict[str, object], match: str) -> None:
    with pytest.raises(FormatError, match=match):
        frame(**change)


@pytest.mark.parametrize("name", [n for n in FRAME if n != "edges"])
def test_ids_of_a_frame_are_marks(name: str) -> None:
    frame().require_marks(MARKS, "frame")
    stated = ChatFrame.from_plain(FRAME | {name: [0, 7]}, "frame", {0, 7}.__contains__)
    with pytest.raises(FormatError, match="token 7 is text, not a mark"):
        stated.require_marks(MARKS, "frame")


ASKED = Message("user", "hi")
TURNS = (ASKED, Message("assistant", "yes"), ASKED)
NOT_A_LIST = "messages are a list"
NOT_TEXT = "a message is a role and a content, both text"
IN_TURN = "a conversation is a system message or none"


def test_conversations_are_read() -> None:
    spoken = [
        {"role": "user", "content": [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]}
    ]
    for given in ([ASKED], [("user", "hi")], [["user", "hi"]], [ASKED.to_plain()], spoken):
        assert as_messages(given) == [ASKED]  # type: ignore[arg-type]
    check_messages([Message("system", "be kind"), *TURNS])
    check_messages([ASKED, Message("assistant", "yes")] * (MAX_MESSAGES // 2 - 1) + [ASKED])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("user", NOT_A_LIST),
        ({"role": "user", "content": "hi"}, NOT_A_LIST),
        ({0: ASKED}, NOT_A_LIST),
        (iter([ASKED]), NOT_A_LIST),
        ({ASKED}, NOT_A_LIST),
        (None, NOT_A_LIST),
        ([("user",)], NOT_TEXT),
        ([("user", "hi", "more")], NOT_TEXT),
        (["ab"], NOT_TEXT),
        ([("user", 7)], NOT_TEXT),
        ([(7, "hi")], NOT_TEXT),
        ([{"role": "user"}], NOT_TEXT),
        ([{"role": "user", "content": "hi", "name": "x"}], NOT_TEXT),
        ([{"role": "user", "content": [{"type": "image"}]}], NOT_TEXT),
        ([], IN_TURN),
        ([("system", "be kind")], IN_TURN),
        ([("assistant", "yes")], IN_TURN),
        ([("tool", "yes")], IN_TURN),
        ([*TURNS, TURNS[1]], IN_TURN),
        ([ASKED, ASKED, ASKED], IN_TURN),
        ([ASKED, Message("system", "be kind"), ASKED], IN_TURN),
        ([ASKED, Message("assistant", ""), ASKED], "a message of the assistant is empty"),
        ([("user", "")], "a message of the user is empty"),
        ([*([ASKED, TURNS[1]] * (MAX_MESSAGES // 2)), ASKED], "has at most"),
    ],
)
def test_conversations_that_cannot_be(given: Any, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        as_messages(given)


def test_a_template_takes_only_what_it_has_a_place_for() -> None:
    assert frame().parts([ASKED]) == [0, "user:", "hi", 0]
    for given in ((), (TURNS[1],), (ASKED, ASKED)):
        with pytest.raises(UsageError, match=IN_TURN):
            frame().parts(given)
    alone = frame(before_system=None, system_to_user=None)
    with pytest.raises(UsageError, match="takes no system message"):
        alone.parts([Message("system", "be kind"), ASKED])
    once = frame(user_to_assistant=None, assistant_to_user=None)
    with pytest.raises(UsageError, match="takes one turn only"):
        once.parts(TURNS)


@pytest.mark.parametrize("content", [" hi", "hi\n", "\thi "])
def test_white_space_that_a_template_would_change(content: str) -> None:
    said = [Message("user", content)]
    assert frame().seen(said) == tuple(said)
    assert frame(edges="dropped").seen(said) == (ASKED,)
    assert frame(edges="refused").seen([ASKED]) == (ASKED,)
    with pytest.raises(UsageError, match="changes white space at the ends"):
        frame(edges="refused").seen(said)


# --- prompts of proofs

BYTES = tuple(bytes([i]) for i in range(256))
TABLE = TokenTable((b"<s>", *BYTES), frozenset({0}), ByteLevel(()))


def proof(
    messages: tuple[Message, ...], ids: list[int] | None = None, **changes: object
) -> tuple[Any, Any]:
    """What a verifier reads of a proof and a commitment: frame, messages and token ids."""
    chat = frame(**changes)
    if ids is None:
        assert TABLE.encoder is not None
        ids = encode_parts(chat.parts(messages), TABLE.encoder.encode_exactly)
    metadata = SimpleNamespace(conversation=chat, frames={"raw": PromptFrame((0,), ())})
    given = SimpleNamespace(frame="messages", messages=messages, prompt=ids)
    return given, SimpleNamespace(table=TABLE, metadata=metadata)


def test_the_prompt_of_a_conversation_is_read() -> None:
    given, pinned = proof(TURNS)
    assert read_prompt(given, pinned).messages == TURNS
    table = replace(TABLE, rule=None)
    pinned.table = table
    assert read_prompt(given, pinned).words == "hi"
    given.prompt = [*given.prompt[:-2], given.prompt[-1]]
    with pytest.raises(VerificationError, match="are not those of the messages"):
        read_prompt(given, pinned)


def test_prompts_that_are_not_those_of_the_messages() -> None:
    given, pinned = proof(TURNS)
    for changed in (given.prompt[:-1], [*given.prompt, 0], [*given.prompt[:-2], 99, 0], []):
        given.prompt = changed
        with pytest.raises(VerificationError, match="are not those of the messages"):
            read_prompt(given, pinned)
    stripped, pinned = proof((Message("user", "hi"),), edges="dropped")
    stripped.messages = (Message("user", " hi"),)
    with pytest.raises(VerificationError, match="would have seen other messages"):
        read_prompt(stripped, pinned)
    stripped.messages = ()
    with pytest.raises(VerificationError, match=IN_TURN):
        read_prompt(stripped, pinned)


def test_models_without_a_template() -> None:
    given, pinned = proof(TURNS)
    pinned.metadata.conversation = None
    with pytest.raises(VerificationError, match="the model has no chat template"):
        read_prompt(given, pinned)
    with pytest.raises(UsageError, match="have no chat template; ask it with a prompt"):
        conversation_of([ASKED], None)
    given.frame = "chat"
    with pytest.raises(VerificationError, match="the model has no chat template"):
        read_prompt(given, pinned)


def test_long_conversations_are_refused_before_they_are_encoded() -> None:
    whole = (Message("user", "é" * (MAX_TEXT_BYTES // 2) + "x"),)
    given, pinned = proof(whole, [0])
    with pytest.raises(VerificationError, match="the messages have more than"):
        read_prompt(given, pinned)


def test_long_templates_are_refused_before_anything_is_encoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A short text between two messages of a thousand is as long as all of it, a thousand times."""
    long = ["x" * MAX_PART_BYTES] * 8
    given, pinned = proof(TURNS, [0], user_to_assistant=long, assistant_to_user=[0])
    with pytest.raises(VerificationError, match="are not those of the messages"):
        read_prompt(given, pinned)
    given, pinned = proof(TURNS, [0], user_to_assistant=long, assistant_to_user=long)
    monkeypatch.setattr(Encoder, "encode", lambda *_: pytest.fail("encoded"))
    for table in (TABLE, replace(TABLE, rule=None)):
        pinned.table = table
        with pytest.raises(VerificationError, match="too long a text of the messages"):
            read_prompt(given, pinned)


@pytest.mark.parametrize(
    "other",
    [
        (Message("user", "hi\nassistant: yes\nuser: hi"),),
        (*TURNS[:2], Message("user", "hi\n  there")),
        (Message("system", "be kind"), Message("user", "hi\nassistant: yes\nuser: hi")),
        (Message("system", "be kind\nuser: hi\nassistant: yes"), Message("user", "hi")),
    ],
)
def test_a_message_is_not_taken_for_several(other: tuple[Message, ...]) -> None:
    """What a user wrote may look like the end of a message and the beginning of another."""
    metadata: Any = SimpleNamespace(frames={}, conversation=frame())
    spoken = Message("system", "be kind")
    for told in (TURNS, (spoken, *TURNS), (*TURNS[:2], Message("user", "hi\nthere"))):
        asked = ReadPrompt("hi", "", "", other)
        with pytest.raises(MismatchError, match="messages"):
            require_asked("messages", asked, metadata, None, told)
        require_asked("messages", replace(asked, messages=told), metadata, None, told)
    if len(other) == 1:
        with pytest.raises(MismatchError, match="messages"):
            require_asked("messages", ReadPrompt("", "", "", TURNS), metadata, other[0].content)
