"""The public face, written down: a change here is a decision, not an accident.

After a deliberate change: ``cd tests/architecture; python test_public_api.py > public_api.txt``.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import veracity

SNAPSHOT = Path(__file__).with_name("public_api.txt")


def describe(name: str) -> list[str]:
    value = getattr(veracity, name)
    if not inspect.isclass(value):
        return [f"{name}{inspect.signature(value)}"]
    bases = ", ".join(base.__name__ for base in value.__bases__)
    lines = [f"class {name}({bases})"]
    if dataclasses.is_dataclass(value):
        lines += [f"    {field.name}: {field.type}" for field in dataclasses.fields(value)]
    for member, body in sorted(vars(value).items()):
        if member.startswith("_"):
            continue
        if isinstance(body, property):
            lines.append(f"    {member} (property)")
        elif isinstance(body, classmethod):
            lines.append(f"    {member}{inspect.signature(body.__func__)} (class method)")
        elif inspect.isfunction(body):
            lines.append(f"    {member}{inspect.signature(body)}")
    return lines


def face() -> str:
    lines = [line for name in sorted(veracity.__all__) for line in describe(name)]
    return re.sub(r"<function (\w+) at 0x[0-9a-f]+>", r"\1", "\n".join(lines)) + "\n"


def test_public_api_is_the_one_written_down() -> None:
    assert face() == SNAPSHOT.read_text(encoding="utf-8")


def test_every_public_name_resolves_and_is_documented() -> None:
    for name in veracity.__all__:
        assert inspect.getdoc(getattr(veracity, name)), name
    assert set(veracity.__all__) <= set(dir(veracity))


if __name__ == "__main__":
    print(face(), end="")
