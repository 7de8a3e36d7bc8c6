"""Which pictures of a folder are enhanced, and where the results go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from veracity.errors import UsageError
from veracity.formats.images import is_image
from veracity.vision.foreign import is_foreign

__all__ = ["Job", "find_jobs", "is_key"]


@dataclass(frozen=True)
class Job:
    """One picture.

    Attributes
    ----------
    source, target : Path
        Where it is read, and where the result goes.
    """

    source: Path
    target: Path

    def beside(self, suffix: str) -> Path:
        """Another file of this picture: its proof, say."""
        return self.target.with_name(self.target.stem + suffix)


def find_jobs(
    source: Path, out: Path, *, recursive: bool = False, suffix: str = "_x2"
) -> tuple[list[Job], list[Path]]:
    """The pictures under a path, and the files that are none.

    Parameters
    ----------
    source : Path
        A picture, what opens a sealed one, or a folder of pictures.
    out : Path
        Folder of the results; folders below ``source`` are kept below it.
    recursive : bool
        Whether to look into folders of the folder.
    suffix : str
        What is added to names.

    Raises
    ------
    UsageError
        There is nothing there, or two pictures would have one result.
    """
    if source.is_dir():
        found = sorted(p for p in (source.rglob("*") if recursive else source.iterdir()))
        inside = Path(os.path.realpath(out))
        files = [p for p in found if p.is_file() and inside not in p.resolve().parents]
        root = source
    elif source.is_file():
        files, root = [source], source.parent
    else:
        raise UsageError(f"no picture and no folder {source.name!r}")
    jobs = [
        Job(p, out / p.relative_to(root).parent / f"{p.stem}{suffix}.png")
        for p in files
        if is_image(p) or is_foreign(p) or (p == source and is_key(p))
    ]
    _refuse_twins(jobs)
    taken = {job.source for job in jobs}
    return jobs, [p for p in files if p not in taken]


def is_key(path: Path) -> bool:
    """Whether a file's name is that of what opens a seal: taken where it is named itself."""
    return path.suffix.lower() == ".vskey"


def _refuse_twins(jobs: Sequence[Job]) -> None:
    seen: dict[Path, Path] = {}
    for job in jobs:
        other = seen.setdefault(job.target, job.source)
        if other != job.source:
            raise UsageError(
                f"{other.name!r} and {job.source.name!r} would both become {job.target.name!r}"
            )
