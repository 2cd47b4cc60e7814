"""The opt-in transport: pyreqwest (Rust, rustls), less CPU per unary call than the default.

Where it falls short of `ports.Transport`, as of pyreqwest 0.15:

- A request cancelled, or a transport closed, before the head of the answer has come leaves its
  connection open until the server answers or closes, at most `silence_limit` seconds. Inside the
  body both close at once.
- It does not say whether a connection was reused, so a kept-alive one that died is a
  `ConnectionReset`, never `reconnected`.
- Headers that are not UTF-8 are left out, and a self-signed certificate is not accepted even where
  `ca_file` names it: rustls wants one issued by a CA.
- Silence before the head or inside a read ends in a `ConnectionReset` after `silence_limit`.

Rules:

- Redirects and decoding are off. Bodies are always read as streams, unbuffered: a unary read
  cannot be cancelled, and a read-ahead would hold back the first event.
- One client for each connect timeout and CA file, because it takes both at construction.
- Proxies come from the environment, as the library reads it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from understudy.errors import ConfigurationError, ConnectFailed, ConnectionReset, ProtocolViolation
from understudy.runtime.head import DEFAULT_HEADERS, HEAD_LIMIT, head_size, joined_headers
from understudy.runtime.ports import HttpRequest

try:
    from pyreqwest.client import Client, ClientBuilder
    from pyreqwest.http import HeaderMap, Url
    from pyreqwest.request import StreamRequest
    from pyreqwest.response import Response

    from understudy.runtime.pyreqwest_errors import map_exceptions
except ImportError as error:
    _missing: ImportError | None = error
else:
    _missing = None

_READ_LIMIT = 256 * 1024
# Its worker thread aborts the interpreter if Python ends while it still tidies up.
_SETTLING_SECONDS = 0.05
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class _Interruptions:
    """Lets a closing transport end the waits that pyreqwest itself would not."""

    def __init__(self) -> None:
        self._waits: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def wait(self) -> AsyncIterator[None]:
        """Raises `ConnectionReset` inside the block when `end_all` is called."""
        try:
            async with asyncio.timeout(None) as waiting:
                self._waits.add(waiting)
                try:
                    yield
                finally:
                    self._waits.discard(waiting)
        except TimeoutError as error:
            raise ConnectionReset("the transport was closed") from error

    def end_all(self) -> None:
        for waiting in tuple(self._waits):
            waiting.reschedule(0)


class PyreqwestResponse:
    """An answer over pyreqwest; see `ports.HttpResponse`."""

    reconnected = False

    def __init__(
        self, request: StreamRequest, response: Response, border: map_exceptions, waits: _Interruptions
    ) -> None:
        self._request = request
        self._reader = response.body_reader
        self._border = border
        self._waits = waits
        self._held = b""
        self._ended = False
        self._closed = False
        self.status = response.status
        self.headers = joined_headers(_readable(response.headers))
        border.sized = "content-length" in self.headers

    async def read(self) -> bytes:
        if self._closed and not self._ended:
            raise ConnectionReset("the answer was closed")
        try:
            data = self._held or await self._next()
        except BaseException:
            self.close()
            raise
        self._held = data[_READ_LIMIT:]
        return data[:_READ_LIMIT]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            # It is done at the first step; to await it would take a task.
            with suppress(StopIteration):
                self._request.__aexit__(None, None, None).send(None)

    async def _next(self) -> bytes:
        if self._ended:
            return b""
        async with self._waits.wait():
            with self._border:
                data = await self._reader.read_chunk()
        self._ended = data is None
        return bytes(data or b"")


class PyreqwestTransport:
    """Sends over pyreqwest; see `ports.Transport`. Raises `ConfigurationError` if it is not installed."""

    def __init__(self, silence_limit: float = 900.0) -> None:
        if _missing is not None:
            raise ConfigurationError(
                "the pyreqwest transport needs the package pyreqwest, which is not installed",
                hint="pip install 'understudy[pyreqwest]'",
            ) from _missing
        self._silence_limit = silence_limit
        self._clients: dict[tuple[float, str | None], Client] = {}
        self._waits = _Interruptions()
        self._closed = False

    async def send(self, request: HttpRequest) -> PyreqwestResponse:
        if self._closed:
            raise ConnectFailed("the transport is closed")
        url = _url(request.url)
        client = self._client(request.connect_timeout, request.ca_file)
        post = (
            client.post(url)
            .headers(dict(request.headers))
            .body_bytes(request.body)
            .streamed_read_buffer_limit(0)
            .build_streamed()
        )
        border = map_exceptions(url, request.connect_timeout)
        async with self._waits.wait():
            with border:
                response = await post.__aenter__()
        answer = PyreqwestResponse(post, response, border, self._waits)
        if head_size(answer.headers.items()) > HEAD_LIMIT:
            answer.close()
            raise ProtocolViolation(f"the head of the answer is beyond {HEAD_LIMIT} bytes")
        return answer

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._waits.end_all()
        for client in self._clients.values():
            await client.close()
        self._clients.clear()
        await asyncio.sleep(_SETTLING_SECONDS)

    def _client(self, connect_timeout: float, ca_file: str | None) -> Client:
        key = (connect_timeout, ca_file)
        if key not in self._clients:
            self._clients[key] = _build(connect_timeout, ca_file, self._silence_limit)
        return self._clients[key]


def _build(connect_timeout: float, ca_file: str | None, silence_limit: float) -> Client:
    builder = ClientBuilder().default_headers(DEFAULT_HEADERS)
    builder = builder.follow_redirects(False)
    builder = builder.gzip(False).brotli(False).zstd(False).deflate(False)
    builder = builder.connect_timeout(timedelta(seconds=connect_timeout))
    builder = builder.read_timeout(timedelta(seconds=silence_limit))
    for certificate in _certificates(ca_file) if ca_file else ():
        builder = builder.add_root_certificate_pem(certificate)
    return builder.build()


def _certificates(ca_file: str) -> list[bytes]:
    try:
        found: list[bytes] = _CERTIFICATE.findall(Path(ca_file).read_bytes())
    except OSError as error:
        raise ConnectFailed(f"TLS: cannot use CA file {ca_file}: {error.strerror}") from error
    if not found:
        raise ConnectFailed(f"TLS: cannot use CA file {ca_file}: no certificate in it")
    return found


def _url(text: str) -> Url:
    with suppress(ValueError):
        # The library takes "http:///path" for a host of that name.
        if urlsplit(text).scheme in ("http", "https") and urlsplit(text).hostname:
            return Url(text)
    raise ConnectFailed(f"not a URL to connect to: {text}")


def _readable(headers: HeaderMap) -> Iterator[tuple[str, str]]:
    """Every header but those it cannot decode, which it refuses one by one."""
    pairs = iter(headers.items())
    while True:
        try:
            yield next(pairs)
        except ValueError:
            continue
        except StopIteration:
            return
