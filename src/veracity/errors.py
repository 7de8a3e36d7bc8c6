"""The errors a user of the package can meet: one class per kind of fault.

Every message is one line and says what to do next. Nothing secret (weights, blinds, prompts of
another party) is ever part of a message.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BackendUnavailable",
    "FormatError",
    "MismatchError",
    "PeerError",
    "RangeError",
    "RequestError",
    "UnsupportedModelError",
    "UsageError",
    "VeracityError",
    "VerificationError",
]


class VeracityError(Exception):
    """Base of every error that this package raises on purpose; all of them survive pickling."""

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is made again from `args`, its message, which no constructor here takes.
        return _remade, (type(self), self.args), self.__dict__ or None


def _remade(kind: type[VeracityError], args: tuple[Any, ...]) -> VeracityError:
    """An error as it was, without its constructor; the attributes follow."""
    error = kind.__new__(kind)
    error.args = args
    return error


class UsageError(VeracityError):
    """The caller's mistake: wrong argument, missing file, wrong combination of options."""


class RangeError(UsageError):
    """A value left the range that calibration fixed for it, so no proof can be made.

    All such errors have one message, since whoever asked may read it, and which op it was depends
    on the model's activations. What is named below is for the owner: see :meth:`explain`.

    Parameters
    ----------
    op : str
        Name of the op whose result is out of range.
    remedy : str
        What to do about it.
    """

    def __init__(self, op: str, remedy: str) -> None:
        super().__init__("a value is out of its calibrated range, so this run cannot be proved")
        self.op = op
        self.remedy = remedy

    def explain(self) -> None:
        """Let the message name the op; for nobody but the owner."""
        self.args = (f"{self.op}: value out of its calibrated range; {self.remedy}",)


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


class MismatchError(VerificationError):
    """A true proof of something else than what was expected.

    Parameters
    ----------
    what : str
        What differs: ``prompt``, ``answer``, ``frame`` or ``context``.
    expected : str
        The text that was expected.
    proved : str
        The text that is proved.
    """

    def __init__(self, what: str, expected: str, proved: str) -> None:
        super().__init__(f"the proof is true, but for another {what} than the one expected", what)
        self.what = what
        self.expected = expected
        self.proved = proved

    @property
    def first_difference(self) -> int:
        """Index of the first character that differs; the shorter one's length where it ends."""
        pairs = zip(self.expected, self.proved, strict=False)
        shorter = min(len(self.expected), len(self.proved))
        return next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)


class PeerError(VeracityError):
    """The other party of an interactive protocol died, stalled or broke the protocol."""


class BackendUnavailable(VeracityError):
    """A backend or device was asked for that this machine does not have."""


class RequestError(VeracityError):
    """A request over HTTP that is refused.

    Parameters
    ----------
    message : str
        What is wrong with it; the client reads it.
    code : str
        The fault for programs, such as ``model_not_found``.
    param : str, optional
        The parameter at fault.
    status : int
        Of HTTP.
    retry_after : int, optional
        Seconds after which another try makes sense.
    """

    def __init__(
        self,
        message: str,
        code: str = "invalid_value",
        param: str | None = None,
        status: int = 400,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.status = status
        self.retry_after = retry_after
