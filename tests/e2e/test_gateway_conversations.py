"""Conversations that change members in the middle of tool use, with the official SDKs as clients.

A member thinks, calls tools and falls ill; one of another format goes on, thinks and calls tools itself; the
first is back, and then ill once more. The client knows nothing of it and hands back what its SDK gave it.
Every member gets a valid conversation, with its own state byte for byte where it was, and nobody else's.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.e2e.format_answers import Said
from tests.e2e.format_clients import (
    ALL_PAIRS,
    CLIENTS,
    EVERY_WAY,
    FORMATS,
    Client,
    How,
    ask,
    question,
    results,
    tools,
)
from tests.e2e.format_members import MODELS, UNSIGNED, Asked, Call, Result, read, valid
from tests.e2e.gateway_theatre import Format, GatewayTheatre, patient_theatre
from understudy.faults import TEXT, FaultProvider, anthropic_messages, gemini, responses_object
from understudy.faults.answers import ARGUMENTS

STATES: dict[Format, str] = {
    "anthropic": anthropic_messages.SIGNATURE,
    "openai-responses": responses_object.ENCRYPTED,
    "gemini": gemini.SIGNATURE.decode(),
}
THINKING: dict[Client, dict[str, Any]] = {
    "openai": {"reasoning_effort": "medium", "max_completion_tokens": 20000},
    "openai-responses": {
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    },
    "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 8000}, "max_tokens": 20000},
}
INPUT = json.loads(ARGUMENTS)

JOURNEYS = [
    (client, home, other) for client in CLIENTS for home in STATES for other in FORMATS if other != home
]
IN_ALL_JOURNEYS = pytest.mark.parametrize(
    ("client", "home", "other"),
    JOURNEYS,
    ids=[f"{client}<-{home},{other},{home}" for client, home, other in JOURNEYS],
)


@dataclass
class Talk:
    """One client's conversation. It keeps what it is given, and gives it back as it is."""

    house: GatewayTheatre
    client: Client
    how: How
    turns: list[Any] = field(default_factory=list)

    async def hear(self, member: FaultProvider, script: str) -> tuple[Said, dict[str, Any]]:
        """The next answer, of this member and nobody else, and what the member was asked."""
        for provider in (self.house.lead, self.house.second):
            provider.set_script(script if provider is member else "status 503")
        said = await ask(
            self.house, self.client, self.how, *self.turns, tools=tools(self.client), **THINKING[self.client]
        )
        self.turns += said.turn
        return said, member.requests[-1].body

    def say(self, *turns: Any) -> None:
        self.turns += turns


@asynccontextmanager
async def talking(client: Client, how: How, home: Format, other: Format) -> AsyncIterator[Talk]:
    models = {"lead": MODELS[home], "second": MODELS[other]}
    async with patient_theatre(
        speaks=(home, other), models=models, failover_retry_count=1, circuit_breaker_enabled=False
    ) as house:
        yield Talk(house, client, how, [question()])


def check(spoken: Format, body: dict[str, Any], *calls: int) -> Asked:
    """A valid request that has these calls and their results, and no state but the member's own."""
    valid(spoken, body)
    written = json.dumps(body)
    strangers = [state for issuer, state in STATES.items() if issuer != spoken]
    assert not [word for word in (*strangers, "understudy.", "provider_state") if word in written]
    asked = read(spoken, body)
    parts = [part for _, parts in asked.turns for part in parts]
    names = ("get_weather", "get_time", "get_news")
    assert [part for part in parts if isinstance(part, Call)] == [
        Call(f"call_{call:04}", names[call % 3], INPUT) for call in calls
    ]
    assert [part for part in parts if isinstance(part, Result)] == [
        Result(f"call_{call:04}", (f"It is {call}.",)) for call in calls
    ]
    return asked


def answers(client: Client, said: Said) -> list[Any]:
    """A result for each call."""
    return results(client, said.calls, lambda call: f"It is {int(call.id[-4:])}.")


@IN_ALL_JOURNEYS
@EVERY_WAY
async def test_everyone_gets_their_own_state_back_and_nobody_another_s(
    client: Client, home: Format, other: Format, how: How
) -> None:
    async with talking(client, how, home, other) as talk:
        lead, second = talk.house.lead, talk.house.second
        first, body = await talk.hear(lead, "reasoning 3 + tools 2 with-text")
        assert check(home, body).state == ()
        talk.say(*answers(client, first))

        then, body = await talk.hear(second, "reasoning 4 + tools 1 first=2")
        assert check(other, body, 0, 1).state == unsigned(other, 0)
        talk.say(*answers(client, then))

        back, body = await talk.hear(lead, "reasoning 2")
        assert check(home, body, 0, 1, 2).state == (own(home, first), *unsigned(home, 2))
        assert (back.text, back.model) == (TEXT, MODELS[home])
        talk.say(question("Once more."))

        last, body = await talk.hear(second, "fine")
        kept = (own(other, then),) if other in STATES else ()
        assert check(other, body, 0, 1, 2).state == (*unsigned(other, 0), *kept)
        assert (last.text, last.model) == (TEXT, MODELS[other])


def own(issuer: Format, said: Said) -> tuple[str, str]:
    """The state of an answer that thought and called tools: Gemini's is of its first call."""
    return said.calls[0].id if issuer == "gemini" else said.reasoning, STATES[issuer]


def unsigned(spoken: Format, call: int) -> tuple[tuple[str, str], ...]:
    """What Gemini is told of another's call, the first of its turn."""
    return ((f"call_{call:04}", UNSIGNED),) if spoken == "gemini" else ()


NAMELESS = [pair for pair in ALL_PAIRS if pair[1] in ("openai", "gemini") and pair[0] != pair[1]]


@pytest.mark.parametrize(("client", "members"), NAMELESS, ids=[f"{a}<-{b}" for a, b in NAMELESS])
@EVERY_WAY
async def test_calls_that_have_no_ids_are_answered_by_those_that_they_got(
    client: Client, members: Format, how: How
) -> None:
    async with talking(client, how, members, "openai") as talk:
        said, _ = await talk.hear(talk.house.lead, "tools 3 no-ids")
        assert len({call.id for call in said.calls if call.id}) == 3
        talk.say(*results(client, said.calls, lambda call: f"of {call.name}"))
        more, body = await talk.hear(talk.house.lead, "tools 2 no-ids")
        assert not {call.id for call in said.calls} & {call.id for call in more.calls}
    valid(members, body)
    parts = [part for _, parts in read(members, body).turns for part in parts]
    called = {part.id: part.name for part in parts if isinstance(part, Call)}
    assert list(called.items()) == [(call.id, call.name) for call in said.calls]
    told = {part.id: part.parts for part in parts if isinstance(part, Result)}
    assert told == {name: (f"of {function}",) for name, function in called.items()}
