"""One committed model and one proved answer, made once for all tests of the command line."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from tests.e2e.house import PROMPT, House, done
from tests.e2e.offices import office

__all__ = ["office"]


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    made = House(tmp_path_factory.mktemp("house"))
    done("import", "stories260k", "--out", made.program, "-q")
    done("calibrate", made.program, "-q")
    done("commit", made.program, "--out", made.commitment, "--secret", made.secret, "-q")
    done(
        *("prove", made.program, "--secret", made.secret, "--prompt", PROMPT, "-q"),
        *("--max-new-tokens", 12, "--out", made.proof),
    )
    return made


@pytest.fixture(scope="module", autouse=True)
def mapped_files_are_closed() -> Iterator[None]:
    """Servers that end in this process leave mapped files to the next search for cycles."""
    yield
    gc.collect()
