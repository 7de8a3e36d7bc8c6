"""Tables of private inference, and of networks beside another system."""

from __future__ import annotations

from collections.abc import Callable

from benches.tabling import Measured, Row, load, memory, plain, seconds, table

MODES = ("shuffled", "secure")
PEERS = ("SPU SEMI2K", "secure", "shuffled")
#: PermLLM (arXiv 2405.18744) on ChatGLM-6B at 10 ms and 1 Gbps, online seconds per token.
PERMLLM_S = 3


def private_token() -> list[str]:
    """SmolLM2, a token behind 64 others in both modes, and behind 512 in the stricter one."""
    names = [*(f"private-smollm2-{mode}" for mode in MODES), "private-smollm2-secure-512"]
    runs = [load(name) for name in names]

    def trips(run: Measured) -> str:
        count = run["round_trips_per_token"]
        return f"{plain(count * run['rtt_ms'] / 1000)} ({count:g})"

    def peaks(run: Measured) -> str:
        parties = ("owner", "user", "dealer")
        return ", ".join(f"{run['peak_memory_bytes'][p] / 1e9:.2f}" for p in parties)

    rows: list[tuple[str, Callable[[Measured], str]]] = [
        ("online, s", lambda run: plain(run["online_s_per_token"])),
        (f"of which round trips at {runs[0]['rtt_ms']:g} ms", trips),
        ("offline, s", lambda run: plain(run["offline_s_per_token"])),
        ("online, MB (equal to the formula)", lambda r: plain(r["online_bytes_per_token"] / 1e6)),
        ("offline, MB", lambda run: plain(run["offline_bytes_per_token"] / 1e6)),
        ("all tokens before it online, s", lambda run: plain(run["prefill_online_s"])),
        ("peak memory of owner, user, dealer, GB", peaks),
        ("once for each model, GB to the user", lambda run: plain(run["setup_bytes"] / 1e9)),
    ]  # fmt: skip
    return table(
        ["", *(f"`{run['mode']}`, context {run['context']}" for run in runs)],
        ([title, *(shown(run) for run in runs)] for title, shown in rows),
    )


def private_summary() -> list[str]:
    """Seconds and traffic of a token, for the front page."""
    runs = {mode: load(f"private-smollm2-{mode}") for mode in MODES}
    return table(
        ["mode", "online", "traffic online", "traffic before"],
        (
            [f"`{mode}`", f"{plain(run['online_s_per_token'])} s",
             f"{plain(run['online_bytes_per_token'] / 1e6)} MB",
             f"{plain(run['offline_bytes_per_token'] / 1e6)} MB"]
            for mode, run in runs.items()
        ),
    )  # fmt: skip


def private_long() -> list[str]:
    """A question with a long prompt, material dealt as it is used."""
    runs = [load(f"private-long-{mode}") for mode in MODES]
    peaks = ("owner", "user", "dealer")
    rows: list[tuple[str, Callable[[Measured], str]]] = [
        ("the whole question", lambda r: seconds(r["question_s"])),
        ("from the dealer, GB", lambda r: plain(r["question_offline_bytes"] / 1e9)),
        ("between owner and user, GB", lambda r: plain(r["question_online_bytes"] / 1e9)),
        ("material that waits at the user at most", lambda r: memory(r["stored_bytes_peak"])),
        ("peak memory of owner, user, dealer, GB",
         lambda r: ", ".join(f"{r['peak_memory_bytes'][p] / 1e9:.2f}" for p in peaks)),
        ("then a token, online", lambda r: seconds(r["online_s_per_token"])),
        ("processor time of owner and user for it, s",
         lambda r: ", ".join(plain(v) for v in r["processor_s_per_token"].values())),
        ("at commit", lambda r: f"`{r['commit']}`"),
    ]  # fmt: skip
    return table(
        [f"prompt of {runs[0]['context']:,} tokens", *(f"`{mode}`" for mode in MODES)],
        ([title, *(shown(run) for run in runs)] for title, shown in rows),
    )


