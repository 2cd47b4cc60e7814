"""The caller of gateways takes an error for an error, and nothing else."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp
import pytest

from benches.failover.peers.gateway_caller import Refused, open_client, text_of
from benches.failover.pool import Pool
from understudy.faults import TEXT, FaultProvider


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'data: {"choices":[{"delta":{"content":"Hi"}}]}\n', "Hi"),
        (b'data:{"choices":[{"delta":{"content":"Hi"}}]}\n', "Hi"),
        (b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n', ""),
        (b'data: {"choices":[{"delta":{"content":null}}]}\n', ""),
        (b'data: {"choices":[],"usage":{}}\n', ""),
        (b'data: {"choices":[],"error":null}\n', ""),
        (b"data: [DONE]\n", ""),
        (b": still here\n", ""),
        (b"\n", ""),
    ],
)
def test_a_line_adds_its_content(line: bytes, text: str) -> None:
    assert text_of(line) == text


async def asked(script: str) -> str:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(FaultProvider(script))
        stream = await stack.enter_async_context(open_client(Pool([provider.base_url], 1.0, 0, {})))
        return "".join([piece async for piece in stream()])


@pytest.mark.parametrize("script", ["fine", "done missing"])
async def test_a_whole_answer_is_whole(script: str) -> None:
    assert await asked(script) == TEXT


async def test_an_end_that_nobody_complained_of_is_a_success() -> None:
    text = await asked("end after=20")
    assert TEXT.startswith(text)
    assert "" < text < TEXT


@pytest.mark.parametrize("script", ["status 503", "error after=20", "error after=headers"])
async def test_an_error_is_an_error(script: str) -> None:
    with pytest.raises(Refused):
        await asked(script)


async def test_a_cut_connection_is_an_error() -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await asked("cut after=20")
