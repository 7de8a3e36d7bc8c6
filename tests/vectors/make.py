"""Remake the frozen proofs: a small lookup, a whole answer. Each remake is a line of CHANGELOG.

Run as ``python -m tests.vectors.make`` (``make vectors``) when the protocol's label changes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.support.programs import small_model
from tests.support.toy import DIMS, TABLE, make_toy, prove_toy
from veracity.engine import load_engine
from veracity.zk.keys import load_key
from veracity.zkml import ModelCommitment, Statement, commit_model, cut_places, prove

HERE = Path(__file__).parent
TOY = HERE / "toy_v3.hex"
COMMITMENT, ANSWER, CHAIN = (HERE / f"{name}_v3.hex" for name in ("model", "answer", "chain"))
#: Row length of the frozen model.
LOG_COLUMNS = 12


def read(path: Path) -> bytes:
    """A frozen file."""
    return bytes.fromhex(path.read_text(encoding="ascii").replace("\n", ""))


def write(path: Path, data: bytes) -> None:
    """In lines of 96 digits."""
    text = data.hex()
    lines = [text[i : i + 96] for i in range(0, len(text), 96)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def statements(commitment: ModelCommitment) -> dict[Path, Statement]:
    """What the frozen proofs claim: the answer of a small LLaMA, whole and in two links."""
    e = small_model("llama", layers=1)
    whole = Statement(e.program, tuple(e.tokens), e.prompt_length, commitment=commitment)
    cut = cut_places(e.program)[0]
    parts = Statement(e.program, tuple(e.tokens), e.prompt_length, (cut,), commitment=commitment)
    return {ANSWER: whole, CHAIN: parts}


def main() -> None:
    """Write all of them."""
    values = np.arange(DIMS[0] * DIMS[1], dtype=np.int64).reshape(DIMS) % len(TABLE)
    counts = np.bincount(values.reshape(-1), minlength=len(TABLE))
    write(TOY, prove_toy(make_toy(), values, counts)[0])
    engine, e = load_engine("cpu"), small_model("llama", layers=1)
    key = load_key(engine, LOG_COLUMNS)
    commitment, opening = commit_model(
        engine, e.program, e.weights, log_columns=LOG_COLUMNS, key=key
    )
    write(COMMITMENT, commitment.to_bytes())
    for path, statement in statements(commitment).items():
        write(path, prove(engine, statement, e.weights, opening, key=key))


if __name__ == "__main__":
    main()
