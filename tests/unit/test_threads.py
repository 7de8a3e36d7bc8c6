"""Who computes: the pool's threads alone, or the caller with them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

# Results on the caller's thread, on another while the caller works, and on another while it waits.
# A pool that had only the caller would leave the last one to nobody.
PROGRAM = """
import os

import numpy as np

from veracity import threads
from veracity.engine import load_engine

if {caller}:
    threads.let_caller_compute()
engine = load_engine()
from veracity.zk.background import BackgroundCall

others = len(os.listdir("/proc/self/task")) - 1
n = 1 << 16
many = engine.from_small(np.arange(n))

def product():
    return engine.to_ints(engine.mul(many, many))

expected = [i * i for i in range(n)]
assert product() == expected
with BackgroundCall(product) as beside:
    assert product() == expected
with BackgroundCall(product) as alone:
    assert alone.result() == beside.result() == expected
print(engine.threads, others)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads as Linux does")
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("caller", [False, True])
def test_the_caller_computes_where_another_is_beside_it(caller: bool, threads: int) -> None:
    environment = {**os.environ, "RAYON_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(caller=caller)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    missing = 1 if caller and threads > 1 else 0
    assert done.stdout.split() == [str(threads), str(threads - missing)]


@pytest.mark.parametrize(("command", "computes"), [("verify", True), ("serve", False)])
def test_commands_compute_and_services_serve(command: str, computes: bool) -> None:
    """Where threads of a service ask, none of those that compute waits for requests instead."""
    program = (
        "from click.testing import CliRunner; from veracity import cli, threads; "
        f"CliRunner().invoke(cli.main, ['{command}', 'missing']); print(threads.caller_computes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == str(computes)
