"""What `benches.translate` translates: one long conversation, and the same answer in each format.

1. Events and answers are what the providers send, field for field, with values of a usual length. Of each
   kind a stream has the events that must come before, and one event that may come again and again.
2. The answer has about 60 tokens. The conversation has 100 messages of a person, of a model that calls tools,
   and the tools' results: 30 KB.
3. A client's own request is what our encoder makes of the neutral one. All three say the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import ModuleType
from typing import Any, NamedTuple

from understudy.wire import anthropic_messages, gemini, openai_chat, openai_responses
from understudy.wire.chat import ChatRequest

TEXT = "The quick answer, word by word: a stream is only as late as its slowest hop. " * 3
PIECE = " understanding"
THOUGHT = " wondering"
ARGUMENTS = '{"city":"B'


class Stream(NamedTuple):
    """What comes before, and the event that comes again; or, where it comes `once`, is all of the stream."""

    begin: bytes
    event: bytes
    once: bool = False


class Answers(NamedTuple):
    """Of one format: streams by kind, and a whole answer."""

    streams: Mapping[str, Stream]
    whole: bytes


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def data_of(event: bytes) -> bytes:
    """An event's JSON."""
    return event.partition(b"data: ")[2].rstrip()


# OpenAI chat

_CHAT = {"id": "chatcmpl-B9MHDbslfkBeAs8l4bebGdFOJ6PeG", "created": 1741569952, "model": "gpt-5-2025-08-07"}
_CHAT_USAGE = {
    "prompt_tokens": 19,
    "completion_tokens": 60,
    "total_tokens": 79,
    "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}


def _chat_event(**delta: object) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    head = {
        **_CHAT,
        "object": "chat.completion.chunk",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }
    return b"data: %s\n\n" % _json({**head, "choices": [choice], "usage": None})


def _chat_call(**function: object) -> bytes:
    named = {"id": "call_DdmO9pD3xa9XTPNJ32zg2hcA", "type": "function"} if "name" in function else {}
    return _chat_event(tool_calls=[{"index": 0, **named, "function": function}])


_ROLE = _chat_event(role="assistant", content="", refusal=None)
_CHAT_MESSAGE: dict[str, Any] = {"role": "assistant", "content": TEXT, "refusal": None, "annotations": []}
_CHAT_CHOICE = {"index": 0, "message": _CHAT_MESSAGE, "logprobs": None, "finish_reason": "stop"}
CHAT = Answers(
    {
        "text": Stream(_ROLE, _chat_event(content=PIECE)),
        "reasoning": Stream(_ROLE, _chat_event(reasoning_content=THOUGHT)),
        "arguments": Stream(_ROLE + _chat_call(name="sky", arguments=""), _chat_call(arguments=ARGUMENTS)),
    },
    _json({**_CHAT, "object": "chat.completion", "choices": [_CHAT_CHOICE], "usage": _CHAT_USAGE}),
)

# Responses

_RESPONSE = {
    "id": "resp_67c9fdcecf488190bdd9a0409de3a1ec07b8b0ad4e5eb654",
    "object": "response",
    "created_at": 1741290958,
    "status": "in_progress",
    "model": "gpt-5-2025-08-07",
    "parallel_tool_calls": True,
    "reasoning": {"effort": "medium", "summary": "auto"},
    "store": False,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
}
_ITEM_ID = "msg_67c9fdcf37fc8190ba82116e33fb28c507b8b0ad4e5eb654"
_RESPONSES_USAGE = {
    "input_tokens": 19,
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens": 60,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 79,
}


def _response_event(kind: str, **fields: object) -> bytes:
    data = _json({"type": f"response.{kind}", "sequence_number": 7, **fields})
    return b"event: response.%s\ndata: %s\n\n" % (kind.encode(), data)


def _item(kind: str, **fields: object) -> bytes:
    item = {"id": _ITEM_ID, "type": kind, "status": "in_progress", **fields}
    return _response_event("output_item.added", output_index=0, item=item)


def _of_item(kind: str, **fields: object) -> bytes:
    return _response_event(kind, item_id=_ITEM_ID, output_index=0, **fields)


_CREATED = _response_event("created", response={**_RESPONSE, "output": []})
_OUTPUT = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
_MESSAGE_ITEM = {
    "id": _ITEM_ID,
    "type": "message",
    "status": "completed",
    "content": [_OUTPUT],
    "role": "assistant",
}
RESPONSES = Answers(
    {
        "text": Stream(
            _CREATED + _item("message", role="assistant", content=[]),
            _of_item("output_text.delta", content_index=0, delta=PIECE, logprobs=[], obfuscation="4KfxGpRf"),
        ),
        "reasoning": Stream(
            _CREATED + _item("reasoning", summary=[]),
            _of_item("reasoning_summary_text.delta", summary_index=0, delta=THOUGHT, obfuscation="t2XB5jBS"),
        ),
        "arguments": Stream(
            _CREATED + _item("function_call", call_id="call_DdmO9pD3xa9XTP", name="sky", arguments=""),
            _of_item("function_call_arguments.delta", delta=ARGUMENTS, obfuscation="1jWt8RfQ"),
        ),
    },
    _json({**_RESPONSE, "status": "completed", "output": [_MESSAGE_ITEM], "usage": _RESPONSES_USAGE}),
)

# Anthropic Messages

_MESSAGE = {
    "id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-6",
    "stop_sequence": None,
}
_ANTHROPIC_USAGE = {
    "input_tokens": 19,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
    "output_tokens": 60,
    "service_tier": "standard",
}


def _anthropic_event(kind: str, **fields: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _json({"type": kind, **fields}))


def _block(kind: str, **fields: object) -> bytes:
    return _anthropic_event("content_block_start", index=0, content_block={"type": kind, **fields})


def _delta(kind: str, **fields: object) -> bytes:
    return _anthropic_event("content_block_delta", index=0, delta={"type": kind, **fields})


_START = _anthropic_event(
    "message_start", message={**_MESSAGE, "content": [], "stop_reason": None, "usage": _ANTHROPIC_USAGE}
)
_BLOCKS = [{"type": "text", "text": TEXT}]
ANTHROPIC = Answers(
    {
        "text": Stream(_START + _block("text", text=""), _delta("text_delta", text=PIECE)),
        "reasoning": Stream(
            _START + _block("thinking", thinking="", signature=""),
            _delta("thinking_delta", thinking=THOUGHT),
        ),
        "arguments": Stream(
            _START + _block("tool_use", id="toolu_01T1x1fJ34qAmk2tNTrN7Up6", name="sky", input={}),
            _delta("input_json_delta", partial_json=ARGUMENTS),
        ),
    },
    _json({**_MESSAGE, "content": _BLOCKS, "stop_reason": "end_turn", "usage": _ANTHROPIC_USAGE}),
)

# Gemini

_COUNTS = {
    "promptTokenCount": 19,
    "candidatesTokenCount": 60,
    "totalTokenCount": 79,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 19}],
}


