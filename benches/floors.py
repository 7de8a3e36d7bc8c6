"""Every phase of a proof beside the least that its counts could cost here: `make bench-floors`.

Compiles ``benches/floors/floors.cpp`` for this machine, runs its kernels with as many threads
beside each other as the prover has, and proves with each model in a process of its own. All times
are processor time, so that other work on the machine disturbs them little.

    benches/floors.py NAME:TOKENS ... [--work FOLDER] [--json FILE]

A name is one of ``benches/scale.py``'s, or the path of a calibrated program. ``system`` is the
share of a proof's processor time that the kernel of the operating system takes; ``python`` that of
the thread that proves, outside of calls into the compiled engine (NumPy's loops included);
``faults`` are first touches of pages, and ``faults_s`` what so many take where memory is at hand.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scale import program, veracity

from veracity import zkml
from veracity.benchmarks.proving import TEXT, PhaseClock, checkout, cpu_name
from veracity.lm.text_decoder import ports_of
from veracity.progress import silent
from veracity.proving.answering import answer_tokens
from veracity.proving.opened import load_secret
from veracity.proving.prove import prove_tokens
from veracity.work.programs import integer_program, load_program

SOURCE = Path(__file__).parent / "floors"
BUILD = Path("build") / "floors"
WORKLOADS = ("stories260k:64", "gpt2-124m:32", "smollm2:32")
#: Bits of a committed value, and of a scalar.
VALUE_BITS, SCALAR_BITS = 16, 255
#: GCC warns of what its own header leaves undefined on purpose.
FLAGS = (
    *("-std=c++20", "-O3", "-march=native", "-pthread", "-Wall", "-Wextra"),
    *("-Wno-uninitialized", "-Wno-maybe-uninitialized"),
)


def measured_floors(threads: int) -> dict[str, Any]:
    """Compile the kernels and time them.

    Parameters
    ----------
    threads : int
        How many run beside each other.
    """
    BUILD.mkdir(parents=True, exist_ok=True)
    target = BUILD / "floors"
    compiler = os.environ.get("CXX", "c++")
    command = [compiler, *FLAGS, "-o", str(target), str(SOURCE / "floors.cpp")]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        raise SystemExit(f"no C++ compiler {compiler}; install one, or set CXX") from None
    printed = subprocess.run(
        [str(target.resolve()), str(threads)], check=True, capture_output=True, text=True
    ).stdout
    found: dict[str, Any] = json.loads(printed)
    return found


def additions(count: int, bits: int) -> float:
    """Additions of points for each scalar of so many bits in a sum of ``count``: Pippenger's.

    Signed digits; every bucket takes part in two more additions. The best window counts.

    Parameters
    ----------
    count : int
        Scalars of the sum.
    bits : int
        Of each of them.
    """
    best = float("inf")
    for window in range(2, 17):
        digits = -(-bits // window)
        best = min(best, digits * (count + (2 << (window - 1))) / count)
    return best


def phase_floors(costs: zkml.Costs, ns: dict[str, float]) -> dict[str, tuple[str, float | None]]:
    """What each phase counts, and the seconds that it takes at least.

    Parameters
    ----------
    costs : Costs
        Counts of a proof in one segment.
    ns : dict
        Nanoseconds by kernel.
    """
    row = costs.generators
    slots = row + costs.hidden_values
    # Challenges in a row lie between: a weight is bound as an operand, then along its inner axes,
    # then along its outer ones; a value of the witness along inner and outer ones.
    bound = 3 * costs.weights + 2 * costs.committed_values
    # every entry of a table is a fraction beside those of the lookups
    leaves = costs.lookups + costs.table_entries
    floors: dict[str, tuple[str, float | None]] = {
        "evaluate": (f"{costs.weights:,} weights", None),
        "commit": (
            f"{costs.committed_values:,} values",
            costs.committed_values * additions(row, VALUE_BITS) * ns["addition_ns"],
        ),
        "lookups": (
            f"{costs.lookups:,} lookups, {costs.table_entries:,} entries of tables",
            leaves * ns["lookup_ns"],
        ),
        "products": (
            f"{costs.product_values:,} entries, {bound:,} times a weight or value is bound",
            costs.product_values * ns["product_ns"] + bound * ns["weight_ns"],
        ),
        # a fold halves what is left: twice the first sum in all
        "opening": (
            f"{row:,} entries, {costs.hidden_values:,} slots",
            2 * slots * additions(slots, SCALAR_BITS) * ns["addition_ns"],
        ),
    }
    return {
        name: (count, None if time_ns is None else time_ns / 1e9)
        for name, (count, time_ns) in floors.items()
    }


# ---- a proof that is watched ---------------------------------------------------------------------
class Watch:
    """Processor time of this thread within the compiled engine."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def install(self) -> None:
        """Have every function and object of the compiled module timed."""
        from veracity.engine import _cpu

        for name in _cpu.__all__:
            setattr(_cpu, name, self.timed(getattr(_cpu, name)))

    def timed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same, timed; objects that it makes have their methods timed."""

        def call(*given: Any) -> Any:
            started = time.thread_time()
            try:
                found = work(*given)
            finally:
                self.seconds += time.thread_time() - started
            return _Timed(found, self) if isinstance(work, type) else found

        return call


class _Timed:
    """An object of the engine whose methods are timed."""

    def __init__(self, inner: Any, watch: Watch) -> None:
        self._inner, self._watch = inner, watch

    def __getattr__(self, name: str) -> Any:
        return self._watch.timed(getattr(self._inner, name))


def watched_proof(path: Path, tokens: int) -> dict[str, Any]:
    """Prove once, in this process, which did nothing before.

    Parameters
    ----------
    path : Path
        A program, its secret beside it.
    tokens : int
        Prompt and answer; a quarter is the prompt.
    """
    import veracity.cli  # noqa: F401 (searches for cycles as seldom as the command line does)
    from veracity.threads import let_caller_compute

    let_caller_compute()  # as there
    watch = Watch()
    watch.install()
    loaded, secret = load_program(path), load_secret(path.with_suffix(".vsec"))
    frame = secret.commitment.metadata.frames["raw"]
    prompt = [*frame.before, *loaded.encode(TEXT * (1 + tokens // 64))][: tokens // 4]
    answer = answer_tokens(loaded, prompt, tokens - len(prompt), silent)
    clock = PhaseClock(silent)
    watch.seconds, before = 0.0, resource.getrusage(resource.RUSAGE_SELF)
    thread = time.thread_time()
    proof = prove_tokens(loaded, secret, prompt, answer, "raw", progress=clock)
    outside = time.thread_time() - thread - watch.seconds
    after = resource.getrusage(resource.RUSAGE_SELF)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    execution = zkml.Execution(
        integer_program(loaded), *ports_of(proof.tokens, proof.prompt_length), proof.cuts
    )
    return {
        "phases": clock.stop(),
        "cpu_s": user + system,
        "system": system / (user + system),
        "python": outside / (user + system),
        "faults": after.ru_minflt - before.ru_minflt,
        "costs": vars(zkml.count(execution)),
    }


def measure(workload: str, work: Path, ns: dict[str, float]) -> dict[str, Any]:
    """One workload: counts, processor time, floors, shares.

    Parameters
    ----------
    workload : str
        ``NAME:TOKENS``.
    work : Path
        Folder of programs.
    ns : dict
        Nanoseconds by kernel.
    """
    name, _, tokens = workload.rpartition(":")
    path = Path(name) if name.endswith(".vprog") else program(name, work)
    if not path.with_suffix(".vsec").exists():
        veracity("commit", path, "-q")
    done = subprocess.run(
        [sys.executable, __file__, "--watched", str(path), tokens],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    phases = {}
    floors = phase_floors(zkml.Costs(**found["costs"]), ns)
    for phase, (count, floor) in floors.items():
        phases[phase] = {"count": count, "cpu_s": found["phases"][phase]["cpu_s"]}
        if floor is not None:
            phases[phase]["floor_s"] = round(floor, 4)
    shares = {key: round(found[key], 4) for key in ("cpu_s", "system", "python")}
    pages = {"faults": found["faults"], "faults_s": round(found["faults"] * ns["page_ns"] / 1e9, 4)}
    return {"tokens": int(tokens), **shares, **pages, "phases": phases}


def show(name: str, found: dict[str, Any]) -> None:
    """Print one workload.

    Parameters
    ----------
    name : str
        The workload.
    found : dict
        What was measured.
    """
    print(
        f"\n{name}, {found['tokens']} tokens: {found['cpu_s']:.2f} s of processor time, "
        f"{found['system']:.1%} system, {found['python']:.1%} Python outside kernels; "
        f"{found['faults']:,} page faults, {found['faults_s']:.2f} s at the least"
    )
    for phase, row in found["phases"].items():
        floor = row.get("floor_s")
        beside = "" if floor is None else f"{floor:8.3f} s {row['cpu_s'] / floor:6.1f} x"
        print(f"  {phase:<10}{row['cpu_s']:8.3f} s{beside}   {row['count']}")


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", default=WORKLOADS, metavar="NAME:TOKENS")
    parser.add_argument("--work", type=Path, default=Path("build") / "scale")
    parser.add_argument("--json", type=Path, help="file to leave everything in")
    parser.add_argument("--watched", nargs=2, metavar=("PROGRAM", "TOKENS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watched:
        print(json.dumps(watched_proof(Path(given.watched[0]), int(given.watched[1]))))
        return
    given.work.mkdir(parents=True, exist_ok=True)
    threads = len(os.sched_getaffinity(0))
    floors = measured_floors(threads)
    print(
        f"{cpu_name()}, {floors['arithmetic']}, {threads} threads; nanoseconds: "
        + ", ".join(f"{n.removesuffix('_ns')} {v:g}" for n, v in floors.items() if "_ns" in n)
    )
    found: dict[str, Any] = {"cpu": cpu_name(), "commit": checkout(), "floors": floors}
    found["workloads"] = {}
    for workload in given.workloads:
        one = measure(workload, given.work, floors)
        name = Path(workload.rpartition(":")[0]).name.removesuffix(".vprog")
        found["workloads"][name] = one
        show(name, one)
    if given.json is not None:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
