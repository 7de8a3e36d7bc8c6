"""Committing to a calibrated model: what is published, and what is kept."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from veracity import zkml
from veracity.codec.arguments import require_settings
from veracity.engine import load_engine
from veracity.engine.api import Engine
from veracity.formats.commitment import Commitment, Metadata
from veracity.formats.program import NetworkFile
from veracity.formats.secret import Secret
from veracity.progress import Progress, silent
from veracity.text.table import PromptFrame, TokenTable
from veracity.work.programs import (
    AnyProgram,
    integer_program,
    load_any,
    prompt_frames,
    weights_digest,
)

__all__ = ["commit"]


def commit(
    program: AnyProgram | str | Path,
    *,
    exact: bool = False,
    hide_source: bool = False,
    threads: int | None = None,
    backend: str = "cpu",
    engine: Engine | None = None,
    progress: Progress = silent,
) -> tuple[Commitment, Secret]:
    """Commit to every weight of a calibrated model.

    Parameters
    ----------
    program : ProgramFile, NetworkFile or path
        A model with its scales.
    exact : bool
        Prove, too, that every weight keeps to its stated width: what evaluation assumes. It takes
        about as long as the proof of an answer with as many lookups as the model has weights.
    hide_source : bool
        Leave the digest of the file of weights out of what is published: whoever has the file
        could recognise it.
    threads : int, optional
        Threads to use; all cores by default.
    backend : str
        The engine that computes: ``"cpu"``, or ``"reference"``, which is slow and runs everywhere.
    engine : Engine, optional
        The engine itself, where the caller has it already.
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
    require_settings(threads, backend, progress)
    progress("load", 0.0)
    loaded = load_any(program)
    integers = integer_program(loaded)
    engine = load_engine(backend, threads=threads) if engine is None else engine
    progress("load", 1.0)
    model, opening = zkml.commit_model(engine, integers, loaded.weights, progress=progress)
    table = TokenTable((), frozenset())
    frames: dict[str, PromptFrame] = {}
    stops: tuple[int, ...] = ()
    if not isinstance(loaded, NetworkFile):
        table = TokenTable(tuple(loaded.token_bytes), frozenset(loaded.special_ids), loaded.rule)
        frames, stops = prompt_frames(loaded), tuple(sorted(loaded.stop_ids))
    hidden = ("notes", *(("sha256",) if hide_source else ()))  # notes are for the importer
    metadata = Metadata(
        source={k: v for k, v in loaded.source.items() if k not in hidden},
        parameters=loaded.parameters,
        program_digest=integers.digest,
        tokenizer_digest=table.digest,
        quantisation=loaded.quantisation,
        calibration=loaded.calibration or {},
        accuracy=loaded.accuracy or {},
        frames=frames,
        stop_ids=stops,
        package_version=version("veracity"),
        conversation=None if isinstance(loaded, NetworkFile) else loaded.tokenizer.conversation,
    )
    progress("commit", 1.0)
    files = (model, opening)
    progress("form", 0.0)
    well_formed = zkml.prove_well_formed(engine, integers, loaded.weights, files)
    progress("form", 1.0)
    widths = b""
    if exact:
        widths = zkml.prove_widths(engine, integers, loaded.weights, files, progress)
    commitment = Commitment(metadata, integers, table, model, well_formed, widths)
    return commitment, Secret(commitment, weights_digest(loaded.weights), opening)
