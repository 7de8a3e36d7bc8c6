"""How long the check of a proof may take, told from the sizes of its files before it begins.

A verifier's work is linear in the links, in the points that it decompresses and adds up, and in
the length of the vectors that it evaluates. The last cannot exceed what the committed rows of the
proof hold, or what a program's wires read and make (at most 2^26 entries,
:mod:`veracity.graph.wires`, which are counted), and links take bytes; what is too short for its
claims ends early.
Function tables are made before a message is read: a program names as many as it has ops, of
functions that float arithmetic cannot round, so they are counted. So are prompts, which are encoded
again before there is a statement, and the check of a commitment's annex, where it is the first.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from veracity import zkml
from veracity.engine.api import POINT_BYTES
from veracity.errors import UsageError
from veracity.graph import Program
from veracity.graph.tables import KEPT, decimal_entries
from veracity.lm.text_decoder import scored_tokens
from veracity.zk.keys import MAX_LOG_COLUMNS

__all__ = [
    "LINK_BYTES",
    "MAX_TIME",
    "STOP_S",
    "TEXT_S",
    "require_effort",
    "require_time",
    "sides_within",
    "verification_seconds",
]

# Seen on two cores with stories260K, SmolLM2-135M and gpt2-124m, 8 to 256 tokens.
#: The verifier's seconds: always, for a link, per row commitment, per value of the witness.
ALWAYS_S = 0.03
LINK_S = 0.06
ROW_S = 9e-6
VALUE_S = 4e-9
#: Per generator of rows that are longer than the model's, for each link.
GENERATOR_S = 1.2e-6
#: Per integer of noise, where answers are drawn.
NOISE_SECONDS = 1.5e-7
#: Per row or column of the matrices that projections bound (128 bits each).
SIDE_S = 7e-7
#: Per entry of the axes that wires read or make.
WIRE_S = 8e-8
#: Per function table, and per entry of one that is computed in decimals.
TABLE_S, DECIMAL_S = 4e-3, 5e-5
#: How often each use makes its table anew, where there are more tables than are kept.
REMADE = 2
#: Per byte of a prompt whose encoding is made again: a word as long as the text, merged in pairs.
TEXT_S = 8e-6
#: Per token of an answer and character of what may end it, where a receipt says what was sent.
STOP_S = 2e-7
#: Fewest bytes that a link takes in a proof.
LINK_BYTES = 1024
#: What is checked without being asked for (seconds).
MAX_TIME = 60.0


def verification_seconds(links: int, rows: int, values: int, generators: int = 0) -> float:
    """Seconds for a statement of these counts.

    Parameters
    ----------
    links : int
        Links of the chain.
    rows : int
        Row commitments of model and witness.
    values : int
        Committed values of the witness.
    generators : int
        Entries of the longest row, summed over links whose rows are longer than the model's.
    """
    counted = LINK_S * links + ROW_S * rows + VALUE_S * values + GENERATOR_S * generators
    return ALWAYS_S + counted


def drawn_entries(statement: zkml.Statement) -> int:
    """How many integers of noise a verifier makes: one for each answer and token."""
    ports, tokens = statement.program.outputs, scored_tokens(statement.program)
    return sum(
        int(np.size(values)) * tokens.get(ports[name].value, 0)
        for name, values in statement.outputs.items()
        if name in ports and isinstance(values, np.ndarray)
    )


def wire_seconds(program: Program) -> float:
    """Seconds for what wires read; none of what is no program, which is refused elsewhere."""
    try:
        return WIRE_S * program.wired
    except UsageError:
        return 0.0


def table_seconds(program: Program, most: float) -> float:
    """Seconds for the function tables of a program, as far as it matters whether they are few.

    Entries that take long are not counted where all could be such, nor once it is too much.

    Parameters
    ----------
    program : Program
        Whose ops name them.
    most : float
        Seconds that they may take.
    """
    uses = Counter(table for op in program.ops for table in op.tables())
    remade = REMADE
    if len(uses) <= KEPT:
        uses, remade = Counter(uses.keys()), 1
    seconds = TABLE_S * remade * uses.total()
    if seconds + DECIMAL_S * remade * uses.total() * (1 << 16) <= most:
        return seconds
    for table, count in uses.items():
        if seconds > most:
            break
        seconds += DECIMAL_S * remade * count * decimal_entries(*table)
    return seconds


def sides_within(max_time: float) -> int:
    """How many rows and columns of matrices a projection may be drawn for in so many seconds."""
    return int(min(max_time / SIDE_S, 1 << 62))


def require_effort(
    statement: zkml.Statement, argument_bytes: int, max_time: float, beside: float = 0.0
) -> None:
    """Refuse to check what may take longer than the caller wants to wait.

    Parameters
    ----------
    statement : Statement
        What is claimed.
    argument_bytes : int
        Size of the argument.
    max_time : float
        Seconds, on a machine of two cores with compiled kernels.
    beside : float
        Seconds that belong to the check and are no part of the argument: prompts, the annex.

    Raises
    ------
    UsageError
        It may take longer, or ``max_time`` is no positive number.
    """
    rows = argument_bytes // POINT_BYTES
    # A link's rows are made longer where it would have many: it then has at least some.
    long = rows // zkml.FEWEST_LONG_ROWS
    links = min(len(statement.cuts), argument_bytes // LINK_BYTES) + 1
    seconds = verification_seconds(
        links,
        rows + len(statement.commitment.rows) // POINT_BYTES,
        rows << (MAX_LOG_COLUMNS if long else statement.log_columns),
        min(long, links) << MAX_LOG_COLUMNS,
    )
    seconds += beside + wire_seconds(statement.program)
    if statement.sampling is not None:
        seconds += NOISE_SECONDS * drawn_entries(statement)
    seconds += table_seconds(statement.program, max_time - seconds)
    require_time(seconds, max_time)


def require_time(seconds: float, max_time: float) -> None:
    """Raise UsageError where a check may take longer than allowed, or that is no positive number.

    Parameters
    ----------
    seconds : float
        What it may take.
    max_time : float
        What is allowed.
    """
    if not max_time > 0:
        raise UsageError("the time allowed must be a positive number of seconds (--max-time)")
    if seconds > max_time:
        wanted = math.ceil(seconds / 10) * 10
        raise UsageError(
            f"checking this proof may take about {wanted} s, longer than the {max_time:g} s "
            f"allowed; allow more with --max-time {wanted}"
        )
