"""Facts about reading a call's chunks, by the rules in the module's header."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest

from tests.runtime.house import DONE, STOP, House, delta, refusal, speech, stream
from understudy.core.settings import RecoverySettings, RetrySettings
from understudy.errors import AllBackendsFailed, ConnectionReset

# Rule 1


async def test_nothing_is_asked_before_the_first_chunk_is() -> None:
    house = House(speech("Hello"))
    chunks = house.call().chunks()
    await house.clock.advance()
    assert house.asked() == []
    assert (await anext(chunks)).text == ""
    assert house.asked() == ["a"]
    await chunks.aclose()


async def test_chunks_of_one_read_come_in_their_order() -> None:
    house = House(stream(delta("a") + delta("b") + delta("c"), delta("d"), STOP, DONE))
    assert [chunk.text async for chunk in house.call().chunks()] == ["a", "b", "c", "d", ""]
    house.check()


async def test_after_the_end_there_is_nothing_more() -> None:
    chunks = House(speech("Hello")).call().chunks()
    assert [chunk.text async for chunk in chunks] == ["", "Hello", ""]
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


async def test_after_an_error_there_is_nothing_more() -> None:
    house = House(refusal(500), retry=RetrySettings(count=1))
    chunks = house.call().chunks()
    with pytest.raises(AllBackendsFailed):
        await anext(chunks)
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)
    house.check()


async def test_after_closing_there_is_nothing_more_though_it_had_come() -> None:
    house = House(stream(delta("a") + delta("b"), 60.0))
    chunks = house.call().chunks()
    assert (await anext(chunks)).text == "a"
    await chunks.aclose()
    await chunks.aclose()
    house.check()
    with pytest.raises(StopAsyncIteration):
        await anext(chunks)


async def test_a_sign_of_life_is_no_chunk() -> None:
    house = House(
        stream(delta("a"), ConnectionReset("gone")),
        stream(delta("a"), delta("b"), STOP, DONE, head=[8.0]),  # `AWAKE` seconds pass meanwhile
        recovery=RecoverySettings(scope="any"),
        retry=RetrySettings(count=1),
    )
    show = await house.play(13)
    assert [chunk.text for chunk in show.chunks if chunk.text] == ["a", "b"]
    assert all(chunk.text or chunk.finish_reason or chunk.usage for chunk in show.chunks)


# Rule 2


async def test_a_reader_who_is_cancelled_leaves() -> None:
    house = House(stream(delta("a"), 60.0))
    chunks = house.call().chunks()
    await anext(chunks)
    reading = asyncio.ensure_future(anext(chunks))
    await house.clock.advance()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    house.check()


async def test_who_drops_the_last_reference_in_another_thread_leaves_in_the_loop() -> None:
    house = House(stream(delta("a"), 60.0))
    kept = [house.call().chunks()]
    await anext(kept[0])
    left: list[int] = []
    response = house.transport.responses[0]
    close = response.close

    def closing() -> None:
        left.append(threading.get_ident())
        close()

    response.close = closing  # type: ignore[method-assign]
    thread = threading.Thread(target=kept.clear)
    thread.start()
    await asyncio.to_thread(thread.join)
    await house.clock.advance()
    assert left == [threading.get_ident()]
    house.check()


async def test_dropping_what_was_never_read_does_nothing() -> None:
    house = House(speech("never"))
    house.call().chunks()
    gc.collect()
    await house.clock.advance()
    assert house.asked() == []


def test_dropping_it_after_the_loop_has_ended_harms_nobody() -> None:
    async def read() -> object:
        chunks = House(stream(delta("a"), 60.0)).call().chunks()
        await anext(chunks)
        return chunks

    loop = asyncio.new_event_loop()
    chunks = loop.run_until_complete(read())
    loop.close()
    del chunks
    gc.collect()


# Rule 3


async def test_only_one_reads_at_a_time() -> None:
    house = House(stream(delta("a"), 60.0))
    chunks = house.call().chunks()
    await anext(chunks)
    reading = asyncio.ensure_future(anext(chunks))
    await house.clock.advance()
    with pytest.raises(RuntimeError, match="somebody is reading"):
        await anext(chunks)
    with pytest.raises(RuntimeError, match="somebody is reading"):
        await chunks.aclose()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    house.check()


async def test_its_repr_shows_the_call() -> None:
    assert repr(House(speech("x")).call().chunks()) == "<Chunks <Call None, not answered>>"
