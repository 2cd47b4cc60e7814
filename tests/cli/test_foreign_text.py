"""Facts about text that somebody else wrote."""

from __future__ import annotations

from understudy.cli.foreign_text import one_line, safe


class TestModelTextOnATerminal:
    def test_control_characters_never_reach_it(self) -> None:
        """No title, no clipboard, no cursor: neither as escape sequences nor as C1 characters."""
        assert safe("a\x1b]0;gotcha\x07b\x9b2Jc\x08d\x7f") == "a\ufffd]0;gotcha\ufffdb\ufffd2Jc\ufffdd\ufffd"

    def test_lines_tabs_and_the_rest_of_unicode_do(self) -> None:
        assert safe("one\n\ttwo — 再演 🎭\r\n") == "one\n\ttwo — 再演 🎭\n"


def test_one_line_is_one_line_and_shows_no_control_characters() -> None:
    assert one_line(" a\nb\t c\x1b[2J ") == "a b c\ufffd[2J"
