"""Facts about the parent of workers. Real processes; what a worker does is the test's own."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from understudy.gateway import supervisor
from understudy.gateway.supervisor import Supervisor, _Place

PROGRAM = """
import logging, os, resource, signal, sys, time
from understudy.gateway.supervisor import StartFailed, Supervisor

logging.basicConfig(format="%(message)s", stream=sys.stdout)

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def orders(line):
    line._end.setblocking(True)
    while data := line._end.recv(1):
        yield signal.Signals(data[0])

def worker(number, line, is_late):
{worker}

supervisor = Supervisor(
    2,
    announce={announce},
    stopping=lambda: say("stopping"),
    drain_seconds={drain},
    last_seconds={last},
)
limits = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, ({files} or limits[0], limits[1]))
try:
    begun = supervisor.run()
except StartFailed as error:
    say(error, error.status)
    sys.exit(3)
except OSError as error:
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    say(error.strerror)
    sys.exit(4)
if begun is None:
    say("left")
else:
    worker(*begun)
"""

OBEDIENT = """
line.ready()
for order in orders(line):
    say(number, order.name)
    if order is not signal.SIGHUP:
        break
"""


@contextmanager
def parent(worker: str = OBEDIENT, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    """What is set of the program: `announce`, `drain`, `last`, and how many `files` it may open."""
    settings = {"announce": "lambda: say('ready')", "drain": 20, "last": 20, "files": 0, **settings}
    program = PROGRAM.format(worker=textwrap.indent(worker, "    "), **settings)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    return sorted(process.stdout.readline().strip() for _ in range(count))


def end(process: subprocess.Popen[str], told: signal.Signals | None = None) -> list[str]:
    if told is not None:
        process.send_signal(told)
    out, err = process.communicate(timeout=15)
    assert err == ""
    return sorted(out.splitlines())


def test_it_is_ready_when_all_are_and_leaves_when_all_have_left() -> None:
    with parent() as process:
        assert lines(process, 1) == ["ready"]
        assert end(process, signal.SIGTERM) == ["1 SIGTERM", "2 SIGTERM", "left", "stopping"]
        assert process.returncode == 0


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_is_handed_on_too(told: signal.Signals) -> None:
    twice = OBEDIENT.replace("        break", "        say('again', next(orders(line)).name); break")
    with parent(twice) as process:
        lines(process, 1)
        process.send_signal(signal.SIGTERM)
        assert lines(process, 3) == ["1 SIGTERM", "2 SIGTERM", "stopping"]
        again = [f"again {told.name}"] * 2
        assert end(process, told) == [*again, "left", "stopping"]


def test_sighup_is_handed_on_and_ends_nothing() -> None:
    with parent() as process:
        lines(process, 1)
        process.send_signal(signal.SIGHUP)
        assert lines(process, 2) == ["1 SIGHUP", "2 SIGHUP"]
        assert "left" in end(process, signal.SIGINT)


def test_a_worker_can_hand_an_order_on_to_the_others_and_does_not_get_it_back() -> None:
    asking = "if number == 1: line.pass_on(signal.SIGHUP)\n" + OBEDIENT
    with parent(asking) as process:
        assert lines(process, 2) == ["2 SIGHUP", "ready"]
        assert end(process, signal.SIGINT) == ["1 SIGINT", "2 SIGINT", "left", "stopping"]


def test_one_that_dies_is_replaced_and_the_new_one_knows_that_it_is_late() -> None:
    dying = (
        """
if number == 2 and not is_late:
    line.ready()
    next(orders(line))
    os.kill(os.getpid(), signal.SIGKILL)
if is_late: say("late", number)
"""
        + OBEDIENT
    )
    with parent(dying) as process:
        assert lines(process, 1) == ["ready"]
        process.send_signal(signal.SIGHUP)
        hup, late, died = lines(process, 3)
        assert (hup, late) == ("1 SIGHUP", "late 2")
        assert died.startswith("worker 2 (")
        assert died.endswith(") was killed by SIGKILL; it is replaced in 0.1 s")
        assert end(process, signal.SIGINT) == ["1 SIGINT", "2 SIGINT", "left", "stopping"]


def test_one_that_ends_by_itself_is_replaced_as_well() -> None:
    leaving = (
        """
if number == 1 and not is_late:
    line.ready()
    next(orders(line))
    sys.exit(7)
