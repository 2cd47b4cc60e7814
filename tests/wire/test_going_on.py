"""An answer that one backend began in the client's own format, and another one ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import Response

from tests.wire.answering import STREAM, answering
from understudy.wire import anthropic_client, openai_client, responses_client
from understudy.wire.chat import ChatChunk, Usage
from understudy.wire.dialect import ClientRequest, Dialect, ErrorReply
from understudy.wire.responses_begun import BegunResponse
from understudy.wire.sse import EventStream
from understudy.wire.state import ProviderState

CORPUS = Path(__file__).parent / "corpus"
USAGE = Usage(input_tokens=7, output_tokens=9)


def asked(dialect: Dialect, **fields: object) -> ClientRequest:
    prompt = (
        {"input": "Hi"} if dialect is responses_client else {"messages": [{"role": "user", "content": "Hi"}]}
    )
    request = dialect.read_request(json.dumps({"model": "m", "stream": True, **prompt, **fields}).encode())
    request.id, request.created = "req1", 1764099999  # another moment than the recordings'
    return request


def native_chunks(dialect: Dialect, name: str) -> list[ChatChunk]:
    decoded = dialect.FORMAT.StreamDecoder().feed((CORPUS / name).read_bytes())
    assert all(isinstance(chunk, ChatChunk) for chunk in decoded)
    return decoded  # type: ignore[no-any-return]


def gone_on(dialect: Dialect, begun: list[ChatChunk], rest: list[ChatChunk], **fields: object) -> bytes:
    """What the client gets: `begun` as it came, `rest` in our words."""
    writer = dialect.StreamWriter(asked(dialect, **fields))
    written = [writer.write([chunk], native=True) for chunk in begun]
    written += [writer.write([chunk], native=False) for chunk in rest]
    return b"".join(written) + bytes(writer.end(USAGE))


def text_before(chunks: list[ChatChunk], count: int) -> str:
    return "".join(chunk.text for chunk in chunks[:count])


def can_be_gone_on_with(chunks: list[ChatChunk], count: int) -> bool:
    """No tool call, no end so far?"""
    return not any(chunk.tool_calls or chunk.finish_reason for chunk in chunks[:count])


def is_new(chunks: list[ChatChunk], count: int) -> bool:
    """Is this cut after another kind of event than the one before?"""
    kinds = [(chunk.raw or b"")[:45] for chunk in chunks[max(0, count - 2) : count]]
    return len(kinds) < 2 or kinds[0] != kinds[1]


def cuts(dialect: Dialect, *names: str) -> list[Any]:
    return [
        pytest.param(name, count, id=f"{name}-{count}")
        for name in names
        for chunks in [native_chunks(dialect, name)]
        for count in range(len(chunks))
        if can_be_gone_on_with(chunks, count) and is_new(chunks, count)
    ]


REST = [ChatChunk("and the "), ChatChunk("rest."), ChatChunk(finish_reason="stop")]


class TestAnthropic:
    @staticmethod
    def heard(data: bytes) -> Message:
        """What the official SDK puts together."""
        with (
            answering(data, STREAM) as url,
            anthropic.Anthropic(api_key="sk-1", base_url=url.removesuffix("/v1"), max_retries=0) as client,
            client.messages.stream(
                model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]
            ) as stream,
        ):
            return stream.get_final_message()

    @staticmethod
    def events(data: bytes) -> list[dict[str, Any]]:
        return [json.loads(event.data) for event in EventStream().feed(data)]

    @pytest.mark.parametrize(
        ("name", "count"),
        cuts(anthropic_client, *(f"anthropic/{name}.sse" for name in ("text", "thinking", "web_search"))),
    )
    def test_wherever_it_broke_off_one_message_comes_of_it(self, name: str, count: int) -> None:
        chunks = native_chunks(anthropic_client, name)
        data = gone_on(anthropic_client, chunks[:count], REST)
        message = self.heard(data)
        text = "".join(block.text for block in message.content if block.type == "text")
        assert text == text_before(chunks, count) + "and the rest."
        assert (message.stop_reason, message.usage.output_tokens) == ("end_turn", 9)
        assert [event["type"] for event in self.events(data)].count("message_start") == 1

    def blocks(self, *events: dict[str, Any], rest: list[ChatChunk] = REST) -> list[tuple[Any, ...]]:
        """What is written about blocks after these native events."""
        start = {"type": "message_start", "message": {"id": "msg_1", "model": "m", "content": []}}
        said = b"".join(
            b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps(event).encode())
            for event in (start, *events)
        )
        begun = anthropic_client.FORMAT.StreamDecoder().feed(said)
        data = gone_on(anthropic_client, begun, rest)[len(said) :]  # type: ignore[arg-type]
        return [
            (event["type"].removeprefix("content_block_"), event["index"])
            for event in self.events(data)
            if "index" in event
        ]

    def begin(self, index: int, kind: str, **more: object) -> dict[str, Any]:
        return {"type": "content_block_start", "index": index, "content_block": {"type": kind, **more}}

    def delta(self, index: int, kind: str, **more: object) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}

    def test_an_open_text_goes_on_under_its_number(self) -> None:
        events = [self.begin(3, "text", text=""), self.delta(3, "text_delta", text="A")]
        assert self.blocks(*events) == [("delta", 3), ("delta", 3), ("stop", 3)]

    def test_a_text_that_has_only_begun_goes_on(self) -> None:
        assert self.blocks(self.begin(0, "text", text="")) == [("delta", 0), ("delta", 0), ("stop", 0)]

    def test_behind_a_citation_the_text_goes_on(self) -> None:
        events = [self.begin(1, "text", text=""), self.delta(1, "citations_delta", citation={})]
        assert self.blocks(*events) == [("delta", 1), ("delta", 1), ("stop", 1)]

    def test_after_a_closed_block_the_next_number_begins(self) -> None:
        events = [self.begin(0, "text", text=""), {"type": "content_block_stop", "index": 0}]
        assert self.blocks(*events) == [("start", 1), ("delta", 1), ("delta", 1), ("stop", 1)]

    def test_an_open_thought_goes_on_and_is_closed_where_the_text_begins(self) -> None:
        events = [self.begin(0, "thinking", thinking=""), self.delta(0, "thinking_delta", thinking="Hm")]
        rest = [ChatChunk(reasoning="m."), *REST]
        assert self.blocks(*events, rest=rest)[:3] == [("delta", 0), ("stop", 0), ("start", 1)]
        assert self.blocks(*events)[:2] == [("stop", 0), ("start", 1)]

    def test_the_state_of_a_thought_that_was_gone_on_with_signs_it(self) -> None:
        events = [self.begin(0, "thinking", thinking=""), self.delta(0, "thinking_delta", thinking="Hm")]
        rest = [
            ChatChunk(reasoning="m."),
            ChatChunk(state=(ProviderState("anthropic", "signature", "S", "Hmm."),)),
            *REST,
        ]
        assert self.blocks(*events, rest=rest)[:3] == [("delta", 0), ("delta", 0), ("stop", 0)]

    @pytest.mark.parametrize(
        "newest",
        [
            {
                "type": "content_block_delta",
                "index": 2,
                "delta": {"type": "signature_delta", "signature": "S"},
            },
            {"type": "content_block_start", "index": 2, "content_block": {"type": "server_tool_use"}},
            {"type": "content_block_start", "index": 2, "content_block": {"type": "redacted_thinking"}},
        ],
    )
    def test_any_other_open_block_is_closed_first(self, newest: dict[str, Any]) -> None:
        assert self.blocks(newest) == [("stop", 2), ("start", 3), ("delta", 3), ("delta", 3), ("stop", 3)]

    def test_a_native_event_that_is_no_unicode_is_read_all_the_same(self) -> None:
        said = b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 4, "delta":'
        said += b' {"type": "text_delta", "text": "\\ud83d"}}\n\n'
        writer = anthropic_client.StreamWriter(asked(anthropic_client))
        writer.write([ChatChunk("x", raw=said)], native=True)
        [event] = self.events(writer.write([ChatChunk("y")], native=False))
        assert event["index"] == 4

    def test_what_was_begun_by_nothing_but_a_ping_has_no_block_yet(self) -> None:
        assert self.blocks({"type": "ping"})[0] == ("start", 0)

    def test_a_native_stream_that_nobody_went_on_with_ends_by_itself(self) -> None:
        chunks = native_chunks(anthropic_client, "anthropic/text.sse")
        writer = anthropic_client.StreamWriter(asked(anthropic_client))
        writer.write(chunks, native=True)
        assert writer.end(USAGE) == b""


class TestOpenai:
    @staticmethod
    def heard(data: bytes) -> list[ChatCompletionChunk]:
        with (
            answering(data, STREAM) as url,
            openai.OpenAI(api_key="sk-1", base_url=url, max_retries=0) as client,
            client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
            ) as stream,
        ):
            return list(stream)

    @pytest.mark.parametrize(("name", "count"), cuts(openai_client, "openai.sse", "azure.sse", "vllm.sse"))
    def test_wherever_it_broke_off_one_answer_comes_of_it(self, name: str, count: int) -> None:
        chunks = native_chunks(openai_client, name)
        data = gone_on(openai_client, chunks[:count], REST, stream_options={"include_usage": True})
        heard = self.heard(data)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in heard if chunk.choices)
        assert text == text_before(chunks, count) + "and the rest."
        assert len({(chunk.id, chunk.created) for chunk in heard if chunk.choices}) == 1
        roles = [chunk.choices[0].delta.role for chunk in heard if chunk.choices]
        assert roles.count("assistant") == 1
        assert heard[-1].usage is not None
        assert heard[-1].usage.completion_tokens == 9
        assert data.endswith(b"data: [DONE]\n\n")
        assert data.count(b"[DONE]") == 1

    def test_an_answer_without_its_date_keeps_ours(self) -> None:
        writer = openai_client.StreamWriter(asked(openai_client))
        writer.write([ChatChunk("x", raw=b'data: {"choices": []}\n\n')], native=True)
        assert b'"created":1764099999' in writer.write([ChatChunk("y")], native=False)


class TestResponses:
    @staticmethod
    def heard(data: bytes) -> Response:
        with (
            answering(data, STREAM) as url,
            openai.OpenAI(api_key="sk-1", base_url=url, max_retries=0) as client,
            client.responses.stream(model="gpt", input="Hi") as stream,
        ):
            *_, last = stream
        assert last.type == "response.completed"
        return last.response

    @pytest.mark.parametrize(
        ("name", "count"),
        [
            case
            for case in cuts(
                responses_client,
                *(f"responses/{name}.sse" for name in ("text", "reasoning", "logprobs", "hosted")),
            )
            if case.values[1]
        ],
    )
    def test_wherever_it_broke_off_one_response_comes_of_it(self, name: str, count: int) -> None:
        chunks = native_chunks(responses_client, name)
        data = gone_on(responses_client, chunks[:count], REST)
        numbers = [json.loads(event.data)["sequence_number"] for event in EventStream().feed(data)]
        assert numbers == list(range(len(numbers)))
        response = self.heard(data)
        assert response.output_text == text_before(chunks, count) + "and the rest."
        added = [
            json.loads(event.data) for event in EventStream().feed(data) if event.event.endswith("item.added")
        ]
        assert [event["output_index"] for event in added] == list(range(len(added)))
        assert response.usage is not None
        assert response.usage.output_tokens == 9

    def test_a_failure_after_going_on_is_numbered_on(self) -> None:
        chunks = native_chunks(responses_client, "responses/text.sse")[:6]
        writer = responses_client.StreamWriter(asked(responses_client))
        begun = writer.write(chunks, native=True)
        data = begun + writer.write(REST[:1], native=False)
        data += writer.fail(ErrorReply(502, "truncated", "it broke off"))
        events = [json.loads(event.data) for event in EventStream().feed(data)]
        assert [event["sequence_number"] for event in events] == list(range(len(events)))
        assert events[-1]["type"] == "response.failed"
        assert events[-1]["response"]["id"] == events[0]["response"]["id"]

    def test_an_item_that_came_whole_is_part_of_the_whole(self) -> None:
        begun = b"".join(
            b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **more}).encode())
            for kind, more in [
                ("response.created", {"sequence_number": 0, "response": {"id": "resp_1", "model": "m"}}),
                (
                    "response.output_item.done",
                    {
                        "sequence_number": 1,
                        "output_index": 0,
                        "item": {
                            "type": "message",
                            "id": "msg_1",
                            "role": "assistant",
                            "status": "completed",
                            "content": [{"type": "output_text", "text": "Whole. ", "annotations": []}],
                        },
                    },
                ),
            ]
        )
        chunks = responses_client.FORMAT.StreamDecoder().feed(begun)
        data = gone_on(responses_client, chunks, REST)  # type: ignore[arg-type]
        last = json.loads(EventStream().feed(data)[-1].data)["response"]
        assert [part["text"] for item in last["output"] for part in item["content"]] == [
            "Whole. ",
            "and the rest.",
        ]

    def test_how_far_it_has_come_can_be_seen(self) -> None:
        begun = BegunResponse()
        for chunk in native_chunks(responses_client, "responses/text.sse"):
            begun.note(chunk, chunk.raw or b"")
        assert repr(begun) == "<BegunResponse, 4 items and parts begun or ended>"

    def test_citations_and_probabilities_of_the_open_part_are_in_the_whole(self) -> None:
        chunks = native_chunks(responses_client, "responses/logprobs.sse")
        cut = next(index for index, chunk in enumerate(chunks) if chunk.logprobs) + 1
        said = sum(len(chunk.logprobs) for chunk in chunks[:cut])
        data = gone_on(responses_client, chunks[:cut], REST)
        [part] = json.loads(EventStream().feed(data)[-1].data)["response"]["output"][-1]["content"]
        assert len(part["logprobs"]) == said > 0
