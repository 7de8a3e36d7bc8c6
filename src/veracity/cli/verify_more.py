"""More of `verify`: many proofs at once, a receipt's promise, a publisher's signature."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from veracity.cli.inputs import stream
from veracity.cli.output import emit_json
from veracity.cli.printable import printable, quoted
from veracity.cli.verdict import ACCEPTED, EXIT_PROVED, REJECTED, Verdict
from veracity.errors import FormatError, UsageError, VerificationError
from veracity.formats.commitment import Commitment
from veracity.formats.proof import Proof
from veracity.proving.proofs import load_proof
from veracity.proving.verified import VerifiedAnswer
from veracity.proving.verify import verify as verify_answer
from veracity.records import record

__all__ = ["USES", "check_promise", "check_signer", "require_used", "verify_many"]

#: Some file could not be read, or is of a kind that is checked alone; none is false.
UNDECIDED = Verdict("UNDECIDED", "yellow", 2)


@record
class Use:
    """What looks at an option.

    Attributes
    ----------
    partner : str
        In words.
    kinds : tuple of str
        Proofs.
    beside : str or None
        Another parameter, with proofs of any kind that it goes with.
    option : str or None
        How it is spelt, if not as its parameter.
    """

    partner: str
    kinds: tuple[str, ...] = ()
    beside: str | None = None
    option: str | None = None


_ONE = Use("a proof of one answer", ("answer",))
_TRAINED = Use("a training proof", ("training",), beside="training")

#: Options that not every check of a proof looks at, by the names of their parameters.
USES = {
    "prompt": _ONE,
    "prompt_file": _ONE,
    "messages": replace(_ONE, option="message"),
    "temperature": _ONE,
    "nonce": _ONE,
    "server_nonce": _ONE,
    "answer": _ONE,
    "receipt": _ONE,
    "publisher": Use("--receipt", beside="receipt"),
    "raw": Use("a proof of answers", ("answer", "answers")),
    "prompts": Use("a proof of several answers", ("answers",)),
    "samples": Use("a proof about accuracy", ("accuracy",)),
    "inputs": Use("a proof about tensors", ("tensors",), option="input"),
    "outputs": Use("a proof about tensors or accuracy", ("tensors", "accuracy"), option="output"),
    "training": Use("one proof of something else", ("answer", "answers", "accuracy", "tensors")),
    "data": _TRAINED,
    "init": _TRAINED,
    "context": Use(
        "a proof of something else", ("answer", "answers", "accuracy", "tensors", "several")
    ),
    "signature": Use("--signer", beside="signer"),
}


@record
class One:
    """The verdict on one file, and what an accepted one does not prove."""

    name: str
    word: str
    said: str
    not_proved: str = ""


def verify_many(
    paths: tuple[Path, ...], pinned: Commitment, *, as_json: bool, **options: Any
) -> None:
    """Check proofs of answers under one commitment: a row for each, one exit code.

    Parameters
    ----------
    paths : tuple of Path
        The proofs.
    pinned : Commitment
        The model.
    as_json : bool
        One JSON object instead of tables.
    options : mapping
        As of :func:`veracity.verify`.

    Raises
    ------
    click.exceptions.Exit
        With 1 where a proof is false, else with 2 where one could not be checked.
    """
    found = [_check(path, pinned, options) for path in paths]
    words = {one.word for one in found}
    open_ends = sorted({one.not_proved for one in found} - {""})
    verdict = ACCEPTED
    if REJECTED.word in words:
        verdict = REJECTED
    elif UNDECIDED.word in words:
        verdict = UNDECIDED
    if as_json:
        rows = [{"name": one.name, "word": one.word, "said": one.said} for one in found]
        facts = {"accepted": verdict is ACCEPTED, "proofs": rows, "not_proved": open_ends}
        emit_json(facts, verdict=verdict.code)
    else:
        verdict.begin()
        verdict.show([(printable(one.name), f"{one.word}: {one.said}") for one in found])
        counts = {word: sum(one.word == word for one in found) for word in sorted(words)}
        verdict.show([(word.lower(), count) for word, count in counts.items()])
        told = [("not proved", text) for text in open_ends]
        verdict.show([("commitment", pinned.digest), *told])
    if verdict.code != EXIT_PROVED:
        raise click.exceptions.Exit(verdict.code)


def _check(path: Path, pinned: Commitment, options: Mapping[str, Any]) -> One:
    try:
        given = load_proof(stream(path))
        if not isinstance(given, Proof):
            raise UsageError("no proof of an answer; check it alone")
        result = verify_answer(given, pinned, **options)
    except VerificationError as error:
        return One(path.name, REJECTED.word, str(error))
    except (FormatError, UsageError) as error:
        return One(path.name, UNDECIDED.word, str(error))
    return One(path.name, ACCEPTED.word, _told(result), result.not_proved)


def _told(result: VerifiedAnswer) -> str:
    """All that the model read and said on one line: a prompt alone may be the least of it."""
    asked = [f"{m.role} {quoted(m.content)}" for m in result.messages] or [quoted(result.prompt)]
    said = f"{', '.join(asked)} -> {quoted(result.answer)}"
    if result.prompt_before or result.prompt_after:
        read = result.prompt_before + result.prompt + result.prompt_after
        said += f", the prompt read as {quoted(read)}"
    if result.draw is not None:
        said += f", sampled at temperature {result.draw.temperature}"
    if result.context:
        said += f", bound to {quoted(result.context)}"
    return said if result.complete else f"{said}, cut by the prover"


def require_used(kind: str, options: Mapping[str, object]) -> None:
    """Raise :class:`UsageError` where an option would not be looked at: it asks for a check.

    Parameters
    ----------
    kind : str
        Of the proof; ``several`` for more proofs than one.
    options : mapping
        Values by the names of parameters.
    """
    for name, use in USES.items():
        looked_at = kind in use.kinds or (use.beside is not None and is_given(options[use.beside]))
        if is_given(options[name]) and not looked_at:
            option = use.option or name.replace("_", "-")
            raise UsageError(
                f"--{option} goes with {use.partner}: nothing here would be checked by it"
            )


def is_given(value: object) -> bool:
    """Whether an option is on the command line; an empty text is."""
    return value is not None and value is not False and value != ()


def check_promise(
    receipt: Path, publisher: Path | None, given: Any, pinned: Commitment, max_time: float
) -> None:
    """Check that a proof keeps the promise of a receipt.

    Parameters
    ----------
    receipt : Path
        The client's file.
    publisher : Path or None
        The publisher's public key.
    given : Proof
        What was verified.
    pinned : Commitment
        The model.
    max_time : float
        Seconds that the check of the receipt may take.

    Raises
    ------
    VerificationError
        The receipt is none of a certified server, or says something else.
    UsageError
        No key is given, or it may take longer.
    """
    from veracity.formats.dsse import load_public_key
    from veracity.formats.receipt import ReceiptFile
    from veracity.proving.receipts import check_kept, check_receipt

    if publisher is None or not isinstance(given, Proof):
        raise UsageError("a receipt is of an answer, and takes --publisher KEY.pub")
    key = load_public_key(publisher)
    checked = check_receipt(ReceiptFile.load(receipt), key, pinned, max_time)
    check_kept(checked, given)


def check_signer(
    signer: Path, signature: Path | None, commitment: Path, pinned: Commitment
) -> None:
    """Check that a publisher's key signed a commitment.

    Parameters
    ----------
    signer : Path
        The public key.
    signature : Path or None
        The signature; beside the commitment, with ``.sig``, where not given.
    commitment : Path
        Where the commitment is.
    pinned : Commitment
        What it holds.

    Raises
    ------
    VerificationError
        Another key signed, or something else was signed.
    """
    from veracity.formats.dsse import load_public_key
    from veracity.formats.statement import check_statement, load_statement

    path = signature or commitment.with_name(commitment.name + ".sig")
    check_statement(load_statement(path), load_public_key(signer), pinned)
