"""What two kinds of coding agents send, as they send it: `requests/*.json`, to members of both formats.

In the agent's own format every field goes on as the bytes that came, but for the model; in the other one it
becomes a valid request of that format, and the agent's SDK reads the answer. Keys of clients and settings of
ours never go on.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import anthropic
import msgspec
import openai
import pytest
from anthropic.types import RawMessageStreamEvent
from openai.types.chat import ChatCompletionChunk

from tests.e2e.gateway_theatre import (
    CLIENT_KEY,
    MEMBER_KEYS,
    PATHS,
    PROTOCOLS,
    GatewayTheatre,
    Protocol,
    Reply,
    authorized,
    patient_theatre,
)
from tests.e2e.servers import Peer, Server, serve
from understudy.faults import TEXT, TOKENS
from understudy.faults.answers import ARGUMENTS

AGENTS = pytest.mark.parametrize("agent", PROTOCOLS, ids=[f"{name}-style agent" for name in PROTOCOLS])

ANTHROPIC_EVENT: Any = RawMessageStreamEvent  # a union, which the SDK takes though its types do not
REQUESTS = Path(__file__).with_name("requests")

# What agents and their SDKs put into the head, besides the key.
HEADERS: dict[Protocol, dict[str, str]] = {
    "openai": {
        "user-agent": "an-agent/0.42 (linux; x64)",
        "accept": "text/event-stream",
        "openai-organization": "org-of-the-client",
        "x-stainless-lang": "js",
        "x-session-id": "0199a2d4",
        "cookie": "session=of-the-client",
    },
    "anthropic": {
        "user-agent": "an-agent/2.0 (external, cli)",
        "accept": "application/json",
        "anthropic-beta": "code-20250219,interleaved-thinking-2025-05-14,fine-grained-tools-2025-05-14",
        "anthropic-dangerous-direct-browser-access": "true",
        "x-app": "cli",
        "x-stainless-retry-count": "0",
        "cookie": "session=of-the-client",
    },
}
QUERIES: dict[Protocol, str] = {"openai": "", "anthropic": "?beta=true"}

SETTINGS = {
    "tpm_threshold": 1,
    "timeout_ms": 1,
    "base-url": "http://attacker.invalid/v1",
    "auth-key": "sk-of-the-attacker",
    "auth-keyfile": "/etc/passwd",
    "failover-retry-count": 100,
    "error_rules": [],
    "ephemeralSettings": {"timeout_ms": 1},
}


def fixture(agent: Protocol) -> bytes:
    return (REQUESTS / f"{agent}_agent.json").read_bytes()


def with_fields(body: bytes, fields: Mapping[str, Any]) -> bytes:
    """The same bytes with more fields in front of them."""
    return json.dumps(fields).encode()[:-1] + b"," + body.lstrip(b"{ \n")


async def send(house: GatewayTheatre, agent: Protocol, body: bytes) -> Reply:
    path = PATHS[agent] + QUERIES[agent]
    return await house.request("POST", path, body, agent, HEADERS[agent])


def fields_of(body: bytes) -> dict[str, bytes]:
    """A JSON object's fields, each as its bytes."""
    fields: dict[str, msgspec.Raw] = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return {name: bytes(value) for name, value in fields.items()}


@asynccontextmanager
async def recording(members: Protocol) -> AsyncIterator[Server]:
    """A member that keeps every byte of a request and says ``Hi``."""
    openai_chunk = (
        b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    )
    anthropic_events = (
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_a","content":[]}}\n\n'
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":'
        b'{"type":"text_delta","text":"Hi"}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
    )

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n")
        await peer.send(anthropic_events if members == "anthropic" else openai_chunk + b"data: [DONE]\n\n")

    async with serve(play) as server:
        yield server


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


# In its own format


@AGENTS
async def test_every_field_reaches_a_member_of_the_same_format_byte_by_byte(agent: Protocol) -> None:
    async with (
        recording(agent) as server,
        patient_theatre(speaks=agent, urls={"lead": server.url}, default="evening") as house,
    ):
        reply = await send(house, agent, fixture(agent))
        assert (reply.status, reply.text, reply.dones) == (200, "Hi", 1)
        (request,) = server.requests
        sent, came = fields_of(request.partition(b"\r\n\r\n")[2]), fields_of(fixture(agent))
        assert json.loads(sent.pop("model")) == "lead-model"
        del came["model"]
        if agent == "openai":
            assert json.loads(sent.pop("stream_options")) == json.loads(came.pop("stream_options"))
        assert sent == came
        assert "x-understudy-ignored" not in reply.headers


