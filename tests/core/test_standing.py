"""What a failure allows, in walks over a stage. The table itself: `test_outcome`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.stage import Stage
from understudy.core.breaker import State
from understudy.core.standing import Standing
from understudy.errors import (
    AllBackendsFailed,
    FailureKind,
    RequestRejected,
)


class TestNetworkErrors:
    """Rule 1."""

    @pytest.mark.parametrize("kind", ["connect", "reset", "timeout"])
    def test_switched_off_they_end_the_walk_and_still_count(self, kind: str) -> None:
        stage = Stage("ab", on_network_errors=False, breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails(kind)
        error = walk.gives_up()
        assert type(error) is AllBackendsFailed
        assert [cause.kind for cause in error.causes] == [FailureKind(kind)]
        assert stage.state("a") is State.OPEN

    def test_other_failures_go_on(self) -> None:
        stage = Stage("ab", on_network_errors=False)
        walk = stage.begin()
        walk.asks_in_turn("a")
        walk.asks("b")


class TestStatusCodes:
    """Rule 2."""

    def test_a_listed_status_asks_the_next_whatever_its_kind(self) -> None:
        stage = Stage("ab", status_codes=frozenset({400}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("invalid_request", status=400)
        walk.asks("b")

    def test_an_unlisted_one_does_not(self) -> None:
        stage = Stage("ab", status_codes=frozenset({500}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("auth", status=401)
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_asking_the_same_again_stays_the_kinds(self) -> None:
        stage = Stage("ab", status_codes=frozenset({401}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error", status=503)
        walk.rests(0.5)
        walk.asks("a")
        walk.fails("server_error", status=503)
        walk.gives_up()

    def test_the_latest_failure_decides(self) -> None:
        stage = Stage("ab", status_codes=frozenset({502}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error", status=503)
        walk.rests(0.5)
        walk.asks("a")
        walk.fails("server_error", status=502)
        walk.asks("b")

    def test_an_error_inside_a_stream_uses_its_classs_status(self) -> None:
        stage = Stage("ab", status_codes=frozenset({429}))
        walk = stage.begin()
        walk.asks("a")
        walk.fails("rate_limited", status=200, in_stream=True, retry_after=60.0)
        walk.asks("b")

    def test_a_failure_without_a_status_goes_by_its_kind(self) -> None:
        stage = Stage("ab", status_codes=frozenset())
        walk = stage.begin()
        walk.asks("a")
        walk.fails("timeout")
        walk.asks("b")

    def test_so_does_one_whose_status_no_list_can_name(self) -> None:
        stage = Stage("ab", status_codes=frozenset({500}), count=1)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("protocol", status=302)
        walk.asks("b")

    def test_an_empty_list_is_a_list(self) -> None:
        stage = Stage("ab", status_codes=frozenset(), count=1)
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error", status=500)
        walk.gives_up()


class TestKindsThatBlameTheRequest:
    def test_an_invalid_request_goes_to_the_caller_from_the_first_asked(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("invalid_request", status=422, body=b"no such field")
        error = walk.gives_up()
        assert isinstance(error, RequestRejected)
        assert (error.status, error.body) == (422, b"no such field")

    def test_even_on_its_second_attempt(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks("a")
        walk.fails("server_error")
        walk.rests(0.5)
        walk.asks("a")
        walk.fails("invalid_request")
        assert type(walk.gives_up()) is AllBackendsFailed

    def test_from_a_later_one_it_is_recorded_and_the_next_is_asked(self) -> None:
        stage = Stage("abc")
        walk = stage.begin()
        walk.asks_in_turn("a", kind="quota")
        walk.asks("b")
        walk.fails("invalid_request")
        walk.asks("c")
        walk.fails("auth")
        error = walk.gives_up()
        assert type(error) is AllBackendsFailed
        assert [cause.kind for cause in error.causes] == ["quota", "invalid_request", "auth"]

    def test_a_content_filter_ends_the_walk_wherever_it_comes_from(self) -> None:
        stage = Stage("abc")
        walk = stage.begin()
        walk.asks_in_turn("a")
        walk.asks("b")
        walk.fails("content_filter")
        walk.gives_up()

    def test_a_bug_of_ours_ends_it_too(self) -> None:
        stage = Stage("ab", breaker={"failure_threshold": 1})
        walk = stage.begin()
        walk.asks("a")
        walk.fails("internal")
        walk.gives_up()
        assert stage.state("a") is State.CLOSED
        assert stage.member("a").metrics.failures == 1


class TestUnfit:
    """Rule 4: a member whose wire format cannot say the request has not been asked."""

    def test_the_next_is_asked_and_is_the_first_that_was(self) -> None:
        walk = Stage("abc").begin()
        walk.asks("a")
        walk.fails("unfit")
        walk.asks("b")
        walk.fails("invalid_request", status=400)
        error = walk.gives_up()
        assert isinstance(error, RequestRejected)
        assert (error.blamed.backend, error.status) == ("b", 400)

    def test_what_failed_after_it_is_no_fault_of_the_request(self) -> None:
        walk = Stage("ab").begin()
        walk.asks("a")
        walk.fails("unfit")
        walk.asks("b")
        walk.fails("auth", status=401)
        error = walk.gives_up()
        assert type(error) is AllBackendsFailed
        assert [cause.kind for cause in error.causes] == ["unfit", "auth"]

    @pytest.mark.parametrize("said", [{"status": 400}, {"in_stream": True}])
    def test_who_was_sent_it_and_found_it_unfit_was_the_first_that_was_asked(
        self, said: dict[str, Any]
    ) -> None:
        walk = Stage("abc").begin()
        walk.asks("a")
        walk.fails("unfit", **said)
        walk.asks("b")
        walk.fails("invalid_request", status=400)
        walk.asks("c")

    def test_if_nobody_can_say_it_the_request_is_rejected(self) -> None:
        stage = Stage("ab")
        walk = stage.begin()
        walk.asks_in_turn("a", "b", kind="unfit")
        error = walk.gives_up()
        assert isinstance(error, RequestRejected)
        assert (error.blamed.backend, error.status, error.body) == ("a", None, None)
        assert stage.member("a").metrics.refused == 1
        assert stage.member("a").breaker.failures(stage.now, stage.pool.settings.breaker) == 0


def test_a_standing_shows_its_attempts() -> None:
    assert repr(Standing()) == "<Standing after 0 attempts>"
