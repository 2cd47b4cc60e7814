"""aiohttp's exceptions as ours, with messages a user can act on.

There are four cases. No connection, for whichever reason: `ConnectFailed`. A connection that ended
too early: `ConnectionReset`. Something that is not HTTP: `ProtocolViolation`. The rest is not
aiohttp's and passes.
"""

from __future__ import annotations

import ssl
from types import TracebackType

import aiohttp
from aiohttp.http_exceptions import ContentLengthError, HttpProcessingError, TransferEncodingError

from understudy.errors import BodyCutShort, ConnectFailed, ConnectionReset, ProtocolViolation, TransportError
from understudy.runtime.aiohttp_wire import TLS_HANDSHAKE, Opening


class map_exceptions:  # noqa: N801 - reads as the statement it is
    """The border: inside ``with map_exceptions(opening)`` aiohttp's exceptions leave as ours.

    A class, not a generator: it is entered for every read.
    """

    __slots__ = ("_opening",)

    def __init__(self, opening: Opening) -> None:
        self._opening = opening

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (aiohttp.ClientError, HttpProcessingError)):
            raise translate(error, self._opening) from error


def translate(error: aiohttp.ClientError | HttpProcessingError, opening: Opening) -> TransportError:
    """Ours for one of aiohttp's."""
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ConnectFailed(f"connect timeout after {opening.connect_timeout} s ({opening.phase})")
        case aiohttp.ClientConnectorDNSError():
            return ConnectFailed(f"name not resolved: {error.host}")
        case aiohttp.ClientConnectorCertificateError():
            return ConnectFailed(f"TLS: {_certificate_fault(error.certificate_error)}")
        case aiohttp.ClientProxyConnectionError():
            return ConnectFailed(f"proxy: {_connect_fault(error, opening)}")
        case aiohttp.ClientConnectorError():
            return ConnectFailed(_connect_fault(error, opening))
        case aiohttp.ClientHttpProxyError():
            return ConnectFailed(f"proxy refused the tunnel: {error.status} {error.message}")
        case aiohttp.InvalidURL():
            return ConnectFailed(f"not a URL to connect to: {error.url}")
        case aiohttp.ClientResponseError() | HttpProcessingError():
            return ProtocolViolation(f"not HTTP: {_first_line(error.message)}")
        case aiohttp.ClientPayloadError():
            return _payload_fault(error)
        case aiohttp.ServerDisconnectedError():
            return ConnectionReset("connection closed before the head of the answer was complete")
        case aiohttp.ClientOSError():
            return ConnectionReset("connection reset")
        case _:
            return ConnectionReset(str(error) or "connection lost")


def _certificate_fault(error: Exception) -> str:
    return str(getattr(error, "verify_message", error)).rstrip(".")


def _connect_fault(error: aiohttp.ClientConnectorError, opening: Opening) -> str:
    cause = error.os_error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {_tls_fault(cause)}"
    if opening.phase == TLS_HANDSHAKE:
        return "TLS: connection lost in the handshake"
    place = f"{error.host}:{error.port}"
    if isinstance(cause, ConnectionRefusedError):
        return f"connection refused ({place})"
    return f"{cause.strerror or cause} ({place})"


def _tls_fault(error: ssl.SSLError) -> str:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return f"{reason} (the server does not speak TLS on this port)"
    return reason


def _payload_fault(error: aiohttp.ClientPayloadError) -> TransportError:
    cause = error.__cause__
    if isinstance(cause, (TransferEncodingError, ContentLengthError)):
        kind = BodyCutShort if isinstance(cause, ContentLengthError) else ConnectionReset
        return kind(f"connection closed with the body incomplete: {_first_line(cause.message)}")
    return ProtocolViolation(f"the body's framing is broken: {_first_line(str(error))}")


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0][:200] if message.strip() else "no reason given"
