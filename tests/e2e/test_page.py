"""The pages in a real browser: `make test-page`. Pictures of them go to build/page."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.house import PROMPT, House, picture_files, veracity
from tests.support.browser import INSTALL, Browser, Element, browser, missing
from tests.support.desks import PUBLISHER, desk_in
from tests.support.serving import Running, running, verifying
from tests.support.talking import Talker, talker
from veracity.cli.printable import FLAG, seen
from veracity.engine import load_engine
from veracity.formats.proof import Proof
from veracity.formats.receipt import ReceiptFile
from veracity.proving.receipts import CheckedReceipt, check_proof, check_receipt
from veracity.server import app
from veracity.server.model import ServedModel
from veracity.server.proofs import Proofs
from veracity.server.worker import Workplace
from veracity.text.delivery import Delivery

pytestmark = pytest.mark.page
PICTURES = Path(__file__).parents[2] / "build" / "page"
HOSTILE = (
    "<img src=x onerror=alert(1)><script>alert(2)</script>&lt;b&gt; a\u202eb\u200bc\x1b[2Jd\u2066e"
)
CODES = ["U+202E", "U+200B", "U+001B", "U+2066"]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert not missing(), f"needs {', '.join(missing())}: {INSTALL}"
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def server(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    model = ServedModel.load(house.program, house.secret, name="stories260k")
    folder = tmp_path_factory.mktemp("office")
    desk = desk_in(folder, model.secret.commitment)
    place = Workplace(str(house.program), str(house.secret), str(folder / "state"), threads=1)
    with running(model, desk=desk, proofs=Proofs(desk, place, 1)) as found:
        yield found


@pytest.fixture(scope="module")
def checker() -> Iterator[Running]:
    with verifying() as found:
        yield found


def button(window: Browser, text: str) -> Element:
    found = [b for b in window.all("button") if b.shown and b.text == text]
    assert found, text
    return found[-1]


def opened(window: Browser, url: str, title: str) -> None:
    window.size(1000, 900)
    window.dark(False)
    window.complaints()  # of the test before
    window.open(url)
    window.until(lambda: window.one("h1").text == title)


def ask(window: Browser, text: str, tokens: int = 12) -> str:
    """Type, press Enter, wait; what is answered."""
    ended = "#talk > li[aria-busy=false]"
    before = len(window.all(ended))
    window.run("document.getElementById('most').value = arguments[0]", tokens)
    window.run("document.getElementById('prompt').value = arguments[0]", text[:-1])
    window.one("#prompt").type(text[-1])
    window.press("\ue007")
    window.until(lambda: len(window.all(ended)) == before + 1)
    return window.run("return [...document.querySelectorAll('.answer')].pop().textContent")


def require_quiet(window: Browser, url: str) -> None:
    """No script failed, nothing was refused, and nothing came from elsewhere."""
    assert window.complaints() == []
    loaded = window.run("return performance.getEntriesByType('resource').map(e => e.name)")
    assert [name for name in loaded if not name.startswith((f"{url}/", "blob:"))] == []
    stored = "return [document.cookie, localStorage.length, sessionStorage.length]"
    assert window.run(stored) == ["", 0, 0]


def pictures(window: Browser, name: str) -> None:
    for dark, width in ((False, 1000), (True, 1000), (False, 360), (True, 360)):
        window.dark(dark)
        window.size(width, 900)
        overflow = "return document.documentElement.scrollWidth - window.innerWidth"
        assert window.run(overflow) <= 0
        assert low_contrasts(window) == []
        kind = f"{'dark' if dark else 'light'}{'-narrow' if width < 500 else ''}"
        window.picture(PICTURES / f"{name}-{kind}.png")
    window.dark(False)
    window.size(1000, 900)


def low_contrasts(window: Browser) -> list[Any]:
    """Texts whose contrast with what is behind them is below 4.5 (WCAG 2, level AA)."""
    return window.run("""
      const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
      const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
      const parsed = (c) => c.match(/[\\d.]+/g).map(Number);
      const behind = (e) => {
        for (; e; e = e.parentElement) {
          const c = parsed(getComputedStyle(e).backgroundColor);
          if (c.length < 4 || c[3] > 0) return c;
        }
        return [255, 255, 255];
      };
      return [...document.querySelectorAll('body *')].filter((e) => e.checkVisibility()
        && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())
        && !e.disabled).map((e) => {
        const both = [parsed(getComputedStyle(e).color), behind(e)].map(light);
        both.sort((a, b) => b - a);
        return [e.textContent.slice(0, 40), (both[0] + 0.05) / (both[1] + 0.05)];
      }).filter(([, contrast]) => contrast < 4.5);
    """)


def checked(window: Browser, server: Running, receipt: Path) -> CheckedReceipt:
    assert server.model is not None
    file = ReceiptFile.load(receipt)
    return check_receipt(file, PUBLISHER.public_key(), server.model.secret.commitment)


def test_chat_receipt_and_proof_by_keyboard(window: Browser, server: Running, house: House) -> None:
    opened(window, server.url, "stories260k")
    window.press("\ue004")
    assert window.run("return document.activeElement.textContent") == "Skip to the prompt"
    window.press("\ue007")
    assert window.focused == "prompt"
    assert window.one("#prompt").name == "Your message"
    assert window.one("[role=log]").name == "Conversation"
    assert window.one("#talk").role == "list"
    said = ask(window, PROMPT)
    window.command("POST", "/refresh", {})
    opened(window, server.url, "stories260k")
    assert ask(window, PROMPT) == said  # greedy: the same again
    ident = window.one("#talk summary").text.removeprefix("Receipt ")
    button(window, "Save receipt").click()
    receipt = checked(window, server, window.downloaded(f"receipt-{ident}.json"))
    assert receipt.text == said
    prove = button(window, "Prove")
    assert prove.role == "button"
    describes = window.run(
        "return document.getElementById(arguments[0].getAttribute('aria-describedby')).textContent",
        {"element-6066-11e4-a52e-4f735466cecf": prove.ident},
    )
    assert describes == "A proof shows prompt and answer to whoever gets it."
    takes = "return document.querySelector('#talk .panel > .bar').textContent"
    window.until(lambda: re.search(r"About \d+ s and \d+ kB\.", window.run(takes)))
    window.run("[...document.querySelectorAll('button')].find(b => b.textContent=='Prove').focus()")
    window.press(" ")
    window.until(lambda: [b for b in window.all("#talk button") if b.text == "Save proof"])
    button(window, "Save proof").click()
    proof = Proof.load(window.downloaded(f"answer-{ident}.vproof"))
    assert server.model is not None
    check_proof(receipt, proof, server.model.secret.commitment)
    button(window, "Save receipt").click()
    require_quiet(window, server.url)
    ask(window, "Lily and Tim were", 150)
    button(window, "Prove").click()
    status = "return [...document.querySelectorAll('#talk [role=status]')].pop().textContent"
    window.until(lambda: window.run(status))
    window.picture(PICTURES / "proving.png")
    button(window, "Cancel").click()
    window.until(lambda: window.run(status).startswith("Cancelled."))
    assert button(window, "Prove")
    window.all("#talk summary")[0].click()
    window.complaints()  # the job that is gone
    pictures(window, "chat")


def test_words_of_strangers_stay_text(
    window: Browser, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Rude(Delivery):
        """Sends markup where the model said something."""

        def push(self, token: int) -> str:
            super().push(token)
            return HOSTILE

    opened(window, server.url, "stories260k")
    monkeypatch.setattr(app, "Delivery", Rude)
    window.run("document.getElementById('prompt').value = arguments[0]", HOSTILE)
    window.one("#prompt").type("!")
    window.run("document.getElementById('most').value = 1")
    window.press("\ue007")
    window.until(lambda: window.all("#talk > li[aria-busy=false]"))
    for selector in (".asked", ".answer"):
        tags = f"return [...document.querySelectorAll('#talk {selector} *')].map(e => e.tagName)"
        found = window.all(f"#talk {selector} .unseen")
        assert set(window.run(tags)) == {"SPAN"}
        assert [e.text for e in found][: len(CODES)] == CODES
        text = window.one(f"#talk {selector}").text
        assert "<script>alert(2)</script>&lt;b&gt;" in text
        assert not set(text) & set("\u202e\u200b\x1b\u2066")
    window.picture(PICTURES / "hostile.png")
    require_quiet(window, server.url)


def test_unseen_characters_are_those_of_the_command_line(window: Browser, server: Running) -> None:
    opened(window, server.url, "stories260k")
    hidden = window.run("""
      const found = [];
      for (let c = 0; c <= 0x10ffff; c++) if (!isSeen(String.fromCodePoint(c))) found.push(c);
      return found;
    """)
    known = [c for c in map(chr, range(sys.maxunicode + 1)) if unicodedata.category(c) != "Cn"]
    expected = {ord(c) for c in known if not seen(c) and c not in "\n\t"}
    assert {c for c in hidden if unicodedata.category(chr(c)) != "Cn"} == expected
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
    assert FLAG.fullmatch(flag)
    parts = "return shown(arguments[0]).map((p) => p.textContent ?? p)"
    assert window.run(parts, f"a{flag}b") == [f"a{flag}b"]
    assert window.run(parts, "a\U000e0067") == ["a", "U+E0067", ""]


def test_a_conversation_goes_on_until_a_new_one_begins(
    window: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: Talker = talker(tmp_path)
    model = ServedModel("talker", made.model, made.secret, load_engine("cpu", threads=1).integers)
    asked: list[Any] = []
    parse = app.parse

    def noted(body: bytes, *, chat: bool) -> Any:
        asked.append(json.loads(body))
        return parse(body, chat=chat)

    monkeypatch.setattr(app, "parse", noted)
    with running(model, desk=desk_in(tmp_path, made.commitment)) as server:
        opened(window, server.url, "talker")
        window.one("#settings summary").click()
        window.one("#system").type("be brief")
        window.run("document.getElementById('temperature').value = '1.5'")
        window.one("#seed").type("-9007199254740993")  # no number of the page's language
        window.one("#auditable").click()
        first = ask(window, "hello", 4)
        ask(window, "and then", 4)
        button(window, "New conversation").click()
        ask(window, "again", 4)
        assert not [b for b in window.all("#talk button") if b.text == "Prove"]  # it proves none
        window.picture(PICTURES / "settings.png")
        require_quiet(window, server.url)
    system = {"role": "system", "content": "be brief"}
    said = asked[1]["messages"][2]["content"]  # as it came, not as it is shown
    assert "".join(c if seen(c) or c in "\n\t" else f"U+{ord(c):04X}" for c in said) == first
    turns = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": said}]
    assert [a["messages"] for a in asked] == [
        [system, turns[0]],
        [system, *turns, {"role": "user", "content": "and then"}],
        [system, {"role": "user", "content": "again"}],
    ]
    assert {a["seed"] for a in asked} == {-9007199254740993}
    assert all(a["veracity"] == {"auditable": True} and a["temperature"] == 1.5 for a in asked)


def test_what_fails_is_told_and_an_answer_can_be_stopped(
    window: Browser, house: House, tmp_path: Path
) -> None:
    token = veracity("api-key", "alice", "--file", tmp_path / "keys").output.strip()
    model = ServedModel.load(house.program, house.secret, name="stories260k")
    with running(model, keys=tmp_path / "keys") as server:
        window.open(server.url)
        window.until(lambda: window.one("#door").shown)
        assert window.focused == "key"
        window.one("#key").type("wrong")
        window.press("\ue007")
        window.until(lambda: window.one("#fault").text == "no such key")
        window.one("#key").type(token)
        window.press("\ue007")
        window.until(lambda: window.one("h1").text == "stories260k")
        assert not window.one("#door").shown
        assert token not in window.run("return document.documentElement.outerHTML")
        ask(window, "word " * 4000)
        assert window.one("#talk .fault").text.startswith("the prompt has more than 512 tokens")
        window.one("#prompt").clear()
        window.run("document.getElementById('most').value = 500")
        window.one("#prompt").type(PROMPT)
        window.press("\ue007")
        window.until(lambda: window.all("#talk > li[aria-busy=true]"))
        window.press("\ue00c")
        window.until(lambda: not window.all("#talk > li[aria-busy=true]"))
        last = window.all("#talk .below p")[-1].text
        assert last == "Stopped. There is no receipt of what was not finished."
    # The refusals of strangers are on the console, and nothing else.
    assert {m.split(" - ")[-1][:50] for m in window.complaints()} == {
        "Failed to load resource: the server responded with"
    }


def drop(window: Browser, on: str = "", **files: bytes) -> None:
    """As a person drops files on the page, or on one place."""
    window.run(
        """
        const all = new DataTransfer();
        for (const [name, data] of Object.entries(arguments[0])) {
          all.items.add(new File([Uint8Array.from(data)], name.replace('__', '.')));
        }
        const place = arguments[1] ? document.getElementById(arguments[1]) : document;
        place.dispatchEvent(new DragEvent('drop', { dataTransfer: all, bubbles: true }));
        """,
        {name: list(data) for name, data in files.items()},
        on,
    )


def test_dropped_files_get_the_verdict_of_the_command(
    window: Browser, checker: Running, house: House, tmp_path: Path
) -> None:
    proof, commitment = house.proof.read_bytes(), house.commitment.read_bytes()
    altered = bytearray(proof)
    altered[len(proof) // 2] ^= 1
    for word, data in (
        ("ACCEPTED", proof),
        ("REJECTED", bytes(altered)),
        ("UNDECIDED", proof[:-1]),
    ):
        opened(window, checker.url, "Check a proof")
        drop(window, answer__vproof=data, model__vcom=commitment)
        assert window.focused == "go"
        window.press("\ue007")
        window.until(lambda: window.one("#result").shown)
        assert window.one(".verdict").text == word
        assert window.focused == "result"
        (tmp_path / "answer.vproof").write_bytes(data)
        said = veracity(
            "verify", tmp_path / "answer.vproof", "--commitment", house.commitment, "-q"
        )
        rows = window.run(
            "const rows = document.querySelectorAll('#result > table tr');"
            "return [...rows].map((row) => row.innerText);"
        )
        for name, value in (row.split("\t", 1) for row in rows):
            if name in ("prompt", "answer", "commitment", "proved", "reason", "found by", "end"):
                assert value in said.output, name
        require_quiet(window, checker.url)
        pictures(window, f"verify-{word.lower()}")
    drop(window, notes__txt=b"?")
    assert "notes.txt" in window.one("#fault").text


def test_pictures_are_checked(window: Browser, checker: Running, tmp_path: Path) -> None:
    """What went in, what came out, dropped in any order; each on its own place, too."""
    files = picture_files(tmp_path)
    opened(window, checker.url, "Check a proof")
    drop(window, a__png=files["input.png"], b__vproof=files["proof"], net__vcom=files["commitment"])
    drop(window, b__png=files["output.png"])
    assert window.run("return document.getElementById('network').open")
    assert window.run("return document.getElementById('output').files[0].name") == "b.png"
    button(window, "Check").click()
    window.until(lambda: window.one("#result").shown)
    assert window.one(".verdict").text == "ACCEPTED"
    assert "pixels with SHA-256" in window.one("#result").text
    require_quiet(window, checker.url)
    pictures(window, "verify-picture")
    drop(window, "output", c__png=files["input.png"])
    assert window.run("return document.getElementById('output').files[0].name") == "c.png"
    button(window, "Check").click()
    window.until(lambda: window.one("#result").shown and window.one(".verdict").text == "REJECTED")


def test_files_can_be_chosen_and_expectations_given(
    window: Browser, checker: Running, house: House
) -> None:
    opened(window, checker.url, "Check a proof")
    window.one("#proof").type(str(house.proof))
    window.one("#model").type(str(house.commitment))
    window.one("#more summary").click()
    window.one("#prompt").type("Another prompt")
    button(window, "Check").click()
    window.until(lambda: window.one("#result").shown)
    assert window.one(".verdict").text == "REJECTED"
    assert "Another prompt" in window.one("#result").text
    require_quiet(window, checker.url)
