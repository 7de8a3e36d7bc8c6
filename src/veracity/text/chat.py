"""A model's chat template as a split frame: what stands between the messages of a conversation.

Templates are programs; what is pinned is what they print. A conversation is an optional system
message, then messages of user and assistant in turn, the last one the user's. Between two messages
stands always the same: text, and marks by id. So prover and verifier put a conversation together
in one way, and encode the text between two marks as a whole, as whoever trained the model did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any

from veracity.errors import FormatError, UsageError
from veracity.records import record

__all__ = [
    "ROLES",
    "ChatFrame",
    "Message",
    "Part",
    "as_messages",
    "check_messages",
    "encode_parts",
    "is_unicode",
]

ROLES = ("system", "user", "assistant")
MAX_MESSAGES = 1 << 10
MAX_PART_BYTES = 1 << 16
#: Text, or a mark's id.
Part = str | int
Parts = tuple[Part, ...]
#: What becomes of white space at the ends of a message: kept, dropped, or such messages refused.
EDGES = ("kept", "dropped", "refused")
_JOINTS = (
    "before_user", "before_system", "system_to_user", "user_to_assistant", "assistant_to_user",
    "after_user",
)  # fmt: skip


@record
class Message:
    """What one of those who talk said."""

    role: str
    content: str

    def to_plain(self) -> dict[str, str]:
        """Plain data for JSON."""
        return {"content": self.content, "role": self.role}


@record
class ChatFrame:
    """What a template puts around and between messages.

    Parameters
    ----------
    before_user, after_user : Parts
        Before the first message where that is the user's (a default system prompt, say), and after
        the last one, the user's: there the assistant begins.
    before_system, system_to_user : Parts or None
        Around a system message; None where the template takes none.
    user_to_assistant, assistant_to_user : Parts or None
        Between the messages of several turns; None where the template has one turn only.
    edges : str
        What becomes of white space at the ends of messages.
    """

    before_user: Parts
    after_user: Parts
    before_system: Parts | None = None
    system_to_user: Parts | None = None
    user_to_assistant: Parts | None = None
    assistant_to_user: Parts | None = None
    edges: str = "kept"

    @cached_property
    def longest_joint(self) -> int:
        """Most bytes of text that stand between two messages, or at an end."""
        joints = [getattr(self, name) or () for name in _JOINTS]
        return max(sum(len(p.encode("utf-8")) for p in j if isinstance(p, str)) for j in joints)

    def parts(self, messages: Sequence[Message]) -> list[Part]:
        """A conversation, as the template shows it (:meth:`seen`), in text and marks.

        Raises
        ------
        UsageError
            The template has no place for such a conversation.
        """
        messages = self.seen(messages)
        check_messages(messages)
        out: list[Part] = []
        last = ""
        for message in messages:
            joint: Parts | None
            if not last:
                joint = self.before_system if message.role == "system" else self.before_user
            else:
                joint = {
                    "system": self.system_to_user,
                    "user": self.user_to_assistant,
                    "assistant": self.assistant_to_user,
                }[last]
            if joint is None:
                what = "no system message" if "system" in (last, message.role) else "one turn only"
                raise UsageError(f"the model's chat template takes {what}")
            out += [*joint, message.content]
            last = message.role
        return [*out, *self.after_user]

    def seen(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Messages as the template shows them to the model.

        Raises
        ------
        UsageError
            A message has white space at an end, which the template would change.
        """
        if self.edges == "kept":
            return tuple(messages)
        bare = tuple(Message(m.role, m.content.strip()) for m in messages)
        if self.edges == "refused" and bare != tuple(messages):
            raise UsageError(
                "the model's chat template changes white space at the ends of messages; "
                "give them without it"
            )
        return bare

    def require_marks(self, special: Collection[int], where: str) -> None:
        """Raise :class:`FormatError` unless all ids among the parts are marks."""
        for name in _JOINTS:
            for part in getattr(self, name) or ():
                if isinstance(part, int) and part not in special:
                    raise FormatError(where, f"token {part} is text, not a mark")

    def to_plain(self) -> dict[str, Any]:
        """Plain data for the metadata of a commitment."""
        joints = {name: getattr(self, name) for name in _JOINTS}
        plain = {name: None if j is None else list(j) for name, j in joints.items()}
        return {**plain, "edges": self.edges}

    @classmethod
    def from_plain(cls, value: object, where: str, marks: Callable[[int], bool]) -> ChatFrame:
        """Inverse of :meth:`to_plain`.

        Parameters
        ----------
        value : object
            What was read from JSON.
        where : str
            What to blame, for errors.
        marks : callable
            Whether an id is a mark's.

        Raises
        ------
        FormatError
        """
        if not isinstance(value, Mapping) or value.keys() != {*_JOINTS, "edges"}:
            raise FormatError(where, "a chat frame lacks a part, or has one too many")
        if value["edges"] not in EDGES:
            raise FormatError(where, "no such rule for the ends of messages")
        joints = {name: _joint(value[name], where, marks) for name in _JOINTS}
        before, after = joints.pop("before_user"), joints.pop("after_user")
        if before is None or after is None:
            raise FormatError(where, "a chat frame without a user")
        pairs = (("before_system", "system_to_user"), ("user_to_assistant", "assistant_to_user"))
        if any((joints[a] is None) != (joints[b] is None) for a, b in pairs):
            raise FormatError(where, "half of a chat frame's part")
        return cls(before, after, edges=value["edges"], **joints)


