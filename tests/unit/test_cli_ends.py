"""How the process of a command ends."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import atexit, gc
atexit.register(lambda: print(gc.get_freeze_count() > 0))  # called after what is registered later
import veracity.cli
print(gc.get_freeze_count() > 0)
"""


def test_everything_is_set_apart_when_the_process_ends_and_not_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
