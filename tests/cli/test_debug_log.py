"""Log lines on stderr: warnings by themselves, the rest by pattern."""

from __future__ import annotations

import io
import logging
import re
import sys

import pytest

from understudy.cli import debug_log
from understudy.cli.debug_log import Style

BALANCER = logging.getLogger("understudy.lb.failover")
BREAKER = logging.getLogger("understudy.circuit-breaker")
OTHER = logging.getLogger("somebody.else")


def said(monkeypatch: pytest.MonkeyPatch, patterns: str, style: Style = Style.WARNINGS) -> list[str]:
    """The lines of a detail and a warning of each logger."""
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with debug_log.shown(patterns, style):
        for logger in (BALANCER, BREAKER, OTHER):
            logger.debug("%s detail", logger.name)
            logger.warning("%s warning", logger.name)
    return stderr.getvalue().splitlines()


def test_without_patterns_our_warnings_alone_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, "") == [
        "warning: understudy.lb.failover warning",
        "warning: understudy.circuit-breaker warning",
    ]


def test_quiet_shows_no_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, "", Style.QUIET) == []


@pytest.mark.parametrize(
    "patterns", ["understudy:lb:*", "understudy.lb.*", " nothing , understudy:lb:failover ,"]
)
def test_a_pattern_shows_the_details_of_the_loggers_it_matches(
    patterns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = said(monkeypatch, patterns, Style.QUIET)
    assert [line.partition(" ")[2] for line in lines] == [
        "understudy.lb.failover: understudy.lb.failover detail",
        "understudy.lb.failover: understudy.lb.failover warning",
    ]
    assert all(re.match(r"\d\d:\d\d:\d\d\.\d\d\d understudy", line) for line in lines)


def test_warnings_of_other_loggers_of_ours_stay_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(monkeypatch, "understudy:lb:*")[-1] == "warning: understudy.circuit-breaker warning"


def test_patterns_reach_other_libraries_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(said(monkeypatch, "*")) == 6


def test_afterwards_logging_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "level", logging.ERROR)
    handlers = list(root.handlers)
    said(monkeypatch, "*")
    assert (root.level, root.handlers) == (logging.ERROR, handlers)


def test_a_line_that_cannot_be_written_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise ValueError("I/O operation on closed file")

    monkeypatch.setattr(sys, "stderr", Broken())
    with debug_log.shown("understudy:*"):
        BALANCER.warning("nobody hears this")


def test_a_traceback_is_for_those_who_asked_for_details(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for patterns in ("", "understudy:*"):
        stderr = io.StringIO()
        monkeypatch.setattr(sys, "stderr", stderr)
        with debug_log.shown(patterns):
            try:
                raise ZeroDivisionError("by zero")
            except ZeroDivisionError as error:
                debug_log.show_traceback(error)
        shown[patterns] = stderr.getvalue()
    assert shown[""] == ""
    assert "Traceback (most recent call last)" in shown["understudy:*"]
    assert "ZeroDivisionError: by zero" in shown["understudy:*"]


def test_a_service_shows_warnings_and_what_its_circuits_do_with_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with debug_log.shown("", Style.SERVICE):
        for logger in (BALANCER, BREAKER, OTHER):
            logger.debug("detail")
            logger.info("news")
            logger.warning("warning")
    lines = stderr.getvalue().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == [
        "WARNING understudy.lb.failover: warning",
        "INFO understudy.circuit-breaker: news",
        "WARNING understudy.circuit-breaker: warning",
    ]
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d\d\d ", lines[0])


def test_a_service_of_several_processes_says_which_of_them_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    with debug_log.shown("", Style.SERVICE):
        BREAKER.warning("before")
        debug_log.name_speaker("worker 2")
        BREAKER.warning("understudy.circuit-breaker opened")
    assert [line.split(" ", 2)[2] for line in stderr.getvalue().splitlines()] == [
        "WARNING understudy.circuit-breaker: before",
        "WARNING understudy.circuit-breaker worker 2: understudy.circuit-breaker opened",
    ]
