"""What people read."""

from __future__ import annotations

import io

import pytest

from tests.cli.builders import backend_stats, stats_of
from understudy.cli.render import stats_text

STATS = stats_of(backend_stats("synthetic"))


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestStatistics:
    @pytest.mark.parametrize(("stream", "plain"), [(io.StringIO(), False), (Screen(), True)])
    def test_a_pipe_and_plain_get_the_plain_table(self, stream: io.StringIO, plain: bool) -> None:
        stats_text(STATS, stream, plain=plain)

        assert stream.getvalue() == f"{STATS}\n"

    def test_a_terminal_gets_another_table(self) -> None:
        stream = Screen()
        stats_text(STATS, stream, plain=False)

        assert "Load Balancer Statistics" in stream.getvalue()
        assert "Backend Metrics:" not in stream.getvalue()
