"""What every HTTP transport owes the engine, on real sockets; see `understudy.runtime.ports`.

Each test runs over every adapter. Where an adapter falls short its case is a strict xfail that
carries the reason, so a newer version that mends it is noticed.
"""

from __future__ import annotations

import asyncio
import datetime
import gc
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.e2e.servers import Peer, Script, Server, deaf_port, free_port, serve
from understudy._version import __version__
from understudy.errors import BodyCutShort, ConnectFailed, ConnectionReset, ProtocolViolation
from understudy.runtime.aiohttp_transport import AiohttpTransport
from understudy.runtime.ports import HttpRequest, HttpResponse, Transport
from understudy.runtime.pyreqwest_transport import PyreqwestTransport

ADAPTERS: dict[str, Callable[[], Transport]] = {
    "aiohttp": AiohttpTransport,
    "pyreqwest": PyreqwestTransport,
}
# A closed socket must be seen by the other side within this many seconds.
AT_ONCE = 1.0

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def every_adapter(**limits: str) -> pytest.MarkDecorator:
    """Run over every adapter; `limits` names those that fail, each with the reason."""
    return pytest.mark.parametrize(
        "transport",
        [
            pytest.param(name, marks=pytest.mark.xfail(reason=limits[name]) if name in limits else ())
            for name in ADAPTERS
        ],
        indirect=True,
    )


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def ask(url: str, body: bytes = b"{}", **options: Any) -> HttpRequest:
    return HttpRequest(url + "/v1/chat", {"authorization": "Bearer k"}, body, **options)


def answering(*answers: bytes) -> Script:
    """Answer one request after another on each connection, the last answer again and again."""

    async def script(peer: Peer) -> None:
        number = 0
        while True:
            await peer.request()
            await peer.send(answers[min(number, len(answers) - 1)])
            number += 1

    return script