@AGENTS
async def test_of_the_head_only_what_the_format_is_about_goes_on(agent: Protocol) -> None:
    async with (
        recording(agent) as server,
        patient_theatre(speaks=agent, urls={"lead": server.url}, default="evening") as house,
    ):
        await send(house, agent, fixture(agent))
        (request,) = server.requests
        headers = headers_of(request)
        assert CLIENT_KEY.encode() not in request
        for line in ("of-the-client", "an-agent", "stainless", "x-app", "x-session-id"):
            assert line.encode() not in request.partition(b"\r\n\r\n")[0]
        if agent == "anthropic":
            assert headers["anthropic-beta"] == HEADERS["anthropic"]["anthropic-beta"]
            assert headers["anthropic-version"] == "2023-06-01"
            assert headers["x-api-key"] == MEMBER_KEYS["lead"]
            assert "authorization" not in headers
        else:
            assert headers["authorization"] == f"Bearer {MEMBER_KEYS['lead']}"
            assert "x-api-key" not in headers
        assert (headers["accept-encoding"], headers["content-type"]) == ("identity", "application/json")


@AGENTS
@pytest.mark.parametrize("members", PROTOCOLS)
async def test_a_clients_key_never_goes_upstream_however_it_is_given(
    agent: Protocol, members: Protocol
) -> None:
    async with (
        recording(members) as server,
        patient_theatre(speaks=members, urls={"lead": server.url}, default="evening") as house,
    ):
        for headers in (*map(authorized, PROTOCOLS), {"x-api-key": CLIENT_KEY, **authorized("openai")}):
            # A query is nothing that we read, but it must not leak either.
            path = f"{PATHS[agent]}?key={CLIENT_KEY}"
            reply = await house.request(
                "POST", path, fixture(agent), agent, {**headers, "x-goog-api-key": CLIENT_KEY}
            )
            assert reply.status == 200
        assert len(server.requests) == 3
        assert all(CLIENT_KEY.encode() not in request for request in server.requests)
        assert all(MEMBER_KEYS["lead"].encode() in request for request in server.requests)


@AGENTS
@pytest.mark.parametrize("members", PROTOCOLS)
async def test_settings_of_ours_never_go_on_and_are_named(agent: Protocol, members: Protocol) -> None:
    async with (
        recording(members) as server,
        patient_theatre(speaks=members, urls={"lead": server.url}, default="evening") as house,
    ):
        reply = await send(house, agent, with_fields(fixture(agent), SETTINGS))
        assert (reply.status, reply.text) == (200, "Hi")
        assert reply.headers["x-understudy-ignored"].split(", ") == sorted(SETTINGS)
        (request,) = server.requests
        body = request.partition(b"\r\n\r\n")[2]
        assert not SETTINGS.keys() & fields_of(body).keys()
        assert b"attacker" not in request
        assert b"/etc/passwd" not in request
        entry = await house.told(reply.headers["x-request-id"])
        assert len(entry["trail"]) == 1, "nor do they change anything here"


async def test_anthropic_beta_means_nothing_to_a_member_of_another_format() -> None:
    async with (
        recording("openai") as server,
        patient_theatre(urls={"lead": server.url}, default="evening") as house,
    ):
        assert (await send(house, "anthropic", fixture("anthropic"))).text == "Hi"
        assert not [name for name in headers_of(server.requests[0]) if name.startswith("anthropic")]


@AGENTS
async def test_a_second_member_gets_the_same_bytes(agent: Protocol) -> None:
    async with patient_theatre("status 500", speaks=agent, default="evening") as house:
        reply = await send(house, agent, fixture(agent))
        assert (reply.text, reply.model) == (TEXT, "second-model")
        bodies = [house.lead.requests[0].body, house.lead.requests[1].body, house.second.requests[0].body]
        assert [body.pop("model") for body in bodies] == ["lead-model", "lead-model", "second-model"]
        assert bodies[0] == bodies[1] == bodies[2]
        betas = {request.headers.get("anthropic-beta") for request in house.second.requests}
        assert betas == {HEADERS[agent].get("anthropic-beta")}


# In the other format


