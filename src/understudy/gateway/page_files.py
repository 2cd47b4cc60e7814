"""``GET /``: the page, as files beside this one, and what a browser may do with them.

1. The files are nobody's secret and open without a key. What they show is asked for with one.
2. A browser takes scripts and styles from these files alone, no inline ones, talks to this gateway alone, and
   shows the page inside no other. Whatever a backend wrote stays text, even if the page should err.
3. A browser asks each time whether a file is still the same (``etag``): a new version is not mixed with an
   old one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files

from understudy.gateway.http import Headers, Request, Send, answer, no_route

FOLDER = "/page/"

_INDEX = "index.html"
_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS: Headers = [
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", _POLICY),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]


@dataclass(frozen=True, slots=True)
class File:
    """One file, ready to be sent."""

    body: bytes
    kind: bytes
    etag: bytes


def is_page(path: str) -> bool:
    return path == "/" or path.startswith(FOLDER)


async def show(request: Request, send: Send) -> None:
    """Raises `HttpError` 404."""
    name = _INDEX if request.path == "/" else request.path.removeprefix(FOLDER)
    file = _files().get(name)
    if file is None:
        raise no_route(request.path)
    headers = [*_HEADERS, (b"etag", file.etag), *request.id_headers]
    if request.headers.get(b"if-none-match") == file.etag:
        await answer(send, 304, b"", headers, (b"content-type", file.kind))
        return
    await answer(send, 200, file.body, headers, (b"content-type", file.kind))


@cache
def _files() -> dict[str, File]:
    """Read once, and nothing else is ever looked for: a name is no path."""
    folder = files("understudy.gateway") / "page"
    return {entry.name: _file(entry.name, entry.read_bytes()) for entry in folder.iterdir()}


def _file(name: str, body: bytes) -> File:
    kind = _TYPES[name[name.rindex(".") :]]
    return File(body, kind, b'"%b"' % sha256(body).hexdigest()[:16].encode())