def once(answer: bytes, *, reset: bool = False) -> Script:
    """Answer one request, then close."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        if reset:
            await asyncio.sleep(0.05)  # The answer must arrive before the RST overtakes it.
            peer.reset()

    return script


async def silent(peer: Peer) -> None:
    """Read whatever comes and never answer."""
    await peer.watch()


async def rest_of(response: HttpResponse) -> bytes:
    pieces = []
    while data := await response.read():
        pieces.append(data)
    return b"".join(pieces)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Transport]:
    """One adapter; every test also checks that closing it leaves no task behind."""
    before = asyncio.all_tasks()
    made = ADAPTERS[request.param]()
    yield made
    await made.close()
    await made.close()
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert not left


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def serving(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    return serving(authority.issue_cert("127.0.0.1"))


# --- one exchange ---------------------------------------------------------------------------------


@every_adapter()
async def test_the_request_arrives_as_it_was_given(transport: Transport) -> None:
    async with serve(answering(OK)) as server:
        await rest_of(await transport.send(ask(server.url, b'{"n": 1}')))
    head, body = server.requests[0].split(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert head.startswith(b"POST /v1/chat HTTP/1.1\r\n")
    assert body == b'{"n": 1}'
    assert "authorization: bearer k" in lines
    assert "content-length: 8" in lines
    assert not [line for line in lines if line.startswith(("cookie", "referer"))]


@every_adapter()
async def test_what_the_request_leaves_out_is_said_by_default(transport: Transport) -> None:
    given = {"accept-encoding": "gzip", "User-Agent": "mine"}
    async with serve(answering(OK)) as server:
        await rest_of(await transport.send(HttpRequest(server.url, {}, b"{}")))
        await rest_of(await transport.send(HttpRequest(server.url, given, b"{}")))
    without, own = (request.decode().lower().split("\r\n") for request in server.requests)
    assert {"accept: */*", "accept-encoding: identity", f"user-agent: understudy/{__version__}"} <= set(
        without
    )
    assert {"accept-encoding: gzip", "user-agent: mine"} <= set(own)
    assert len([line for line in own if line.startswith(("accept-encoding", "user-agent"))]) == 2


@every_adapter()
async def test_a_large_body_arrives_whole(transport: Transport) -> None:
    body = bytes(range(256)) * 40_000
    async with serve(answering(OK)) as server:
        assert await rest_of(await transport.send(ask(server.url, body))) == b"ok"
    assert server.requests[0].endswith(b"\r\n\r\n" + body)


@every_adapter()
async def test_an_answer_may_come_before_the_request_is_all_sent(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 5\r\n\r\nlarge")
        await asyncio.sleep(0.2)

    async with serve(script) as server:
        response = await transport.send(ask(server.url, bytes(30_000_000)))
        assert (response.status, await rest_of(response)) == (413, b"large")
        response.close()


@every_adapter()
async def test_header_names_are_lower_case_and_repeated_values_joined(transport: Transport) -> None:
    answer = (
        b"HTTP/1.1 429 Slow Down\r\nRetry-After: 2\r\nX-Part: a\r\nx-part: b\r\ncontent-length: 0\r\n\r\n"
    )
    async with serve(answering(answer)) as server:
        response = await transport.send(ask(server.url))
    assert response.status == 429
    assert response.headers["retry-after"] == "2"
    assert response.headers["x-part"] == "a, b"
    assert not response.reconnected
    response.close()


@every_adapter()
async def test_a_header_that_is_not_utf8_hides_no_other(transport: Transport) -> None:
    answer = b"HTTP/1.1 200 OK\r\nx-name: caf\xe9\r\nretry-after: 2\r\ncontent-length: 2\r\n\r\nok"
    async with serve(answering(answer)) as server:
        response = await transport.send(ask(server.url))
        assert response.headers["retry-after"] == "2"
        str(response.headers).encode()
        assert await rest_of(response) == b"ok"


@every_adapter()
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
)
async def test_an_empty_body_ends_at_once_and_stays_ended(transport: Transport, answer: bytes) -> None:
    async with serve(answering(answer)) as server:
        response = await transport.send(ask(server.url))
        assert [await response.read() for _ in range(3)] == [b"", b"", b""]
        response.close()
        response.close()


@every_adapter()
async def test_redirects_and_encodings_are_left_alone(transport: Transport) -> None:
    answer = (
        b"HTTP/1.1 307 Moved\r\nlocation: /elsewhere\r\n"
        b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain"
    )
    async with serve(answering(answer)) as server:
        response = await transport.send(ask(server.url))
        assert (response.status, response.headers["location"]) == (307, "/elsewhere")
        assert response.headers["content-encoding"] == "gzip"
        assert await rest_of(response) == b"plain"
    assert len(server.requests) == 1


@every_adapter()
async def test_cookies_are_not_kept(transport: Transport) -> None:
    answer = b"HTTP/1.1 200 OK\r\nset-cookie: name=value; path=/\r\ncontent-length: 2\r\n\r\nok"
    async with serve(answering(answer)) as server:
        for _ in range(2):
            await rest_of(await transport.send(ask(f"http://localhost:{server.port}")))
    assert len(server.requests) == 2
    assert b"cookie" not in server.requests[1].lower()


@every_adapter()
async def test_interim_answers_are_passed_over(transport: Transport) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
    async with serve(answering(interim + OK)) as server:
        response = await transport.send(ask(server.url))
        assert response.status == 200
        assert await rest_of(response) == b"ok"


@every_adapter()
async def test_the_head_and_each_event_come_at_once(transport: Transport) -> None:
    seen = asyncio.Queue[int]()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD)
        await seen.get()
        for number in range(3):
            await peer.send(chunk(b"data: %d\n\n" % number))
            await seen.get()
        await peer.send(chunk(b""))

    async with serve(script) as server, asyncio.timeout(AT_ONCE):
        response = await transport.send(ask(server.url))
        seen.put_nowait(0)
        for number in range(3):
            assert await response.read() == b"data: %d\n\n" % number
            seen.put_nowait(0)
        assert await response.read() == b""


@every_adapter()
async def test_what_has_arrived_is_read_in_one_go_of_at_most_256_kib(transport: Transport) -> None:
    body = bytes(range(256)) * 12_000
    async with serve(
        answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    ) as server:
        response = await transport.send(ask(server.url))
        pieces = []
        while data := await response.read():
            pieces.append(data)
            await asyncio.sleep(0.001)  # Let more arrive than one read may give.
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= 256 * 1024


# --- connections ----------------------------------------------------------------------------------


@every_adapter()
async def test_a_connection_is_used_again_once_its_answer_is_read(transport: Transport) -> None:
    stream = STREAM_HEAD + chunk(b"one") + chunk(b"")
    async with serve(answering(stream, OK)) as server:
        for expected in (b"one", b"ok", b"ok"):
            response = await transport.send(ask(server.url))
            assert await rest_of(response) == expected
            response.close()
    assert [len(peer.requests) for peer in server.peers] == [3]


@every_adapter()
async def test_an_answer_closed_half_read_closes_its_connection(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD + chunk(b"one"))
        await peer.watch()

    async with serve(script) as server:
        response = await transport.send(ask(server.url))
        assert await response.read() == b"one"
        response.close()
        response.close()
        await asyncio.wait_for(server.peers[0].gone.wait(), AT_ONCE)


@every_adapter()
@pytest.mark.parametrize("late", [False, True])
async def test_http_1_0_ends_with_its_connection(transport: Transport, late: bool) -> None:
    async with serve(once(b"HTTP/1.0 200 OK\r\n\r\nall of it")) as server:
        for _ in range(2):
            response = await transport.send(ask(server.url))
            if late:
                await server.stopped()
                await asyncio.sleep(0.05)
            assert await rest_of(response) == b"all of it"
    assert len(server.peers) == 2


@every_adapter()
async def test_connection_close_is_kept_to(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        await peer.watch()

    async with serve(script) as server:
        for _ in range(2):
            assert await rest_of(await transport.send(ask(server.url))) == b"ok"
    assert len(server.peers) == 2


@every_adapter()
async def test_many_requests_run_side_by_side(transport: Transport) -> None:
    """Concurrency is the balancer's; a transport never queues."""
    waiting = asyncio.Semaphore(0)

    async def script(peer: Peer) -> None:
        await peer.request()
        waiting.release()
        while len(server.peers) < 150:
            await asyncio.sleep(0.01)
        await peer.send(OK)

    async def call() -> bytes:
        return await rest_of(await transport.send(ask(server.url)))

    async with serve(script) as server, asyncio.timeout(10):
        assert await asyncio.gather(*(call() for _ in range(150))) == [b"ok"] * 150


