"""What Ray runs on a machine: one process that works for a job, and nothing else.

Its arguments are all that Ray sees: an address, the name of a job, a number of threads.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from veracity.work.pool import THREADS

__all__ = ["work_for"]


def work_for(host: str, port: int, job: str, threads: int) -> int:
    """Work for a job until its process hangs up.

    Parameters
    ----------
    host, port : str, int
        Where that process listens.
    job : str
        Its name; nothing secret.
    threads : int
        Threads that prove.
    """
    paths = [str(Path(p).resolve()) for p in sys.path if p]
    environment = {
        **os.environ,
        **dict.fromkeys(THREADS, str(threads)),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    command = [sys.executable, "-P", "-m", "veracity.work.cluster.worker", host, str(port), job]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # ends with this process, and so does the other one
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        return process.wait()
