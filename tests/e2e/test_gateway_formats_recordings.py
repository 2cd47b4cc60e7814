"""Streams as providers send them, with all that the fault provider has not: citations, probabilities, tokens
from caches, tiers, hosted tools. A member plays each of them, and clients of all other formats read it.

Every recording means the same to all of them, in the places that their protocols have for it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.format_answers import Said
from tests.e2e.format_clients import CLIENTS, Client, How, ask
from tests.e2e.gateway_theatre import Format, GatewayTheatre, patient_theatre
from tests.e2e.servers import Peer, serve

CORPUS = Path(__file__).parents[1] / "wire" / "corpus"
FOLDERS: dict[Format, Path] = {
    "openai": CORPUS,
    "openai-responses": CORPUS / "responses",
    "anthropic": CORPUS / "anthropic",
    "gemini": CORPUS / "gemini",
}
RECORDINGS: dict[Format, str] = {
    "openai": """
        azure deepseek gemini_tools groq mistral openai openai_refusal openai_tools openrouter together vllm
        xai
    """,
    "openai-responses": """
        content_filter hosted imitator length logprobs reasoning reasoning_text refusal text tools
    """,
    "anthropic": "imitator refusal text thinking tools web_search",
    "gemini": """
        code imitator logprobs max_tokens recitation search text thinking tools tools_without_ids vertex
    """,
}
PLAYED = [(members, name) for members, names in RECORDINGS.items() for name in names.split()]
EVERY_RECORDING = pytest.mark.parametrize(
    ("members", "name"), PLAYED, ids=[f"{members}-{name}" for members, name in PLAYED]
)


@asynccontextmanager
async def playing(members: Format, name: str) -> AsyncIterator[GatewayTheatre]:
    recorded = (FOLDERS[members] / f"{name}.sse").read_bytes()

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        await peer.send(recorded)

    async with (
        serve(play) as server,
        patient_theatre(speaks=members, urls={"lead": server.url}) as house,
    ):
        yield house


CITED = {
    ("openai-responses", "hosted"),
    ("anthropic", "web_search"),
    ("gemini", "recitation"),
    ("gemini", "search"),
    ("gemini", "vertex"),
}
CACHED = {
    ("openai", "deepseek"),
    ("openai", "openai"),
    ("openai", "openrouter"),
    ("openai", "xai"),
    ("openai-responses", "hosted"),
    ("openai-responses", "text"),
    ("anthropic", "text"),
    ("gemini", "text"),
}
PROBABLE: list[Format] = ["openai-responses", "gemini"]


async def heard(house: GatewayTheatre, members: Format, how: How) -> dict[Client, Said]:
    """By the clients of the other formats."""
    return {client: await ask(house, client, how) for client in CLIENTS if client != members}


def meant(said: Said) -> dict[str, Any]:
    """What is the same in all protocols."""
    return {
        "model": said.model,
        "usage": said.usage,
        "cached": said.cached,
        "text": said.text + said.refusal,
        "reasoning": said.reasoning,
        "calls": [(call.id, call.name, _value(call.arguments)) for call in said.calls],
        "cited": said.cited,
    }


def _value(arguments: Any) -> Any:
    return json.loads(arguments) if isinstance(arguments, str) else arguments


@EVERY_RECORDING
async def test_a_recording_means_the_same_to_all_clients(members: Format, name: str) -> None:
    async with playing(members, name) as house:
        first, *rest = (await heard(house, members, "stream")).values()
    assert first.usage[1] > 0
    assert bool(first.cited) == ((members, name) in CITED)
    assert (first.cached != (0, 0)) == ((members, name) in CACHED)
    for said in rest:
        assert meant(said) == meant(first)


@EVERY_RECORDING
async def test_the_sdks_put_a_recording_together_as_its_events_say(members: Format, name: str) -> None:
    async with playing(members, name) as house:
        for client in CLIENTS:
            if client == members:
                continue
            streamed = await ask(house, client, "stream")
            if streamed.finish in ("length", "content_filter"):  # where OpenAI's accumulator has no answer
                continue
            helped = await ask(house, client, "helper")
            assert (meant(helped), helped.finish) == (meant(streamed), streamed.finish)


@pytest.mark.parametrize("members", PROBABLE)
async def test_probabilities_are_told_where_the_protocol_has_a_place_for_them(members: Format) -> None:
    async with playing(members, "logprobs") as house:
        found = await heard(house, members, "stream")
    assert found["openai"].tokens
    assert found.get("openai-responses", found["openai"]).tokens == found["openai"].tokens
    assert "".join(found["openai"].tokens) == found["openai"].text


async def test_tiers_are_told_in_the_protocols_words() -> None:
    async with playing("openai", "openai") as house:
        found = await heard(house, "openai", "stream")
    assert {client: said.tier for client, said in found.items()} == {
        "openai-responses": "default",
        "anthropic": "standard",
    }