def _joint(value: object, where: str, marks: Callable[[int], bool]) -> Parts | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > MAX_MESSAGES:
        raise FormatError(where, "a part of a chat frame is no list")
    for part in value:
        text = isinstance(part, str) and part and len(part.encode("utf-8", "replace"))
        if text:
            if text > MAX_PART_BYTES or not is_unicode(part):
                raise FormatError(where, "a chat frame's text is too long, or no text")
        elif type(part) is not int or not marks(part):
            raise FormatError(where, "a chat frame holds something that is neither text nor mark")
    return tuple(value)


def is_unicode(text: str) -> bool:
    """Whether a text has no half of a character."""
    return not any(0xD800 <= ord(c) < 0xE000 for c in text)


def as_messages(given: Sequence[Message | tuple[str, str] | Mapping[str, str]]) -> list[Message]:
    """Messages from ``(role, content)``, or from mappings with those two names.

    A content may also be a list of ``{"type": "text", "text": ...}``, as clients of chat services
    write it; the texts are one after the other.

    Raises
    ------
    UsageError
        One is neither, or holds something else than text.
    """
    if isinstance(given, str | Mapping) or not isinstance(given, Sequence):
        raise UsageError("messages are a list of (role, content)")
    out = []
    for one in given:
        if isinstance(one, Mapping):
            pair: tuple[Any, ...] = (one.get("role"), _joined(one.get("content")))
            extra = one.keys() - {"role", "content"}
        elif isinstance(one, Message):
            pair, extra = (one.role, one.content), set()
        else:
            pair, extra = tuple(one) if isinstance(one, tuple | list) else (), set()
        if len(pair) != 2 or extra or not all(isinstance(x, str) for x in pair):
            raise UsageError("a message is a role and a content, both text")
        out.append(Message(*pair))
    check_messages(out)
    return out


def _joined(content: Any) -> Any:
    """A content's text; itself where it is no list of texts."""
    if not isinstance(content, list) or not content:
        return content
    texts: list[str] = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str) or part != {"type": "text", "text": text}:
            return content
        texts.append(text)
    return "".join(texts)


def check_messages(messages: Sequence[Message]) -> None:
    """Raise :class:`UsageError` unless messages are a conversation that a model may answer."""
    roles = [m.role for m in messages]
    if len(roles) > MAX_MESSAGES:
        raise UsageError(f"a conversation has at most {MAX_MESSAGES} messages")
    turns = roles[1:] if roles[:1] == ["system"] else roles
    wanted = ["user" if i % 2 == 0 else "assistant" for i in range(len(turns))]
    if turns != wanted or len(turns) % 2 == 0:
        raise UsageError(
            "a conversation is a system message or none, then user and assistant in turn, the last "
            f"message the user's; this one has the roles {', '.join(roles)[:200] or 'of nobody'}"
        )
    for message in messages:
        if not message.content:
            raise UsageError(f"a message of the {message.role} is empty")


def encode_parts(parts: Sequence[Part], encode: Callable[[str, bool], list[int]]) -> list[int]:
    """Token ids of text and marks: text between two marks is encoded as a whole.

    Parameters
    ----------
    parts : sequence of str or int
        Text and marks.
    encode : callable
        Encodes a text; told whether it begins the whole.

    Raises
    ------
    UsageError
        A text has no encoding.
    """
    ids: list[int] = []
    run = ""
    for part in (*parts, None):
        if isinstance(part, str):
            run += part
            continue
        if run:
            ids += encode(run, not ids)
            run = ""
        if part is not None:
            ids.append(part)
    return ids