def private_tokens() -> list[str]:
    """Private tokens beside the program's."""
    names = ["private-tokens", *(f"private-tokens-stories260k-{mode}" for mode in MODES)]
    runs = [load(name) for name in names]
    models = ["SmolLM2", *["stories260K"] * len(MODES)]
    gaps = [sorted(gap for answer in run["answers"] for gap in answer["gaps"]) for run in runs]
    rows: list[tuple[str, Callable[[Measured], str]]] = [
        ("questions", lambda run: str(len(run["answers"]))),
        ("tokens", lambda run: f"{run['tokens']:,}"),
        ("the program's", lambda run: f"{run['equal']:,}"),
        ("answers that are the program's in every token",
         lambda run: str(sum(not answer["gaps"] for answer in run["answers"]))),
        ("at commit", lambda run: f"`{run['commit']}`"),
    ]  # fmt: skip
    return table(
        ["", *(f"{m}, `{run['mode']}`" for m, run in zip(models, runs, strict=True))],
        [
            *([title, *(shown(run) for run in runs)] for title, shown in rows),
            ["where not, the program's logits were apart by",
             *(", ".join(map(str, found)) for found in gaps)],
        ],
    )  # fmt: skip


def private_layer() -> list[str]:
    """A layer of ChatGLM-6B's size, times its layers."""
    runs = [load(f"private-layer-{mode}") for mode in MODES]
    whole = [run["whole"] for run in runs]

    def each(shown: Callable[[Measured], str]) -> list[str]:
        return [shown(run) for run in whole]

    def traffic(time: str, size: str) -> list[str]:
        return each(lambda run: f"{plain(run[time])} ({plain(run[size] / 1e6)} MB)")

    return table(
        [f"seconds per token, {runs[0]['layers']} layers", *(f"`{mode}`" for mode in MODES),
         "PermLLM as published"],
        [
            ["online", *each(lambda r: plain(r["online_s"])), str(PERMLLM_S)],
            ["round trips at 10 ms",
             *each(lambda r: f"{plain(r['latency_s'])} ({r['round_trips']:g})"), ""],
            ["traffic at 1 Gbps",
             *traffic("transfer_s", "online_bytes"), ""],
            ["compute, sockets, emulation", *each(lambda r: plain(r["compute_s"])), ""],
            ["offline", *traffic("offline_s", "offline_bytes"), ""],
        ],
    )  # fmt: skip


def private_peers() -> list[str]:
    """A GPT-2-size pass beside SPU."""
    found = load("private-peers")["systems"]
    rows = (
        ("online, s", "online_s", 1.0),
        ("exchanges", "exchanges", 1.0),
        ("online, MB", "online_bytes", 1e6),
        ("offline, s", "offline_s", 1.0),
        ("offline, MB", "offline_bytes", 1e6),
        ("peak memory, all parties, GB", "peak_memory_bytes", 1e9),
    )
    systems = [name for name in PEERS if name in found]
    return table(
        ["", *systems],
        (
            [title, *(plain(found[s][key] / unit) if key in found[s] else "" for s in systems)]
            for title, key, unit in rows
        ),
    )


def vision_peers() -> list[str]:
    """A CNN here and by EZKL, stage by stage, in processor time."""
    found = load("vision-peers")["systems"]
    pairs = (("import", "calibrate"), ("", "srs"), ("commit", "setup"), ("", "witness"),
             ("prove", "prove"), ("verify", "verify"))  # fmt: skip

    def cells(system: str, stage: str) -> Row:
        measured = found[system].get(stage)
        if measured is None:
            return ["", "", ""]
        if "cpu_s" not in measured:
            why = measured.get("failed", "stopped")
            peak = measured.get("peak_memory_bytes")
            told = f"{why} after {seconds(measured['seconds'])}"
            return [told, memory(peak) if peak else "", ""]
        size = sum(measured["bytes"].values())
        return [seconds(measured["cpu_s"]), memory(measured["peak_memory_bytes"]), f"{size:,}"]

    return table(
        ["here", "processor", "peak memory", "bytes", "EZKL", "processor", "peak memory", "bytes"],
        [
            [ours, *cells("veracity", ours), theirs, *cells("EZKL", theirs)]
            for ours, theirs in pairs
        ],
    )
