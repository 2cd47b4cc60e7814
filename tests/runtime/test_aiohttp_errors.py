"""aiohttp's exceptions as ours."""

from __future__ import annotations

import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from aiohttp.http_exceptions import (
    BadStatusLine,
    ContentLengthError,
    HttpProcessingError,
    TransferEncodingError,
)
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from understudy.errors import BodyCutShort, ConnectFailed, ConnectionReset, ProtocolViolation, TransportError
from understudy.runtime.aiohttp_errors import map_exceptions, translate
from understudy.runtime.aiohttp_wire import CONNECTING, RESOLVING, TLS_HANDSHAKE, Opening

KEY = ConnectionKey("api.example.com", 443, True, True, None, None, None)
INFO = RequestInfo(URL("https://api.example.com"), "POST", CIMultiDictProxy(CIMultiDict()))


def certificate_error(message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, message)
    error.verify_message = message
    return error


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "text")
    error.reason = reason
    return error


def caused(error: aiohttp.ClientPayloadError, cause: Exception) -> aiohttp.ClientPayloadError:
    error.__cause__ = cause
    return error


def connector(error: OSError) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(KEY, error)


CASES: list[tuple[aiohttp.ClientError | HttpProcessingError, str, type[TransportError], str]] = [
    (
        aiohttp.ConnectionTimeoutError("late"),
        RESOLVING,
        ConnectFailed,
        "connect timeout after 5.0 s (resolving the name)",
    ),
    (
        aiohttp.ClientConnectorDNSError(KEY, socket.gaierror(-2, "unknown")),
        RESOLVING,
        ConnectFailed,
        "name not resolved: api.example.com",
    ),
    (
        aiohttp.ClientConnectorCertificateError(KEY, certificate_error("certificate has expired")),
        TLS_HANDSHAKE,
        ConnectFailed,
        "TLS: certificate has expired",
    ),
    (
        aiohttp.ClientConnectorCertificateError(KEY, certificate_error("Hostname mismatch, … 'x'.")),
        TLS_HANDSHAKE,
        ConnectFailed,
        "TLS: Hostname mismatch, … 'x'",
    ),
    (
        aiohttp.ClientConnectorCertificateError(KEY, ssl.CertificateError(1, "no match")),
        TLS_HANDSHAKE,
        ConnectFailed,
        "TLS: no match",
    ),
    (
        connector(tls_error("WRONG_VERSION_NUMBER")),
        TLS_HANDSHAKE,
        ConnectFailed,
        "TLS: wrong version number (the server does not speak TLS on this port)",
    ),
    (
        connector(tls_error("TLSV1_ALERT_PROTOCOL_VERSION")),
        TLS_HANDSHAKE,
        ConnectFailed,
        "TLS: tlsv1 alert protocol version",
    ),
    (
        connector(ConnectionResetError(104, "reset by peer")),
        TLS_HANDSHAKE,
        ConnectFailed,
        "TLS: connection lost in the handshake",
    ),
    (
        connector(ConnectionRefusedError(111, "Connect call failed")),
        CONNECTING,
        ConnectFailed,
        "connection refused (api.example.com:443)",
    ),
    (
        connector(OSError(113, "No route to host")),
        CONNECTING,
        ConnectFailed,
        "No route to host (api.example.com:443)",
    ),
    (
        connector(OSError("Multiple exceptions: …")),
        CONNECTING,
        ConnectFailed,
        "Multiple exceptions: … (api.example.com:443)",
    ),
    (
        aiohttp.ClientProxyConnectionError(KEY, ConnectionRefusedError(111, "no")),
        CONNECTING,
        ConnectFailed,
        "proxy: connection refused (api.example.com:443)",
    ),
    (
        aiohttp.ClientHttpProxyError(INFO, (), status=407, message="Authenticate"),
        CONNECTING,
        ConnectFailed,
        "proxy refused the tunnel: 407 Authenticate",
    ),
    (
        aiohttp.InvalidURL("http://127.1", "is not canonical"),
        RESOLVING,
        ConnectFailed,
        "not a URL to connect to: http://127.1",
    ),
    (
        aiohttp.ClientResponseError(INFO, (), status=400, message="bad status line\n  ^"),
        CONNECTING,
        ProtocolViolation,
        "not HTTP: bad status line",
    ),
    (BadStatusLine("SSH"), CONNECTING, ProtocolViolation, "not HTTP: Bad status line 'SSH'"),
    (HttpProcessingError(message=""), CONNECTING, ProtocolViolation, "not HTTP: no reason given"),
    (
        caused(aiohttp.ClientPayloadError("…"), TransferEncodingError("not enough")),
        CONNECTING,
        ConnectionReset,
        "connection closed with the body incomplete: not enough",
    ),
    (
        caused(aiohttp.ClientPayloadError("…"), ContentLengthError("3 of 9")),
        CONNECTING,
        BodyCutShort,
        "connection closed with the body incomplete: 3 of 9",
    ),
    (
        aiohttp.ClientPayloadError("nonsense"),
        CONNECTING,
        ProtocolViolation,
        "the body's framing is broken: nonsense",
    ),
    (
        aiohttp.ServerDisconnectedError(),
        CONNECTING,
        ConnectionReset,
        "connection closed before the head of the answer was complete",
    ),
    (aiohttp.ClientOSError(104, "by peer"), CONNECTING, ConnectionReset, "connection reset"),
    (aiohttp.ClientConnectionError("connection closed"), CONNECTING, ConnectionReset, "connection closed"),
    (aiohttp.ClientError(), CONNECTING, ConnectionReset, "connection lost"),
]


@pytest.mark.parametrize(("error", "phase", "kind", "message"), CASES)
def test_each_fault_has_its_class_and_a_message_to_act_on(
    error: aiohttp.ClientError | HttpProcessingError, phase: str, kind: type[TransportError], message: str
) -> None:
    opening = Opening(5.0, set())
    opening.phase = phase
    ours = translate(error, opening)
    assert type(ours) is kind
    assert str(ours) == message


def test_the_border_lets_ours_out_with_theirs_as_cause() -> None:
    theirs = aiohttp.ServerDisconnectedError()
    with pytest.raises(ConnectionReset) as caught, map_exceptions(Opening(5.0, set())):
        raise theirs
    assert caught.value.__cause__ is theirs


def test_the_border_lets_everything_else_pass() -> None:
    with pytest.raises(KeyError), map_exceptions(Opening(5.0, set())):
        raise KeyError
    with map_exceptions(Opening(5.0, set())):
        pass
