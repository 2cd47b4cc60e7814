"""What is Redis's alone: its URL, what goes wrong with it, and what it holds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.e2e.redis_server import RedisServer, needs_redis
from understudy import ConfigurationError
from understudy.core.shared import Record, Report, Told, Usage, Verdict, Wanted
from understudy.runtime.ports import StateUnavailable
from understudy.state import open_store
from understudy.state.redis import CONNECTIONS, KEPT, RedisStore


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(port=0) as server:
        yield server


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(server.url)
    yield store
    await store.close()


class TestUrls:
    @pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
    async def test_all_schemes_are_known(self, scheme: str) -> None:
        store = open_store(f"{scheme}://:secret@localhost:6379/0")
        assert repr(store) == f"<RedisStore at {scheme}://localhost:6379/0>"
        await store.close()

    @pytest.mark.parametrize(
        "url", ["", "localhost:6379", "http://localhost", "://", "redis//x", "redis://[::1"]
    )
    def test_any_other_text_is_an_error_with_an_example(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="has to begin with one of redis://") as caught:
            open_store(url)
        assert caught.value.hint == "for example redis://localhost:6379/0"

    @pytest.mark.parametrize(
        "url", ["redis://:sec%20ret@localhost:port/0", "redis://:sec%20ret@host/0?socket_timeout=x"]
    )
    def test_a_wrong_part_is_an_error_without_the_password(self, url: str) -> None:
        with pytest.raises(ConfigurationError, match="the state URL is wrong") as caught:
            open_store(url)
        assert "sec" not in caught.value.message.replace("socket", "")

    def test_without_the_library_it_says_how_to_install_it(self) -> None:
        program = (
            "import sys; sys.modules['redis'] = None\n"
            "from understudy import ConfigurationError\n"
            "from understudy.state import open_store\n"
            "try: open_store('redis://localhost')\n"
            "except ConfigurationError as error: print(error.message, '|', error.hint)\n"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert "shared state needs redis" in done.stdout
        assert "pip install 'understudy[redis]'" in done.stdout


@needs_redis
class TestTroubles:
    async def test_nobody_there_is_one_line(self) -> None:
        store = RedisStore("redis://127.0.0.1:1/0")
        with pytest.raises(StateUnavailable) as caught:
            await store.exchange("p", Report())
        assert "\n" not in str(caught.value)
        await store.close()

    async def test_a_forgotten_script_is_sent_again(self, server: RedisServer, store: RedisStore) -> None:
        await store.exchange("p", Report())
        server.command("SCRIPT", "FLUSH")
        assert (await store.lease("p", "a", "one.1", 0, 5.0)).granted

    async def test_a_full_server_is_told_by_its_own_words_without_the_place_in_our_script(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        server.command("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StateUnavailable, match=r"used memory > 'maxmemory'\.$"):
            await store.publish("p", "one", b"1", 5.0)

    async def test_a_replica_that_was_the_master_is_connected_to_anew(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        await store.exchange("p", Report())
        server.command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StateUnavailable, match="read only replica"):
            await store.exchange("p", Report(proves=True))
        assert b"redis-py" not in server.command("CLIENT", "LIST"), "the name may lead elsewhere by now"
        server.command("REPLICAOF", "NO", "ONE")
        await store.exchange("p", Report(proves=True))

    async def test_a_password_that_is_asked_for_now_is_told(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        with RedisServer(password="secret") as guarded:
            open_door = RedisStore(guarded.url.replace(":secret@", ""))
            with pytest.raises(StateUnavailable, match="Authentication required"):
                await open_door.exchange("p", Report())
            await open_door.close()

    async def test_the_password_is_masked_wherever_a_message_repeats_it(self) -> None:
        store = RedisStore("redis://:s%20ecret@127.0.0.1:1/0")
        masked = store._masked(ValueError("no s ecret, nor s%20ecret"))
        assert masked == "no ***, nor ***"
        assert store._masked(ValueError()) == "ValueError"
        await store.close()

    async def test_a_record_of_another_kind_is_said_to_be_one(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        await store.exchange("p", Report())
        server.command("HSET", "understudy:1:circuits:p", "m:a", "1 9 what is this")
        with pytest.raises(StateUnavailable, match="a record of another kind"):
            await store.exchange("p", Report())

    async def test_one_of_another_schema_is_written_over(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        await store.exchange("p", Report())
        server.command("HSET", "understudy:1:circuits:p", "m:a", "2 9 what is this")
        picture = await store.exchange("p", Report(told=(Told("a", Record(Verdict(3))),)))
        assert picture.records["a"][1].verdict == Verdict(3)

    async def test_closing_a_connection_that_is_gone_already_is_no_error(self, server: RedisServer) -> None:
        store = RedisStore(server.url)
        await store.exchange("p", Report())
        server.kill()
        await store.close()
        await store.close()

    async def test_to_cancel_a_call_leaves_the_next_one_alone(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        await store.exchange("p", Report())
        server.pause()
        asking = asyncio.ensure_future(store.publish("p", "one", b"1", 5.0))
        await asyncio.sleep(0.02)
        asking.cancel()
        await asyncio.wait((asking,))
        server.resume()
        assert (await store.exchange("p", Report())).records == {}


@needs_redis
class TestConnections:
    async def at_once(self, server: RedisServer, store: RedisStore) -> int:
        """How many connections it takes to reserve in so many places at one time."""
        before = opened(server)
        await asyncio.gather(*(store.reserve("p", f"m{n}", [Wanted(1, 9, 9)]) for n in range(CONNECTIONS)))
        return opened(server) - before - 1

    async def test_after_the_first_exchange_nothing_waits_for_one(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        await store.exchange("p", Report())
        assert await self.at_once(server, store) == 0

    async def test_a_server_that_is_slow_to_answer_has_been_asked_for_all_of_them(self) -> None:
        arrived: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        listener = await asyncio.start_server(lambda _, writer: arrived.put_nowait(writer), "127.0.0.1", 0)
        slow = RedisStore(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}")
        asking = asyncio.ensure_future(slow.exchange("p", Report()))
        guests = [await asyncio.wait_for(arrived.get(), 1.0) for _ in range(CONNECTIONS)]
        for guest in guests:
            guest.close()
        with pytest.raises(StateUnavailable):
            await asking
        listener.close()
        await slow.close()

    async def test_they_are_opened_once(self, server: RedisServer, store: RedisStore) -> None:
        await store.exchange("p", Report())
        before = store.operations
        await store.exchange("p", Report())
        assert store.operations == before + 1

    async def test_after_a_restart_the_next_exchange_opens_them_again(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        await store.exchange("p", Report())
        server.kill()
        with pytest.raises(StateUnavailable):
            await store.exchange("p", Report())
        server.start()
        await store.exchange("p", Report())
        assert await self.at_once(server, store) == 0

    async def test_calls_that_are_cancelled_lose_theirs_and_the_next_exchange_opens_others(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        await store.exchange("p", Report())
        server.pause()
        reserving = asyncio.gather(*(store.reserve("p", member, [Wanted(1, 9, 9)]) for member in "mno"))
        await asyncio.sleep(0.05)
        reserving.cancel()
        await asyncio.wait((reserving,))
        server.resume()
        await store.exchange("p", Report())
        assert await self.at_once(server, store) == 0

    async def test_a_server_that_was_a_replica_has_them_opened_again(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        await store.exchange("p", Report())
        server.command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StateUnavailable):
            await store.exchange("p", Report(proves=True))
        server.command("REPLICAOF", "NO", "ONE")
        await store.exchange("p", Report())
        assert await self.at_once(server, store) == 0


def opened(server: RedisServer) -> int:
    """How many connections it has taken so far; asking takes one."""
    lines = server.command("INFO", "stats").decode().splitlines()
    (count,) = [line.partition(":")[2] for line in lines if line.startswith("total_connections_received:")]
    return int(count)


@needs_redis
class TestKeys:
    async def test_every_key_has_the_schema_in_its_name_and_ends_by_itself(
        self, server: RedisServer, store: RedisStore
    ) -> None:
        await store.exchange("p", Report())
        await store.publish("p", "one", b"1", 15.0)
        await store.reserve("p", "a", [Wanted(5, 10)])
        await store.spend("p", "b", [Usage(1.0, 5, 1)])
        kept = {
            "understudy:1:circuits:p": KEPT,
            "understudy:1:stats:p": 15,
            "understudy:1:ceiling:p:a": 62,
            "understudy:1:ceiling:p:b": 62,
        }
        for key, seconds in kept.items():
            left = int(server.command("PTTL", key).decode().strip(":\r\n"))
            assert seconds * 1000 - 5000 < left <= seconds * 1000
        assert server.command("DBSIZE") == b":4\r\n"

    async def test_a_beat_without_news_writes_nothing(self, server: RedisServer, store: RedisStore) -> None:
        first = await store.exchange("p", Report(told=(Told("a", Record(Verdict(3))),)))
        server.command("CONFIG", "SET", "maxmemory", "1")
        again = await store.exchange("p", Report(first.cursor, (Told("a", Record(Verdict(3))),)))
        assert again.cursor == first.cursor

    async def test_operations_are_counted(self, server: RedisServer, store: RedisStore) -> None:
        await store.exchange("p", Report())
        await store.exchange("p", Report())
        assert store.operations == 3 + CONNECTIONS - 1, "the scripts were sent once"
