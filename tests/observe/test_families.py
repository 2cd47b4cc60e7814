"""Facts about metrics as values that processes can add up."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.observe.test_prometheus import an_evening, snapshot
from understudy.observe.families import Across, Family, Sample, lasting, merged, succeeding
from understudy.observe.prometheus import Snapshot, exposition, process_families


def family(*samples: Sample, name: str = "things_total", **more: Any) -> Family:
    kind = "counter" if name.endswith("_total") else "gauge"
    return Family(name, "Things.", kind, "", ("of",), samples, **more)


def sample(value: float, of: str = "a", counts: tuple[int, ...] = ()) -> Sample:
    return Sample((of,), value, counts)


def test_counters_are_added_series_by_series() -> None:
    one, other = family(sample(1), sample(2, "b")), family(sample(10), sample(5, "c"))
    (both,) = merged({1: [one], 2: [other]})
    assert both == family(sample(11), sample(2, "b"), sample(5, "c"))


def test_so_are_histograms_bound_by_bound() -> None:
    one, other = (
        Family("t", "T.", "histogram", "", ("of",), (sample(total, counts=counts),), bounds=(1.0,))
        for total, counts in [(0.5, (1, 1)), (7.0, (1, 3))]
    )
    (both,) = merged({1: [one], 2: [other]})
    assert both.samples == (sample(7.5, counts=(2, 4)),)
    assert both.bounds == (1.0,)


def test_where_a_sum_means_nothing_every_worker_has_its_series() -> None:
    one, other = (family(sample(value), name="state", across=Across.EACH) for value in (1, 0))
    (both,) = merged({2: [one], 1: [other]})
    assert both.labels == ("of", "worker")
    assert both.samples == (Sample(("a", "2"), 1), Sample(("a", "1"), 0))


def test_or_the_highest_counts() -> None:
    one, other = (family(sample(value), name="build", across=Across.HIGHEST) for value in (1, 3))
    for told in ({1: [one], 2: [other]}, {1: [other], 2: [one]}):
        assert merged(told)[0].samples == (sample(3),)


def test_of_a_process_that_has_ended_the_counters_stay() -> None:
    gauge = family(sample(1), name="in_flight")
    own = family(sample(1), name="cpu_total", across=Across.EACH)
    counter = family(sample(1))
    assert lasting([gauge, own, counter]) == [counter]


def test_whoever_takes_its_place_counts_on_where_it_still_has_such_a_series() -> None:
    now = [family(sample(1), sample(2, "b")), family(sample(7), name="in_flight")]
    former = [family(sample(10), sample(5, "gone")), family(sample(5), name="gone_total")]
    assert succeeding(now, former) == [family(sample(11), sample(2, "b")), now[1]]
    assert succeeding(now, []) == now


def test_what_is_told_is_what_was_read() -> None:
    families = [*snapshot(an_evening()).families, *process_families()]
    told = msgspec.msgpack.encode(families)
    assert msgspec.msgpack.decode(told, type=list[Family]) == families


def test_of_one_worker_alone_the_text_says_what_it_says_without_workers() -> None:
    taken = snapshot(an_evening())
    alone, _ = exposition(taken, alone=False)
    of_one, _ = exposition(Snapshot.of(merged({1: taken.families})), alone=False)
    assert of_one.replace(b',worker="1"', b"") == alone


@pytest.mark.parametrize("name", ["process_cpu_seconds_total", "process_open_fds"])
def test_every_worker_tells_of_its_own_process(name: str) -> None:
    text, _ = exposition(Snapshot.of(merged({n: list(process_families()) for n in (1, 2)})), alone=False)
    for worker in "12":
        assert f'{name}{{worker="{worker}"}} ' in text.decode()
