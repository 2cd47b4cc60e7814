"""What is counted, and when an outage was noticed and over."""

from __future__ import annotations

from math import isnan

from understudy.core.events import BackendBenched, BreakerClosed, BreakerOpened, FirstContent, RequestEnded
from understudy.simulate.fate import Stretch
from understudy.simulate.scenario import Effects, Phase
from understudy.simulate.tally import End, Incident, Tally, Witness


def incident(begin: float = 100.0, end: float = 200.0, backend: str = "b") -> Incident:
    phase = Phase("outage", Effects(failures=(("500", 1.0),)), end - begin)
    return Incident(backend, Stretch(begin, end, phase))


def test_a_request_is_a_row() -> None:
    tally = Tally()
    tally.add(10.0, 12.5, End.WHOLE, 2)
    tally.add(20.0, None, End.FAILED, 0, "all_backends_failed")
    assert len(tally) == 2
    assert list(tally.began) == [10.0, 20.0]
    assert tally.first[0] == 2.5
    assert isnan(tally.first[1])
    assert list(tally.ends) == [End.WHOLE, End.FAILED]
    assert list(tally.by) == [2, 0]
    assert tally.errors == {"all_backends_failed": 1}


def test_attempts_are_summed_over_requests() -> None:
    witness = Witness(())
    witness.observe(RequestEnded(1.0, 1, "answered", "b", 3, True, 1.0))
    witness.observe(RequestEnded(2.0, 2, "failed", None, 2, False, 1.0))
    witness.observe(BreakerClosed(2.0, 2, "b"))
    witness.observe(FirstContent(2.0, 2, "b", 0.5))
    assert witness.attempts == 5


def test_an_outage_is_detected_by_the_first_circuit_or_bench_within_it() -> None:
    outage = incident()
    witness = Witness([outage])
    witness.observe(BreakerOpened(99.0, 1, "b", 3, 30.0))
    witness.observe(BreakerOpened(110.0, 1, "another", 3, 30.0))
    assert outage.detected is None
    witness.observe(BackendBenched(112.0, 1, "b", 5.0))
    witness.observe(BreakerOpened(120.0, 1, "b", 3, 30.0))
    assert outage.detected == 112.0


def test_it_is_not_detected_by_what_comes_after_its_end() -> None:
    outage = incident()
    Witness([outage]).observe(BreakerOpened(200.0, 1, "b", 3, 30.0))
    assert outage.detected is None


def test_a_backend_has_recovered_with_content_asked_for_after_the_end() -> None:
    outage, later = incident(), incident(400.0, 500.0)
    witness = Witness([outage, later])
    witness.observe(FirstContent(201.0, 1, "b", 5.0))
    witness.observe(FirstContent(230.0, 2, "another", 1.0))
    assert outage.recovered is None
    witness.observe(FirstContent(231.0, 3, "b", 1.0))
    witness.observe(FirstContent(240.0, 4, "b", 1.0))
    assert outage.recovered == 231.0
    assert later.recovered is None
    witness.observe(FirstContent(502.0, 5, "b", 1.0))
    assert later.recovered == 502.0


def test_an_occurrence_that_ends_within_another_recovers_by_itself() -> None:
    longer, shorter = incident(100, 300), incident(110, 150)
    witness = Witness([longer, shorter])
    witness.observe(FirstContent(200.0, 1, "b", 1.0))
    assert (longer.recovered, shorter.recovered) == (None, 200.0)
    witness.observe(FirstContent(202.0, 1, "b", 1.0))
    witness.observe(FirstContent(302.0, 1, "b", 1.0))
    assert (longer.recovered, shorter.recovered) == (302.0, 200.0)
