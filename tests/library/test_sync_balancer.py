"""Facts about the balancer without await."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.library.test_balancer import PAIR, URLS, member
from tests.runtime.house import completion, delta, refusal, speech, stream
from understudy import AllBackendsFailed, BalancerClosed, SettingError, SyncBalancer
from understudy.core.settings import Source
from understudy.runtime.clock import SystemClock
from understudy.runtime.ports import HttpRequest
from understudy.testing import Reply, ScriptedResponse, ScriptedTransport


def balancer(*replies: Reply, **options: Any) -> SyncBalancer:
    scripts = {url + "/chat/completions": [reply] for url, reply in zip(URLS.values(), replies, strict=False)}
    transport = ScriptedTransport(SystemClock(), scripts)
    return SyncBalancer(PAIR, [member("a"), member("b")], transport=transport, **options)


def test_it_completes_streams_and_counts() -> None:
    with balancer(refusal(500), speech("To", " be")) as lb:
        stream_ = lb.stream("Hi")
        assert [chunk.text for chunk in stream_] == ["", "To", " be", ""]
        assert (stream_.text, stream_.backend, stream_.model) == ("To be", "b", "m")
        assert (stream_.finish_reason, stream_.tool_calls) == ("stop", ())
        assert stream_.usage is not None
        assert len(stream_.trail) == 2
        assert stream_.so_far().text == "To be"
        assert lb.stream("Hi").answer().text == "To be"
        assert lb.stats().answered == 2
    with balancer(completion("Hello")) as lb:
        assert lb.complete("Hi").text == "Hello"


def test_it_raises_the_same_errors() -> None:
    with balancer(refusal(401), refusal(402)) as lb, pytest.raises(AllBackendsFailed):
        lb.complete("Hi")


def test_settings_are_changed_live() -> None:
    with balancer() as lb:
        lb.set("timeout_ms", 1000)
        assert lb.setting("timeout_ms") == (1000, Source.SESSION)
        lb.unset("timeout_ms")
        assert lb.settings()["timeout_ms"] == (60000, Source.DEFAULT)
        with pytest.raises(SettingError):
            lb.set("timeout_ms", 0)


def test_leaving_a_streams_context_closes_it() -> None:
    with balancer(stream(delta("Hello"), 60.0)) as lb:
        with lb.stream("Hi") as stream_:
            assert next(stream_).text == "Hello"
        assert lb.stats().cancelled == 1
        assert repr(stream_).startswith("<Sync<ChatStream ")


def test_it_serves_several_threads_at_once() -> None:
    with balancer(completion("Hello")) as lb:
        answers: list[str] = []
        threads = [threading.Thread(target=lambda: answers.append(lb.complete("Hi").text)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == ["Hello"] * 8


def test_closing_ends_a_call_in_another_thread() -> None:
    lb = balancer(stream(delta("Hello"), 60.0))
    begun = threading.Event()
    errors: list[BaseException] = []

    def read() -> None:
        try:
            for _ in lb.stream("Hi"):
                begun.set()
        except BalancerClosed as error:
            errors.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10)
    lb.close()
    thread.join(10)
    assert len(errors) == 1


class Interrupting(ScriptedTransport):
    """Sends the process SIGINT when the request has gone out."""

    async def send(self, request: HttpRequest) -> ScriptedResponse:
        os.kill(os.getpid(), signal.SIGINT)
        return await super().send(request)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT raises KeyboardInterrupt, whatever an earlier test left behind."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_caller_leaves_at_once() -> None:
    transport = Interrupting(SystemClock(), {URLS["a"] + "/chat/completions": [stream(60.0)]})
    with SyncBalancer(PAIR, [member("a"), member("b")], transport=transport) as lb:
        with pytest.raises(KeyboardInterrupt):
            lb.complete("Hi")
        turns = sum(lb.stats().in_flight for _ in range(1000))
        assert turns < 100
        assert lb.stats().cancelled == 1


def test_a_stream_that_outlives_its_balancer_goes_quietly() -> None:
    lb = balancer(stream(delta("Hello"), 60.0))
    stream_ = lb.stream("Hi")
    assert next(stream_).text == "Hello"
    lb.close()
    del stream_
    gc.collect()


def test_after_closing_every_call_says_so() -> None:
    lb = balancer()
    lb.close()
    lb.close()
    lb._loop.close()
    with pytest.raises(BalancerClosed):
        lb.complete("Hi")
    assert repr(lb) == "<Sync<Balancer pair, failover, 2 members>>"


def test_a_saved_profile_is_loaded_by_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"provider": "vllm", "model": "m"}')
    with SyncBalancer.load(str(path)) as lb:
        assert lb.stats().profile == "mine"
