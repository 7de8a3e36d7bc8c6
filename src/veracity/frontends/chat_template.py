"""A chat template's split frame, found by rendering it: Jinja, in a sandbox, at import only.

Conversations of every shape are rendered with words that stand nowhere else, and what stands
between them is read off. A frame is kept only if it gives back every conversation that the
template renders; shapes that the template treats in another way are left out.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from veracity.errors import UsageError
from veracity.text.chat import ChatFrame, Message, Part

__all__ = ["split_frame"]

MAX_TEMPLATE = 1 << 16
MAX_RENDERED = 1 << 18
#: Most steps of a template's loops.
MAX_RANGE = 1 << 10
_WORDS = ("kwxsys", "kwxusa", "kwxasa", "kwxusb", "kwxasb", "kwxusc")
#: Conversations by the words that they have.
_SHAPES = {
    "user": (1,), "system": (0, 1), "turns": (1, 2, 3), "system turns": (0, 1, 2, 3),
    "more turns": (1, 2, 3, 4, 5), "more system turns": (0, 1, 2, 3, 4, 5),
}  # fmt: skip

Split = Callable[[str], Sequence[Part]]


def split_frame(
    template: str, split: Split, marks: Mapping[str, str | None]
) -> tuple[ChatFrame | None, str]:
    """The split frame of a template; None and why where it has none.

    Parameters
    ----------
    template : str
        The Jinja text.
    split : callable
        Parts a text at the names of marks.
    marks : mapping
        ``bos_token``, ``eos_token`` and others that templates name.

    Returns
    -------
    (ChatFrame or None, str)
        The frame and what is to be said about it, or why there is none.
    """
    if len(template) > MAX_TEMPLATE:
        return None, f"the chat template is longer than {MAX_TEMPLATE} characters"
    render = _renderer(template, marks)
    found = {name: _joints(render, shape) for name, shape in _SHAPES.items()}
    one = found["user"]
    if one is None:
        return None, "the chat template does not render one message of a user"
    before, after = one
    turns = system = None
    seen = found["turns"]
    if seen and found["more turns"] == (before, *seen[1:3], *seen[1:3], after):
        turns = seen[1:3] if (seen[0], seen[3]) == (before, after) else None
    if (seen := found["system"]) and seen[2] == after:
        system = seen[:2]
    if system and turns:
        several, more = found["system turns"], found["more system turns"]
        if several != (*system, *turns, after) or more != (*system, *turns, *turns, after):
            system = None
    edges = _edges(render, bool(turns))

    def parted(text: str) -> tuple[Part, ...]:
        return tuple(split(text))

    before_system, system_to_user = map(parted, system) if system else (None, None)
    user_to_assistant, assistant_to_user = map(parted, turns) if turns else (None, None)
    frame = ChatFrame(
        parted(before),
        parted(after),
        before_system,
        system_to_user,
        user_to_assistant,
        assistant_to_user,
        edges,
    )
    notes = []
    if not system:
        notes.append("it takes no system message")
    if not turns:
        notes.append("it takes one turn only")
    if render.dated:
        notes.append("it states the date, which stays that of the import")
    return frame, "; ".join(notes)


class _Rendered:
    """Renders conversations; None where the template refuses one."""

    def __init__(self, template: Any, given: Mapping[str, Any]) -> None:
        self.template, self.given, self.dated = template, given, False

    def __call__(self, messages: Sequence[Message]) -> str | None:
        plain = [m.to_plain() for m in messages]
        try:
            text = self.template.render(
                messages=plain, add_generation_prompt=True, tools=None, documents=None,
                strftime_now=self._now, **self.given,
            )  # fmt: skip
        except Exception:  # a template raises whatever it likes
            return None
        return text if len(text) <= MAX_RENDERED else None

    def _now(self, form: str) -> str:
        self.dated = True
        return time.strftime(form)


def _renderer(template: str, marks: Mapping[str, str | None]) -> _Rendered:
    try:
        import jinja2
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise UsageError(
            "this model's chat template needs the `jinja2` package; pip install 'veracity[import]'"
        ) from error

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(("*", "**"))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if not all(isinstance(x, int | float) and abs(x) < MAX_RANGE for x in (left, right)):
                raise jinja2.TemplateError("a product of something that is no small number")
            return super().call_binop(context, operator, left, right)

    def refuse(message: str = "") -> NoReturn:
        raise jinja2.TemplateError(message)

    def short(*bounds: int) -> range:
        wanted = range(*bounds)
        return wanted if len(wanted) <= MAX_RANGE else refuse("a range that is too long")

    def to_json(value: Any, **options: Any) -> str:
        return json.dumps(value, ensure_ascii=False, indent=options.get("indent"))

    sandbox = Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    sandbox.globals |= {"raise_exception": refuse, "range": short}
    sandbox.filters["tojson"] = to_json
    try:
        made: Any = sandbox.from_string(template)
    except Exception:  # the parser raises more than its own errors
        made = None
    return _Rendered(made, {k: v for k, v in marks.items() if v is not None})


def _conversation(shape: Sequence[int], around: str = "") -> list[Message]:
    roles = ("system", "user", "assistant", "user", "assistant", "user")
    return [Message(roles[i], f"{around}{_WORDS[i]}{around}") for i in shape]


def _joints(render: _Rendered, shape: Sequence[int]) -> tuple[str, ...] | None:
    """What stands before, between and after the words; None unless each stands there once."""
    rest = render(_conversation(shape))
    if rest is None:
        return None
    out = []
    for i in shape:
        joint, found, rest = rest.partition(_WORDS[i])
        if not found:
            return None
        out.append(joint)
    out.append(rest)
    return tuple(out) if not any(word in joint for joint in out for word in _WORDS) else None


def _edges(render: _Rendered, turns: bool) -> str:
    """What the template does to white space at the ends of messages."""
    shape = _SHAPES["turns" if turns else "user"]
    plain = render(_conversation(shape)) or ""
    padded = render(_conversation(shape, "\n ")) or ""
    kept = plain
    for i in shape:
        kept = kept.replace(_WORDS[i], f"\n {_WORDS[i]}\n ")
    return "kept" if padded == kept else "dropped" if padded == plain else "refused"
