"""The body as bytes: type, length, encoding, and how it is cut."""

from __future__ import annotations

import json
import zlib

import pytest

from tests.faults.raw import Client, play, stream
from understudy.faults import TEXT, FaultProvider


async def test_another_content_type() -> None:
    answer = await stream("content-type text/plain")
    assert (answer.headers["content-type"], answer.text) == ("text/plain", TEXT)


async def test_a_form_that_was_not_asked_for() -> None:
    unary = await stream("as unary")
    assert (unary.headers["content-type"], unary.text) == ("application/json", TEXT)
    streamed = await play("as stream")
    assert streamed.headers["content-type"].startswith("text/event-stream")
    assert (streamed.text, streamed.data[-1]) == (TEXT, "[DONE]")


@pytest.mark.parametrize(("name", "bits"), [("gzip", 31), ("deflate", 15), ("raw-deflate", -15)])
@pytest.mark.parametrize("asked", [True, False])
async def test_a_compressed_body(name: str, bits: int, asked: bool) -> None:
    answer = await play(f"encoding {name}", stream=asked)
    assert answer.headers["content-encoding"] == name.removeprefix("raw-")
    answer.body = zlib.decompress(answer.body, wbits=bits)
    assert answer.text == TEXT


async def test_an_encoding_that_is_not_true() -> None:
    answer = await play("claim br")
    assert (answer.headers["content-encoding"], answer.text) == ("br", TEXT)
    assert "content-encoding" not in (await play("encoding gzip claim=none")).headers
    assert (await play("encoding gzip claim=deflate")).headers["content-encoding"] == "deflate"


async def test_a_length_that_promises_too_much_and_then_the_connection_closes() -> None:
    answer = await play("length +10")
    assert answer.ending == "cut"
    assert json.loads(answer.body)
    assert answer.headers["content-length"] == str(len(answer.body) + 10)


async def test_a_length_that_promises_too_little() -> None:
    answer = await play("length -10")
    assert answer.ending == "end"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)


@pytest.mark.parametrize("text", ["10", "'+'", "+x"])
async def test_an_offset_has_a_sign(text: str) -> None:
    with pytest.raises(Exception, match=r"\+10"):
        FaultProvider(f"length {text}")


async def test_json_that_is_cut_in_a_body_that_is_whole() -> None:
    unary = await play("truncate")
    assert unary.ending == "end"
    with pytest.raises(json.JSONDecodeError):
        json.loads(unary.body)
    streamed = await stream("truncate after=3")
    assert (streamed.ending, streamed.body[-21:]) == ("end", b'data: {"id":"chatcmpl-'[-21:])
    assert streamed.body.count(b"data: ") == 1 + 3 + 1


async def test_a_body_in_single_bytes() -> None:
    answer = await stream("split 1")
    assert {len(chunk) for chunk in answer.chunks} == {1}
    assert answer.text == TEXT
    assert (await play("split 3")).text == TEXT


async def test_connections_go_on_after_a_whole_body() -> None:
    async with (
        FaultProvider("encoding gzip; truncate; split 5; fine") as provider,
        Client(provider) as client,
    ):
        for _ in range(4):
            assert (await client.ask(stream=True)).ending == "end"
        assert provider.connections == 1
