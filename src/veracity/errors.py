"""The errors a user of the package can meet: one class per kind of fault.

Every message is one line and says what to do next. Nothing secret (weights, blinds, prompts of
another party) is ever part of a message.
"""

from __future__ import annotations

__all__ = [
    "BackendUnavailable",
    "FormatError",
    "PeerError",
    "RangeError",
    "UnsupportedModelError",
    "UsageError",
    "VeracityError",
    "VerificationError",
]


class VeracityError(Exception):
    """Base of every error that this package raises on purpose."""


class UsageError(VeracityError):
    """The caller's mistake: wrong argument, missing file, wrong combination of options."""


class RangeError(UsageError):
    """A value left the range that calibration fixed for it, so no proof can be made.

    Parameters
    ----------
    op : str
        Name of the op whose result is out of range.
    remedy : str
        What to do about it.
    """

    def __init__(self, op: str, remedy: str) -> None:
        super().__init__(f"{op}: value out of its calibrated range; {remedy}")
        self.op = op
        self.remedy = remedy


class UnsupportedModelError(VeracityError):
    """The model cannot be represented.

    Parameters
    ----------
    node : str
        The part of the model that is not supported.
    op : str
        The operation it asks for.
    remedy : str
        What to do about it.
    """

    def __init__(self, node: str, op: str, remedy: str) -> None:
        super().__init__(f"{node}: {op} is not supported; {remedy}")
        self.node = node
        self.op = op
        self.remedy = remedy


class FormatError(VeracityError):
    """Bytes that do not parse.

    Parameters
    ----------
    where : str
        The place in the file or message.
    reason : str
        What is wrong there.
    """

    def __init__(self, where: str, reason: str = "malformed") -> None:
        super().__init__(f"{where}: {reason}")
        self.where = where
        self.reason = reason


class VerificationError(VeracityError):
    """A proof that parses and is false.

    Parameters
    ----------
    reason : str
        The check that failed.
    where : str
        The part of the protocol that made the check.
    """

    def __init__(self, reason: str, where: str = "proof") -> None:
        super().__init__(f"{where}: {reason}")
        self.reason = reason
        self.where = where


class PeerError(VeracityError):
    """The other party of an interactive protocol died, stalled or broke the protocol."""


class BackendUnavailable(VeracityError):
    """A backend or device was asked for that this machine does not have."""
