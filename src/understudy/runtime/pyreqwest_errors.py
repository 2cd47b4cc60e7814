"""pyreqwest's exceptions as ours.

Its classes tell timeouts and undecodable answers apart, but refused, unresolved, TLS and reset only
by the text of their causes: `translate` is the one place that reads these texts.
"""

from __future__ import annotations

from ipaddress import ip_address
from types import TracebackType

from pyreqwest.exceptions import BuilderError, ConnectTimeoutError, DecodeError, DetailedPyreqwestError
from pyreqwest.http import Url

from understudy.errors import BodyCutShort, ConnectFailed, ConnectionReset, ProtocolViolation, TransportError


class map_exceptions:  # noqa: N801 - reads as the statement it is
    """The border: inside ``with map_exceptions(url, connect_timeout)`` pyreqwest's leave as ours.

    `sized` is to be set once the answer is known to have a Content-Length.
    """

    __slots__ = ("_connect_timeout", "_url", "sized")

    def __init__(self, url: Url, connect_timeout: float) -> None:
        self._url = url
        self._connect_timeout = connect_timeout
        self.sized = False

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, DetailedPyreqwestError):
            raise translate(error, self._url, self._connect_timeout, self.sized) from error


def translate(error: DetailedPyreqwestError, url: Url, connect_timeout: float, sized: bool) -> TransportError:
    """Ours for one of pyreqwest's."""
    causes = [cause["message"] for cause in error.details["causes"] or ()]
    last = causes[-1] if causes else error.message
    connecting = "client error (Connect)" in causes
    match error:
        # Silence before the head is a connect timeout to it, too.
        case ConnectTimeoutError() if connecting:
            return ConnectFailed(f"connect timeout after {connect_timeout} s ({_phase(causes, url)})")
        case BuilderError():
            return ConnectFailed(f"not a URL to connect to: {url}")
        case DecodeError():
            return ProtocolViolation(f"not HTTP: {last}")
    if connecting:
        return ConnectFailed(_connect_fault(causes, last, url))
    if "chunk" in last and "EOF" not in last:
        return ProtocolViolation(f"the body's framing is broken: {last}")
    # It says the same of a chunk that is cut in the middle.
    short = sized and last == "end of file before message length reached"
    return (BodyCutShort if short else ConnectionReset)(f"connection lost: {last}")


def _phase(causes: list[str], url: Url) -> str:
    if "tcp connect error" in causes:
        return "connecting"
    before_tls = "connecting" if _is_address(url.host_str or "") else "resolving the name"
    return f"{before_tls} or TLS handshake" if url.scheme == "https" else before_tls


def _is_address(host: str) -> bool:
    """There is nothing to resolve in an address."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _connect_fault(causes: list[str], last: str, url: Url) -> str:
    if "dns error" in causes:
        return f"name not resolved: {url.host_str}"
    if last.startswith("Connection refused"):
        return f"connection refused ({url.host_str}:{url.port_or_known_default})"
    if last.startswith("invalid peer certificate: "):
        return f"TLS: {_certificate_fault(last.removeprefix('invalid peer certificate: '))}"
    if any("tunnel" in cause for cause in causes):
        return f"proxy refused the tunnel: {last}"
    if "tcp connect error" in causes:
        return f"{last} ({url.host_str}:{url.port_or_known_default})"
    return f"TLS: {last}"


def _certificate_fault(text: str) -> str:
    if text == "UnknownIssuer":
        return "certificate of an unknown issuer (a self-signed one is not accepted, not even as a root)"
    if text.startswith("Other(OtherError(CaUsedAsEndEntity))"):
        return "self-signed certificate (not accepted, not even as a root: use one issued by a CA)"
    return text