# --- a kept-alive connection that died ------------------------------------------------------------

NO_REUSE_SIGNAL = "pyreqwest does not say whether a connection was reused"


def dying(answers: int, last_words: bytes = b"", *, reset: bool = False) -> Script:
    """Each connection answers so many requests and dies on the next one."""

    async def script(peer: Peer) -> None:
        for _ in range(answers):
            await peer.request()
            await peer.send(OK)
        await peer.request()
        await peer.send(last_words)
        if reset:
            peer.reset()

    return script


@every_adapter(pyreqwest=NO_REUSE_SIGNAL)
@pytest.mark.parametrize("reset", [False, True])
async def test_a_request_on_a_dead_connection_goes_out_once_more(transport: Transport, reset: bool) -> None:
    async with serve(dying(1, reset=reset)) as server:
        await rest_of(await transport.send(ask(server.url)))
        response = await transport.send(ask(server.url, b"again"))
        assert response.reconnected
        assert await rest_of(response) == b"ok"
    assert [len(peer.requests) for peer in server.peers] == [2, 1]
    assert server.peers[1].requests[0].endswith(b"again")


@every_adapter(pyreqwest=NO_REUSE_SIGNAL)
async def test_it_does_so_on_a_connection_that_was_never_used(transport: Transport) -> None:
    """Though other idle connections are at hand, as dead as the first."""
    async with serve(dying(1)) as server:
        for response in await asyncio.gather(*(transport.send(ask(server.url)) for _ in range(2))):
            await rest_of(response)
        assert (await transport.send(ask(server.url))).reconnected
    assert len(server.peers) == 3


