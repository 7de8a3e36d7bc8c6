"""Reports of verdicts, many proofs at once, and who signed a commitment."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.house import PROMPT, House, done
from tests.e2e.house import veracity as command
from veracity.cli.report import Report, page
from veracity.cli.verify import verify
from veracity.cli.verify_more import USES, require_used
from veracity.errors import UsageError
from veracity.formats.commitment import Commitment
from veracity.formats.dsse import load_private_key, load_public_key
from veracity.formats.statement import check_statement, load_statement, sign_statement

HOSTILE = "<script>alert(1)</script>\u202e\u200b\x1b[2J\x00&\"'</td>"


def test_a_report_says_what_the_command_says(house: House, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    given = ["verify", house.proof, "--commitment", house.commitment, "-q", "--report", out]
    told = done(*given, "--prompt", PROMPT)
    text = out.read_text()
    assert told.output.startswith("ACCEPTED")
    assert '<h1 class="ok">ACCEPTED</h1>' in text
    for part in (PROMPT, Commitment.load(house.commitment).digest, "not proved", "exit code"):
        assert part in text
    assert "default-src" in text
    assert not re.search(r"<(script|img|link|iframe|a)\b|https?://|url\(|@import", text)
    assert command(*given, "--prompt", "other words").exit_code == 1
    assert '<h1 class="no">REJECTED</h1>' in out.read_text()


def test_no_verdict_makes_no_report(house: House, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert command("verify", tmp_path / "x", "--commitment", house.commitment, "--report", out)
    assert not out.exists()
    given = ["verify", house.proof, "--commitment", house.commitment, "--json", "--report", out]
    assert command(*given).exit_code == 2
    assert not out.exists()
    base = ["verify", house.proof, "--commitment", house.commitment, "-q", "--report"]
    assert command(*base, tmp_path / "none" / "report.html").exit_code == 2


def test_words_of_strangers_stay_words(tmp_path: Path) -> None:
    report = Report(
        tmp_path / "x", "veracity verify", "ACCEPTED", 0, [(HOSTILE, [(HOSTILE, HOSTILE)])]
    )
    text = page(report, [(HOSTILE, HOSTILE)], datetime(2026, 1, 1, tzinfo=UTC))
    assert "<script" not in text
    assert text.count("</td>") == text.count("<td>")
    assert not set("\u202e\u200b\x1b\x00") & set(text)
    assert "[U+202E]" in text


@pytest.fixture(scope="module")
def false(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("false") / "false.vproof"
    data = bytearray(house.proof.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    return path


def test_many_proofs_have_one_exit_code(house: House, false: Path, tmp_path: Path) -> None:
    pinned = ["--commitment", house.commitment]
    copy = tmp_path / "copy.vproof"
    copy.write_bytes(house.proof.read_bytes())
    good = command("verify", house.proof, copy, *pinned, "--json")
    assert good.exit_code == 0
    assert [p["word"] for p in json.loads(good.stdout)["proofs"]] == ["ACCEPTED"] * 2
    broken = tmp_path / "broken.vproof"
    broken.write_bytes(b"nothing")
    undecided = command("verify", house.proof, broken, *pinned)
    assert (undecided.exit_code, undecided.output.splitlines()[0]) == (2, "UNDECIDED")
    bad = command("verify", house.proof, broken, false, *pinned)
    assert (bad.exit_code, bad.output.splitlines()[0]) == (1, "REJECTED")
    assert command("verify", house.proof, tmp_path / "gone", *pinned).exit_code == 2
    assert command("verify", house.proof, copy, *pinned, "--prompt", PROMPT).exit_code == 2
    hasty = command("verify", house.proof, copy, *pinned, "--max-time", 1e-4)
    assert (hasty.exit_code, hasty.output.splitlines()[0]) == (2, "UNDECIDED")


@pytest.mark.parametrize(
    "option", ["receipt", "publisher", "signature", "data", "init", "samples", "input", "output"]
)
def test_what_would_not_be_looked_at_is_refused(house: House, option: str, tmp_path: Path) -> None:
    """An option asks for a check: an accepted proof without it would look as if it was made."""
    (tmp_path / "x.npy").write_bytes(b"")
    pinned = ["--commitment", house.commitment, f"--{option}", tmp_path / "x.npy"]
    result = command("verify", house.proof, *pinned)
    assert result.exit_code == 2
    assert "ACCEPTED" not in result.output
    if option != "receipt":  # which is for answers
        assert f"--{option} goes with" in result.stderr


def test_a_receipt_is_of_an_answer() -> None:
    options = dict.fromkeys(USES) | {"receipt": Path("r"), "publisher": Path("p"), "signer": None}
    for kind in ("tensors", "accuracy", "answers", "training", "several"):
        with pytest.raises(UsageError, match="--receipt goes with a proof of one answer"):
            require_used(kind, options)
    require_used("answer", options)


def test_every_option_has_a_check_or_is_refused() -> None:
    """Each is looked at by proofs of every kind, or stands in the table."""
    always = {"proofs", "commitment", "digest", "max_time", "signer", "report"}
    always |= {"threads", "backend", "quiet", "as_json"}
    assert {p.name for p in verify.params} - always == set(USES)
    absent: dict[str, object] = dict.fromkeys([*USES, "signer"])
    kinds = ("answer", "answers", "accuracy", "tensors", "training", "several")
    for name, use in USES.items():
        for kind in kinds:
            for value in ("", Path("x"), True, ("x",)):  # an empty text is an expectation, too
                options = absent | {name: value}
                if kind in use.kinds:
                    require_used(kind, options)
                    continue
                with pytest.raises(UsageError, match=f"--{name.split('_')[0].rstrip('s')}"):
                    require_used(kind, options)
            require_used(kind, absent | {name: None, "raw": False, "messages": ()})
    require_used("tensors", absent | {"data": ("x",), "init": Path("x"), "training": Path("x")})


def test_a_publisher_signs_a_commitment(house: House, tmp_path: Path) -> None:
    model = tmp_path / "m.vcom"
    model.write_bytes(house.commitment.read_bytes())
    for name in ("own", "other"):
        done("sign", "key", tmp_path / name)
    done("sign", "commitment", model, "--key", tmp_path / "own")
    given = ["verify", house.proof, "--commitment", model, "-q", "--signer"]
    assert done(*given, tmp_path / "own.pub").output.startswith("ACCEPTED")
    other = command(*given, tmp_path / "other.pub")
    assert other.exit_code == 1
    assert "another key" in " ".join(other.output.split())
    signed = load_statement(tmp_path / "m.vcom.sig")
    statement = json.loads(signed.payload)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    pinned = Commitment.load(model)
    key = load_private_key(tmp_path / "own")
    assert check_statement(signed, load_public_key(tmp_path / "own.pub"), pinned) == "m.vcom"
    # The same key's word for another commitment: a verifier that only checks who signed takes it.
    metadata = dataclasses.replace(pinned.metadata, parameters=1)
    twin = dataclasses.replace(pinned, metadata=metadata)
    changed = sign_statement(key, twin, "m.vcom")
    (tmp_path / "m.vcom.sig").write_bytes(changed.to_bytes())
    lie = command(*given, tmp_path / "own.pub")
    assert lie.exit_code == 1
    assert "another commitment" in " ".join(lie.output.split())
