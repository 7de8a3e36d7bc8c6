"""Notebooks of the documentation: run, with what they print written into them; shown as pages.

``python -m tools.site.notebooks FILE.ipynb`` runs one and records its outputs. A test runs the same
cells and compares. Jupyter is not needed for either.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from pathlib import Path
from typing import Any

#: Sizes and times differ from run to run, and are no promise; digests of fresh commitments do, too.
_MEASURED = re.compile(r"\b[\d.,]+(?= (?:kB|ms|s)\b)|\b[0-9a-f]{64}\b")


def run(notebook: dict[str, Any]) -> list[str]:
    """Run all cells of code in one namespace, in order.

    Returns
    -------
    list of str
        What each cell of code printed.
    """
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = []
    for place, cell in enumerate(cells(notebook, "code")):
        told = io.StringIO()
        code = compile("".join(cell["source"]), f"cell {place + 1}", "exec", dont_inherit=True)
        with contextlib.redirect_stdout(told):
            exec(code, namespace)  # noqa: S102 (the repository's own notebook)
        printed.append(told.getvalue())
    return printed


def recorded(notebook: dict[str, Any]) -> list[str]:
    """Return what the file says that each cell of code printed."""
    return ["".join(_text(cell)) for cell in cells(notebook, "code")]


def masked(printed: str) -> str:
    """Return an output without measured figures and digests, to be compared with another run's."""
    return _MEASURED.sub("#", printed)


def record(notebook: dict[str, Any], printed: list[str]) -> None:
    """Write the outputs into the notebook."""
    for place, (cell, text) in enumerate(zip(cells(notebook, "code"), printed, strict=True)):
        stream = {"name": "stdout", "output_type": "stream", "text": text.splitlines(keepends=True)}
        cell["outputs"] = [stream] if text else []
        cell["execution_count"] = place + 1


def markdown(notebook: dict[str, Any], name: str) -> str:
    """Return a notebook as a page; ``name`` is the file beside the page, to be loaded down."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        if printed := "".join(_text(cell)).rstrip():
            parts.append(f'```{{.text .output .no-copy title="prints"}}\n{printed}\n```')
    parts.append(f"This page is [a notebook]({name}), and a test runs its cells.")
    return "\n\n".join(parts) + "\n"


def cells(notebook: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """Return the cells of one kind."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == kind]


def _text(cell: dict[str, Any]) -> list[str]:
    return [line for output in cell["outputs"] for line in output["text"]]


def main() -> None:
    """Run the named notebooks and write their outputs into them."""
    for name in sys.argv[1:]:
        path = Path(name)
        notebook = json.loads(path.read_text(encoding="utf-8"))
        record(notebook, run(notebook))
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{name}: {len(cells(notebook, 'code'))} cells run")


if __name__ == "__main__":
    main()
