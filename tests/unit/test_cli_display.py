"""What the command line shows: sizes, times, progress, and text that stays text."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import redirect_stdout
from io import StringIO
from types import SimpleNamespace

import pytest

from veracity.cli.display import Bar, clock, flatten, show_table, size
from veracity.cli.output import emit_json
from veracity.cli.printable import printable, quoted
from veracity.progress import Forecast


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("a\rb", "a\ufffdb"),
        ("abc\u202edcba", "abc\ufffddcba"),
        ("naïve 東京", "naïve 東京"),
        ("\x9b2Jgone\x7f", "\ufffd2Jgone\ufffd"),
        ("a\u2028b\u2029c\x85d", "a\ufffdb\ufffdc\ufffdd"),
        ("half \ud83d", "half \ufffd"),
        ("\u2066hid\u2069\u200e\u061c\u200b\ufeff", "\ufffdhid" + "\ufffd" * 5),
        ("\U000e0041\U000e0042", "\ufffd\ufffd"),
        ("\U0001f600\U000e0067\U000e0062\U000e007f", "\U0001f600\ufffd\ufffd\ufffd"),
    ],
)
def test_control_characters_cannot_reach_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "می\u200cخواهم",
        "क्\u200dष",
        "\U0001f469\u200d\U0001f680",
        "\u2764\ufe0f\u200d\U0001f525",
        "\U0001f44b\U0001f3fd",
        "\U0001f1eb\U0001f1ee",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "\u0600\u06dd",
    ],
)
def test_what_scripts_and_emoji_need_is_printed(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert printable(text) == text
    show_table([("answer", text)])
    assert capsys.readouterr().out == f"answer   {text}\n"


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_an_answer_cannot_begin_a_row_of_its_own(
    end: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_table([("answer", f"x{end}result   ACCEPTED"), ("next", "y\nresult   ACCEPTED")])
    lines = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in lines] == ["answer", "next  ", "      "]


def test_a_name_from_a_file_is_no_row_and_drives_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "x\x1b[2J\nresult"
    show_table([*flatten({"stated": {name: "ACCEPTED", "y" * 5000: 1}}), ("next", "z")])
    lines = capsys.readouterr().out.splitlines()
    assert [line[:6] for line in lines] == ["stated", "stated", "next  "]
    assert not {"\x1b", "\t"} & set("".join(lines))
    assert max(map(len, lines)) < 300


def test_a_long_line_makes_no_other_line_long() -> None:
    """An answer of a megabyte may have half a million lines, and one of half a million."""
    with redirect_stdout(StringIO()):
        show_table([("answer", "x")])  # whatever is loaded
        tracemalloc.start()
        try:
            show_table([("answer", "x" * 4000 + "\n" * 4000)])
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()


def test_quotation_marks_show_what_is_not_seen() -> None:
    assert quoted('a"b\\\n\u202e\U000e0041\u200d') == '"a\\"b\\\\\\n\\u202e\\udb40\\udc41\u200d"'


def test_json_on_a_terminal_drives_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"answer": "\x1b[2J \x9b2J \u202e \ud83d \u2028 \U000e0041 naïve 東京"}
    emit_json(value)
    shown = capsys.readouterr().out
    assert json.loads(shown) == value
    assert "naïve 東京" in shown
    assert printable(shown) == shown


def test_a_table_in_a_pipe_is_not_wrapped_and_not_marked_up(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show_table([("digest", "ab" * 200), ("text", "[bold]x[/bold]")])
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["digest   " + "ab" * 200, "text     [bold]x[/bold]"]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 bytes"), (999, "999 bytes"), (118_000, "118.0 kB"), (5.2e9, "5.20 GB")],
)
def test_sizes(count: float, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.0123, "12 ms"), (2.04, "2.0 s"), (61, "1 min 01 s")]
)
def test_durations(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_flatten_names_nested_facts() -> None:
    assert flatten({"a_b": {"c": 1}, "d": "x"}) == [("a b c", 1), ("d", "x")]


def test_overall_share_follows_the_phases() -> None:
    forecast = Forecast({"load": 1.0, "prove": 3.0})
    assert forecast.left(1.0) is None
    assert forecast.note("load", 0.5) == pytest.approx(0.125)
    assert forecast.left(1.0) == pytest.approx(7.0)
    assert forecast.note("prove", 0.0) == pytest.approx(0.125)
    assert forecast.note("load", 1.0) == pytest.approx(0.25)
    assert forecast.note("prove", 1.0) == pytest.approx(1.0)
    assert forecast.left(1.0) is None
    assert 0 < forecast.note("surprise", 2.0) <= 1.0


def test_work_in_parts_is_forecast_by_what_is_done_of_every_phase() -> None:
    """Two parts of equal phases: half of the first phase is no more than a quarter of all."""
    forecast = Forecast({"commit": 1.0, "open": 1.0})
    told = [("commit", 0.5), ("open", 0.5), ("commit", 1.0), ("open", 1.0)]
    assert [forecast.note(*one) for one in told] == pytest.approx([0.25, 0.5, 0.75, 1.0])


def test_a_phase_without_word_is_done_when_a_later_one_begins() -> None:
    forecast = Forecast({"load": 1.0, "evaluate": 2.0, "prove": 1.0})
    assert forecast.note("prove", 0.0) == pytest.approx(0.75)


def test_a_bar_never_runs_backwards() -> None:
    """A phase may come twice, begin again, or be one that nobody foresaw."""
    forecast = Forecast({"load": 1.0, "evaluate": 2.0, "commit": 1.0})
    told = [("load", 1.0), ("evaluate", 0.9), ("evaluate", 0.0), ("surprise", 0.0)]
    told += [("commit", 0.5), ("evaluate", 1.0), ("surprise", 1.0), ("load", 0.0)]
    shown = [forecast.note(phase, share) for phase, share in told]
    assert shown == sorted(shown)


def test_off_a_terminal_only_long_phases_are_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 0.0, 0.0, 1.0, 1.0])
    clock = SimpleNamespace(monotonic=lambda: next(now, 9.0))
    monkeypatch.setattr("veracity.cli.display.time", clock)
    with Bar({}, quiet=False) as bar:
        bar("short", 0.0)
        bar("long", 0.0)
        bar("long", 1.0)
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == ["long: 8.0 s"]


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Bar({}, quiet=True) as bar:
        bar("phase", 1.0)
    assert capsys.readouterr() == ("", "")
