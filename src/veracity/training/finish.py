"""The end of a run: the published model, and the proof that it is what the run made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from veracity.codec import atomic_outputs
from veracity.formats.commitment import Commitment
from veracity.formats.program import NetworkFile, save_program_file
from veracity.formats.secret import Secret
from veracity.formats.training import RunDescription, TrainingProof
from veracity.graph.training.program import program_of
from veracity.progress import Progress, silent
from veracity.training.runner import RunFolder, told
from veracity.work.commit import commit
from veracity.zk.keys import load_key
from veracity.zkml.training.rounding import rounded_weights
from veracity.zkml.training.run import RunProof, prove_rounding

__all__ = ["Finished", "finish_run", "save_finished"]

#: Network, commitment, secret opening, training proof.
Finished = tuple[NetworkFile, Commitment, Secret, TrainingProof]


def finish_run(folder: RunFolder, progress: Progress = silent) -> Finished:
    """Round the weights, commit to them, and prove the rounding.

    Parameters
    ----------
    folder : RunFolder
        A run whose windows are all proved.
    progress : Progress
        Called as the work advances.

    Raises
    ------
    UsageError
        The run is not at its end.
    RangeError
        A weight does not fit its published width.
    """
    engine, run = folder.engine, folder.run
    weights, end = folder.last_weights()
    with told():
        published = rounded_weights(run.recipe, weights)
    source = {
        "kind": "training",
        "name": "trained network",
        "premise": run.premise(folder.start).hex(),
        "data": [d.digest.hex() for d in run.data],
        "parameters": sum(w.size for w in published.values()),
    }
    report: dict[str, Any] = {"samples": {}, "accuracy": {}}
    network = NetworkFile(source, program_of(run.recipe), published, report)
    commitment, secret = commit(network, engine=engine, progress=progress)
    roundings = prove_rounding(
        engine,
        load_key(engine, run.log_columns),
        run,
        (folder.start, end),
        published,
        (commitment.model, secret.opening),
        progress,
    )
    cuts, windows = [], []
    for index in range(len(run.ranges())):
        found = folder.window(index)
        if found is not None:
            cuts.append(found.rows)
            windows.append(found.proof)
    proof = RunProof(cuts, windows, roundings)
    description = RunDescription.of(run)
    return network, commitment, secret, TrainingProof(description, commitment.digest, proof)


def save_finished(
    finished: Finished, model: Path, commitment: Path, secret: Path, proof: Path
) -> None:
    """Write the four files; the public ones and the secret appear together or not at all.

    Parameters
    ----------
    finished : Finished
        From :func:`finish_run`.
    model, commitment, secret, proof : Path
        Where to.
    """
    network, public, opening, trained = finished
    save_program_file(model, network)
    with atomic_outputs((secret, 0o600), (commitment, 0o644), (proof, 0o644)) as streams:
        contents = (opening.to_bytes(), public.to_bytes(), trained.to_bytes())
        for stream, content in zip(streams, contents, strict=True):
            stream.write(content)
