"""A process tree is counted whole, sleeps when told, and leaves nothing behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benches.gateway import processes
from benches.gateway.processes import Tree

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
TICK, PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
PARENT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"],
                         stdout=subprocess.PIPE, process_group=0)
child.stdout.readline()
open("ready.part", "w").write(f"{child.pid} {os.sched_getaffinity(0)}")
os.rename("ready.part", "ready")
while True: pass
"""


def until(true: Callable[[], bool]) -> None:
    while not true():
        os.sched_yield()


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def gone(pid: int) -> bool:
    """Also when nobody has asked yet how it ended."""
    try:
        return state(pid) == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_stat_line_is_read_whatever_the_process_is_called() -> None:
    line = f"12 (a) R (b) S 1 12 11 0 -1 4194560 9 0 0 0 {TICK} {2 * TICK} {TICK} 0 20 0 1 0 5 1000 {7} 0 0"
    assert processes.parse_stat(line) == processes.Stat(11, 4.0, 7 * PAGE)


def test_a_tree_is_more_than_its_root(tmp_path: Path) -> None:
    core = min(os.sched_getaffinity(0))
    before = os.sched_getaffinity(0)
    with Tree([sys.executable, "-c", PARENT], core, {}, tmp_path) as tree:
        until((tmp_path / "ready").exists)
        child, affinity = (tmp_path / "ready").read_text().split(maxsplit=1)
        assert affinity == str({core})
        assert os.sched_getaffinity(0) == before
        alone = processes.parse_stat(Path(f"/proc/{tree.pid}/stat").read_text()).resident
        assert tree.resident() > alone
        first = tree.cpu()
        until(lambda: tree.cpu() > first)
        tree.stop()
        until(lambda: state(tree.pid) == state(int(child)) == "T")
        tree.go_on()
        until(lambda: state(tree.pid) == "R")
        assert not tree.ended()
    until(lambda: gone(int(child)))
    assert gone(tree.pid)


def test_one_that_ends_early_has_last_words(tmp_path: Path) -> None:
    with Tree([sys.executable, "-c", "raise SystemExit('no port')"], 0, {}, tmp_path) as tree:
        until(tree.ended)
        assert tree.last_words() == "no port"
    with Tree([sys.executable, "-c", ""], 0, {}, tmp_path) as tree:
        until(tree.ended)
        assert tree.last_words() == "it said nothing"


def test_what_was_pinned_is_let_go_after_an_error() -> None:
    before = os.sched_getaffinity(0)
    with pytest.raises(KeyError), processes.pinned(min(before)):
        raise KeyError
    assert os.sched_getaffinity(0) == before
