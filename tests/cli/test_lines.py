"""Lines from a stdin that is no terminal."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from understudy.cli.lines import Lines
from understudy.errors import ConfigurationError


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, int]]:
    reader, writer = os.pipe()
    with os.fdopen(reader, encoding="utf-8") as stream:
        yield stream, writer


async def all_lines(lines: Lines) -> list[str]:
    found = []
    while True:
        try:
            found.append(await lines.line())
        except EOFError:
            return found


class TestPipe:
    async def test_a_line_is_handed_out_as_soon_as_it_is_whole(self, pipe: tuple[TextIO, int]) -> None:
        stream, writer = pipe
        lines = Lines(stream)
        os.write(writer, b"one\ntw")
        assert await lines.line() == "one"

        waiting = asyncio.ensure_future(lines.line())
        await asyncio.sleep(0)
        assert not waiting.done()
        os.write(writer, b"o\r\nthree")
        os.close(writer)

        assert await waiting == "two"
        assert await all_lines(lines) == ["three"]

    async def test_waiting_keeps_the_loop_running_and_can_be_cancelled(
        self, pipe: tuple[TextIO, int]
    ) -> None:
        stream, writer = pipe
        lines = Lines(stream)
        waiting = asyncio.ensure_future(lines.line())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        os.write(writer, b"late\n")
        os.close(writer)

        assert await lines.line() == "late"

    async def test_between_lines_the_pipe_is_not_watched(self, pipe: tuple[TextIO, int]) -> None:
        """Else a line that came early would keep the loop spinning while an answer is on its way."""
        stream, writer = pipe
        os.write(writer, b"one\n")
        os.close(writer)
        await Lines(stream).line()

        assert not asyncio.get_running_loop().remove_reader(stream.fileno())

    async def test_a_hidden_line_is_the_next_and_at_the_end_empty(self, pipe: tuple[TextIO, int]) -> None:
        stream, writer = pipe
        lines = Lines(stream)
        os.write(writer, b"secret\n")
        os.close(writer)

        assert await lines.hidden("Key: ") == "secret"
        assert await lines.hidden("Key: ") == ""


class TestFile:
    @pytest.mark.parametrize("end", ["", "\n"])
    async def test_it_is_read_to_its_end_which_the_last_line_may_lack(self, end: str, tmp_path: Path) -> None:
        path = tmp_path / "lines"
        path.write_text(f"one\n\ntwo{end}")
        with path.open(encoding="utf-8") as stream:
            assert await all_lines(Lines(stream)) == ["one", "", "two"]

    async def test_one_without_a_descriptor_will_do(self) -> None:
        stream = io.TextIOWrapper(io.BytesIO(b"one\ntwo"), encoding="utf-8")

        assert await all_lines(Lines(stream)) == ["one", "two"]


class TestNotUtf8:
    async def test_such_a_line_is_refused_by_its_number_and_the_next_is_read(self) -> None:
        lines = Lines(io.TextIOWrapper(io.BytesIO(b"one\ncaf\xe9\nthree\n"), encoding="utf-8"))
        await lines.line()

        with pytest.raises(ConfigurationError, match=r"line 2 of stdin is not UTF-8 \(byte 3\)") as error:
            await lines.line()
        assert "iconv" in (error.value.hint or "")
        assert await lines.line() == "three"
