"""A round waits for others, but not for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benches.gateway import quiet
from benches.gateway.quiet import Quiet

#         user nice system idle iowait irq softirq steal guest
BEFORE = [100, 0, 100, 1000, 10, 0, 0, 0, 0]
AFTER = [110, 0, 110, 1070, 20, 0, 0, 0, 0]


def test_idle_and_waiting_for_a_disk_are_no_use() -> None:
    assert quiet.share(BEFORE, AFTER) == pytest.approx(0.2)


def looking(*shares: float) -> Callable[[], float]:
    return iter(shares).__next__


def test_a_round_waits_until_nobody_is_busy() -> None:
    waiting = Quiet(10.0, looking(0.9, 0.5, 0.1))
    waiting.wait()
    assert str(waiting) == "others busy at the beginning of 0 of 1 rounds"
    assert waiting.left == pytest.approx(10.0 - 2 * quiet.LOOK)


def test_patience_is_for_all_rounds_together() -> None:
    waiting = Quiet(1.5 * quiet.LOOK, looking(0.9, 0.9, 0.9, 0.9, 0.0))
    for _ in range(3):
        waiting.wait()
    assert str(waiting) == "others busy at the beginning of 2 of 3 rounds"


def test_looking_takes_the_machine_as_it_is() -> None:
    assert -0.1 <= quiet.busy() <= 1