@every_adapter()
async def test_a_request_never_goes_out_three_times(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        first = not server.requests
        await peer.request()
        if first:
            await peer.send(OK)
            await peer.request()

    async with serve(script) as server:
        await rest_of(await transport.send(ask(server.url)))
        with pytest.raises(ConnectionReset):
            await transport.send(ask(server.url))
    assert len(server.requests) <= 3


@every_adapter()
@pytest.mark.parametrize("words", [b"HTTP/1.1 20", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_that_began_to_answer_was_not_dead(
    transport: Transport, words: bytes, reset: bool
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.send(words)
        if reset:
            await asyncio.sleep(0.05)
            peer.reset()

    async with serve(script) as server:
        await rest_of(await transport.send(ask(server.url)))
        with pytest.raises(ConnectionReset):
            await transport.send(ask(server.url))
    assert len(server.requests) == 2


@every_adapter()
async def test_a_new_connection_that_dies_is_a_reset(transport: Transport) -> None:
    async with serve(dying(0)) as server:
        with pytest.raises(ConnectionReset):
            await transport.send(ask(server.url))
    assert len(server.requests) == 1


@every_adapter()
async def test_words_on_an_idle_connection_answer_nobody(transport: Transport) -> None:
    """Some servers say 408 to an idle connection before they close it."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        if len(server.peers) == 1:
            await asyncio.sleep(0.05)
            await peer.send(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 4\r\n\r\nlate")
            said.set()
        await peer.watch()

    said = asyncio.Event()
    async with serve(script) as server:
        await rest_of(await transport.send(ask(server.url)))
        await said.wait()
        await asyncio.sleep(0.05)  # The late words arrive.
        response = await transport.send(ask(server.url))
        assert (response.status, await rest_of(response)) == (200, b"ok")
    assert len(server.peers) == 2


# --- no connection --------------------------------------------------------------------------------


@every_adapter()
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_refused_connection_says_so_at_once(transport: Transport, host: str) -> None:
    port = free_port()
    async with asyncio.timeout(AT_ONCE):
        with pytest.raises(ConnectFailed, match=rf"^connection refused \({host}:{port}\)$"):
            await transport.send(ask(f"http://{host}:{port}"))


@every_adapter()
async def test_a_name_that_does_not_resolve_says_so(transport: Transport) -> None:
    with pytest.raises(ConnectFailed, match=r"^name not resolved: no-such-host\.invalid$"):
        await transport.send(ask("http://no-such-host.invalid"))


@every_adapter()
@pytest.mark.parametrize("url", ["example", "ftp://example", "http://", "http://host:99999", "https://[x"])
async def test_what_is_no_url_says_so(transport: Transport, url: str) -> None:
    with pytest.raises(ConnectFailed, match=r"^not a URL to connect to"):
        await transport.send(ask(url))


@every_adapter()
async def test_the_connect_timeout_names_the_phase_of_connecting(transport: Transport) -> None:
    async with deaf_port() as port, asyncio.timeout(AT_ONCE):
        with pytest.raises(ConnectFailed, match=r"^connect timeout after 0\.2 s \(connecting\)$"):
            await transport.send(ask(f"http://127.0.0.1:{port}", connect_timeout=0.2))


@every_adapter()
async def test_the_connect_timeout_names_the_phase_of_tls(transport: Transport) -> None:
    async with serve(silent) as server, asyncio.timeout(AT_ONCE):
        with pytest.raises(ConnectFailed, match=r"^connect timeout after 0\.2 s \(.*TLS handshake\)$"):
            await transport.send(ask(f"https://127.0.0.1:{server.port}", connect_timeout=0.2))
        await server.peers[0].gone.wait()


@every_adapter()
async def test_the_connect_timeout_ends_with_the_connection(transport: Transport) -> None:
    """Waiting for the answer is not its business."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.4)
        await peer.send(OK)

    async with serve(script) as server:
        response = await transport.send(ask(server.url, connect_timeout=0.2))
        assert await rest_of(response) == b"ok"


LONG_PAST = datetime.datetime(2021, 1, 1)


@every_adapter()
@pytest.mark.parametrize(
    ("host", "expiry", "message"),
    [
        ("127.0.0.1", LONG_PAST, "^TLS: .*expired"),
        ("elsewhere.example", None, "^TLS: .*(mismatch|not valid for)"),
    ],
)
async def test_a_certificate_at_fault_says_how(
    transport: Transport,
    authority: trustme.CA,
    ca_file: str,
    host: str,
    expiry: datetime.datetime | None,
    message: str,
) -> None:
    certificate = authority.issue_cert(host, not_before=datetime.datetime(2020, 1, 1), not_after=expiry)
    async with serve(answering(OK), serving(certificate)) as server:
        with pytest.raises(ConnectFailed, match=message):
            await transport.send(ask(server.url, ca_file=ca_file))
    assert not server.requests


@every_adapter()
async def test_a_private_authority_is_trusted_only_where_named(
    transport: Transport, tls: ssl.SSLContext, ca_file: str
) -> None:
    async with serve(answering(OK), tls) as server:
        for _ in range(2):
            assert await rest_of(await transport.send(ask(server.url, ca_file=ca_file))) == b"ok"
        with pytest.raises(ConnectFailed, match=r"^TLS: .*(self-signed|unable to get|unknown)"):
            await transport.send(ask(server.url))
    assert len(server.requests) == 2
    assert len([peer for peer in server.peers if peer.requests]) == 1


@every_adapter()
async def test_ssl_cert_file_names_the_authorities(
    transport: Transport, tls: ssl.SSLContext, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    async with serve(answering(OK), tls) as server:
        assert await rest_of(await transport.send(ask(server.url))) == b"ok"


@every_adapter()
async def test_an_unusable_ca_file_says_so(transport: Transport, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate\n")
    for path in (garbage, tmp_path / "missing.pem"):
        with pytest.raises(ConnectFailed, match=f"^TLS: cannot use CA file {path}"):
            await transport.send(ask("https://127.0.0.1:1", ca_file=str(path)))


@every_adapter()
async def test_plaintext_on_a_tls_port_is_a_tls_fault(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.watch()

    async with serve(script) as server:
        with pytest.raises(ConnectFailed, match="TLS"):
            await transport.send(ask(f"https://127.0.0.1:{server.port}", connect_timeout=0.5))


@every_adapter()
@pytest.mark.parametrize("reset", [False, True])
async def test_a_connection_lost_in_the_tls_handshake_is_no_connection(
    transport: Transport, reset: bool
) -> None:
    async def script(peer: Peer) -> None:
        await asyncio.sleep(0.05)
        if reset:
            peer.reset()

    async with serve(script) as server:
        with pytest.raises(ConnectFailed, match="TLS"):
            await transport.send(ask(f"https://127.0.0.1:{server.port}"))


# --- an answer that breaks off --------------------------------------------------------------------


@every_adapter()
@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 200 OK\r\nx: y\r\n"])
@pytest.mark.parametrize("reset", [False, True])
async def test_an_end_before_the_head_is_complete_is_a_reset(
    transport: Transport, words: bytes, reset: bool
) -> None:
    async with serve(once(words, reset=reset)) as server:
        with pytest.raises(ConnectionReset):
            await transport.send(ask(server.url))


@every_adapter()
@pytest.mark.parametrize(
    ("words", "reset", "kind"),
    [
        (STREAM_HEAD + chunk(b"half"), False, ConnectionReset),
        (STREAM_HEAD + chunk(b"half"), True, ConnectionReset),
        (STREAM_HEAD + b"8\r\nhalf", False, ConnectionReset),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf", False, BodyCutShort),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf", True, ConnectionReset),
        (b"HTTP/1.0 200 OK\r\n\r\nhalf", True, ConnectionReset),
    ],
)
@pytest.mark.parametrize("late", [False, True])
async def test_an_end_inside_the_body_is_a_reset(
    transport: Transport, words: bytes, reset: bool, kind: type[ConnectionReset], late: bool
) -> None:
    """What had arrived is read first, even by a reader who comes after the end."""
    async with serve(once(words, reset=reset)) as server:
        response = await transport.send(ask(server.url))
        if late:
            await server.stopped()
            await asyncio.sleep(0.05)
        assert await response.read() == b"half"
        with pytest.raises(ConnectionReset) as caught:
            await response.read()
        assert type(caught.value) is kind
        with pytest.raises(ConnectionReset):
            await response.read()


@every_adapter()
async def test_a_reset_of_the_next_answer_is_not_the_last_one_s(transport: Transport) -> None:
    """Both came over the same connection, and the first is not read to its end yet."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await asyncio.sleep(0.05)
        peer.reset()

    async with serve(script) as server:
        first = await transport.send(ask(server.url))
        await asyncio.sleep(0.05)  # The whole answer arrives, and its connection is free.
        second = await transport.send(ask(server.url))
        await server.stopped()
        await asyncio.sleep(0.05)
        assert await rest_of(first) == b"ok"
        assert await second.read() == b"half"
        with pytest.raises(ConnectionReset):
            await second.read()
    assert len(server.peers) == 1


@every_adapter()
async def test_a_reset_after_the_end_of_the_body_is_none(transport: Transport) -> None:
    async with serve(once(OK, reset=True)) as server:
        response = await transport.send(ask(server.url))
        await asyncio.wait_for(server.stopped(), AT_ONCE)
        assert await rest_of(response) == b"ok"


@every_adapter()
@pytest.mark.parametrize(
    "words",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"<html>\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ],
)
async def test_what_is_not_http_is_a_violation(transport: Transport, words: bytes) -> None:
    async with serve(once(words)) as server:
        with pytest.raises(ProtocolViolation):
            await transport.send(ask(server.url))


@every_adapter()
async def test_broken_framing_in_the_body_is_a_violation(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD + chunk(b"half"))
        await asyncio.sleep(0.05)
        await peer.send(b"not a size\r\nhalf\r\n")
        await peer.watch()

    async with serve(script) as server, asyncio.timeout(AT_ONCE):
        response = await transport.send(ask(server.url))
        assert await response.read() == b"half"
        with pytest.raises(ProtocolViolation):
            await response.read()
        await server.peers[0].gone.wait()


@every_adapter()
@pytest.mark.parametrize(("fields", "size"), [(1, 60_000), (60, 1000)])
async def test_a_head_of_nearly_64_kib_is_fine(transport: Transport, fields: int, size: int) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * size) for n in range(fields))
    async with serve(answering(head + b"content-length: 2\r\n\r\nok")) as server:
        response = await transport.send(ask(server.url))
        assert len(response.headers["x-0"]) == size
        assert await rest_of(response) == b"ok"


@every_adapter()
@pytest.mark.parametrize(("fields", "size"), [(1, 70_000), (70, 1000), (1, 5_000_000), (10_000, 500)])
async def test_a_head_beyond_64_kib_is_a_violation(transport: Transport, fields: int, size: int) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(fields):
            await peer.send(b"x-%d: %s\r\n" % (number, b"y" * size))
        await peer.send(b"content-length: 2\r\n\r\nok")
        await peer.watch()

    async with serve(script) as server:
        with pytest.raises(ProtocolViolation):
            await transport.send(ask(server.url))
        if fields * size > 1_000_000:
            await is_closed(server.peers[0])


# --- the caller leaves ----------------------------------------------------------------------------

NO_CANCEL_BEFORE_HEAD = "pyreqwest keeps a cancelled request's connection until its head has come"


async def leave(waiting: asyncio.Task[Any], how: str) -> None:
    """Cancel, or let a deadline do it."""
    if how == "cancel":
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    else:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiting, 0.01)


async def is_closed(peer: Peer) -> None:
    await asyncio.wait_for(peer.gone.wait(), AT_ONCE)


leaving = pytest.mark.parametrize("how", ["cancel", "deadline"])
secured = pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])


@every_adapter(pyreqwest=NO_CANCEL_BEFORE_HEAD)
@leaving
@secured
async def test_leaving_before_the_head_closes_the_connection(
    transport: Transport, how: str, secure: bool, tls: ssl.SSLContext, ca_file: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.watch()

    arrived = asyncio.Event()
    async with serve(script, tls if secure else None) as server:
        sending = asyncio.ensure_future(transport.send(ask(server.url, ca_file=ca_file)))
        await arrived.wait()
        await leave(sending, how)
        await is_closed(server.peers[0])


@every_adapter()
@leaving
@secured
@pytest.mark.parametrize(
    "head", [STREAM_HEAD + chunk(b"half"), b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf"]
)
async def test_leaving_inside_the_body_closes_the_connection(
    transport: Transport, how: str, secure: bool, head: bytes, tls: ssl.SSLContext, ca_file: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(head)
        await peer.watch()

    async with serve(script, tls if secure else None) as server:
        response = await transport.send(ask(server.url, ca_file=ca_file))
        assert await response.read() == b"half"
        reading = asyncio.ensure_future(response.read())
        await asyncio.sleep(0.02)
        await leave(reading, how)
        await is_closed(server.peers[0])
        with pytest.raises(ConnectionReset):
            await response.read()


@every_adapter()
@secured
async def test_closing_while_the_server_sends_closes_the_connection(
    transport: Transport, secure: bool, tls: ssl.SSLContext, ca_file: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD)
        while True:
            await peer.send(chunk(bytes(65536)))

    async with serve(script, tls if secure else None) as server:
        response = await transport.send(ask(server.url, ca_file=ca_file))
        await response.read()
        response.close()
        await is_closed(server.peers[0])


@every_adapter(pyreqwest=NO_CANCEL_BEFORE_HEAD)
async def test_leaving_in_the_tls_handshake_closes_the_connection(transport: Transport) -> None:
    async with serve(silent) as server:
        sending = asyncio.ensure_future(transport.send(ask(f"https://127.0.0.1:{server.port}")))
        peer = await server.peer()
        await asyncio.sleep(0.05)
        await leave(sending, "cancel")
        await is_closed(peer)


@every_adapter(pyreqwest=NO_CANCEL_BEFORE_HEAD)
async def test_leaving_with_the_request_half_sent_closes_the_connection(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await left.wait()
        await peer.watch()

    left = asyncio.Event()
    async with serve(script) as server:
        sending = asyncio.ensure_future(transport.send(ask(server.url, bytes(30_000_000))))
        peer = await server.peer()
        await asyncio.sleep(0.1)
        await leave(sending, "cancel")
        left.set()
        await is_closed(peer)


def connecting_to(port: int) -> int:
    """How many sockets of this machine are on their way to a port: the kernel's own table."""
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in table]
    return sum(1 for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "02")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's table of sockets")
@every_adapter(pyreqwest=NO_CANCEL_BEFORE_HEAD)
async def test_leaving_while_connecting_closes_the_socket(transport: Transport) -> None:
    async with deaf_port() as port:
        others = connecting_to(port)
        sending = asyncio.ensure_future(transport.send(ask(f"http://127.0.0.1:{port}")))
        async with asyncio.timeout(AT_ONCE):
            while connecting_to(port) == others:
                await asyncio.sleep(0.01)
        await leave(sending, "cancel")
        async with asyncio.timeout(AT_ONCE):
            while connecting_to(port) > others:
                await asyncio.sleep(0.01)


# --- a slow reader --------------------------------------------------------------------------------


@every_adapter()
@secured
async def test_a_slow_reader_holds_back_the_server(
    transport: Transport, secure: bool, tls: ssl.SSLContext, ca_file: str
) -> None:
    pushed = 0

    async def script(peer: Peer) -> None:
        nonlocal pushed
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 200000000\r\n\r\n")
        for _ in range(200):
            await peer.send(bytes(1_000_000))
            pushed += 1_000_000

    async with serve(script, tls if secure else None) as server:
        response = await transport.send(ask(server.url, ca_file=ca_file))
        assert await response.read()
        before = -1
        while pushed > before:
            before = pushed
            await asyncio.sleep(0.2)
        response.close()
    # The kernel's own buffers on both sides hold most of it.
    assert pushed < 20_000_000


# --- closing the transport ------------------------------------------------------------------------


@every_adapter()
async def test_closing_the_transport_closes_idle_connections(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.watch()

    async with serve(script) as server:
        await rest_of(await transport.send(ask(server.url)))
        await transport.close()
        await is_closed(server.peers[0])


@every_adapter()
@secured
async def test_closing_the_transport_ends_a_read_that_waits(
    transport: Transport, secure: bool, tls: ssl.SSLContext, ca_file: str
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD + chunk(b"half"))
        await peer.watch()

    async with serve(script, tls if secure else None) as server:
        response = await transport.send(ask(server.url, ca_file=ca_file))
        await response.read()
        reading = asyncio.ensure_future(response.read())
        await asyncio.sleep(0.02)
        await asyncio.wait_for(transport.close(), AT_ONCE)
        with pytest.raises(ConnectionReset):
            await asyncio.wait_for(reading, AT_ONCE)
        await is_closed(server.peers[0])


@every_adapter()
async def test_closing_the_transport_does_not_wait_for_a_request_half_sent(transport: Transport) -> None:
    async def script(peer: Peer) -> None:
        await asyncio.sleep(10)

    async with serve(script) as server:
        sending = asyncio.ensure_future(transport.send(ask(server.url, bytes(30_000_000))))
        await server.peer()
        await asyncio.sleep(0.1)
        await asyncio.wait_for(transport.close(), AT_ONCE)
        with pytest.raises(ConnectionReset):
            await asyncio.wait_for(sending, AT_ONCE)


@every_adapter()
async def test_a_closed_transport_sends_nothing(transport: Transport) -> None:
    async with serve(answering(OK)) as server:
        await rest_of(await transport.send(ask(server.url)))
        await transport.close()
        with pytest.raises(ConnectFailed, match=r"^the transport is closed$"):
            await transport.send(ask(server.url))
    assert len(server.requests) == 1


@every_adapter()
async def test_nothing_is_left_for_the_garbage_collector_to_complain_about(transport: Transport) -> None:
    """A dropped answer, a cancelled one, a broken one: warnings are errors."""
    async with serve(answering(STREAM_HEAD + chunk(b"half"))) as server:
        await transport.send(ask(server.url))
        await (await transport.send(ask(server.url))).read()
    gc.collect()
    await transport.close()
    gc.collect()


# --- proxies --------------------------------------------------------------------------------------


async def forward(peer: Peer) -> None:
    """A proxy: opens tunnels, and answers plain requests in its own name."""
    request = await peer.request()
    method, target, _ = request.split(b" ", 2)
    if method == b"CONNECT":
        await peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await peer.tunnel(int(target.rsplit(b":")[-1]))
    else:
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nby proxy!")


def proxy_url(server: Server, credentials: str = "") -> str:
    return f"http://{credentials}127.0.0.1:{server.port}"


@every_adapter()
async def test_plain_requests_go_through_http_proxy(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(forward) as proxy:
        monkeypatch.setenv("http_proxy", proxy_url(proxy, "user:secret@"))
        response = await transport.send(ask("http://upstream.invalid"))
        assert await rest_of(response) == b"by proxy!"
    head = proxy.requests[0].lower()
    assert head.startswith(b"post http://upstream.invalid/v1/chat http/1.1\r\n")
    assert b"\r\nproxy-authorization: basic dxnlcjpzzwnyzxq=\r\n" in head


@every_adapter()
async def test_tls_goes_through_a_tunnel(
    transport: Transport, tls: ssl.SSLContext, ca_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serve(answering(OK), tls) as server, serve(forward) as proxy:
        monkeypatch.setenv("https_proxy", proxy_url(proxy, "user:secret@"))
        for _ in range(2):
            response = await transport.send(ask(server.url, ca_file=ca_file))
            assert await rest_of(response) == b"ok"
        await transport.close()
    head = proxy.requests[0].lower()
    assert head.startswith(b"connect 127.0.0.1:%d http/1.1\r\n" % server.port)
    assert b"\r\nproxy-authorization: basic dxnlcjpzzwnyzxq=\r\n" in head
    assert b"bearer" not in head
    assert len(proxy.peers) == 1
    assert len(server.requests) == 2


@every_adapter()
async def test_no_proxy_takes_a_host_out(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(answering(OK)) as server, serve(forward) as proxy:
        monkeypatch.setenv("http_proxy", proxy_url(proxy))
        monkeypatch.setenv("no_proxy", "example.com,127.0.0.1")
        assert await rest_of(await transport.send(ask(server.url))) == b"ok"
    assert not proxy.peers


@every_adapter()
async def test_a_tunnel_refused_is_no_connection(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    async with serve(once(refusal)) as proxy:
        monkeypatch.setenv("https_proxy", proxy_url(proxy))
        with pytest.raises(ConnectFailed, match=r"^proxy refused the tunnel"):
            await transport.send(ask("https://upstream.invalid"))


@every_adapter()
async def test_a_proxy_that_is_down_is_no_connection(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
    with pytest.raises(ConnectFailed, match=r"^(proxy: )?connection refused"):
        await transport.send(ask("http://upstream.invalid"))


@every_adapter()
async def test_netrc_is_left_alone(
    transport: Transport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with serve(answering(OK)) as server:
        await rest_of(await transport.send(HttpRequest(server.url, {}, b"{}")))
    assert b"authorization" not in server.requests[0].lower()
