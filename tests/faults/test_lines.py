from __future__ import annotations

import pytest

from tests.faults.raw import stream
from understudy.faults import TOKENS


@pytest.mark.parametrize(("lines", "end"), [("lf", b"\n"), ("crlf", b"\r\n"), ("cr", b"\r")])
async def test_lines_end_in_every_allowed_way(lines: str, end: bytes) -> None:
    body = (await stream(f"sse lines={lines}")).body
    assert body.endswith(b"data: [DONE]" + end + end)
    assert body.count(end) == 2 * (1 + len(TOKENS) + 1 + 1)


async def test_flags_add_up() -> None:
    body = (await stream("sse no-space multiline fields comments bom")).body
    assert body.startswith(
        b'\xef\xbb\xbf: still here\n\nevent: message\nid: 1\nretry: 3000\ndata:{\ndata:"id":'
    )
