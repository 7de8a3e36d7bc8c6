"""Nanoseconds per element of the operations that a proof spends its time in.

Run ``.venv/bin/python benches/kernels.py [--threads N]``; the best of three runs is printed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from veracity.engine import load_engine
from veracity.engine.api import FractionBlock


def best(work: Callable[[], object]) -> float:
    """Seconds of the fastest of three runs."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int)
    engine = load_engine("cpu", threads=parser.parse_args().threads)
    rng = np.random.default_rng(0)

    count = 1 << 18
    a, b = engine.random(count), engine.random(count)
    print(f"{engine.threads} threads\n{'operation':<40}{'ns per element':>16}")

    def row(title: str, elements: int, work: Callable[[], object]) -> None:
        print(f"{title:<40}{best(work) / elements * 1e9:>16.2f}")

    row("field multiplication", count, lambda: engine.mul(a, b))
    row("sumcheck round, a * b", count, lambda: engine.product_round(a, b, count))
    row("fold", count, lambda: engine.fold(a, count, 12345))
    row("eq table", count, lambda: engine.eq(engine.to_ints(a[:18]), count))
    block = FractionBlock((64, count // 64), None, a)
    row("LogUp levels", count, lambda: engine.fraction_tree([block]))

    vector = engine.random(2048)
    for dtype in (np.int8, np.int16):
        limit = np.iinfo(dtype).max
        matrix = rng.integers(-limit, limit, (1, 2048, 2048), dtype=dtype)
        name = np.dtype(dtype).name
        row(
            f"contract {name}, W e",
            matrix.size,
            lambda m=matrix: engine.contract(m[0][..., None], vector),
        )
        row(f"contract {name}, e^T W", matrix.size, lambda m=matrix: engine.contract(m, vector))
        width = 1 << 12
        bases = engine.generators("veracity bench", width)
        index = np.arange(width, dtype=np.int64)
        values = rng.integers(-limit, limit, (32, width), dtype=dtype)
        row(
            f"Pedersen rows of {width}, {name}",
            values.size,
            lambda v=values, i=index, g=bases: engine.commit_rows(v, i, g),
        )
    for log in (12, 14):
        points, scalars = engine.generators("veracity bench", 1 << log), engine.random(1 << log)
        row(f"MSM of 2^{log}", 1 << log, lambda g=points, s=scalars: engine.msm(g, s))


if __name__ == "__main__":
    main()
