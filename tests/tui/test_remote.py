"""Facts about asking a gateway over HTTP, on real sockets."""

from __future__ import annotations

import pytest

from tests.e2e.servers import Peer, deaf_port, free_port, serve
from tests.gateway.house import house
from understudy.errors import ConfigurationError
from understudy.tui import remote as remote_module
from understudy.tui.remote import GatewayError, HttpRemote, checked_url, decoded, refusal

BUSY = b'{"error":{"message":"100 read this already"}}'


def answer(status: str, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


async def test_a_live_stream_comes_piece_by_piece() -> None:
    async with house() as evening, HttpRemote(evening.url) as remote:
        stream = remote.live()
        piece = await anext(stream)
        assert piece.startswith(b"event: hello")
        evening.gateway.live.end()
        rest = b"".join([piece async for piece in stream])
        assert rest.endswith(b'event: end\ndata: {"reason":"the gateway shuts down"}\n\n')
        with pytest.raises(GatewayError) as raised:
            await anext(remote.live())
        assert (raised.value.status, raised.value.message) == (503, "the gateway is shutting down")
        assert repr(remote) == f"<HttpRemote {evening.url}>"


async def test_a_stream_that_breaks_off_is_an_error() -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\n: hi\r\n")
        peer.reset()

    async with serve(play) as server, HttpRemote(server.url) as remote:
        with pytest.raises(GatewayError, match=f"no gateway answers at {server.url}: "):
            _ = [piece async for piece in remote.live()]


async def test_whoever_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "SECONDS", 0.1)

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.watch()

    async with serve(play) as server, HttpRemote(server.url) as remote:
        with pytest.raises(GatewayError, match=r"it has said nothing for 0\.1 s"):
            await remote.get("/stats")


async def test_whoever_takes_no_connection_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_module, "CONNECT_SECONDS", 0.1)
    async with deaf_port() as port, HttpRemote(f"127.0.0.1:{port}") as remote:
        with pytest.raises(GatewayError, match=r"it has taken no connection for 0\.1 s"):
            await remote.post("/admin/reload")


async def test_nobody_there_is_said_with_a_hint() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with HttpRemote(url) as remote:
        with pytest.raises(GatewayError) as raised:
            await remote.get("/stats")
    assert raised.value.message == f"no gateway answers at {url}: connection refused ({url[7:]})"
    assert raised.value.hint is not None


async def test_the_key_goes_to_this_address_alone() -> None:
    async def say(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer("200 OK", b"{}"))

    async with serve(say) as elsewhere:

        async def send_away(peer: Peer) -> None:
            await peer.request()
            where = elsewhere.url.encode()
            await peer.send(b"HTTP/1.1 307 Elsewhere\r\nlocation: %b/\r\ncontent-length: 0\r\n\r\n" % where)

        async with serve(send_away) as server, HttpRemote(server.url, "sk-secret") as remote:
            with pytest.raises(GatewayError) as raised:
                await remote.get("/stats")
        assert b"Bearer sk-secret" in server.requests[0]
        assert elsewhere.requests == []
    assert "sk-secret" not in f"{raised.value} {raised.value.hint} {remote!r}"


def test_a_refusal_is_in_the_gateways_words() -> None:
    error = refusal("gateway", 503, BUSY)
    assert (error.message, error.hint, error.status) == ("100 read this already", None, 503)


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"error":"x"}', b'{"error":{"message":7}}', b"\xff"]
)
def test_whatever_is_no_refusal_of_ours_is_no_gateway(body: bytes) -> None:
    assert refusal("gateway", 404, body).message == "what answers at gateway is no gateway of Understudy: 404"


def test_what_is_no_json_is_no_gateway() -> None:
    with pytest.raises(GatewayError, match="no gateway of Understudy"):
        decoded(b"<html>")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("gateway:4141", "http://gateway:4141"),
        ("https://gateway/", "https://gateway"),
        ("http://gateway/lb/v1/", "http://gateway/lb"),
        ("http://[::1]:4141", "http://[::1]:4141"),
    ],
)
def test_urls(text: str, url: str) -> None:
    assert checked_url(text) == url


def test_what_is_no_url() -> None:
    with pytest.raises(ConfigurationError):
        checked_url("http://gateway?key=1")
