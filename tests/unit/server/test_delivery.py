"""Text while it comes is the text as a whole, whatever the tokens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.mutations import fuzz
from veracity.text.delivery import Delivery, delivered
from veracity.text.table import TokenTable

#: Single bytes of characters, whole words, a mark with a name, a mark without bytes.
PIECES = (b"a", b"b", b"ab", b"\xc3", b"\xa9", b"\xf0\x9f", b"\x98\x80", b"<|end|>", b"", b" ")
TABLE = TokenTable(PIECES, frozenset({7}), None)
IDS = st.lists(st.integers(0, len(PIECES) - 1), min_size=1, max_size=12)


@given(IDS, st.sampled_from([frozenset(), frozenset({7}), frozenset({1, 7})]))
@fuzz
def test_without_stops_it_is_the_text_that_a_verifier_shows(
    ids: list[int], stop_ids: frozenset[int]
) -> None:
    first = next((i for i, t in enumerate(ids) if t in stop_ids), len(ids) - 1)
    answer = ids[: first + 1]
    assert delivered(ids, TABLE, stop_ids, (), "length") == (
        TABLE.show_answer(answer, stop_ids).text
    )


@given(IDS, st.lists(st.text("ab é", min_size=1, max_size=4), max_size=4))
@fuzz
def test_what_ends_an_answer_is_never_sent(ids: list[int], stops: list[str]) -> None:
    delivery = Delivery(TABLE, frozenset(), stops)
    sent = ""
    for token in ids:
        sent += delivery.push(token)
        assert not any(stop in sent for stop in stops)
        if delivery.finish:
            break
    sent += delivery.end("length")
    assert not any(stop in sent for stop in stops)
    whole = delivered(ids, TABLE, frozenset(), (), "length")
    assert whole.startswith(sent)
    if not any(stop in whole for stop in stops):
        assert sent == whole


def test_a_character_is_sent_when_it_is_whole() -> None:
    delivery = Delivery(TABLE, frozenset())
    assert [delivery.push(t) for t in (3, 4, 5, 6)] == ["", "é", "", "😀"]
    assert delivery.push(5) == ""
    assert delivery.end("length") == "\ufffd"
    assert delivery.finish == "length"


def test_stops_across_tokens() -> None:
    delivery = Delivery(TABLE, frozenset(), ["ba"])
    assert [delivery.push(t) for t in (0, 1, 1, 0)] == ["a", "", "b", ""]
    assert delivery.finish == "stop"
    assert delivery.push(0) == delivery.end("length") == ""
