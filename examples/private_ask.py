"""Ask a served model from Python, token by token.

Start a dealer and an owner first (see ``docs/private.md``), then::

    python examples/private_ask.py "What is a prime number?" \
        --server HOST:PORT --dealer HOST:PORT --identity parties/user
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from veracity.private import Client


async def ask(arguments: argparse.Namespace) -> None:
    """Print the answer as it comes, then what it took."""
    client = Client(
        arguments.server,
        arguments.dealer,
        identity=arguments.identity,
        cache=arguments.cache,
        mode=arguments.mode,
    )
    tokens = []
    # aclosing ends the session at once where the loop is left early.
    async with contextlib.aclosing(client.generate(arguments.prompt, arguments.tokens)) as answer:
        async for token in answer:
            tokens.append(token)
            print(token.text, end="", flush=True)
    reports = [token.report for token in tokens]
    print(
        f"\n\n{len(tokens)} tokens: {sum(r.online_s for r in reports):.2f} s online, "
        f"{sum(r.offline_s for r in reports):.2f} s before, "
        f"{sum(r.online_bytes for r in reports) / 1e6:.2f} MB and "
        f"{sum(r.round_trips for r in reports):g} round trips with the owner"
    )


def main() -> None:
    """Read the arguments and ask."""
    parser = argparse.ArgumentParser(description="Ask a served model without showing the prompt.")
    parser.add_argument("prompt")
    parser.add_argument("--server", required=True, help="HOST:PORT of the owner")
    parser.add_argument("--dealer", required=True, help="HOST:PORT of the dealer")
    parser.add_argument("--identity", required=True, help="folder of the user's certificates")
    parser.add_argument("--cache", help="where to keep masked weights")
    parser.add_argument("--mode", help="insist on `secure` or `shuffled`")
    parser.add_argument("--tokens", type=int, default=24, help="at most so many")
    asyncio.run(ask(parser.parse_args()))


if __name__ == "__main__":
    main()
