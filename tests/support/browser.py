"""A real browser, headless, driven over the W3C's WebDriver protocol with what Python brings.

Needs Debian's ``chromium`` and ``chromium-driver``. The browser has no other network than this
machine, a folder of its own, and ends with the context.
"""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NEEDED = ("chromium", "chromedriver")
INSTALL = "apt-get install chromium chromium-driver"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
ENTER, ESCAPE, SHIFT, TAB, SPACE = "\ue007", "\ue00c", "\ue008", "\ue004", " "


def missing() -> list[str]:
    return [name for name in NEEDED if shutil.which(name) is None]


@dataclass(frozen=True)
class Element:
    """Something on a page."""

    browser: Browser
    ident: str

    def _do(self, method: str, path: str, body: Any = None) -> Any:
        return self.browser.command(method, f"/element/{self.ident}{path}", body)

    def click(self) -> None:
        self._do("POST", "/click", {})

    def type(self, text: str) -> None:
        self._do("POST", "/value", {"text": text})

    def clear(self) -> None:
        self._do("POST", "/clear", {})

    @property
    def text(self) -> str:
        return self._do("GET", "/text")

    @property
    def name(self) -> str:
        """As a screen reader says it."""
        return self._do("GET", "/computedlabel")

    @property
    def role(self) -> str:
        return self._do("GET", "/computedrole")

    @property
    def shown(self) -> bool:
        return self._do("GET", "/displayed")


@dataclass(frozen=True)
class Browser:
    """One window."""

    port: int
    session: str
    downloads: Path

    def command(self, method: str, path: str, body: Any = None) -> Any:
        return _call(self.port, method, f"/session/{self.session}{path}", body)

    def open(self, url: str) -> None:
        self.command("POST", "/url", {"url": url})

    def all(self, selector: str) -> list[Element]:
        found = self.command("POST", "/elements", {"using": "css selector", "value": selector})
        return [Element(self, one[_ELEMENT]) for one in found]

    def one(self, selector: str) -> Element:
        found = self.all(selector)
        assert len(found) == 1, (selector, len(found))
        return found[0]

    def run(self, script: str, *arguments: Any) -> Any:
        body = {"script": script, "args": list(arguments)}
        return self.command("POST", "/execute/sync", body)

    @property
    def focused(self) -> str:
        return self.run("return document.activeElement.id")

    def press(self, *keys: str) -> None:
        """Keys at the same time, wherever the focus is."""
        actions = [{"type": kind, "value": k} for kind in ("keyDown", "keyUp") for k in keys]
        body = {"actions": [{"type": "key", "id": "keys", "actions": actions}]}
        self.command("POST", "/actions", body)

    def size(self, width: int, height: int) -> None:
        self._chrome(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def dark(self, dark: bool) -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._chrome("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """The whole page."""
        body = {"captureBeyondViewport": True}
        found = self._chrome("Page.captureScreenshot", **body)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def _chrome(self, command: str, **parameters: Any) -> Any:
        return self.command("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def complaints(self) -> list[str]:
        """What the browser's console holds: refused resources, errors of scripts."""
        return [one["message"] for one in self.command("POST", "/se/log", {"type": "browser"})]

    def until(self, condition: Callable[[], Any], seconds: float = 120) -> Any:
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < deadline, self.run("return document.body.innerText")
            time.sleep(0.1)
        return found

    def downloaded(self, name: str) -> Path:
        """A file, once it is whole."""
        path = self.downloads / name
        self.until(path.exists)
        return path


def _call(port: int, method: str, path: str, body: Any = None) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"content-type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
    finally:
        connection.close()
    if isinstance(value, dict) and "error" in value:
        raise RuntimeError(f"{value['error']}: {value['message'].splitlines()[0]}")
    return value


def _options(folder: Path) -> dict[str, Any]:
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    arguments += ["--disable-background-networking", "--no-first-run", "--lang=en"]
    arguments += [f"--user-data-dir={folder / 'profile'}", "--window-size=1000,900"]
    prefs = {"download.default_directory": str(folder / "downloads")}
    prefs["download.prompt_for_download"] = False  # type: ignore[assignment]
    return {"args": arguments, "prefs": prefs}


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser for as long as the context lasts."""
    (folder / "downloads").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                _call(port, "GET", "/status")
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        capabilities = {
            "browserName": "chrome",
            "goog:chromeOptions": _options(folder),
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        made = _call(port, "POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})
        session = made["sessionId"]
        try:
            yield Browser(port, session, folder / "downloads")
        finally:
            _call(port, "DELETE", f"/session/{session}")
    finally:
        driver.terminate()
        driver.wait(30)
