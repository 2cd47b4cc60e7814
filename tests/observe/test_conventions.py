"""Facts about what a trace calls things."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes import error_attributes, http_attributes, server_attributes

from understudy.core.events import BackendSkipped, FirstContent, WaitingForCapacity
from understudy.core.outcome import Failure
from understudy.errors import FailureKind, SkipReason
from understudy.observe import conventions as say
from understudy.runtime.backend import Backend, WireFormat
from understudy.wire import gemini, openai_chat
from understudy.wire.chat import ChatRequest, Usage
from understudy.wire.seam import Said


def test_what_the_conventions_have_a_name_for_is_called_by_it() -> None:
    theirs = {
        value
        for module in (
            gen_ai_attributes,
            gen_ai_metrics,
            error_attributes,
            http_attributes,
            server_attributes,
        )
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    ours = {value for name, value in vars(say).items() if name.isupper() and isinstance(value, str)}
    others = {name for name in ours - theirs if not name.startswith("understudy.")}
    assert others == {say.CHAT}
    assert gen_ai_attributes.GenAiOperationNameValues.CHAT.value == say.CHAT


@pytest.mark.parametrize(
    ("url", "wire_format", "name"),
    [
        ("https://api.openai.com/v1", "openai", "openai"),
        ("https://api.groq.com/openai/v1", "openai", "groq"),
        ("https://mine.openai.azure.com/openai/v1", "openai", "azure.ai.openai"),
        ("https://bedrock.eu.amazonaws.com", "anthropic", "aws.bedrock"),
        ("http://127.0.0.1:8000", "openai-responses", "openai"),
        ("http://127.0.0.1:8000", "anthropic", "anthropic"),
        ("http://127.0.0.1:8000", "gemini", "gcp.gemini"),
        ("http://127.0.0.1:8000", "klingon", "klingon"),
    ],
)
def test_a_provider_is_known_by_its_host_else_by_its_format(url: str, wire_format: str, name: str) -> None:
    assert say.provider(url, wire_format) == name


def test_the_names_of_providers_are_the_conventions() -> None:
    theirs = {one.value for one in gen_ai_attributes.GenAiProviderNameValues}
    told = {*say._PROVIDERS.values(), *say._PROVIDER_SUFFIXES.values(), *say._FORMATS.values()}
    assert told <= theirs


def test_of_a_url_host_and_port_are_told() -> None:
    assert say.place("https://user:secret@api.test/v1?key=secret") == ("api.test", 443)
    assert say.place("http://api.test:8080") == ("api.test", 8080)
    assert say.place("unix:/run/socket").port is None


def test_a_backend_without_a_port_is_told_without_one() -> None:
    made = Backend("a", cast(WireFormat, gemini), base_url="unix:/run/socket", model="m", key="sk-secret")
    attributes = say.of_backend(made)
    assert say.SERVER_PORT not in attributes
    assert (attributes[say.PROVIDER], attributes[say.BACKEND]) == ("gcp.gemini", "a")
    assert "sk-secret" not in repr(attributes)
    other = Backend("b", cast(WireFormat, openai_chat), base_url="https://b.test/v1", model="m")
    assert say.of_backend(other)[say.SERVER_PORT] == 443


def test_of_usage_what_is_there_is_told() -> None:
    assert say.of_answer(None, None, None) == {}
    assert say.of_answer("m", "stop", Usage(5, 3)) == {
        "gen_ai.response.model": "m",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 3,
    }
    assert say.of_answer(None, None, Usage(5, 3, True, 1, 2, 4)) == {
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.usage.cache_read.input_tokens": 2,
        "gen_ai.usage.cache_creation.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "understudy.usage.estimated": True,
    }


def test_what_a_provider_says_of_a_failure_is_content() -> None:
    complaint = Failure(FailureKind.INVALID_REQUEST, "you said 'my secret'", 400)
    assert say.failure_words(complaint, with_content=False) == "invalid_request (400)"
    assert say.failure_words(complaint, with_content=True) == "invalid_request (400): you said 'my secret'"
    ours = Failure(FailureKind.TIMEOUT, "Request exceeded 5000ms")
    assert say.failure_words(ours, with_content=False) == "timeout: Request exceeded 5000ms"


def test_a_fact_is_an_event_or_no_news() -> None:
    skipped = BackendSkipped(1.0, 1, "a", SkipReason.CIRCUIT_OPEN, 9.0)
    assert say.event_words(skipped) == (
        "understudy.skipped",
        {"understudy.backend": "a", "understudy.reason": "circuit_open"},
    )
    assert say.event_words(WaitingForCapacity(1.0, 1, 3.0)) == (
        "understudy.waiting",
        {"understudy.seconds": 2.0},
    )
    assert say.event_words(FirstContent(1.0, 1, "a", 0.5)) is None


def test_every_kind_of_event_is_below_our_name() -> None:
    assert all(name.startswith("understudy.") for name, _ in say._EVENTS.values())


CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is it?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "a cat"},
]


def test_a_conversation_is_messages_of_parts() -> None:
    assert json.loads(say.input_messages(ChatRequest(CONVERSATION))) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "What is it?"}, {"type": "image_url"}]},
        {
            "role": "assistant",
            "parts": [{"type": "tool_call", "id": "c1", "name": "look", "arguments": "{}"}],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "a cat"}]},
    ]


def test_an_answer_is_messages_of_parts() -> None:
    said = {1: Said("Two"), 0: Said("One", "Hm.")}
    assert json.loads(say.output_messages(said, "stop")) == [
        {
            "role": "assistant",
            "parts": [{"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "One"}],
            "finish_reason": "stop",
        },
        {"role": "assistant", "parts": [{"type": "text", "content": "Two"}], "finish_reason": "stop"},
    ]
    assert json.loads(say.output_messages({0: Said(reasoning="Hm.")}, None))[0]["parts"] == [
        {"type": "reasoning", "content": "Hm."}
    ]
    assert json.loads(say.output_messages({0: Said(refusal="No.")}, None)) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "No."}], "finish_reason": ""}
    ]
