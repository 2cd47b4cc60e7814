"""Facts about what an operator may do to a gateway that runs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.gateway.house import KEY
from tests.gateway.stage import ADMIN_KEY, Stage, Visit, message_of
from tests.runtime.house import completion, refusal
from understudy.core.events import OperatorActed
from understudy.errors import ConfigurationError
from understudy.gateway.profiles import Profiles
from understudy.gateway.worker import ALONE, Worker
from understudy.testing import Reply

OPERATOR = {"authorization": f"Bearer {ADMIN_KEY}"}
MEMBER = "/admin/profiles/evening/backends"
SETTINGS = "/admin/profiles/evening/settings"


def stage_of(*scripts: Any, **options: Any) -> Stage:
    stage = Stage(*scripts, **options)
    stage.admit_operator()
    return stage


async def do(stage: Stage, method: str, path: str, body: Any = b"", **headers: str) -> Visit:
    return await stage.play(path=path, method=method, body=body, headers={**OPERATOR, **headers})


async def act(stage: Stage, backend: str, action: str) -> Any:
    visit = await do(stage, "POST", f"{MEMBER}/{backend}/{action}")
    assert visit.status == 200
    assert (visit.json["backend"], visit.json["action"]) == (backend, action)
    return visit.json["stats"]


async def backend(stage: Stage, name: str) -> Any:
    return (await stage.look("/stats/evening")).json["backends"][name]


async def state(stage: Stage, name: str) -> str:
    return str((await backend(stage, name))["circuit_breaker"]["state"])


async def answered_by(stage: Stage) -> str:
    visit = await stage.play()
    assert visit.status == 200
    return visit.headers["x-understudy-backend"]


# Rule 1: the key


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Bearer {ADMIN_KEY}x"},
        {"authorization": f"Bearer {ADMIN_KEY[:-1]}"},
        {"authorization": f"Basic {ADMIN_KEY}"},
        {"x-api-key": "wrong"},
        {"x-api-key": KEY},
    ],
)
async def test_without_the_right_key_nothing_is_done(headers: dict[str, str]) -> None:
    stage = stage_of(completion(), completion(), keys=f"alice={KEY}")
    for method, path in [("POST", f"{MEMBER}/a/drain"), ("POST", "/admin/reload"), ("GET", "/admin/nothing")]:
        visit = await stage.play(path=path, method=method, headers=headers)
        assert (visit.status, visit.json["error"]["code"]) == (401, "invalid_admin_key")
    assert stage.listener.heard == []


async def test_the_key_is_taken_either_way() -> None:
    stage = stage_of(completion(), completion())
    for headers in (OPERATOR, {"x-api-key": ADMIN_KEY}, {"authorization": f"bearer {ADMIN_KEY}"}):
        assert (await stage.look(SETTINGS, headers=headers)).status == 200


async def test_a_key_that_is_no_ascii_is_just_wrong() -> None:
    stage = stage_of(completion(), completion())
    assert (await stage.look(SETTINGS, headers={"x-api-key": "schlüssel"})).status == 401


async def test_a_scrape_of_the_operators_sees_the_gateway_drain() -> None:
    stage = stage_of(completion(), keys=f"alice={KEY}")
    for draining in (False, True):
        stage.gateway.draining = draining
        visit = stage.visit("/metrics", method="GET", headers=OPERATOR)
        await visit.ended()
        assert f"understudy_gateway_draining {float(draining)}\n" in visit.body.decode()
    assert (await stage.look("/metrics", headers={"x-api-key": KEY})).status == 503


# A member in hand


async def test_a_drained_member_finishes_and_is_given_nothing_until_it_is_enabled() -> None:
    slow = Reply(headers={"content-type": "application/json"}, pieces=[5.0, *completion().pieces])
    stage = stage_of([slow, completion()], completion())
    running = await stage.play(1)
    stats = await act(stage, "a", "drain")
    assert stats["in_flight"] == 1
    assert await answered_by(stage) == "b"
    await stage.clock.advance(4)
    assert running.headers["x-understudy-backend"] == "a"
    assert await answered_by(stage) == "b"
    assert (await backend(stage, "a"))["skips"] == {"drained": 2}
    await act(stage, "a", "enable")
    assert await answered_by(stage) == "a"
    stage.check()


async def test_a_circuit_forced_open_stays_open_through_time_until_reset() -> None:
    stage = stage_of(completion(), completion())
    stats = await act(stage, "a", "open")
    assert stats["circuit_breaker"]["state"] == "open"
    for _ in range(3):
        await stage.clock.advance(3600)
        assert await answered_by(stage) == "b"
    assert await state(stage, "a") == "open"
    stats = await act(stage, "a", "reset")
    assert stats["circuit_breaker"]["state"] == "closed"
    assert await answered_by(stage) == "a"
    stage.check()


async def test_when_all_are_forced_open_nobody_is_probed() -> None:
    stage = stage_of(completion(), completion())
    for name in "ab":
        await act(stage, name, "open")
    await stage.clock.advance(3600)
    assert (await stage.play(30)).status == 503
    assert stage.transport.requests == []
    stage.check()


async def test_a_circuit_forced_closed_stays_closed_through_failures() -> None:
    stage = stage_of(refusal(500), completion(), failover_retry_count=1)
    await act(stage, "a", "close")
    for _ in range(10):
        assert await answered_by(stage) == "b"
    assert await state(stage, "a") == "closed"
    assert (await backend(stage, "a"))["failures"] == 10
    await act(stage, "a", "reset")
    for _ in range(5):
        await answered_by(stage)
    assert await state(stage, "a") == "open"
    stage.check()


async def test_reset_forgets_an_open_circuit_and_a_bench() -> None:
    stage = stage_of(
        [refusal(429, retry_after="600"), refusal(401), refusal(401), refusal(401), completion()],
        completion(),
    )
    assert await answered_by(stage) == "b"
    assert (await backend(stage, "a"))["bench_remaining_ms"] > 0
    assert (await act(stage, "a", "reset"))["bench_remaining_ms"] == 0
    for _ in range(3):
        assert await answered_by(stage) == "b"
    assert await state(stage, "a") == "open"
    await act(stage, "a", "reset")
    assert await answered_by(stage) == "a"
    stage.check()


async def test_what_an_operator_does_is_told_to_observers() -> None:
    stage = stage_of(completion(), completion())
    await act(stage, "b", "drain")
    assert stage.listener.heard == [OperatorActed(stage.clock.now(), 0, "b", "drain")]


async def test_who_waits_for_capacity_looks_again_at_once() -> None:
    stage = stage_of([refusal(429, retry_after="15"), completion()])
    waiting = await stage.play(1)
    assert waiting.messages == []
    await act(stage, "a", "reset")
    await stage.clock.advance()
    assert waiting.status == 200
    stage.check()


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        (f"{MEMBER}/c/drain", 400, "evening has no member c; it has a, b"),
        (f"{MEMBER}/a/explode", 400, "explode is no action; there are reset, open, close, drain, enable"),
        ("/admin/profiles/evenin/backends/a/drain", 404, "did you mean evening?"),
        (f"{MEMBER}/a", 404, "there is no route"),
        ("/admin/profiles", 404, "there is no route"),
    ],
)
async def test_what_cannot_be_done_is_one_line_with_the_way_out_and_changes_nothing(
    path: str, status: int, said: str
) -> None:
    stage = stage_of(completion(), completion())
    visit = await do(stage, "POST", path)
    assert (visit.status, said in message_of(visit)) == (status, True)
    assert "\n" not in message_of(visit)
    assert stage.listener.heard == []
    assert await answered_by(stage) == "a"


# Settings


async def test_every_live_setting_is_shown_with_its_value_and_source() -> None:
    shown = (await do(stage_of(completion(), completion()), "GET", SETTINGS)).json
    assert shown["timeout_ms"] == {"value": 10000, "source": "load-balancer profile"}
    assert shown["bench_max_ms"] == {"value": 900000, "source": "default"}
    assert not {"auth-key", "base-url", "context-limit"} & shown.keys()


async def test_a_setting_is_changed_from_the_next_decision_on_and_taken_back() -> None:
    stage = stage_of(refusal(500), completion(), failover_retry_delay_ms=0)
    changed = await do(stage, "PUT", f"{SETTINGS}/failover_retry_count", {"value": 5})
    assert changed.json == {"value": 5, "source": "/set"}
    assert (await stage.play()).headers["x-understudy-attempts"] == "4", "the third opens the circuit"
    assert (await do(stage, "GET", SETTINGS)).json["failover_retry_count"]["value"] == 5
    back = await do(stage, "DELETE", f"{SETTINGS}/failover_retry_count")
    assert back.json == {"value": 2, "source": "default"}
    await act(stage, "a", "reset")
    assert (await stage.play()).headers["x-understudy-attempts"] == "3"
    stage.check()


async def test_the_wait_at_the_door_follows() -> None:
    stage = stage_of(completion(), completion())
    await do(stage, "PUT", f"{SETTINGS}/wait_for_capacity_ms", {"value": 3000})
    assert stage.served.door.patience == 3.0
    await do(stage, "DELETE", f"{SETTINGS}/wait_for_capacity_ms")
    assert stage.served.door.patience == 20.0


async def test_a_value_may_be_text_as_on_a_command_line_and_a_name_in_either_spelling() -> None:
    stage = stage_of(completion(), completion())
    visit = await do(stage, "PUT", f"{SETTINGS}/timeout-ms", {"value": "5000"})
    assert visit.json == {"value": 5000, "source": "/set"}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("timout_ms", 1, "did you mean timeout_ms?"),
        ("timeout_ms", -1, "timeout_ms must be a positive integer"),
        ("timeout_ms", "soon", "timeout_ms must be a positive integer"),
        ("timeout_ms", None, "timeout_ms must be a positive integer"),
        ("circuit_breaker_enabled", 3, "circuit_breaker_enabled must be"),
        ("context-limit", 5, "context-limit belongs to one backend; set it in that member's own profile"),
        ("auth-key", "sk-mine", "auth-key belongs to one backend"),
    ],
)
async def test_a_wrong_key_or_value_is_refused_in_one_line_and_changes_nothing(
    key: str, value: Any, said: str
) -> None:
    stage = stage_of(completion(), completion())
    before = (await do(stage, "GET", SETTINGS)).json
    visit = await do(stage, "PUT", f"{SETTINGS}/{key}", {"value": value})
    assert (visit.status, visit.json["error"]["code"]) == (400, "invalid_configuration")
    assert said in message_of(visit)
    assert "\n" not in message_of(visit)
    assert "sk-mine" not in message_of(visit)
    assert (await do(stage, "GET", SETTINGS)).json == before


@pytest.mark.parametrize("body", [b"", b"5", b"{}", b'{"value": }', b"\xff", b"[" * 5000])
async def test_a_body_that_is_no_value_is_refused(body: bytes) -> None:
    visit = await do(stage_of(completion(), completion()), "PUT", f"{SETTINGS}/timeout_ms", body)
    assert (visit.status, message_of(visit)) == (400, 'the body must be {"value": …}')


async def test_nobody_needs_a_large_one() -> None:
    visit = await do(
        stage_of(completion(), completion()), "PUT", f"{SETTINGS}/timeout_ms", {"value": "x" * 70000}
    )
    assert visit.status == 413


async def test_an_unknown_setting_cannot_be_taken_back() -> None:
    visit = await do(stage_of(completion(), completion()), "DELETE", f"{SETTINGS}/timout_ms")
    assert (visit.status, "did you mean timeout_ms?" in message_of(visit)) == (400, True)


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", f"{MEMBER}/a/drain", 405, "POST"),
        ("GET", "/admin/reload", 405, "POST"),
        ("POST", SETTINGS, 405, "GET"),
        ("GET", f"{SETTINGS}/timeout_ms", 405, "PUT, DELETE"),
        ("GET", f"{SETTINGS}/timeout_ms/more", 404, None),
        ("GET", "/admin/profiles/other/settings", 404, None),
        ("GET", "/admin/elsewhere", 404, None),
    ],
)
async def test_a_wrong_method_or_path_is_told_so(
    method: str, path: str, status: int, allowed: str | None
) -> None:
    visit = await do(stage_of(completion(), completion()), method, path)
    assert (visit.status, visit.headers.get("allow")) == (status, allowed)


# Loading anew


async def test_profiles_are_loaded_anew_and_named() -> None:
    stage = Stage(completion(), completion())

    async def reload() -> None:
        stage.gateway.profiles = Profiles({"morning": stage.served, "noon": stage.served})

    stage.admit_operator(reload)
    visit = await do(stage, "POST", "/admin/reload")
    assert visit.json == {"profiles": ["morning", "noon"]}


@pytest.mark.parametrize(("hint", "said"), [("mend it", "bad file; mend it"), (None, "bad file")])
async def test_what_is_wrong_with_them_is_one_line(hint: str | None, said: str) -> None:
    stage = Stage(completion(), completion())

    async def reload() -> None:
        raise ConfigurationError("bad file", hint=hint)

    stage.admit_operator(reload)
    visit = await do(stage, "POST", "/admin/reload")
    assert (visit.status, message_of(visit)) == (400, said)


# Rule 3


TAKEN_IN_HAND = ("POST", f"{MEMBER}/a/drain")
CHANGED = ("PUT", f"{SETTINGS}/timeout_ms")
TAKEN_BACK = ("DELETE", f"{SETTINGS}/timeout_ms")
SHARED = Worker(2, 3, is_shared=True)
REFUSED = "only worker 2 of 3 would hear of this; "


@pytest.mark.parametrize(
    ("worker", "route", "remedy"),
    [
        (Worker(2, 3), TAKEN_IN_HAND, "serve with --state redis://…, or serve with --workers 1"),
        (Worker(2, 3), CHANGED, "change the profile, which all of them load, or serve with --workers 1"),
        (SHARED, CHANGED, "change the profile, which all of them load, or serve with --workers 1"),
        (SHARED, TAKEN_BACK, "change the profile, which all of them load, or serve with --workers 1"),
        (SHARED, TAKEN_IN_HAND, None),
        (ALONE, TAKEN_IN_HAND, None),
        (ALONE, CHANGED, None),
    ],
)
async def test_what_only_one_of_several_would_hear_of_is_refused_with_the_way_out(
    worker: Worker, route: tuple[str, str], remedy: str | None
) -> None:
    stage = stage_of(completion())
    assert stage.gateway.admin is not None
    stage.gateway.admin._worker = worker
    visit = await do(stage, *route, {"value": 5000})
    assert visit.status == (200 if remedy is None else 409)
    if remedy is not None:
        assert message_of(visit) == REFUSED + remedy
    assert (await do(stage, "GET", SETTINGS)).status == 200
