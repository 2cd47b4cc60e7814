"""The provider as a whole."""

from __future__ import annotations

import asyncio
import gc
import ssl
from random import Random

import pytest
import trustme

from tests.faults.raw import Client, ask, chat
from understudy.errors import ConfigurationError
from understudy.faults import TEXT, Answer, FaultProvider, ScriptError


async def test_it_says_where_it_is_and_what_it_plays() -> None:
    provider = FaultProvider("500; fine")
    assert repr(provider) == "<FaultProvider closed, '500; fine', 0 requests>"
    async with provider:
        assert provider.base_url == f"http://127.0.0.1:{provider.port}/v1"
        await ask(provider)
        assert repr(provider) == f"<FaultProvider {provider.base_url}, '500; fine', 1 requests>"


async def test_it_listens_on_the_port_it_is_given() -> None:
    async with FaultProvider() as first:
        port = first.port
    async with FaultProvider(port=port) as second:
        assert second.port == port
        assert (await ask(second)).text == TEXT


async def test_an_ipv6_address_is_written_in_brackets() -> None:
    assert FaultProvider(host="::1", port=1).base_url == "http://[::1]:1/v1"


async def test_over_tls_it_answers_cuts_and_resets_just_the_same() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    async with FaultProvider("fine; cut after=20; reset after=20; silence", ssl=server) as provider:
        assert provider.base_url.startswith("https://")
        assert (await ask(provider, tls=client, stream=True)).text == TEXT
        cut = await ask(provider, tls=client, stream=True)
        assert (cut.ending, len(cut.events)) == ("cut", 21)
        assert (await ask(provider, tls=client, stream=True)).ending == "reset"
        async with Client(provider, client) as caller:
            caller.send()
            await provider.wait_for_requests(4)
        await provider.wait_closed(provider.requests[3])


async def test_leaving_closes_every_connection_and_leaves_no_task() -> None:
    async with FaultProvider("silence; stall; pings; flood; drip every=1h") as provider:
        clients = [Client(provider) for _ in range(6)]
        for number, client in enumerate(clients):
            await client.__aenter__()
            client.send(stream=True)
            await provider.wait_for_requests(number + 1)
    assert provider.open_connections == 0
    assert len(asyncio.all_tasks()) == 1
    for client in clients:
        client.writer.transport.abort()
    await provider.close()
    await asyncio.sleep(0)
    gc.collect()


async def test_hanging_up_closes_connections_and_goes_on_listening() -> None:
    async with FaultProvider() as provider, Client(provider) as client:
        await client.ask()
        provider.hang_up()
        assert await client.reader.read() == b""
        await provider.wait_for_connections(0)
        assert (await ask(provider)).text == TEXT


async def test_scripts_change_while_it_runs() -> None:
    async with FaultProvider("500") as provider:
        provider.set_script("502; fine")
        provider.set_script("503", "m2")
        assert [(await ask(provider, model=model)).status for model in ("m", "m2", "m")] == [502, 503, 200]
        provider.remove_script("m2")
        provider.remove_script()
        assert [(await ask(provider, model=model)).status for model in ("m", "m2")] == [200, 200]


async def test_its_answer_can_be_another() -> None:
    async with FaultProvider(answer=Answer().saying("Good evening")) as provider:
        for asked in (True, False):
            assert (await ask(provider, stream=asked)).text == "Good evening"


async def test_a_pace_holds_for_every_answer() -> None:
    async with FaultProvider(pace=1.0, time_scale=0.0005) as provider:
        began = asyncio.get_running_loop().time()
        await ask(provider, stream=True)
        assert asyncio.get_running_loop().time() - began >= 59 * 0.0005


async def test_chance_can_be_repeated() -> None:
    async def statuses(seed: int) -> list[int]:
        async with FaultProvider("50% 500", rng=Random(seed)) as provider:
            return [(await ask(provider)).status for _ in range(20)]

    assert await statuses(1) == await statuses(1) != await statuses(2)


def test_what_cannot_be_played_is_refused_at_once() -> None:
    with pytest.raises(ScriptError):
        FaultProvider("statsu")
    with pytest.raises(ScriptError):
        FaultProvider(models={"m": "statsu"})
    for scale in (0.0, -1.0):
        with pytest.raises(ConfigurationError, match="time_scale"):
            FaultProvider(time_scale=scale)
        with pytest.raises(ConfigurationError, match="pace"):
            FaultProvider(pace=scale)


async def test_requests_can_be_waited_for_and_forgotten() -> None:
    async with FaultProvider("silence") as provider:
        with pytest.raises(TimeoutError):
            await provider.wait_for_requests(1, timeout=0.0)
        async with Client(provider) as client:
            client.send()
            (request,) = await provider.wait_for_requests(1)
            with pytest.raises(TimeoutError):
                await provider.wait_closed(request, timeout=0.0)
            with pytest.raises(TimeoutError):
                await provider.wait_settled(request, timeout=0.0)
        closed = await provider.wait_closed(request)
        assert closed == request.client_closed == await provider.wait_closed(request)
        provider.clear_requests()
        assert provider.requests == []


async def test_the_log_is_bounded() -> None:
    async with FaultProvider(log_size=2) as provider:
        for _ in range(3):
            await ask(provider)
        assert [request.number for request in provider.requests] == [2, 3]


async def test_a_request_of_many_megabytes_is_taken() -> None:
    content = "x" * 20_000_000
    async with FaultProvider() as provider:
        assert (await ask(provider, messages=chat(messages=[{"content": content}])["messages"])).status == 200
        assert provider.requests[0].prompt_size == 20_000_000


async def test_a_slow_reader_costs_no_memory_and_is_waited_for() -> None:
    async with FaultProvider("tokens 200000") as provider, Client(provider) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        client.send(stream=True)
        (request,) = await provider.wait_for_requests(1)
        with pytest.raises(TimeoutError):
            await provider.wait_settled(request, timeout=0.2)
        assert 0 < request.tokens < 100_000
