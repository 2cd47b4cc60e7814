"""The bench of workers and shared state: what it counts, and how it shows it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from benches import scale
from benches.gateway.tools import find
from benches.library import Process
from benches.scale import ROWS, Redis, Round, Row
from tests.e2e.redis_server import needs_redis


class Known:
    """A subject of which a test knows what it does."""

    def __init__(self, redis: Redis, scripts: int) -> None:
        self._redis = redis
        self._scripts = scripts

    def play(self, seconds: float) -> tuple[int, float, float]:
        for _ in range(self._scripts):
            command = ["redis-cli", "-s", str(self._redis.path), "eval", "return redis.call('time')", "0"]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return 200, 0.1, 2.0


@needs_redis
def test_a_round_is_cpu_by_request_and_the_scripts_that_redis_ran(tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    try:
        assert scale.play(Known(redis, 4), redis, 2.0) == pytest.approx(Round(500.0, 100.0, 2.0, 0.02))
        assert scale.play(Known(redis, 0), redis, 2.0).operations == 0
    finally:
        redis.close()


def test_the_table_shows_medians_and_what_redis_adds() -> None:
    found = {row: [Round(100.0, 10.0, 0.0, 0.0)] for row in ROWS}
    found[Row(1, True)] = [Round(cpu, 1000.0, 3.0, 0.003) for cpu in (110.0, 900.0, 105.0)]
    lines = scale.table(found).splitlines()
    assert lines[4] == "| 1 worker | 100 |  | 10 |  |  |  |"
    assert lines[5] == "| 1 worker, Redis | 110 | 1.10 | 1000 | 3.0 | 0.0030 | 30 requests/s |"
    assert len(lines) == 2 + len(ROWS)


@needs_redis
@pytest.mark.parametrize("row", [ROWS[1], ROWS[5]], ids=lambda row: str(row.title))
def test_a_short_round_of_what_shares_its_state(tmp_path: Path, row: Row) -> None:
    if row.workers and find("wrk") is None:
        pytest.skip("wrk is not installed")
    with ExitStack() as stack:
        redis = Redis(tmp_path)
        stack.callback(redis.close)
        mock = Process(sys.executable, "benches.gateway.mock", "18260")
        stack.callback(mock.close)
        mock.answer()
        subject = scale.start(stack, row, 18260, redis)
        scale.play(subject, redis, 1.0)
        figures = scale.play(subject, redis, 1.0)
    assert figures.cpu > 0
    assert figures.rate > 0
    assert figures.operations > 0
