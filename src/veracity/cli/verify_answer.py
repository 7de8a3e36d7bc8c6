"""What `verify` says of a proved answer, and of several with one proof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from veracity.cli.display import clock, flatten, size
from veracity.cli.output import emit_json
from veracity.cli.printable import quoted
from veracity.cli.verdict import ACCEPTED, EXIT_PROVED
from veracity.cli.verify_training import training_rows
from veracity.formats.commitment import Metadata
from veracity.proving.verified import VerifiedAnswer

if TYPE_CHECKING:
    from veracity.training.verify import VerifiedTraining

__all__ = ["exact", "one_line", "tell_accepted", "tell_answers"]


def tell_accepted(
    result: VerifiedAnswer, as_json: bool, trained: VerifiedTraining | None = None
) -> None:
    """What an accepted proof says.

    Parameters
    ----------
    result : VerifiedAnswer
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
    bound = [("bound to", exact(result.context))] if result.context else []
    ACCEPTED.begin()
    ACCEPTED.show(
        [
            *spoken(result),
            *bound,
            ("", ""),
            ("checked", f"in {clock(result.seconds)}, proof of {size(result.proof_bytes)}"),
            (
                "tokens",
                f"{result.prompt_tokens} prompt ({result.frame}), {result.answer_tokens} answer",
            ),
            ("commitment", result.commitment_digest),
            ("program", model.program_digest),
            ("proved", f"that {result.proved}"),
            ("not proved", result.not_proved),
        ]
    )
    ACCEPTED.show(publisher_rows(model), title="stated by the publisher, not proved")
    if trained is not None:
        ACCEPTED.show(training_rows(trained), title="where the model came from, proved")


def publisher_rows(model: Metadata) -> list[tuple[str, object]]:
    """What the publisher says of a model, as rows of a table."""
    return [
        ("model", f"{model.source.get('name', '?')}, {model.parameters:,} parameters"),
        ("weights file", model.source.get("sha256", "not stated")),
        ("quantisation", one_line(model.quantisation)),
        ("calibration", one_line(model.calibration)),
        ("accuracy", one_line(model.accuracy)),
    ]


def tell_answers(
    found: Sequence[VerifiedAnswer], as_json: bool, trained: VerifiedTraining | None = None
) -> None:
    """What an accepted proof of several answers says.

    Parameters
    ----------
    found : sequence of VerifiedAnswer
        What was checked, all of one proof.
    as_json : bool
        One JSON object instead of tables.
    trained : VerifiedTraining, optional
        Where the model came from, where that was checked, too.
    """
    first = found[0]
    if as_json:
        emit_json(
            {
                "accepted": True,
                "answers": [one.to_plain() for one in found],
                "commitment": first.commitment_digest,
                "context": first.context,
                "proof_bytes": first.proof_bytes,
                "verify_s": round(first.seconds, 3),
                **({} if trained is None else {"training": trained.to_plain()}),
            },
            verdict=EXIT_PROVED,
        )
        return
    ACCEPTED.begin()
    for number, one in enumerate(found, 1):
        ACCEPTED.show(spoken(one), title=f"answer {number} of {len(found)}")
    bound = [("bound to", exact(first.context))] if first.context else []
    ACCEPTED.show(
        [
            *bound,
            ("checked", f"in {clock(first.seconds)}, proof of {size(first.proof_bytes)}"),
            ("commitment", first.commitment_digest),
            ("proved", f"of each answer, that {first.proved}"),
            ("not proved", first.not_proved),
        ],
        title="all answers",
    )
    ACCEPTED.show(publisher_rows(first.metadata), title="stated by the publisher, not proved")
    if trained is not None:
        ACCEPTED.show(training_rows(trained), title="where the model came from, proved")


def spoken(result: VerifiedAnswer) -> list[tuple[str, object]]:
    """All that the model read and said, in order, as rows of a table."""
    rows: list[tuple[str, object]] = []
    for message in result.messages[:-1]:
        rows.append((message.role, exact(message.content)))
    if result.prompt_before:
        rows.append(("before it", quoted(result.prompt_before)))
    rows.append(("prompt", exact(result.prompt)))
    if result.prompt_after:
        rows.append(("after it", quoted(result.prompt_after)))
    rows.append(("answer", result.answer.strip()))
    if result.special_tokens:
        places = [f"{name} at character {at + 1}" for at, name in result.special_tokens]
        rows.append(("special tokens", ", ".join(places)))
    ended = "cut by the prover, not ended by the model"
    if result.ended_by is not None:
        ended = f"ended by the model with {quoted(result.ended_by)}"
    rows.append(("end", ended))
    if result.draw is not None:
        rows.append(("sampled", f"at temperature {result.draw.temperature}"))
        rows += [("nonce", result.draw.nonce)] * bool(result.draw.nonce)
        server = result.draw.server_nonce
        rows += [("server's nonce", f"SHA-256 {server}")] * bool(server)
        rows.append(("seed", result.draw.seed))
    return rows


def exact(text: str) -> str:
    """A text for people: quoted where white space at its ends would go unseen."""
    plain = text and text == text.strip() and not text.startswith('"')
    return text if plain else quoted(text)


def one_line(facts: Mapping[str, Any]) -> str:
    """Nested facts on one line."""
    return "; ".join(f"{name} {value}" for name, value in flatten(facts))