async def test_the_openai_style_agent_reaches_an_anthropic_member_in_anthropics_words() -> None:
    came = json.loads(fixture("openai"))
    async with patient_theatre(speaks="anthropic", default="evening") as house:
        reply = await send(house, "openai", fixture("openai"))
        assert (reply.status, reply.text, reply.dones) == (200, TEXT, 1)
        (request,) = house.lead.requests
    body = request.body
    assert (request.path, request.headers["anthropic-version"]) == ("/v1/messages", "2023-06-01")
    image = came["messages"][2]["content"][2]["image_url"]["url"]
    texts = [{"type": "text", "text": part["text"]} for part in came["messages"][2]["content"][:2]]
    assert body.pop("messages") == [
        {
            "role": "user",
            "content": [
                *texts,
                {
                    "type": "image",
                    "source": {
                        "type": "base64",
                        "media_type": "image/png",
                        "data": image.removeprefix("data:image/png;base64,"),
                    },
                },
            ],
        },
        {
            "role": "assistant",
            "content": [
                {
                    "type": "tool_use",
                    "id": "call_Ab1",
                    "name": "shell",
                    "input": {"command": ["pytest", "-q"], "workdir": "/home/me/shop"},
                },
                {
                    "type": "tool_use",
                    "id": "call_Ab2",
                    "name": "read_file",
                    "input": {"path": "tests/test_cart.py"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                _result("call_Ab1", came["messages"][4]["content"]),
                _result("call_Ab2", came["messages"][5]["content"][0]["text"]),
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "The sum is rounded. I look at the cart."},
                {"type": "tool_use", "id": "call_Ab3", "name": "list_directory", "input": {}},
            ],
        },
        {"role": "user", "content": [_result("call_Ab3", "cart.py\nshop.py")]},
    ]
    assert body.pop("system") == [
        {"type": "text", "text": came["messages"][0]["content"]},
        {"type": "text", "text": came["messages"][1]["content"][0]["text"]},
    ]
    tools = [tool["function"] for tool in came["tools"]]
    assert body.pop("tools") == [
        {
            "name": tool["name"],
            "input_schema": tool["parameters"] or {"type": "object", "properties": {}},
            **({"description": tool["description"]} if "description" in tool else {}),
        }
        for tool in tools
    ]
    # No thinking in the middle of tool use: signed thoughts would have to be handed back.
    assert body == {
        "model": "lead-model",
        "stream": True,
        "max_tokens": 16384,
        "temperature": 0.2,
        "top_p": 1.0,
        "stop_sequences": ["*** End Patch\n"],
        "tool_choice": {"type": "auto"},
        "metadata": {"user_id": "me@example.com"},
    }


def _result(call: str, text: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call, "content": [{"type": "text", "text": text}]}


async def test_the_anthropic_style_agent_reaches_an_openai_member_in_openais_words() -> None:
    came = json.loads(fixture("anthropic"))
    async with patient_theatre(speaks="openai", default="evening") as house:
        reply = await send(house, "anthropic", fixture("anthropic"))
        assert (reply.status, reply.text, reply.dones) == (200, TEXT, 1)
        (request,) = house.lead.requests
    body = request.body
    assert request.path == "/v1/chat/completions"
    system, question, called, *results, rest = body.pop("messages")
    assert system == {
        "role": "system",
        "content": "\n\n".join(block["text"] for block in came["system"]),
    }
    assert question == {
        "role": "user",
        "content": [{"type": "text", "text": block["text"]} for block in came["messages"][0]["content"]],
    }
    assert (called["role"], called["content"]) == ("assistant", "I take a picture and read the styles.")
    used = came["messages"][1]["content"][3:]
    assert [(call["id"], call["type"], call["function"]["name"]) for call in called["tool_calls"]] == [
        (block["id"], "function", block["name"]) for block in used
    ]
    arguments = [json.loads(call["function"]["arguments"]) for call in called["tool_calls"]]
    assert arguments == [block["input"] for block in used]
    assert results == [
        {"role": "tool", "tool_call_id": "toolu_01AAA", "content": "taken"},
        {"role": "tool", "tool_call_id": "toolu_01BBB", "content": "Error: grep: shop.css: No such file"},
        {"role": "tool", "tool_call_id": "toolu_01CCC", "content": '{"width": 12}'},
    ]
    image = came["messages"][2]["content"][0]["content"][1]["source"]["data"]
    assert rest == {
        "role": "user",
        "content": [
            {"type": "text", "text": "From the result of the tool call toolu_01AAA:"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}},
        ],
    }
    assert body.pop("tools") == [
        {
            "type": "function",
            "function": {
                "name": tool["name"],
                "description": tool["description"],
                "parameters": tool["input_schema"],
            },
        }
        for tool in came["tools"]
    ]
    assert body == {
        "model": "lead-model",
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 32000,
        "temperature": 1.0,
        "tool_choice": "auto",
        "reasoning_effort": "high",
        "user": sha256(came["metadata"]["user_id"].encode()).hexdigest(),
    }


