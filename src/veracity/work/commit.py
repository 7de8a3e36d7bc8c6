"""Committing to a calibrated model: what is published, and what is kept."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from veracity import zkml
from veracity.engine import load_engine
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.program import ProgramFile
from veracity.formats.secret import Secret
from veracity.progress import Progress, silent
from veracity.text.table import TokenTable
from veracity.work.programs import integer_program, load_program, prompt_frames, weights_digest

__all__ = ["commit"]


def commit(
    program: ProgramFile | str | Path,
    *,
    exact: bool = False,
    threads: int | None = None,
    backend: str = "cpu",
    progress: Progress = silent,
) -> tuple[Commitment, Secret]:
    """Commit to every weight of a calibrated model.

    Parameters
    ----------
    program : ProgramFile or path
        A calibrated model.
    exact : bool
        Prove, too, that every weight keeps to its stated width: what evaluation assumes. It takes
        about as long as the proof of an answer with as many lookups as the model has weights.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes: ``"cpu"``, or ``"reference"``, which is slow and runs everywhere.
    progress : Progress
        Called as the work advances.

    Returns
    -------
    Commitment, Secret
        What to publish, and what to keep.

    Raises
    ------
    UsageError
        The program was not calibrated yet.
    RangeError
        A weight is wider than stated (only with ``exact``).
    """
    progress("load", 0.0)
    loaded = load_program(program)
    integers = integer_program(loaded)
    engine = load_engine(backend, threads=threads)
    progress("load", 1.0)
    model, opening = zkml.commit_model(engine, integers, loaded.weights, progress=progress)
    table = TokenTable(tuple(loaded.token_bytes), frozenset(loaded.special_ids), loaded.rule)
    metadata = Metadata(
        source=loaded.source,
        parameters=loaded.parameters,
        program_digest=integers.digest,
        tokenizer_digest=table.digest,
        quantisation=loaded.quantisation,
        calibration=loaded.calibration or {},
        accuracy=loaded.accuracy or {},
        frames=prompt_frames(loaded),
        stop_ids=tuple(sorted(loaded.stop_ids)),
        package_version=version("veracity"),
    )
    progress("commit", 1.0)
    files = (model, opening)
    well_formed = zkml.prove_well_formed(engine, integers, loaded.weights, files)
    widths = b""
    if exact:
        widths = zkml.prove_widths(engine, integers, loaded.weights, files, progress)
    commitment = Commitment(metadata, integers, table, model, well_formed, widths)
    return commitment, Secret(commitment, weights_digest(loaded.weights), opening)
