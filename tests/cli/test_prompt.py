"""The prompt: from the command line or stdin, as text or not at all."""

from __future__ import annotations

import io
import sys

import pytest

from understudy.cli import prompt
from understudy.errors import ConfigurationError


def from_stdin(data: bytes, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    return prompt.read("-")


def test_the_argument_is_the_prompt_as_it_is() -> None:
    assert prompt.read("Grüße, 再演!\n") == "Grüße, 再演!\n"


@pytest.mark.parametrize("data", [b"one\ntwo", b"one\ntwo\n", b"one\ntwo\r\n\n", b"\xef\xbb\xbfone\ntwo"])
def test_stdin_is_read_to_its_end_without_the_line_ends_behind(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert from_stdin(data, monkeypatch) == "one\ntwo"


def test_bytes_on_stdin_that_are_no_utf8_are_refused_with_their_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_stdin(b"caf\xe9", monkeypatch)
    assert caught.value.message == "the prompt on stdin is not UTF-8 (byte 3)"
    assert "iconv" in (caught.value.hint or "")


def test_bytes_of_an_argument_that_are_no_utf8_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"not UTF-8 \(character 3\)"):
        prompt.read(b"caf\xe9".decode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("text", ["", " \n\t"])
def test_white_space_is_no_prompt(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"the prompt is empty \(--prompt\)"):
        prompt.read(text)
    with pytest.raises(ConfigurationError, match=r"the prompt is empty \(stdin\)"):
        from_stdin(text.encode(), monkeypatch)
