"""Keys, rates, and refusals that take a whole pass."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from veracity.errors import FormatError, RequestError, UsageError
from veracity.server.evaluator import Pace
from veracity.server.limits import Doors, check_name, new_key, read_keys


def keys_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "keys"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_key_is_known_by_its_hash(tmp_path: Path) -> None:
    key, line = new_key("a")
    keys = read_keys(keys_file(tmp_path, f"# people\n\n{line}"))
    assert keys == {hashlib.sha256(key.encode()).hexdigest(): "a"}
    doors = Doors(keys, 1, 1)
    assert doors.name_of(f"Bearer {key}") == "a"
    for header in (None, "", key, f"Basic {key}", f"Bearer {key[:-1]}", "Bearer \udcff"):
        with pytest.raises(RequestError) as refused:
            doors.name_of(header)
        assert refused.value.status == 401


def test_keys_files_that_are_none(tmp_path: Path) -> None:
    _, line = new_key("a")
    for text in ("", "a b\n", line + line, line + line.replace("a", "c", 1) + "x"):
        with pytest.raises(FormatError):
            read_keys(keys_file(tmp_path, text))
    with pytest.raises(UsageError, match="chmod"):
        read_keys(keys_file(tmp_path, line, 0o644))
    for name in ("", "a b", "a\n", "x" * 65):
        with pytest.raises(UsageError):
            check_name(name)


def test_a_key_may_ask_so_often_and_so_much_at_a_time() -> None:
    now = [0.0]
    doors = Doors({}, 2, 1, lambda: now[0])
    with doors.enter("a"), pytest.raises(RequestError, match="at a time"), doors.enter("a"):
        pass
    with doors.enter("a"):
        pass
    with pytest.raises(RequestError) as late, doors.enter("a"):
        pass
    assert late.value.retry_after is not None
    with doors.enter("b"):
        pass
    now[0] += late.value.retry_after
    with doors.enter("a"):
        pass


def test_a_refusal_is_sent_after_whole_passes() -> None:
    pace = Pace()
    assert pace.remaining(10, 0.5) == 0.0
    pace.record(10, 1.0)
    early, late = (t + pace.remaining(10, t) for t in (0.01, 1.9))
    assert early == pytest.approx(late) == pytest.approx(2.0)
    assert 2.5 + pace.remaining(10, 2.5) == pytest.approx(4.0)
