"""Docstrings as the site shows them: roles of Sphinx become links, or code."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

_ROLE = re.compile(r":(class|func|meth|mod|data|attr|exc|math):`(~?)([^`]+)`")


class Roles(Extension):  # type: ignore[misc, unused-ignore]
    """Rewrite ``:func:`prove``` as a link where the site has the name, else as code."""

    def on_object(self, *, obj: Any, **_: Any) -> None:
        """Rewrite one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = _ROLE.sub(_shown, obj.docstring.value)


def _shown(found: re.Match[str]) -> str:
    role, short, name = found.groups()
    if role == "math":
        return f"${name}$"
    shown = name.rpartition(".")[2] if short else name
    return f"`{shown}`"
