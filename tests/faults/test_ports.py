"""Ports where no provider is."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from understudy.faults import FaultProvider, SilentPort, closed_port, full_port


async def test_a_closed_port_refuses() -> None:
    with closed_port() as port, pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_full_port_does_not_answer() -> None:
    with full_port() as port, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_silent_port_accepts_says_nothing_and_sees_who_leaves() -> None:
    async with SilentPort() as silent:
        reader, writer = await asyncio.open_connection("127.0.0.1", silent.port)
        await silent.wait_for_connections(1)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await reader.read(1)
        writer.close()
        await silent.wait_for_connections(0)
        assert (silent.connections, silent.open_connections) == (1, 0)


async def test_a_tls_handshake_with_a_silent_port_stalls() -> None:
    async with SilentPort() as silent:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.open_connection("127.0.0.1", silent.port, ssl=ssl.create_default_context())
        await silent.wait_for_connections(0)


async def test_a_tls_client_of_a_provider_without_tls_meets_plaintext() -> None:
    async with FaultProvider() as provider:
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("127.0.0.1", provider.port, ssl=ssl.create_default_context())


async def test_leaving_a_silent_port_closes_its_connections() -> None:
    async with SilentPort() as silent:
        reader, writer = await asyncio.open_connection("127.0.0.1", silent.port)
        await silent.wait_for_connections(1)
    assert await reader.read() == b""
    writer.close()
