"""What a prompt or a token took, measured and declared."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PassReport", "Tally"]


@dataclass(frozen=True)
class PassReport:
    """What a prompt or a token took; bytes are payload.

    Attributes
    ----------
    start, rows : int
        Tokens fed before, and now.
    attempts : int
        Passes: one (more for a long prompt), and one more for each repetition.
    online_s : float
        From the tokens to the next token.
    ready_s, deal_s, fetch_s : float
        Before the tokens exist: this party's own work with what it sends ahead, the dealer's
        work for both parties, the transfer of this party's material. Of a pass whose material is
        used as it comes, the last two go on during ``online_s``, and contain what it waits.
    sent_bytes, received_bytes : int
        Online, to and from the owner.
    formula_bytes : int
        Online, both ways, as declared by the operations.
    offline_bytes : int
        From the dealer to both parties, and ahead from the user to the owner.
    round_trips : float
        Measured: half the longest chain of messages.
    """

    start: int
    rows: int
    attempts: int
    online_s: float
    ready_s: float
    deal_s: float
    fetch_s: float
    sent_bytes: int
    received_bytes: int
    formula_bytes: int
    offline_bytes: int
    round_trips: float

    @property
    def offline_s(self) -> float:
        """All that happened before the tokens existed."""
        return self.ready_s + self.deal_s + self.fetch_s

    @property
    def online_bytes(self) -> int:
        """Both ways."""
        return self.sent_bytes + self.received_bytes


@dataclass
class Tally:
    """A pass's figures while it is under way, repetitions included."""

    attempts: int = 0
    online_s: float = 0.0
    ready_s: float = 0.0
    deal_s: float = 0.0
    fetch_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    formula_bytes: int = 0
    offline_bytes: int = 0
    hops: int = 0

    def report(self, start: int, rows: int) -> PassReport:
        """The figures, once the pass has ended."""
        return PassReport(
            start, rows, self.attempts, self.online_s, self.ready_s, self.deal_s, self.fetch_s,
            self.sent_bytes, self.received_bytes, self.formula_bytes, self.offline_bytes,
            self.hops / 2,
        )  # fmt: skip
