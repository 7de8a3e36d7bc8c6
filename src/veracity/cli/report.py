"""`--report FILE`: a verdict as one HTML file that an auditor can keep.

The page has no script and loads nothing; its policy forbids both. Everything that is shown in it
comes from files of strangers: it stands in the page as text, unseen characters made visible.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from veracity.cli.inputs import NewFile
from veracity.cli.printable import quoted, seen
from veracity.codec import check_target, write_file
from veracity.codec.files import reason_of
from veracity.errors import UsageError

__all__ = ["Report", "note_tables", "note_verdict", "page", "report_option"]

Command = TypeVar("Command", bound=Callable[..., Any])
Rows = list[tuple[str, object]]
_META = "veracity.report"
#: How reports begin, as a page and as JSON: nothing else is written over.
_PAGE = (
    '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    '<meta http-equiv="Content-Security-Policy" content="'
)
_PLAIN = '{"verdict": "'
_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h1.ok { color: light-dark(#0a6b2d, #5fd08a) }
h1.no { color: light-dark(#a3121f, #ff8a93) }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 }
th { text-align: left; vertical-align: top; padding: .3rem 1rem .3rem 0; width: 12rem }
td { padding: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate }
tr + tr { border-top: 1px solid #8884 }
caption { text-align: left; font-weight: bold }
"""


@dataclass
class Report:
    """What is to be written.

    Attributes
    ----------
    path : Path
        Where.
    command : str
        What was run, for whoever repeats it.
    word : str
        The verdict; empty while there is none.
    code : int
        Its exit code.
    tables : list
        Captions and rows.
    """

    path: Path
    command: str
    word: str = ""
    code: int = 0
    tables: list[tuple[str, Rows]] = field(default_factory=list)


def report_option(command: Command) -> Command:
    """``--report``: also write the verdict as a page."""
    return click.option(
        "--report",
        type=NewFile(),
        callback=_begin,
        expose_value=False,
        help="Also write the verdict as one HTML page to keep; .json: its tables, for programs.",
    )(command)


def _begin(ctx: click.Context, _parameter: click.Parameter, path: Path | None) -> None:
    if path is None:
        return
    require_report(path)
    report = ctx.meta[_META] = Report(path, ctx.command_path)

    def write() -> None:
        if ctx.params.get("as_json"):
            raise UsageError("a report is made of tables; leave out --json")
        if not report.word:
            return  # there is no verdict
        make = plain if path.suffix == ".json" else page
        write_file(path, make(report, _settings(ctx), datetime.now(UTC)).encode("utf-8"))

    ctx.call_on_close(write)


def require_report(path: Path) -> None:
    """Raise :class:`UsageError` unless a report may be written here: over nothing but another.

    What a command reads is no report, so it is safe as well.
    """
    check_target(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(_PAGE))
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"cannot write {path.name!r}: {reason_of(error)}") from None
    if start and not start.startswith((_PAGE.encode(), _PLAIN.encode())):
        raise UsageError(f"{path.name!r} exists and is not a report; choose another name")


def _settings(ctx: click.Context) -> Rows:
    """The arguments of a command that were given."""
    given = {n: v for n, v in ctx.params.items() if v not in (None, (), False)}
    return [(n.replace("_", " "), _told(v)) for n, v in given.items()]


def _told(value: object) -> str:
    parts = value if isinstance(value, tuple | list) else [value]
    return ", ".join(p.name if isinstance(p, Path) else quoted(str(p)) for p in parts)


def _current() -> Report | None:
    ctx = click.get_current_context(silent=True)
    return None if ctx is None else ctx.meta.get(_META)


def note_verdict(word: str, code: int) -> None:
    """The first line of a verdict, for a report if one is wanted."""
    report = _current()
    if report is not None:
        report.word, report.code = word, code


def note_tables(rows: Rows, title: str | None) -> None:
    """A table of a verdict, likewise."""
    report = _current()
    if report is not None:
        report.tables.append((title or "", list(rows)))


def text_of(value: object) -> str:
    """Text as a page may have it: as text, and no character of it unseen."""
    import html  # a table of all its names, and few verdicts become pages

    shown = "".join(
        c if c == "\n" or seen(c) else f"\N{REPLACEMENT CHARACTER}[U+{ord(c):04X}]"
        for c in str(value)
    )
    return html.escape(shown, quote=True)


def page(report: Report, settings: Rows, now: datetime) -> str:
    """The page.

    Parameters
    ----------
    report : Report
        The verdict.
    settings : list of (str, object)
        Arguments of the command.
    now : datetime
        When it was written.
    """
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    body = "\n".join(_table(caption, rows) for caption, rows in _tables(report, settings, now))
    mark = "no" if report.code else "ok"
    return (
        f'{_PAGE}{text_of(policy)}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text_of(report.word)}: veracity</title>\n<style>{_STYLE}</style>\n</head>\n"
        f'<body>\n<h1 class="{mark}">{text_of(report.word)}</h1>\n{body}\n</body>\n</html>\n'
    )


def plain(report: Report, settings: Rows, now: datetime) -> str:
    """The same as JSON: the verdict, its exit code, and tables of names and values.

    Parameters
    ----------
    report : Report
        The verdict.
    settings : list of (str, object)
        Arguments of the command.
    now : datetime
        When it was written.
    """
    tables = [
        {"title": title, "rows": [[name, str(value)] for name, value in rows]}
        for title, rows in _tables(report, settings, now)
    ]
    return json.dumps({"verdict": report.word, "exit": report.code, "tables": tables}) + "\n"


def _tables(report: Report, settings: Rows, now: datetime) -> list[tuple[str, Rows]]:
    """All tables of a report, how it was made among them."""
    from veracity import __version__

    repeat: Rows = [
        ("command", report.command),
        *settings,
        ("exit code", report.code),
        ("version", f"veracity {__version__}"),
        ("written", now.isoformat(timespec="seconds")),
        ("how to repeat", "Run this command with these files; nothing else decides the verdict."),
    ]
    return [*report.tables, ("how this was checked", repeat)]


def _table(caption: str, rows: Rows) -> str:
    lines = "\n".join(
        f'<tr><th scope="row">{text_of(name)}</th><td>{text_of(value)}</td></tr>'
        for name, value in rows
        if name or value
    )
    head = f"<caption>{text_of(caption)}</caption>\n" if caption else ""
    return f"<table>\n{head}{lines}\n</table>"
