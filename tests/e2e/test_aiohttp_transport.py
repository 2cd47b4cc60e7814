"""What the default transport does beyond the contract, or what only its library lets us play."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trustme

from tests.e2e.servers import Peer, serve
from understudy.errors import ConnectFailed, ConnectionReset, ProtocolViolation
from understudy.runtime.aiohttp_transport import AiohttpResponse, AiohttpTransport
from understudy.runtime.ports import HttpRequest, HttpResponse

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    await made.close()


def ask(url: str, **options: Any) -> HttpRequest:
    return HttpRequest(url, {}, b"{}", **options)


async def finish(response: HttpResponse) -> None:
    while await response.read():
        pass


async def answer(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.send(OK)


def hold_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the name server does not answer."""

    async def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_a_name_server_that_does_not_answer_meets_the_connect_timeout(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_names(monkeypatch)
    with pytest.raises(ConnectFailed, match=r"^connect timeout after 0\.1 s \(resolving the name\)$"):
        await transport.send(ask("http://upstream.example", connect_timeout=0.1))


async def test_leaving_while_the_name_is_resolved_takes_effect_at_once(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_names(monkeypatch)
    before = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(transport.send(ask("http://upstream.example")), 0.05)
    await transport.close()
    assert asyncio.all_tasks() == before


async def test_a_flood_of_interim_answers_is_cut_off(transport: AiohttpTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        while True:
            await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n" * 100)

    async with serve(script) as server, asyncio.timeout(5):
        with pytest.raises(ProtocolViolation, match="head of the answer"):
            await transport.send(ask(server.url))
        await server.peers[0].gone.wait()


async def test_a_connection_that_replaced_a_dead_one_is_not_kept(transport: AiohttpTransport) -> None:
    """It is made outside the pool, so that it is new for sure; twice here."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    async with serve(script) as server:
        for reconnected in (False, True, False, True):
            response = await transport.send(ask(server.url))
            await finish(response)
            assert response.reconnected is reconnected
    assert len(server.peers) == 4


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, str]:
    """A server's context, and the file with which a client trusts it."""
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, str(path)


async def test_concurrent_first_requests_share_one_tls_context(
    transport: AiohttpTransport, authority: tuple[ssl.SSLContext, str]
) -> None:
    """Connections of two contexts would lie in two pools."""
    context, ca_file = authority
    async with serve(answer, context) as server:
        request = ask(server.url, ca_file=ca_file)
        for _ in range(2):
            for response in await asyncio.gather(transport.send(request), transport.send(request)):
                await finish(response)
    assert len(server.peers) == 2


class SilentServer:
    """Answers over TLS, word by word as it is told, then only watches the bare socket until it is closed."""

    def __init__(self, context: ssl.SSLContext, *words: bytes) -> None:
        self._context = context
        self._words = words
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(5.0)
        self._heard = threading.Event()
        self._told = threading.Semaphore(0)
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"

    async def heard(self) -> None:
        assert await asyncio.to_thread(self._heard.wait, 5.0)

    def speak(self) -> None:
        self._told.release()

    def play(self) -> None:
        accepted, _ = self._listener.accept()
        self._listener.close()
        with self._context.wrap_socket(accepted, server_side=True) as secured:
            secured.recv(65536)
            self._heard.set()
            for words in self._words:
                self._told.acquire(timeout=5.0)
                secured.sendall(words)
            secured.settimeout(1.0)
            try:
                while socket.socket.recv(secured, 65536):
                    pass
            except ConnectionResetError:
                pass


HALF = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"


Sending = asyncio.Future[AiohttpResponse]


async def leave_before_the_head(server: SilentServer, sending: Sending) -> None:
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def half_of(server: SilentServer, sending: Sending) -> HttpResponse:
    server.speak()
    response = await sending
    assert await response.read() == b"half"
    return response


async def leave_in_the_body(server: SilentServer, sending: Sending) -> None:
    response = await half_of(server, sending)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(response.read(), 0.01)


async def close_in_the_body(server: SilentServer, sending: Sending) -> None:
    (await half_of(server, sending)).close()


async def be_told_nonsense(server: SilentServer, sending: Sending) -> None:
    response = await half_of(server, sending)
    server.speak()
    with pytest.raises(ProtocolViolation):
        await response.read()


@pytest.mark.parametrize(
    ("words", "end"),
    [
        ([], leave_before_the_head),
        ([HALF], leave_in_the_body),
        ([HALF], close_in_the_body),
        ([HALF, b"no size\r\n"], be_told_nonsense),
    ],
)
async def test_a_silent_peer_cannot_hold_a_tls_connection_open(
    transport: AiohttpTransport,
    authority: tuple[ssl.SSLContext, str],
    words: list[bytes],
    end: Callable[[SilentServer, Sending], Awaitable[None]],
) -> None:
    """A polite end of TLS would wait half a minute for the peer's."""
    context, ca_file = authority
    server = SilentServer(context, *words)
    playing = asyncio.ensure_future(asyncio.to_thread(server.play))
    sending = asyncio.ensure_future(transport.send(ask(server.url, ca_file=ca_file)))
    await server.heard()
    async with asyncio.timeout(1.0):
        await end(server, sending)
    await playing


async def test_http_1_1_is_what_it_asks_of_tls(
    transport: AiohttpTransport, authority: tuple[ssl.SSLContext, str]
) -> None:
    """A server that prefers HTTP/2 would otherwise speak it, unasked."""
    context, ca_file = authority
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with serve(answer, context) as server:
        await finish(await transport.send(ask(server.url, ca_file=ca_file)))
        assert server.peers[0].alpn == "http/1.1"


async def test_its_repr_counts_the_connections(transport: AiohttpTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)

    async with serve(script) as server:
        assert repr(transport) == "<AiohttpTransport, 0 connections>"
        await finish(await transport.send(ask(server.url)))
        assert repr(transport) == "<AiohttpTransport, 1 connections>"
        await server.stopped()
        await asyncio.sleep(0.05)
        assert repr(transport) == "<AiohttpTransport, 0 connections>"
        await transport.close()
        assert repr(transport) == "<AiohttpTransport, 0 connections, closed>"


async def test_closing_the_transport_cuts_a_request_short(transport: AiohttpTransport) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        arrived.set()
        await peer.watch()

    arrived = asyncio.Event()
    async with serve(script) as server:
        sending = asyncio.ensure_future(transport.send(ask(server.url)))
        await arrived.wait()
        await transport.close()
        with pytest.raises(ConnectionReset):
            await asyncio.wait_for(sending, 1.0)
        await asyncio.wait_for(server.peers[0].gone.wait(), 1.0)
