"""One caller with blocking sockets: a request, its whole answer, and how long that took."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benches.gateway.failed import Failed
from benches.gateway.requests import Target

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE = 20.0  # seconds


@contextmanager
def connection(target: Target) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", target.port), PATIENCE) as opened:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield opened


def complete(answer: bytes) -> bool:
    """Whether that is a whole HTTP answer, counted or in pieces."""
    head, separator, rest = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    if length:
        return bool(separator) and len(rest) >= int(length[1])
    return rest.endswith(b"0\r\n\r\n")


def gist(answer: bytes) -> str:
    """Status and the beginning of the body, on one line."""
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = head.partition(b"\r\n")[0].removeprefix(b"HTTP/1.1 ")
    return f"{status.decode(errors='replace')}: {' '.join(rest[:120].decode(errors='replace').split())}"


def call(opened: socket.socket, request: bytes) -> bytes:
    """The whole answer; raises `Failed` unless it is a 200, OSError as sockets do."""
    opened.sendall(request)
    answer = b""
    while not complete(answer):
        data = opened.recv(65536)
        if not data:
            raise ConnectionResetError("closed in the middle of an answer")
        answer += data
    if not answer.startswith(b"HTTP/1.1 200"):
        raise Failed(f"answered {gist(answer)}")
    return answer


def steady(target: Target, request: bytes, rate: float, count: int) -> list[float]:
    """Seconds of `count` calls that come `rate` a second, one after another.

    Each counts from when it was due, or from its wake-up where the sleep itself was late; so a slow answer
    counts also for those that had to wait for it.
    """
    taken = []
    with connection(target) as opened:
        call(opened, request)
        began = time.perf_counter() + 0.01
        for number in range(count):
            due = began + number / rate
            early = due - time.perf_counter()
            if early > 0:
                time.sleep(early)
                due = time.perf_counter()
            call(opened, request)
            taken.append(time.perf_counter() - due)
    return taken
