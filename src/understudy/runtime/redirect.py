"""Redirects, of which only the harmless are followed.

- 307 and 308 to the same origin (scheme, host, port) repeat the request as it was, headers and
  body, at most `FOLLOWED_AT_MOST` times. The origin is taken from the request, never from the
  answer: credentials cannot leave it, however the location is spelled.
- Any other 3xx, another origin, or one redirect too many is handed back as it came.
"""

from __future__ import annotations

from urllib.parse import SplitResult, urljoin, urlsplit

from msgspec.structs import replace

from understudy.runtime.ports import HttpRequest, HttpResponse, Transport

FOLLOWED_AT_MOST = 3
MOVED = (307, 308)
_DEFAULT_PORTS = {"http": 80, "https": 443}


async def send_following(transport: Transport, request: HttpRequest) -> HttpResponse:
    """Send, and send again where the same origin says so; raises what `Transport.send` raises."""
    return await follow(transport, request, await transport.send(request))


async def follow(transport: Transport, request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """What `request` comes to in the end, if `response` was the first answer to it."""
    for _ in range(FOLLOWED_AT_MOST):
        target = _target(request.url, response)
        if target is None:
            break
        response.close()
        request = replace(request, url=target)
        response = await transport.send(request)
    return response


def _target(url: str, response: HttpResponse) -> str | None:
    """Where to repeat the request, None for nowhere."""
    location = response.headers.get("location")
    if response.status not in MOVED or not location:
        return None
    try:
        here, there = urlsplit(url), urlsplit(urljoin(url, location))
        if _origin(here) != _origin(there):
            return None
    except ValueError:
        return None
    return there._replace(scheme=here.scheme, netloc=here.netloc, fragment="").geturl()


def _origin(url: SplitResult) -> tuple[str, str | None, int | None]:
    return url.scheme, url.hostname, url.port or _DEFAULT_PORTS.get(url.scheme)
