"""One request's deadline."""

from __future__ import annotations

from understudy.core.deadline import Deadline


def test_it_has_passed_from_its_instant_on() -> None:
    deadline = Deadline(10.0)
    assert not deadline.passed(9.999)
    assert deadline.passed(10.0)


def test_it_cuts_an_attempt_whose_own_limit_comes_later() -> None:
    assert Deadline(10.0).cuts(10.001)
    assert not Deadline(10.0).cuts(9.0)


def test_at_the_same_instant_the_attempts_own_limit_has_passed_so_the_backend_is_to_blame() -> None:
    assert not Deadline(10.0).cuts(10.0)
