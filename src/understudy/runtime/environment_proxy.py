"""Which proxy the environment asks for.

``HTTP_PROXY`` and ``HTTPS_PROXY`` go by the URL's scheme, ``NO_PROXY`` takes hosts out; lower-case
spellings count too, and on macOS and Windows the system's own settings where no variable is set.
A proxy that is no http one raises `ConnectFailed`, never goes round in silence.
The environment is read once per origin and transport: asking it costs more than a whole request.
"""

from __future__ import annotations

from urllib.request import getproxies, proxy_bypass

from yarl import URL

from understudy.errors import ConnectFailed


class EnvironmentProxies:
    """The proxy for each origin, remembered."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None, int | None], URL | None] = {}

    def find(self, url: URL) -> URL | None:
        """The proxy to reach `url` through, None for a direct connection; raises `ConnectFailed`."""
        origin = (url.scheme, url.raw_host, url.port)
        if origin not in self._known:
            self._known[origin] = _ask_environment(url)
        return self._known[origin]


def _ask_environment(url: URL) -> URL | None:
    proxy = getproxies().get(url.scheme)
    if not proxy or url.host is None or proxy_bypass(f"{url.host}:{url.port}"):
        return None
    return _proxy_url(proxy if "://" in proxy else f"http://{proxy}", f"{url.scheme}_proxy")


def _proxy_url(text: str, variable: str) -> URL:
    # The text itself may hold a password, so no message shows it.
    try:
        proxy = URL(text)
    except ValueError as error:
        raise ConnectFailed(f"the environment's {variable} is not a URL") from error
    if proxy.scheme not in ("http", "https") or not proxy.raw_host:
        raise ConnectFailed(f"the environment's {variable} is not an http proxy: {proxy.scheme}")
    return proxy
