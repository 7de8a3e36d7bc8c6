"""The pages for people: one HTML file each, that loads nothing else.

Style and script stand in the file; its policy names their digests, so that a browser runs no other
script, not even one that an answer would bring in.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Page"]

_FOLDER = "data/page"
_POLICY = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass(frozen=True)
class Page:
    """A page, and the policy that it is sent with.

    Attributes
    ----------
    html : bytes
        The file.
    policy : str
        Its ``Content-Security-Policy``.
    """

    html: bytes
    policy: str

    @classmethod
    def named(cls, name: str) -> Page:
        """``chat``, of a server of answers, or ``verify``, of a verifier."""
        style = _text("style.css")
        script = _text("shared.js") + _text(f"{name}.js")
        html = _text(f"{name}.html").replace("@STYLE@", style).replace("@SCRIPT@", script)
        policy = _POLICY.format(script=_digest(script), style=_digest(style))
        return cls(html.encode("utf-8"), policy)

    async def send(self, _request: Request) -> Response:
        """``GET /``."""
        headers = {
            "content-security-policy": self.policy,
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "permissions-policy": "camera=(), geolocation=(), microphone=()",
        }
        return Response(self.html, media_type="text/html", headers=headers)


def _text(name: str) -> str:
    return files("veracity").joinpath(_FOLDER, name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
