"""The watch between socket and parser passes everything on; what it adds is tested on real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from understudy.runtime.aiohttp_wire import Watch


class Parser(asyncio.Protocol):
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def exception(self) -> None:
        return None

    def data_received(self, data: bytes) -> None:
        self.told.append(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, error: Exception | None) -> None:
        self.told.append(error)


class Socket(asyncio.Transport):
    """Holds a protocol, and nothing else."""

    def __init__(self, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol


@pytest.fixture
def parser() -> Parser:
    return Parser()


def test_a_watch_takes_the_parsers_place_until_the_connection_is_lost(parser: Parser) -> None:
    transport, watches = Socket(parser), set[Watch]()
    watch = Watch(transport, watches)
    assert transport.get_protocol() is watch
    assert watches == {watch}
    watch.connection_lost(None)
    assert not watches


def test_everything_is_passed_on_in_order(parser: Parser) -> None:
    watch = Watch(Socket(parser), set())
    fault = ConnectionResetError()
    watch.data_received(b"HTTP/1.1")
    watch.pause_writing()
    watch.resume_writing()
    assert watch.eof_received() is True
    watch.connection_lost(fault)
    assert parser.told == [b"HTTP/1.1", "pause", "resume", "eof", fault]
