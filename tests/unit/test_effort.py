"""How long a check may take is told before it begins, and more only where it is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

import veracity
from tests.support.network_files import save_network
from tests.support.publisher import checked, decoder, published
from tests.support.toy_vision import network
from veracity import zkml
from veracity.cli import main
from veracity.errors import UsageError
from veracity.formats.npy import save_array
from veracity.graph import Program
from veracity.graph.ops import Combine, Function, Operand
from veracity.graph.port import Output, Port
from veracity.graph.sampling import Sampling
from veracity.graph.tables import KEPT, decimal_entries
from veracity.graph.wires import Step
from veracity.lm.text_decoder import ports_of
from veracity.work.effort import MAX_TIME, drawn_entries, require_effort, verification_seconds

PLAIN = decoder()


def statement(links: int, rows: int, log_columns: int, program: Program = PLAIN) -> zkml.Statement:
    """As much of one as is looked at."""
    found = SimpleNamespace(
        cuts=tuple(range(1, links)),
        commitment=SimpleNamespace(rows=bytes(32 * rows)),
        log_columns=log_columns,
        sampling=None,
        program=program,
    )
    return cast(zkml.Statement, found)


def test_honest_sizes_are_far_from_the_limit() -> None:
    """SmolLM2: 32 tokens in one link, 512 tokens in four, 2,048 in one."""
    require_effort(statement(1, 10_909, 14), 44_256, 5.0)
    require_effort(statement(4, 10_909, 14), 194_000, 10.0)
    require_effort(statement(1, 10_909, 14), 677_000, 30.0)


@pytest.mark.parametrize(
    ("links", "rows", "log_columns", "size"),
    [(2_000, 10, 10, 4_000_000), (1, 8_000_000, 10, 1_000), (1, 10, 15, 16_000_000)],
    ids=["links", "rows", "values"],
)
def test_more_is_refused(links: int, rows: int, log_columns: int, size: int) -> None:
    one = statement(links, rows, log_columns)
    with pytest.raises(UsageError, match=r"--max-time \d+"):
        require_effort(one, size, MAX_TIME)
    require_effort(one, size, 1000.0)


def test_links_that_have_no_bytes_are_no_work() -> None:
    require_effort(statement(16_000, 10, 10), 20_000, MAX_TIME)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_a_time_is_a_positive_number(wrong: float) -> None:
    with pytest.raises(UsageError, match="positive"):
        require_effort(statement(1, 1, 10), 1, wrong)


def test_it_grows_with_every_count() -> None:
    least = verification_seconds(1, 0, 0)
    assert least < min(
        verification_seconds(2, 0, 0),
        verification_seconds(1, 10_000, 0),
        verification_seconds(1, 0, 10_000_000),
        verification_seconds(1, 0, 0, 1 << 14),
    )


def test_longer_rows_are_counted_where_a_proof_may_have_them() -> None:
    """A link has longer rows than the model only if it has many: few bytes cannot hold values."""
    many = 32 * zkml.FEWEST_LONG_ROWS
    few = many - 1
    one = statement(1, 10, 12)
    require_effort(one, few, 0.15)
    with pytest.raises(UsageError, match="--max-time"):
        require_effort(one, many, 0.4)


def functions(*names: str) -> zkml.Statement:
    """A program that looks these functions up, one after the other; ``x / 2`` is a tie or none."""
    ops = [
        Function(name=f"f{i}", x=f"f{i - 1}" if i else "x", fn=name, k_in=1, k_out=0)
        for i, name in enumerate(names)
    ]
    return statement(1, 1, 12, checked(decoder(*ops, last=f"f{len(names) - 1}")))


def test_tables_are_counted_before_they_are_made() -> None:
    """Half of the entries of ``x^1.00..1 / 2`` are ties for floats: a table takes a second."""
    hard = [f"power(1.{i:025})" for i in range(1, 45)]
    require_effort(functions(hard[0], hard[0]), 100, 10.0)
    with pytest.raises(UsageError, match="--max-time"):
        require_effort(functions(*hard), 100, MAX_TIME)
    easy = [f"clip(0;{i})" for i in range(1, KEPT + 2)]
    require_effort(functions(*easy[:KEPT]), 100, 0.5)
    with pytest.raises(UsageError, match="--max-time"):
        require_effort(functions(*easy), 100, 0.5)  # more than are kept


def test_axes_that_wires_read_are_counted() -> None:
    """A few bytes of a program name windows of millions of entries, which nothing commits to."""
    windows = tuple(
        Operand(x="x", wire=(Step("tile", 0, ((1 << 20) - i,)), Step("slice", 0, (i, i + 4, 1))))
        for i in range(7)
    )
    program = Program(
        name="windows", arch={}, inputs={"x": Port((4,), 0, -9, 9)},
        outputs={"y": Output((4,), 0, -99, 99, "y")}, limits={},
        ops=(Combine(name="y", addends=windows),), weights={}, exponents={},
    )  # fmt: skip
    assert checked(program).wired > 50_000_000
    with pytest.raises(UsageError, match="--max-time"):
        require_effort(statement(1, 1, 12, program), 100, 3.0)
    require_effort(statement(1, 1, 12, program), 100, 10.0)


def test_the_time_of_a_table_follows_from_its_ties() -> None:
    assert decimal_entries("silu", 10, 10) < 100
    assert decimal_entries("power(1.0000000000000000001)", 1, 0) > 1 << 13


def test_noise_is_counted_by_the_tokens_that_are_scored() -> None:
    """What the program says of its port does not change how many scores there are."""
    program = decoder(shapes={"t": (4, 4), "h": (1 << 16, 4)}, projection="h")
    inputs, outputs = ports_of([0] * 1025, 1)
    given = zkml.Statement(
        replace(program, exponents={"head": 8}), inputs, outputs,
        sampling=Sampling(bytes(32), 1000), commitment=published(program).model,
    )  # fmt: skip
    assert drawn_entries(given) == 1024 << 16
    with pytest.raises(UsageError, match="--max-time"):
        require_effort(given, 1000, 5.0)
    require_effort(replace(given, sampling=None), 1000, 5.0)


def test_on_the_command_line(tmp_path: Path) -> None:
    program = save_network(tmp_path)
    commitment, secret = veracity.commit(program)
    commitment.save(tmp_path / "toy.vcom")
    x = network().inputs["x"] / 256
    proved = veracity.prove_tensors(program, secret, x)
    proved.proof.save(tmp_path / "toy.vproof")
    save_array(tmp_path / "x.npy", x)
    arguments = ["verify", str(tmp_path / "toy.vproof"), "--commitment", str(tmp_path / "toy.vcom")]
    arguments += ["--input", str(tmp_path / "x.npy")]
    for name, y in proved.outputs.items():
        save_array(tmp_path / f"{name}.npy", y)
        arguments += ["--output", f"{name}={tmp_path / name}.npy"]

    def run(*more: str) -> Any:
        return CliRunner().invoke(main, [*arguments, *more])

    assert run().exit_code == 0
    refused = run("--max-time", "0.01")
    assert refused.exit_code == 2
    assert "--max-time 10" in refused.output
