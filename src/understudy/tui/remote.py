"""A gateway that runs elsewhere, asked over HTTP.

1. Whatever goes wrong is a `GatewayError`: one line, and how to mend it. No key is in it.
2. A gateway may say nothing for `SECONDS`, also in a live stream, since a picture is due each second.
3. No redirect is followed: the key is for this address.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import msgspec

from understudy.errors import ConfigurationError, UnderstudyError
from understudy.observe.foreign_text import one_line
from understudy.runtime.aiohttp_errors import translate
from understudy.runtime.aiohttp_wire import Opening

DEFAULT_URL = "http://127.0.0.1:4141"
KEY_VARIABLE = "UNDERSTUDY_KEY"
SECONDS = 10.0
CONNECT_SECONDS = 5.0

_START = "`understudy serve` starts one, and a URL names another one"
_KEYS = f"{KEY_VARIABLE}=KEY in the environment, or --key; the admin key sees everything"
_NO_GATEWAY = "`understudy serve` of this version answers differently"
_REFUSED = {401: _KEYS, 403: _KEYS}


class GatewayError(UnderstudyError):
    """The gateway did not answer, or not with what it was asked for. `status` is None if nothing came."""

    def __init__(self, message: str, hint: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status


class Remote(Protocol):
    """A gateway, wherever it is. Each method raises `GatewayError` and nothing else."""

    @property
    def name(self) -> str:
        """As people call it."""
        ...

    async def get(self, path: str) -> bytes:
        """The body of the answer to a GET."""
        ...

    async def post(self, path: str) -> bytes: ...

    def live(self) -> AsyncIterator[bytes]:
        """The live stream, piece by piece. It ends where the gateway ends it."""
        ...


class HttpRemote:
    """An asynchronous context manager: leaving it closes every connection."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.name = checked_url(url)
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<HttpRemote {self.name}>"

    async def __aenter__(self) -> HttpRemote:
        limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SECONDS)
        self._session = aiohttp.ClientSession(headers=self._headers, timeout=limits)
        return self

    async def __aexit__(self, *ending: object) -> None:
        assert self._session is not None, "it was entered"
        await self._session.close()

    async def get(self, path: str) -> bytes:
        return await self._whole("GET", path)

    async def post(self, path: str) -> bytes:
        return await self._whole("POST", path)

    async def live(self) -> AsyncIterator[bytes]:
        try:
            async with self._request("GET", "/live") as answer:
                await self._check(answer)
                async for piece in answer.content.iter_any():
                    yield piece
        except aiohttp.ClientError as error:
            raise self._unreachable(error) from None

    async def _whole(self, method: str, path: str) -> bytes:
        try:
            async with self._request(method, path) as answer:
                await self._check(answer)
                body: bytes = await answer.read()
                return body
        except aiohttp.ClientError as error:
            raise self._unreachable(error) from None

    def _request(self, method: str, path: str) -> Any:
        assert self._session is not None, "it was entered"
        return self._session.request(method, self.name + path, allow_redirects=False)

    async def _check(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status != 200:
            raise refusal(self.name, answer.status, await answer.read())

    def _unreachable(self, error: aiohttp.ClientError) -> GatewayError:
        return GatewayError(f"no gateway answers at {self.name}: {_reason(error)}", _START)


def refusal(name: str, status: int, body: bytes) -> GatewayError:
    """What an answer that is an error means to people."""
    try:
        said = one_line(msgspec.json.decode(body)["error"]["message"])
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return GatewayError(f"what answers at {name} is no gateway of Understudy: {status}", _START, status)
    return GatewayError(said, _REFUSED.get(status), status)


def checked_url(text: str) -> str:
    """The base URL of a gateway; raises `ConfigurationError`. A bare ``host:port`` will do."""
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        is_url = False
    if not is_url or parts.username or parts.query or parts.fragment:
        raise ConfigurationError("the URL of a gateway is expected", hint=f"as in {DEFAULT_URL}")
    return url.rstrip("/").removesuffix("/v1")


def decoded(body: bytes, kind: Any = Any) -> Any:
    """The JSON of an answer; raises `GatewayError` where it is not what a gateway of ours says."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise GatewayError("what answers is no gateway of Understudy", _NO_GATEWAY) from None


def _reason(error: aiohttp.ClientError) -> str:
    """There are three cases: it takes no connection, it takes one and says nothing, anything else."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"it has taken no connection for {CONNECT_SECONDS:g} s"
    if isinstance(error, aiohttp.SocketTimeoutError):
        return f"it has said nothing for {SECONDS:g} s"
    return one_line(str(translate(error, Opening(CONNECT_SECONDS, set()))))
