"""The commitment key: independent generators from public labels, no trusted set-up.

``G_1 .. G_C`` carry matrix columns, ``K_1 .. K_M`` carry hidden messages, ``K_0`` products, ``H``
blinds and ``U`` the value of the inner product. Nobody knows a discrete-log relation among them,
because each is a hash-to-curve output of its label and index.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from veracity.engine.api import Engine, Points
from veracity.records import record

__all__ = [
    "GENERATOR_LABEL",
    "MAX_LOG_COLUMNS",
    "MIN_LOG_COLUMNS",
    "SLOTS",
    "CommitmentKey",
    "key_for",
    "load_key",
]

#: Least and greatest logarithm of a row length.
MIN_LOG_COLUMNS, MAX_LOG_COLUMNS = 4, 18

#: Version of all generator labels; absorbed with every statement.
GENERATOR_LABEL = "veracity-pallas-generators-v1"

#: Slots derived for hidden messages; far above what any statement uses.
SLOTS = 1 << 13
#: How many of them are made at least, once one is asked for.
FEWEST_SLOTS = 1 << 10

#: SHA-256 of the compressed generators by label and number: what the disk holds must have it.
_DIGESTS = {
    ("special", 3): "30e2fa51a7c4ca04f655802f89277883a517a1cf0e4d796e104cfd9c584c1c74",
    ("columns", 1 << 12): "365b0ebf53f38e75876f8af1b4dec8b08e5c838462de7d00f6c76272ab7dce73",
    ("columns", 1 << 13): "b7c855bc658d1660fb34b233eeba63ba5e29551f7f31d4c9d18b95db2aa2b89d",
    ("columns", 1 << 14): "c5a17d0179e04afbec80c86b2df3a7b07e6d2a7680b1e78d88524611740b2dd7",
    ("columns", 1 << 15): "707c8e1a575d0787bb8a5938179b7a3f0ffc54bd2d6e0f6a0d00d6ec9ee918bf",
    ("columns", 1 << 16): "5471899552860d5a685be395353ddf3bc29248bd643c1a05d2b5681899ac372f",
    ("columns", 1 << 17): "2a60d43ff82286c9c2848f168c793a0312b73fbf7a468f50bb113bec97b286db",
    ("columns", 1 << 18): "33d5c10bd173fcfe41bd1481a9f83c28efef2656ece988bfb141d561472d36ca",
    ("slots", SLOTS): "91925fe20c2dba0daa270c446328318df34acab8a5bf6a6b72fb996d2325214f",
}


class _Slots:
    """Generators of hidden messages, made as far as they are used: most proofs need few."""

    def __init__(self, make: Callable[[int], Points]) -> None:
        self._make, self._ready = make, 0
        self._points: Any = None

    def __len__(self) -> int:
        return SLOTS

    def __getitem__(self, at: slice) -> Points:
        if at.stop > self._ready:
            self._ready = min(SLOTS, max(FEWEST_SLOTS, 2 * at.stop))
            self._points = self._make(self._ready)
        found: Points = self._points[at]
        return found


@record
class CommitmentKey:
    """Generators for rows of ``2**log_columns`` entries.

    Attributes
    ----------
    log_columns : int
        Logarithm of the row length C.
    columns : Points
        ``G_1..G_C``.
    message_slots : Points
        ``K_1..K_M``; from the cache they are read as far as they are used.
    product, blinder, inner : Points
        ``K_0``, ``H`` and ``U``, one point each.
    """

    log_columns: int
    columns: Points
    message_slots: Any
    product: Points
    blinder: Points
    inner: Points

    @property
    def row_length(self) -> int:
        """C, the number of entries of a row."""
        return 1 << self.log_columns

    @property
    def slot_count(self) -> int:
        """M, the most hidden values of one proof."""
        return len(self.message_slots)

    def prefix(self, log_columns: int) -> CommitmentKey:
        """The key of rows that are no longer than these: it has the first generators of this one.

        Raises
        ------
        ValueError
            Its rows would be longer.
        """
        if log_columns > self.log_columns:
            raise ValueError("a key has no generators for longer rows than its own")
        return replace(self, log_columns=log_columns, columns=self.columns[: 1 << log_columns])

    def slots(self, start: int, stop: int) -> Points:
        """Generators of the slots ``start .. stop-1``."""
        return self.message_slots[start:stop]  # type: ignore[no-any-return]


def load_key(
    engine: Engine,
    log_columns: int,
    generators: Callable[[Engine, str, int], Points] | None = None,
) -> CommitmentKey:
    """Derive (or load from the cache) a commitment key.

    Parameters
    ----------
    engine : Engine
        Backend that will use the key.
    log_columns : int
        Logarithm of the row length.
    generators : callable, optional
        ``(engine, label, n) -> Points``; by default the disk-cached hash-to-curve derivation of
        :mod:`veracity.engine.generators`.
    """
    slots: Any
    if generators is None:
        generators = _pinned_generators
        slots = _Slots(lambda n: _pinned_generators(engine, f"{GENERATOR_LABEL}/slots", SLOTS, n))
    else:
        slots = generators(engine, f"{GENERATOR_LABEL}/slots", SLOTS)
    special = generators(engine, f"{GENERATOR_LABEL}/special", 3)
    return CommitmentKey(
        log_columns=log_columns,
        columns=generators(engine, f"{GENERATOR_LABEL}/columns", 1 << log_columns),
        message_slots=slots,
        product=special[0:1],
        blinder=special[1:2],
        inner=special[2:3],
    )


def key_for(engine: Engine, log_columns: int, loaded: CommitmentKey | None = None) -> CommitmentKey:
    """A key of this row length: the first generators of one that is loaded, where it has them.

    Parameters
    ----------
    engine : Engine
        Backend that will use the key.
    log_columns : int
        Logarithm of the row length.
    loaded : CommitmentKey, optional
        A key of any row length.
    """
    if loaded is not None and loaded.log_columns >= log_columns:
        return loaded.prefix(log_columns)
    return load_key(engine, log_columns)


def _pinned_generators(engine: Engine, label: str, n: int, used: int | None = None) -> Points:
    from veracity.engine.generators import cached_generators

    digest = _DIGESTS.get((label.rpartition("/")[2], n))
    return cached_generators(engine, label, n, digest, used)
