"""Whether a file may be written: asked before long work begins, so that nothing is lost.

What stands under a name already is replaced only where it can be made again: a file of the same
kind that nobody depends on. Secrets open commitments that may be published, commitments are
identities, and a file of another kind is a slip of the keyboard.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from veracity.codec.files import PROGRAM, reason_of, sniff
from veracity.errors import UsageError

__all__ = ["check_target", "make_folder", "sibling"]

SECRET, COMMITMENT, PROOF = b"VSEC", b"VCOM", b"VPRF"
_NAMES = {
    SECRET: "a secret opening",
    COMMITMENT: "a commitment",
    PROOF: "a proof",
    PROGRAM: "a program",
    b"VDAT": "a data commitment",
    b"VDSC": "a data secret",
    b"VROW": "an opened row",
    b"VEXC": "a proof of exclusion",
    b"VTRN": "a training proof",
    b"VCUT": "a checkpoint",
    b"VWIN": "a window",
    b"VNCE": "a server's nonce",
    b"VPRT": "a proof about tensors",
    b"VACC": "a proof about accuracy",
    b"VANS": "a proof of several answers",
    b"VSEA": "a seal",
    b"VSKY": "a seal key",
    None: "not a file of veracity",
}
#: Kinds that are never replaced without being told to, and why.
_PRECIOUS = {
    SECRET: "it opens an earlier commitment, which nobody could prove with any more",
    COMMITMENT: "it may be published already, and proofs refer to it",
    b"VDAT": "it may be published already, and training proofs refer to it",
    b"VNCE": "its digest may be told already, and answers are drawn with no other",
    b"VDSC": "it opens an earlier data set, which nobody could train on with a proof any more",
    b"VSEA": "it may be published already, and proofs refer to it",
    b"VSKY": "it opens an earlier seal, which nobody could prove with any more",
}


def check_target(
    path: str | Path,
    kind: bytes | None = None,
    *,
    reads: Iterable[str | Path] = (),
    force: bool = False,
) -> None:
    """Raise :class:`UsageError` if ``path`` cannot, or should not, become a file.

    Parameters
    ----------
    path : str or path
        What is to be written.
    kind : bytes, optional
        Kind of what is to be written; where it is given, what stands there is protected.
    reads : iterable of path
        Files that the command reads, and others that it writes.
    force : bool
        Replace what stands there, whatever it is; never what the command reads.

    Raises
    ------
    UsageError
    """
    target = Path(path)
    try:
        _check(target, kind, reads, force)
    except OSError as error:
        name = target.name[:80]
        raise UsageError(
            f"cannot write {name!r}: {reason_of(error)}; choose another name or folder"
        ) from None
    except ValueError:  # a zero byte, half a character
        raise UsageError(f"cannot write {target.name[:80]!r}: no file can have that name") from None


def _check(target: Path, kind: bytes | None, reads: Iterable[str | Path], force: bool) -> None:
    if b"\0" in os.fsencode(target):
        raise ValueError("a zero byte in a name")
    folder = target.parent
    if not folder.is_dir():
        raise UsageError(
            f"cannot write {target.name!r}: there is no folder {str(folder)!r}; make it"
        )
    if not os.access(folder, os.W_OK):
        raise UsageError(f"cannot write {target.name!r}: the folder {str(folder)!r} is read-only")
    if target.exists() and not target.is_file():
        raise UsageError(f"cannot write {target.name!r}: it exists and is not an ordinary file")
    for other in reads:
        if _same(target, Path(other)):
            raise UsageError(
                f"cannot write {target.name!r}: this command reads or writes another file under "
                "that name; choose another name"
            )
    if kind is not None and not force:
        _protect(target, kind)


def _same(a: Path, b: Path) -> bool:
    if a.exists() and b.exists():
        return a.samefile(b)
    return os.path.realpath(a) == os.path.realpath(b)  # which links that end nowhere do not upset


def _protect(target: Path, kind: bytes) -> None:
    """Refuse to replace what cannot be made again."""
    if not target.exists() or target.stat().st_size == 0:
        return
    found = sniff(target)
    if found in _PRECIOUS:
        raise UsageError(
            f"{target.name!r} exists, {_NAMES[found]}: {_PRECIOUS[found]}; "
            "choose another name, or --force to replace it"
        )
    if found != kind:
        what = _NAMES.get(found, "a file of another version")
        raise UsageError(
            f"{target.name!r} exists and is {what}; choose another name, or --force to replace it"
        )


def make_folder(path: str | Path) -> Path:
    """A folder, made where it is missing; raises :class:`UsageError` where it cannot be one."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"cannot make the folder {folder.name[:80]!r}: {reason_of(error)}; choose another"
        ) from None
    except ValueError:
        raise UsageError(f"no folder can be called {folder.name[:80]!r}; choose another") from None
    if not os.access(folder, os.W_OK):
        raise UsageError(f"the folder {folder.name[:80]!r} is read-only; choose another")
    return folder


def sibling(path: Path, ending: str, known: Iterable[str] = (".vprog",)) -> Path:
    """The file of the same name with another ending; names may have dots (``X-1.1B``).

    Parameters
    ----------
    path : Path
        A file, with one of the known endings or none.
    ending : str
        The new ending.
    known : iterable of str
        Endings that are taken off.

    Raises
    ------
    UsageError
        The path names a folder: it is empty, say.
    """
    name = path.name
    if not name:
        raise UsageError(f"{str(path)!r} is no file; name one")
    for old in known:
        if name.lower().endswith(old) and len(name) > len(old):
            name = name[: -len(old)]
            break
    return path.with_name(name + ending)
