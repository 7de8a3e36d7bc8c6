"""What `verify` says of a proof about tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veracity.cli.display import clock, size
from veracity.cli.output import emit_json
from veracity.cli.verdict import ACCEPTED, EXIT_PROVED
from veracity.cli.verify_answer import exact, one_line
from veracity.cli.verify_training import training_rows
from veracity.formats.pointer import ProofPointer
from veracity.proving.verify_tensors import PROVED, VerifiedTensors

if TYPE_CHECKING:
    from veracity.training.verify import VerifiedTraining

__all__ = ["named_rows", "tell_tensors"]


def tell_tensors(
    result: VerifiedTensors, as_json: bool, trained: VerifiedTraining | None = None
) -> None:
    """What an accepted proof about tensors says.

    Parameters
    ----------
    result : VerifiedTensors
        What was checked.
    as_json : bool
        One JSON object instead of tables.
    trained : VerifiedTraining, optional
        Where the model came from, where that was checked, too.
    """
    if as_json:
        chain = {} if trained is None else {"training": trained.to_plain()}
        emit_json({**result.to_plain(), **chain}, verdict=EXIT_PROVED)
        return
    model = result.metadata
    ACCEPTED.begin()
    ACCEPTED.show(
        [
            *((name, port_row(result, name)) for name in result.digests),
            *((f"rounding of {name}", f"at most {e:.3g}") for name, e in result.rounding.items()),
            *([("samples", result.samples)] if result.samples else []),
            *([("bound to", exact(result.context))] if result.context else []),
            ("checked", f"in {clock(result.seconds)}, proof of {size(result.proof_bytes)}"),
            ("commitment", result.commitment_digest),
            ("program", model.program_digest),
            ("proved", f"that {PROVED}"),
            ("not proved", result.not_proved),
        ]
    )
    ACCEPTED.show(
        [
            ("model", f"{model.source.get('name', '?')}, {model.parameters:,} parameters"),
            ("model file", model.source.get("sha256", "?")),
            ("calibration", one_line(model.calibration)),
            ("accuracy", one_line(model.accuracy)),
            *named_rows(result.accuracy_proof),
        ],
        title="stated by the publisher, not proved",
    )
    if trained is not None:
        ACCEPTED.show(training_rows(trained), title="where the model came from, proved")


def named_rows(pointer: ProofPointer | None) -> list[tuple[str, object]]:
    """The proof about accuracy that a commitment names, which is not checked here."""
    if pointer is None:
        return []
    where = f"{pointer.file}, SHA-256 {pointer.sha256}"
    return [("proof of accuracy", f"{where}; it says nothing until it is verified, too")]


def port_row(result: VerifiedTensors, name: str) -> str:
    """What is known of a port: a picture, a seal, or integers."""
    if name in result.pictures:
        return str(result.pictures[name])
    kind = "sealed, commitment" if name in result.sealed else "integers"
    return f"{kind} with SHA-256 {result.digests[name]}"
