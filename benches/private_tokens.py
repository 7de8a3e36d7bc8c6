"""Whether private answers are the integer program's, token by token.

Run ``make bench-private-tokens``, or ``.venv/bin/python benches/private_tokens.py [MODEL]
[--questions 6] [--tokens 16] [--mode secure]``: a dealer and an owner as processes, a user who asks
the first questions of those that calibration uses, with the model's chat template. Where a token is
not the program's, the rest of the answer is asked for behind the program's own token, so that each
token has the program's words before it. Prints one JSON object; for each deviation how far
apart the program's logits of both tokens are, in its own units.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from veracity.benchmarks.demo import model_file
from veracity.benchmarks.local_cluster import LocalCluster, scratch
from veracity.benchmarks.proving import checkout, cpu_name
from veracity.lm.generate import generate
from veracity.lm.text_decoder import logits
from veracity.private.client import Client
from veracity.progress import silent
from veracity.work.programs import integer_program, load_program


@dataclass(frozen=True)
class Question:
    """What is asked, and what the program answers."""

    text: str
    prompt: list[int]
    answer: list[int]


async def told(client: Client, question: Question) -> list[int]:
    """The private answer, each token behind the program's own ones."""
    found: list[int] = []
    want = question.answer
    while len(found) < len(want):
        fed = [*question.prompt, *want[: len(found)]]
        async with client.session(len(fed), len(want) - len(found)) as session:
            async for token in session.tokens(fed, to_the_end=True):
                found.append(token.id)
                if token.id != want[len(found) - 1]:
                    break
    return found


def measured(model: str, questions: int, tokens: int, mode: str) -> dict[str, Any]:
    """One model in one mode."""
    texts = files("veracity.data").joinpath("prompts.txt").read_text("utf-8").splitlines()
    with scratch("tokens") as temporary:
        home = Path(temporary)
        path = model_file(model, home, silent)
        content = load_program(path)
        program, weights = integer_program(content), content.weights
        asked = []
        with LocalCluster(path, mode, home) as three:
            client = Client(
                three.server, three.dealing, identity=three.identity, cache=home / "cache"
            )
            card, _ = asyncio.run(client.card())
            for text in texts[:questions]:
                prompt = card.prompt(text)
                asked.append(Question(text, prompt, generate(program, weights, prompt, tokens)))
            answers = []
            for question in asked:
                answers.append(asyncio.run(told(client, question)))
                print(f"{len(answers)} of {len(asked)}: {question.text}", file=sys.stderr)
    lines = []
    for question, found in zip(asked, answers, strict=True):
        rows = logits(program, weights, [*question.prompt, *question.answer[:-1]])
        rows = rows[len(question.prompt) - 1 :]
        pairs = list(zip(rows, question.answer, found, strict=True))
        gaps = [int(row[want] - row[got]) for row, want, got in pairs if want != got]
        lines.append({"question": question.text, "tokens": len(found), "gaps": gaps})
    return {
        "model": Path(model).stem,
        "mode": mode,
        "tokens": sum(line["tokens"] for line in lines),
        "equal": sum(line["tokens"] - len(line["gaps"]) for line in lines),
        "answers": lines,
        "cpu": cpu_name(),
        "commit": checkout(),
    }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="smollm2")
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--tokens", type=int, default=16)
    parser.add_argument("--mode", default="secure")
    given = parser.parse_args()
    found = measured(given.model, given.questions, given.tokens, given.mode)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
