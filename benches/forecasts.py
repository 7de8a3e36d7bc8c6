"""How true the time left is that progress bars tell, and what share of the time each phase takes.

Run ``make bench-forecasts``, or ``.venv/bin/python benches/forecasts.py [PROGRAM ...]
[--tokens N]`` on calibrated ``.vprog`` files (without any: stories260K, made on the spot). Each is
committed to, also with exact widths, and one answer is proved; calls report their progress as they
would to a bar. A JSON line for each: seconds, the measured share of each phase, and what was
forecast at a quarter, a half and three quarters of the time, divided by what was really left then.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import veracity
from veracity.cli.proving import CALIBRATE_SHARES, COMMIT_SHARES, EXACT_SHARES
from veracity.formats.secret import Secret
from veracity.progress import PHASES, Forecast, Progress
from veracity.threads import let_caller_compute

MARKS = (0.25, 0.5, 0.75)


def watched(name: str, shares: Mapping[str, float], work: Callable[[Progress], object]) -> object:
    """Do work and print a line about its forecasts."""
    forecast, said = Forecast(shares), list[tuple[float, str, float | None]]()
    begun = time.perf_counter()

    def note(phase: str, share: float) -> None:
        forecast.note(phase, share)
        elapsed = time.perf_counter() - begun
        said.append((elapsed, phase, forecast.left(elapsed)))

    found = work(note)
    whole = time.perf_counter() - begun
    spent: dict[str, float] = dict.fromkeys(shares, 0.0)
    before = 0.0
    for at, phase, _ in said:
        spent[phase] = spent.get(phase, 0.0) + at - before
        before = at
    ratios = {}
    for mark in MARKS:
        known = [(at, left) for at, _, left in said if at <= mark * whole and left is not None]
        at, left = known[-1] if known else (0.0, None)
        ratios[str(mark)] = None if left is None else round(left / (whole - at), 2)
    body = {
        "work": name,
        "seconds": round(whole, 2),
        "shares": {phase: round(s / whole, 3) for phase, s in spent.items()},
        "forecast": ratios,
    }
    print(json.dumps(body), flush=True)
    return found


def measure(program: Path, tokens: int) -> None:
    """Commit to a program and prove an answer of it."""
    name, secret = program.stem, None
    for what, shares, exact in (
        ("commit", COMMIT_SHARES, False),
        ("commit --exact", EXACT_SHARES, True),
    ):

        def committed(note: Progress, exact: bool = exact) -> object:
            return veracity.commit(program, exact=exact, progress=note)

        pair = watched(f"{name}: {what}", shares, committed)
        secret = secret or (pair[1] if isinstance(pair, tuple) else None)
    if not isinstance(secret, Secret):
        raise TypeError("a commitment comes with its secret")
    opened = secret
    watched(
        f"{name}: prove, {tokens} tokens",
        PHASES,
        lambda note: veracity.prove(
            program, opened, "Once upon a time", max_new_tokens=tokens, raw=True, progress=note
        ),
    )


def main() -> None:
    """Run the command."""
    let_caller_compute()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", type=Path, nargs="*")
    parser.add_argument("--tokens", type=int, default=32)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not given.programs:
            made = Path(folder) / "stories260k.vprog"
            veracity.import_model("stories260k", made)
            watched(
                "stories260k: calibrate",
                CALIBRATE_SHARES,
                lambda note: veracity.calibrate(made, progress=note),
            )
            given.programs = [made]
        for program in given.programs:
            measure(program, given.tokens)


if __name__ == "__main__":
    main()