def _gemini(finish: Mapping[str, str], **part: object) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": [part], "role": "model"}, **finish, "index": 0}],
        "usageMetadata": _COUNTS,
        "modelVersion": "gemini-2.5-flash",
        "responseId": "Qm1UaaGnD9L7xs0P2oi4kQE",
    }


def _gemini_event(**part: object) -> bytes:
    return b"data: %s\n\n" % _json(_gemini({}, **part))


GEMINI = Answers(
    {
        "text": Stream(b"", _gemini_event(text=PIECE)),
        "reasoning": Stream(b"", _gemini_event(text=THOUGHT, thought=True)),
        "arguments": Stream(
            b"", _gemini_event(functionCall={"name": "sky", "args": {"city": "Brno"}}), once=True
        ),
    },
    _json(_gemini({"finishReason": "STOP"}, text=TEXT)),
)

MEMBERS: dict[ModuleType, Answers] = {
    openai_chat: CHAT,
    openai_responses: RESPONSES,
    anthropic_messages: ANTHROPIC,
    gemini: GEMINI,
}

# The conversation

QUESTION = "What will the weather be like where I'm going next, and do I need a coat? " * 4
RESULT = '{"city":"Brno","temperature":12.5,"wind":"north-east","rain":[0.1,0.4,0.2,0.0,0.0,1.5]}'
_TOOL = {
    "type": "function",
    "function": {
        "name": "sky",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def _turn(number: int) -> list[dict[str, Any]]:
    """Four messages."""
    call = {"name": "sky", "arguments": '{"city":"Brno"}'}
    name = f"call_{number:03}"
    return [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "tool_calls": [{"id": name, "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": name, "content": RESULT},
        {"role": "assistant", "content": TEXT + QUESTION},
    ]


CONVERSATION = ChatRequest(
    [
        {"role": "system", "content": "You are a helpful assistant."},
        *[message for number in range(24) for message in _turn(number)],
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": TEXT},
        {"role": "user", "content": QUESTION},
    ],
    {"max_tokens": 1024, "temperature": 0.5, "tools": [_TOOL]},
)


def request_in(client: Any) -> bytes:
    """The conversation as a client of this dialect sends it."""
    body = client.FORMAT.encode_request(CONVERSATION, model="m", stream=True, include_usage=False)
    assert isinstance(body, bytes)
    return body
