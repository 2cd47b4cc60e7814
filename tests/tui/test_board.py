"""Facts about what is on the screen, and how it is looked at."""

from __future__ import annotations

from dataclasses import replace

from tests.cli.builders import backend_stats, stats_of
from understudy.core.stats import BackendStats
from understudy.tui.board import LENGTH, Board, MemberLine, ProfileLine
from understudy.tui.document import MemberPicture, Picture, ProfilePicture, Summary
from understudy.tui.feed import Change, Hello, Lost, Missed


def profile(*backends: BackendStats, default: bool = False) -> ProfilePicture:
    members = {backend.name: MemberPicture(f"model-{backend.name}", []) for backend in backends}
    return ProfilePicture("failover", default, 0, 0, stats_of(*backends), members)


def picture(**profiles: ProfilePicture) -> Picture:
    return Picture("2026-11-27T12:00:00.000Z", None, False, profiles)


def request(number: int, status: str = "answered", words: str = "a answered in 1 ms") -> Summary:
    return Summary(f"r{number}", "evening", status, words, f"2026-11-27T12:00:0{number % 10}.000Z")


def keys(board: Board) -> list[str]:
    return [line.key for line in board.lines()]


A, B = backend_stats("a"), backend_stats("b")
ILL = replace(A, circuit_breaker=replace(A.circuit_breaker, state="half-open"))


def board(*told: Hello | Picture | Summary | Change | Missed | Lost) -> Board:
    made = Board()
    made.take(told)
    return made


def test_nothing_is_on_it_before_a_picture() -> None:
    assert keys(Board()) == []
    assert Board().member("evening/a") is None


def test_the_default_profile_comes_first_each_with_its_members() -> None:
    made = board(picture(matinee=profile(B), evening=profile(A, B, default=True)))
    assert keys(made) == ["evening", "evening/a", "evening/b", "matinee", "matinee/b"]
    head, member = made.lines()[:2]
    assert isinstance(head, ProfileLine)
    assert isinstance(member, MemberLine)
    assert (head.is_default, member.model) == (True, "model-a")


def test_orders_go_round() -> None:
    made = board(picture(evening=profile(B, ILL)))
    seen = {}
    for _ in range(6):
        seen[made.order] = keys(made)[1:]
        made.sort()
    assert made.order == "as listed"
    assert seen["as listed"] == ["evening/b", "evening/a"]
    assert seen["name"] == seen["state"] == ["evening/a", "evening/b"]


def test_by_failures_load_and_slowness_the_most_come_first() -> None:
    more = replace(B, failures=2, in_flight=3, first_content_ms=replace(B.first_content_ms, p95=9.0))
    made = board(picture(evening=profile(A, more)))
    for order in ("failures", "in flight", "first content"):
        made.order = order
        assert keys(made)[1:] == ["evening/b", "evening/a"]


def test_a_filter_looks_at_names_models_states_and_words() -> None:
    made = board(
        picture(evening=profile(ILL, B), matinee=profile(B)), request(1), request(2, words="b: auth")
    )
    for wanted, shown in {
        "MATIN": ["matinee", "matinee/b"],
        "model-a": ["evening", "evening/a"],
        "half": ["evening", "evening/a"],
        "nobody": [],
    }.items():
        made.filter = wanted
        assert keys(made) == shown
    made.filter = "auth"
    assert [line.key for line in made.news()] == ["r2"]
    assert made.member("evening/a") is not None, "whatever the filter"


def test_a_request_has_one_line_at_its_last_news() -> None:
    made = board(request(1, "running", "a: auth"), request(2), request(1, "failed", "a: auth"))
    assert [(line.request, line.words) for line in made.news()] == [
        ("r1", "failed: a: auth"),
        ("r2", "a answered in 1 ms"),
    ]
    assert made.news_of("r2") is not None
    assert made.news_of("r3") is None


def test_changes_are_lines_of_their_own() -> None:
    change = Change("2026-11-27T12:00:00.000Z", "evening", "a", "benched for 2.0 s")
    made = board(change, change)
    assert [(line.words, line.request) for line in made.news()] == [("a: benched for 2.0 s", "")] * 2


def test_the_oldest_lines_go() -> None:
    made = board(*(request(number) for number in range(LENGTH + 5)))
    assert len(made.news()) == LENGTH
    assert (made.news()[0].key, made.news()[-1].key) == (f"r{LENGTH + 4}", "r5")


def test_paused_nothing_changes_and_then_everything_does() -> None:
    made = board(picture(evening=profile(A)))
    made.pause()
    made.take([picture(evening=profile(A, B)), request(1)])
    assert (keys(made), made.news()) == (["evening", "evening/a"], [])
    made.pause()
    assert keys(made)[-1] == "evening/b"
    assert [line.key for line in made.news()] == ["r1"]


def test_a_stream_is_lost_until_something_is_heard() -> None:
    made = board(Lost("gone", 1.0))
    assert made.lost == Lost("gone", 1.0)
    made.take([Hello(operator=True)])
    heard: tuple[object, object] = (made.lost, made.hello.operator)
    assert heard == (None, True)
    made.take([Lost("gone", 1.0), picture(), Missed(2), Missed(3)])
    after: tuple[object, object] = (made.lost, made.missed)
    assert after == (None, 5)


def test_a_member_that_the_picture_has_no_strip_of_is_shown_all_the_same() -> None:
    bare = ProfilePicture("failover", True, 0, 0, stats_of(A), {})
    (line,) = [line for line in board(picture(evening=bare)).lines() if isinstance(line, MemberLine)]
    assert (line.model, list(line.strip)) == (None, [])
    assert board(picture(evening=bare)).member("evening/zz") is None
