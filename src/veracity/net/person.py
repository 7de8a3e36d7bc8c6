"""Whom a certificate was made for, and who is not let in any more."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from veracity.codec import read_file
from veracity.errors import PeerError, UsageError
from veracity.net.link import Link

__all__ = ["DenyList", "Downloads", "Person", "Quota", "person_of"]

#: Bytes of a deny list.
LARGEST = 1 << 20
#: Seconds of a download from which on it is a long one, and for which that is remembered.
LONG, REMEMBERED = 10.0, 24 * 3600.0
_STRANGE = re.compile(r"[^A-Za-z0-9._@-]")
_SERIAL = re.compile("[0-9a-f]{1,40}")


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a certificate was made for, as the authority has signed it.

    Parameters
    ----------
    name : str
        The common name; letters, digits, ``.``, ``_``, ``@``, ``-`` only.
    serial : str
        The certificate's serial number, lowercase hexadecimal.
    """

    name: str
    serial: str

    def __str__(self) -> str:
        return f"{self.name} {self.serial[:16]}"


def person_of(link: Link) -> Person | None:
    """Whom the other side's certificate was made for; None without TLS."""
    certificate = link.info("peercert")
    if not isinstance(certificate, dict) or not certificate:
        return None
    names = [v for one in certificate.get("subject", ()) for k, v in one if k == "commonName"]
    name = _STRANGE.sub("?", str(names[0] if names else ""))[:64]
    return Person(name, plain_serial(str(certificate.get("serialNumber", ""))))


def plain_serial(text: str) -> str:
    """A serial number as it is compared: lowercase, without colons and leading zeros."""
    return text.strip().lower().replace(":", "").removeprefix("0x").lstrip("0")


class DenyList:
    """Serial numbers of certificates that are refused, one in a line; ``#`` begins a remark.

    Read again at every connection, so that a line that is added holds from then on.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    UsageError
        It cannot be read, or a line is no serial number.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.serials()

    def serials(self) -> frozenset[str]:
        """What stands in the file now.

        Raises
        ------
        UsageError
        """
        data = read_file(self._path, LARGEST, "deny list")
        found = set()
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            text = line.partition("#")[0]
            if text.strip():
                serial = plain_serial(text)
                if not _SERIAL.fullmatch(serial):
                    raise UsageError(
                        f"line {number} of {self._path} is no serial number; "
                        "`veracity private certificates` prints them"
                    )
                found.add(serial)
        return frozenset(found)

    def __contains__(self, person: object) -> bool:
        """Whether this person is refused; everybody, while the file cannot be read."""
        try:
            return isinstance(person, Person) and person.serial in self.serials()
        except UsageError:
            return True


@dataclass
class Quota:
    """So many of something at once, and so many for each person.

    Parameters
    ----------
    what : str
        What is counted, in the plural, for refusals.
    most, each : int
        At once, for all and for each certificate; without certificates only the first counts.
    """

    what: str
    most: int
    each: int
    _held: Counter[str] = field(default_factory=Counter, init=False)

    @property
    def taken(self) -> int:
        """How many there are now."""
        return self._held.total()

    def full(self, person: Person | None) -> str | None:
        """Why no more is to be had; None where it is."""
        if self._held.total() >= self.most:
            return f"all {self.what} are taken; try again later"
        if person is not None and self._held[person.serial] >= self.each:
            return f"you have {self.each} {self.what} already; end one, or try again later"
        return None

    @contextmanager
    def held(self, person: Person | None) -> Iterator[None]:
        """Hold one while the block lasts.

        Raises
        ------
        PeerError
            Where none is left.
        """
        reason = self.full(person)
        if reason is not None:
            raise PeerError(reason)
        key = "" if person is None else person.serial
        self._held[key] += 1
        try:
            yield
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]


@dataclass
class Downloads(Quota):
    """So many downloads at once, so many of each person, and the last place for who had none.

    Who has had a long one lately leaves the last place to others: certificates that work together
    could otherwise hold all places for ever, each with one slow download after another.

    Parameters
    ----------
    clock : callable
        Seconds; for tests.
    """

    clock: Callable[[], float] = time.monotonic
    _had: dict[str, float] = field(default_factory=dict, init=False)

    def full(self, person: Person | None) -> str | None:
        """Why no more is to be had; None where it is."""
        why = super().full(person)
        if why is None and person is not None and self.taken == self.most - 1 > 0:
            last = self._had.get(person.serial)
            if last is not None and self.clock() - last < REMEMBERED:
                return "the last place is for who had none of the downloads today; try again later"
        return why

    @contextmanager
    def held(self, person: Person | None) -> Iterator[None]:
        """Hold one while the block lasts.

        Raises
        ------
        PeerError
            Where none is left.
        """
        with super().held(person):
            began = self.clock()
            try:
                yield
            finally:
                now = self.clock()
                if person is not None and now - began > LONG:
                    self._had = {s: at for s, at in self._had.items() if now - at < REMEMBERED}
                    self._had[person.serial] = now
