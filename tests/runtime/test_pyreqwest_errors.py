"""pyreqwest's exceptions as ours: a test per text it is known to say."""

from __future__ import annotations

import pytest

pytest.importorskip("pyreqwest")

from pyreqwest.exceptions import (
    BuilderError,
    ConnectError,
    ConnectTimeoutError,
    DecodeError,
    DetailedPyreqwestError,
    ReadError,
    ReadTimeoutError,
    RequestError,
)
from pyreqwest.http import Url

from understudy.errors import BodyCutShort, ConnectFailed, ConnectionReset, ProtocolViolation, TransportError
from understudy.runtime.pyreqwest_errors import map_exceptions, translate

PLAIN = Url("http://api.example.com/v1")
SECURE = Url("https://api.example.com/v1")


def error(kind: type[DetailedPyreqwestError], *causes: str) -> DetailedPyreqwestError:
    return kind("message", {"causes": [{"message": cause} for cause in causes]})


def connecting(*causes: str) -> DetailedPyreqwestError:
    return error(ConnectError, "error sending request for url (…)", "client error (Connect)", *causes)


def sending(*causes: str) -> DetailedPyreqwestError:
    return error(ConnectError, "error sending request for url (…)", "client error (SendRequest)", *causes)


def reading(*causes: str) -> DetailedPyreqwestError:
    return error(ReadError, "request or response body error", "error reading a body from connection", *causes)


CASES: list[tuple[DetailedPyreqwestError, Url, type[TransportError], str]] = [
    (
        connecting("tcp connect error", "Connection refused (os error 111)"),
        PLAIN,
        ConnectFailed,
        "connection refused (api.example.com:80)",
    ),
    (
        connecting("tcp connect error", "No route to host (os error 113)"),
        SECURE,
        ConnectFailed,
        "No route to host (os error 113) (api.example.com:443)",
    ),
    (
        connecting("dns error", "failed to lookup address information: Name or service not known"),
        PLAIN,
        ConnectFailed,
        "name not resolved: api.example.com",
    ),
    (
        error(ConnectTimeoutError, "client error (Connect)", "tcp connect error", "deadline has elapsed"),
        SECURE,
        ConnectFailed,
        "connect timeout after 5.0 s (connecting)",
    ),
    (
        error(ConnectTimeoutError, "client error (Connect)", "operation timed out"),
        SECURE,
        ConnectFailed,
        "connect timeout after 5.0 s (resolving the name or TLS handshake)",
    ),
    (
        error(ConnectTimeoutError, "client error (Connect)", "operation timed out"),
        Url("http://127.0.0.1:1/v1"),
        ConnectFailed,
        "connect timeout after 5.0 s (connecting)",
    ),
    (
        error(ConnectTimeoutError, "client error (Connect)", "operation timed out"),
        Url("https://[::1]:1/v1"),
        ConnectFailed,
        "connect timeout after 5.0 s (connecting or TLS handshake)",
    ),
    (
        error(ConnectTimeoutError, "client error (Connect)", "operation timed out"),
        PLAIN,
        ConnectFailed,
        "connect timeout after 5.0 s (resolving the name)",
    ),
    (
        connecting("invalid peer certificate: certificate expired: verification time 1 (UNIX)"),
        SECURE,
        ConnectFailed,
        "TLS: certificate expired: verification time 1 (UNIX)",
    ),
    (
        connecting('invalid peer certificate: certificate not valid for name "x"'),
        SECURE,
        ConnectFailed,
        'TLS: certificate not valid for name "x"',
    ),
    (
        connecting("invalid peer certificate: UnknownIssuer"),
        SECURE,
        ConnectFailed,
        "TLS: certificate of an unknown issuer (a self-signed one is not accepted, not even as a root)",
    ),
    (
        connecting("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))"),
        SECURE,
        ConnectFailed,
        "TLS: self-signed certificate (not accepted, not even as a root: use one issued by a CA)",
    ),
    (
        connecting("Connection reset by peer (os error 104)"),
        SECURE,
        ConnectFailed,
        "TLS: Connection reset by peer (os error 104)",
    ),
    (
        connecting("received corrupt message of type InvalidContentType"),
        SECURE,
        ConnectFailed,
        "TLS: received corrupt message of type InvalidContentType",
    ),
    (
        connecting("tunnel error: proxy authorization required"),
        SECURE,
        ConnectFailed,
        "proxy refused the tunnel: tunnel error: proxy authorization required",
    ),
    (
        error(BuilderError, "URL scheme is not allowed"),
        Url("ftp://x"),
        ConnectFailed,
        "not a URL to connect to: ftp://x/",
    ),
    (
        error(DecodeError, "client error (SendRequest)", "invalid HTTP version parsed"),
        PLAIN,
        ProtocolViolation,
        "not HTTP: invalid HTTP version parsed",
    ),
    (
        error(DecodeError, "client error (SendRequest)", "message head is too large"),
        PLAIN,
        ProtocolViolation,
        "not HTTP: message head is too large",
    ),
    (
        sending("connection closed before message completed"),
        PLAIN,
        ConnectionReset,
        "connection lost: connection closed before message completed",
    ),
    (
        sending("connection error", "Connection reset by peer (os error 104)"),
        PLAIN,
        ConnectionReset,
        "connection lost: Connection reset by peer (os error 104)",
    ),
    (
        reading("unexpected EOF during chunk size line"),
        PLAIN,
        ConnectionReset,
        "connection lost: unexpected EOF during chunk size line",
    ),
    (
        error(RequestError, "end of file before message length reached"),
        PLAIN,
        BodyCutShort,
        "connection lost: end of file before message length reached",
    ),
    (
        error(RequestError, "Invalid chunk size line: missing size digit"),
        PLAIN,
        ProtocolViolation,
        "the body's framing is broken: Invalid chunk size line: missing size digit",
    ),
    (
        error(ConnectTimeoutError, "operation timed out"),
        PLAIN,
        ConnectionReset,
        "connection lost: operation timed out",
    ),
    (
        error(ReadTimeoutError, "operation timed out"),
        PLAIN,
        ConnectionReset,
        "connection lost: operation timed out",
    ),
    (
        RequestError("client was closed", {"causes": None}),
        PLAIN,
        ConnectionReset,
        "connection lost: client was closed",
    ),
]


@pytest.mark.parametrize(("theirs", "url", "kind", "message"), CASES)
def test_each_text_has_its_class_and_a_message_to_act_on(
    theirs: DetailedPyreqwestError, url: Url, kind: type[TransportError], message: str
) -> None:
    ours = translate(theirs, url, 5.0, True)
    assert type(ours) is kind
    assert str(ours) == message


def test_only_a_body_with_a_length_can_fall_short_of_it() -> None:
    """It says the same of a chunk that is cut in the middle."""
    theirs = error(RequestError, "end of file before message length reached")
    assert type(translate(theirs, PLAIN, 5.0, False)) is ConnectionReset


def test_the_border_lets_ours_out_with_theirs_as_cause() -> None:
    theirs = reading("Connection reset by peer (os error 104)")
    with pytest.raises(ConnectionReset) as caught, map_exceptions(PLAIN, 5.0):
        raise theirs
    assert caught.value.__cause__ is theirs


def test_the_border_lets_everything_else_pass() -> None:
    with pytest.raises(KeyError), map_exceptions(PLAIN, 5.0):
        raise KeyError
    with map_exceptions(PLAIN, 5.0):
        pass