# Through the agents' SDKs


@pytest.mark.parametrize("members", PROTOCOLS)
async def test_the_openai_style_agents_sdk_reads_the_answer(members: Protocol) -> None:
    async with patient_theatre("tools 2 with-text split=3", speaks=members, default="evening") as house:
        stream = await house.openai.post(
            "/chat/completions",
            body=json.loads(fixture("openai")),
            cast_to=ChatCompletionChunk,
            stream=True,
            stream_cls=openai.AsyncStream[ChatCompletionChunk],
            options={"headers": HEADERS["openai"]},
        )
        chunks = [chunk async for chunk in stream]
        for chunk in chunks:
            ChatCompletionChunk.model_validate(chunk.model_dump())
        deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == TEXT
        calls = [call for delta in deltas for call in delta.tool_calls or ()]
        arguments = {0: "", 1: ""}
        for call in calls:
            arguments[call.index] += call.function.arguments or "" if call.function else ""
        assert arguments == {0: ARGUMENTS, 1: ARGUMENTS}
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens > len(TOKENS)


@pytest.mark.parametrize("members", PROTOCOLS)
async def test_the_anthropic_style_agents_sdk_reads_the_answer(members: Protocol) -> None:
    async with patient_theatre(
        "reasoning 4 + tools 2 with-text split=3", speaks=members, default="evening"
    ) as house:
        stream = await house.anthropic.post(
            "/v1/messages?beta=true",
            body=json.loads(fixture("anthropic")),
            cast_to=ANTHROPIC_EVENT,
            stream=True,
            stream_cls=anthropic.AsyncStream[RawMessageStreamEvent],
            options={"headers": HEADERS["anthropic"]},
        )
        events = [event async for event in stream]
        blocks = [event.content_block.type for event in events if event.type == "content_block_start"]
        assert blocks == ["thinking", "text", "tool_use", "tool_use"]
        pieces = dict.fromkeys(range(4), "")
        for event in events:
            if event.type == "content_block_delta":
                match event.delta.type:
                    case "thinking_delta":
                        pieces[event.index] += event.delta.thinking
                    case "text_delta":
                        pieces[event.index] += event.delta.text
                    case "input_json_delta":
                        pieces[event.index] += event.delta.partial_json
        thought = " thought-1 thought-2 thought-3 thought-4"
        assert list(pieces.values()) == [thought, TEXT, ARGUMENTS, ARGUMENTS]
        (ending,) = [event for event in events if event.type == "message_delta"]
        assert ending.delta.stop_reason == "tool_use"
        assert ending.usage.output_tokens > len(TOKENS)


@pytest.mark.parametrize("members", PROTOCOLS)
async def test_the_anthropic_sdks_beta_face_works_like_the_plain_one(members: Protocol) -> None:
    came = json.loads(fixture("anthropic"))
    async with patient_theatre(speaks=members, aliases={"claude-*": "evening"}) as house:
        message = await house.anthropic.beta.messages.create(
            model=came["model"],
            max_tokens=100,
            system=came["system"],
            tools=came["tools"],
            messages=came["messages"],
            metadata=came["metadata"],
            betas=["one-2025-01-01", "two-2025-02-02"],
        )
        assert message.content[0].type == "text"
        assert message.content[0].text == TEXT
        beta = house.lead.requests[0].headers.get("anthropic-beta")
        assert beta == ("one-2025-01-01,two-2025-02-02" if members == "anthropic" else None)


@pytest.mark.parametrize("members", PROTOCOLS)
async def test_what_one_backend_thought_is_not_shown_to_another_that_could_not_believe_it(
    members: Protocol,
) -> None:
    """Thoughts of an OpenAI backend have no signature; handed back, Anthropic would refuse them."""
    async with patient_theatre("reasoning 4", speaks="openai") as house:
        first = await house.anthropic.messages.create(
            model="evening", max_tokens=100, messages=[{"role": "user", "content": "Think."}]
        )
    assert [block.type for block in first.content] == ["thinking", "text"]
    turns: Any = [
        {"role": "user", "content": "Think."},
        {"role": "assistant", "content": [block.model_dump() for block in first.content]},
        {"role": "user", "content": "Once more."},
    ]
    async with patient_theatre(speaks=members) as house:
        await house.anthropic.messages.create(model="evening", max_tokens=100, messages=turns)
        sent = house.lead.requests[0].body["messages"][1]["content"]
        assert sent == TEXT if members == "openai" else [block["type"] for block in sent] == ["text"]
