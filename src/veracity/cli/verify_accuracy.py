"""What ``verify`` says of a proof about accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veracity.cli.display import clock, size
from veracity.cli.output import emit_json
from veracity.cli.verdict import ACCEPTED, EXIT_PROVED
from veracity.cli.verify_answer import exact
from veracity.cli.verify_tensors import named_rows
from veracity.cli.verify_training import training_rows
from veracity.proving.verify_accuracy import NOT_PROVED, PROVED, VerifiedAccuracy

if TYPE_CHECKING:
    from veracity.training.verify import VerifiedTraining

__all__ = ["tell_accuracy"]

#: What a pointer is worth: anybody can put one behind a commitment.
NAMED = (
    "the commitment's file, as the proof of the network's accuracy; its digest does not cover "
    "that, a signature does (--signer)"
)


def tell_accuracy(
    found: VerifiedAccuracy, as_json: bool, trained: VerifiedTraining | None = None
) -> None:
    """What an accepted proof about accuracy says.

    Parameters
    ----------
    found : VerifiedAccuracy
        What was checked.
    as_json : bool
        One JSON object instead of tables.
    trained : VerifiedTraining, optional
        Where the model came from, where that was checked, too.
    """
    if as_json:
        chain = {} if trained is None else {"training": trained.to_plain()}
        emit_json({**found.to_plain(), **chain}, verdict=EXIT_PROVED)
        return
    model = found.metadata
    share = 100 * found.correct / found.samples
    ACCEPTED.begin()
    ACCEPTED.show(
        [
            ("right", f"{found.correct:,} of {found.samples:,} ({share:.2f} %)"),
            ("answers", f"the largest entry of output {found.output}"),
            ("examples", f"SHA-256 {found.examples_digest}"),
            *((f"rounding of {name}", f"at most {e:.3g}") for name, e in found.rounding.items()),
            *([("bound to", exact(found.context))] if found.context else []),
            ("checked", f"in {clock(found.seconds)}, proof of {size(found.proof_bytes)}"),
            ("commitment", found.commitment_digest),
            ("program", model.program_digest),
            *([("named by", NAMED)] if found.named_by_publisher else []),
            ("proved", f"that {PROVED}"),
            ("not proved", NOT_PROVED),
        ]
    )
    ACCEPTED.show(
        [
            ("model", f"{model.source.get('name', '?')}, {model.parameters:,} parameters"),
            ("model file", model.source.get("sha256", "?")),
            *([] if found.named_by_publisher else named_rows(found.accuracy_proof)),
        ],
        title="stated by the publisher, not proved",
    )
    if trained is not None:
        ACCEPTED.show(training_rows(trained), title="where the model came from, proved")
    by_class = [(str(c), f"{k:,} of {n:,}") for c, (k, n) in found.right_by_class.items()]
    ACCEPTED.show([*by_class[:100]], title="right by class, counted here")