"""
        + OBEDIENT
    )
    with parent(leaving) as process:
        lines(process, 1)
        process.send_signal(signal.SIGHUP)
        hup, died = lines(process, 2)
        assert hup == "2 SIGHUP"
        assert died.endswith(") ended with status 7; it is replaced in 0.1 s")


def test_one_that_dies_before_it_has_read_its_orders_is_replaced_too() -> None:
    deaf = "line.ready()\nif number == 1 and not is_late: time.sleep(60)\n" + OBEDIENT
    with parent(deaf) as process:
        lines(process, 1)
        process.send_signal(signal.SIGHUP)
        assert lines(process, 1) == ["2 SIGHUP"]
        (child, *_) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        (died,) = lines(process, 1)
        assert died.endswith(") was killed by SIGKILL; it is replaced in 0.1 s")
        assert "left" in end(process, signal.SIGINT)


def test_while_all_stop_nobody_is_replaced() -> None:
    with parent() as process:
        lines(process, 1)
        said = end(process, signal.SIGTERM)
        assert not any("replaced" in line for line in said)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("sys.exit(2)", "worker 2 ended with status 2 before it was ready 2"),
        ("os.kill(os.getpid(), 9)", "worker 2 was killed by SIGKILL before it was ready None"),
    ],
)
def test_one_that_ends_before_all_are_ready_ends_all(how: str, said: str) -> None:
    with parent(f"if number == 2: {how}\n" + OBEDIENT) as process:
        assert end(process) == [said]
        assert process.returncode == 3


def test_one_that_the_system_does_not_allow_at_the_start_is_the_end() -> None:
    with parent(files=3) as process:
        assert end(process) == ["Too many open files"]
        assert process.returncode == 4


def test_where_nobody_can_be_told_that_all_are_ready_nobody_stays() -> None:
    with parent(announce="lambda: 1 / 0") as process:
        out, err = process.communicate(timeout=15)
        assert (out, "ZeroDivisionError" in err, process.returncode) == ("", True, 1)


def test_one_that_does_not_leave_in_time_is_killed() -> None:
    deaf = "line.ready()\nif number == 1: time.sleep(60)\n" + OBEDIENT
    with parent(deaf, drain=0.5) as process:
        lines(process, 1)
        said = end(process, signal.SIGTERM)
        assert [line.split(" (")[0] for line in said] == ["2 SIGTERM", "left", "stopping", "worker 1"]
        assert said[-1].endswith(") did not leave and is killed")


def test_after_a_second_signal_it_is_killed_sooner() -> None:
    deaf = "line.ready()\ntime.sleep(60)\n"
    with parent(deaf, drain=60, last=0.3) as process:
        lines(process, 1)
        process.send_signal(signal.SIGTERM)
        assert lines(process, 1) == ["stopping"]
        assert sum("is killed" in line for line in end(process, signal.SIGTERM)) == 2


def test_a_signal_that_reaches_a_worker_itself_is_not_heeded() -> None:
    steady = (
        """
for told in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    os.kill(os.getpid(), told)
"""
        + OBEDIENT
    )
    with parent(steady) as process:
        assert lines(process, 1) == ["ready"]
        assert end(process, signal.SIGINT) == ["1 SIGINT", "2 SIGINT", "left", "stopping"]


def test_when_the_parent_is_killed_every_workers_line_ends() -> None:
    with parent(OBEDIENT + "say(number, 'hears no more')\n") as process:
        lines(process, 1)
        process.kill()
        assert lines(process, 2) == ["1 hears no more", "2 hears no more"]


def test_a_workers_line_ends_with_the_parent_though_another_worker_lives_on() -> None:
    lasting = "if number == 2: line.ready(); time.sleep(3); say('late')\n" + OBEDIENT
    with parent(lasting + "say(number, 'hears no more')\n") as process:
        lines(process, 1)
        process.kill()
        assert lines(process, 1) == ["1 hears no more"]


def test_afterwards_signals_do_what_they_did() -> None:
    """In this very process: nobody is asked for, so that none is forked."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    nobody = Supervisor(0, announce=lambda: None)
    nobody._kill_at = 0.0
    assert nobody.run() is None
    assert {number: signal.getsignal(number) for number in before} == before


def test_the_pause_doubles_up_to_a_longest_and_is_none_for_one_that_had_been_well() -> None:
    place = _Place(1)
    pauses = []
    for _ in range(9):
        place.is_ready = True
        pauses.append(place.next_pause(1.0))
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    place.is_ready = True
    assert place.next_pause(supervisor.SETTLED_SECONDS) == 0.0
    assert place.next_pause(supervisor.SETTLED_SECONDS) == 0.1, "it has not been ready since"


def test_where_nobody_is_nobody_is_told() -> None:
    place = _Place(1)
    place.order(signal.SIGHUP)
    place.hang_up()
    assert repr(place) == "<Place 1: nobody>"


def test_one_that_the_system_does_not_allow_now_is_tried_again() -> None:
    with parent() as process:
        lines(process, 1)
        limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        (child, *_) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)
        tried, died = sorted(lines(process, 2), key=lambda line: "killed" in line)
        assert "was killed by SIGKILL" in died
        assert tried == "worker 1 can't be replaced: Too many open files; tried in 0.2 s"
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
        process.send_signal(signal.SIGHUP)
        heard = []
        while "1 SIGHUP" not in heard:
            process.send_signal(signal.SIGHUP)
            heard += lines(process, 1)
        assert "left" in end(process, signal.SIGINT)
