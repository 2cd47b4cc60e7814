"""What the default transport does beyond the contract, or what only its library lets us play."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trustme

from tests.e2e.servers import Peer, serve
from understudy.errors import ConnectFailed, ConnectionReset, ProtocolViolation
from understudy.runtime.aiohttp_transport import AiohttpTransport
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


def fall_silent(listener: socket.socket, context: ssl.SSLContext, words: bytes) -> None:
    """Answer with so much over TLS, then only watch the bare socket until it is closed."""
    accepted, _ = listener.accept()
    with context.wrap_socket(accepted, server_side=True) as secured:
        secured.recv(65536)
        secured.sendall(words)
        secured.settimeout(1.0)
        try:
            while socket.socket.recv(secured, 65536):
                pass
        except ConnectionResetError:
            pass


async def leave_before_the_head(sending: Awaitable[HttpResponse]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sending, 0.1)


async def leave_in_the_body(sending: Awaitable[HttpResponse]) -> None:
    response = await sending
    assert await response.read() == b"half"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(response.read(), 0.01)


async def close_in_the_body(sending: Awaitable[HttpResponse]) -> None:
    response = await sending
    assert await response.read() == b"half"
    response.close()


async def be_told_nonsense(sending: Awaitable[HttpResponse]) -> None:
    with pytest.raises(ProtocolViolation):
        await finish(await sending)


@pytest.mark.parametrize(
    ("words", "end"),
    [
        (b"", leave_before_the_head),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf", leave_in_the_body),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nhalf", close_in_the_body),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nno size\r\n", be_told_nonsense),
    ],
)
async def test_a_silent_peer_cannot_hold_a_tls_connection_open(
    transport: AiohttpTransport,
    authority: tuple[ssl.SSLContext, str],
    words: bytes,
    end: Callable[[Awaitable[HttpResponse]], Awaitable[None]],
) -> None:
    """A polite end of TLS would wait half a minute for the peer's."""
    context, ca_file = authority
    with socket.create_server(("127.0.0.1", 0)) as listener:
        playing = asyncio.ensure_future(asyncio.to_thread(fall_silent, listener, context, words))
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.timeout(2):
            await end(transport.send(ask(url, ca_file=ca_file)))
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
