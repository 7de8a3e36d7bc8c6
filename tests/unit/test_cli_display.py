"""What the command line shows: sizes, times, progress, and text that stays text."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from veracity.cli.display import Bar, clock, flatten, printable, show_table, size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b[2Jgone", "\ufffd[2Jgone"),
        ("a\rb", "a\ufffdb"),
        ("abc\u202edcba", "abc\ufffddcba"),
        ("naïve 東京", "naïve 東京"),
    ],
)
def test_control_characters_cannot_reach_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


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
    bar = Bar({"load": 1.0, "prove": 3.0}, quiet=True)
    assert bar.overall("load", 0.5) == pytest.approx(0.125)
    assert bar.overall("prove", 0.0) == pytest.approx(0.25)
    assert bar.overall("prove", 1.0) == pytest.approx(1.0)
    assert 0 < bar.overall("surprise", 2.0) <= 1.0


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
