"""What a checking proxy hands on: the text that a receipt is of, and nothing beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.offices import Office
from tests.e2e.test_proxy import CHAT, keeper, liar, names, served  # noqa: F401
from tests.support.serving import proxying
from veracity.server.upstream import Upstream

TOOL = {"id": "x", "type": "function", "function": {"name": "pay", "arguments": "{}"}}


@pytest.mark.parametrize(
    "more",
    [{"tool_calls": [TOOL]}, {"function_call": TOOL["function"]}, {"reasoning_content": "a lie"},
     {"refusal": "a lie"}, {"role": "tool"}, {"content": [{"type": "text", "text": "a lie"}]}],
    ids=str,
)  # fmt: skip
def test_nothing_beside_the_checked_text_is_handed_on(
    served: Any,  # noqa: F811
    office: Office,
    tmp_path: Path,
    more: dict[str, Any],
) -> None:
    """A true answer with a true receipt, and beside it what a program might act on."""
    server = served[0]
    whole = server.ask("/v1/chat/completions", CHAT).json
    events = server.ask("/v1/chat/completions", {**CHAT, "stream": True}).body.split(b"\n\n")
    chunk = json.loads(events[1][6:])
    whole["choices"][0]["message"] |= more
    chunk["choices"][0]["delta"] |= more
    events[1] = b"data: " + json.dumps(chunk).encode()
    kept = keeper(office, tmp_path)
    replies = [("application/json", json.dumps(whole).encode())]
    replies += [("text/event-stream", b"\n\n".join(events))]
    for media, body in replies:
        with (
            liar(lambda _, found=(200, media, body): found) as url,
            proxying(Upstream(url), kept) as proxy,
        ):
            asked = {**CHAT, "stream": media != "application/json"}
            got = proxy.ask("/v1/chat/completions", asked).body
        assert b"receipt_rejected" in got
        assert b"a lie" not in got
        assert b"pay" not in got
    assert names(kept.folder, "receipts") == []
