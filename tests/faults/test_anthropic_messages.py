"""The healthy answers, as the Anthropic SDK reads them; the rules of the format, byte by byte; and every
fault word once, as it is in this format."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, RawMessageStreamEvent

from tests.faults import raw
from tests.faults.raw import Answer, Client
from understudy.faults import TEXT, TOKENS, FaultProvider, anthropic_messages, events
from understudy.faults.act import Part
from understudy.faults.answer import Call
from understudy.faults.answers import ARGUMENTS
from understudy.faults.performance import perform
from understudy.faults.plan import Plan, Stage
from understudy.faults.script import Script
from understudy.faults.vocabulary import WORDS
from understudy.faults.wordings import WORDINGS

PATH = "/v1/messages"
MESSAGES: Any = [{"role": "user", "content": "Say something."}]
INPUT = json.loads(ARGUMENTS)
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


async def play(script: str, **fields: Any) -> Answer:
    return await raw.play(script, path=PATH, max_tokens=9, **fields)


async def stream(script: str, **fields: Any) -> Answer:
    return await play(script, stream=True, **fields)


def names(answer: Answer) -> list[str]:
    return [name for name, _ in answer.named]


def deltas(answer: Answer, field: str = "text") -> list[Any]:
    """What the deltas with such a field carry."""
    return [
        value["delta"][field]
        for name, value in answer.named
        if name == "content_block_delta" and field in value["delta"]
    ]


def text(answer: Answer) -> str:
    if answer.body.startswith(b"{"):
        return "".join(block["text"] for block in answer.json["content"] if block["type"] == "text")
    return "".join(deltas(answer))


def message_deltas(answer: Answer) -> list[Any]:
    return [value for name, value in answer.named if name == "message_delta"]


def stop_reason(answer: Answer) -> str | None:
    if answer.body.startswith(b"{"):
        return str(answer.json["stop_reason"])
    return next((value["delta"]["stop_reason"] for value in message_deltas(answer)), None)


@pytest.fixture
async def provider() -> AsyncIterator[FaultProvider]:
    async with FaultProvider() as provider:
        yield provider


@pytest.fixture
async def client(provider: FaultProvider) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=provider.origin, api_key="sk-ant-test", max_retries=0
    ) as client:
        yield client


async def unary(client: anthropic.AsyncAnthropic, model: str = "m", **fields: Any) -> Message:
    answer = await client.messages.create(model=model, max_tokens=9, messages=MESSAGES, **fields)
    assert isinstance(answer, Message)
    return answer


async def streamed(client: anthropic.AsyncAnthropic, model: str = "m") -> list[RawMessageStreamEvent]:
    found = await client.messages.create(model=model, max_tokens=9, messages=MESSAGES, stream=True)
    return [event async for event in found]


async def gathered(client: anthropic.AsyncAnthropic, model: str = "m") -> Message:
    """What the SDK makes of a stream's events."""
    async with client.messages.stream(model=model, max_tokens=9, messages=MESSAGES) as found:
        return await found.get_final_message()


class TestTheSdk:
    async def test_reads_a_unary_answer(self, client: anthropic.AsyncAnthropic) -> None:
        answer = await unary(client, "claude-any")
        (block,) = answer.content
        assert block.type == "text"
        assert block.text == TEXT
        assert (answer.type, answer.role, answer.model) == ("message", "assistant", "claude-any")
        assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (4, 60)
        assert answer.usage.cache_read_input_tokens == answer.usage.cache_creation_input_tokens == 0

    async def test_reads_a_stream_one_delta_per_token(self, client: anthropic.AsyncAnthropic) -> None:
        found = await streamed(client)
        deltas = [event.delta for event in found if event.type == "content_block_delta"]
        assert [delta.text for delta in deltas if delta.type == "text_delta"] == list(TOKENS)
        answer = await gathered(client)
        (block,) = answer.content
        assert block.type == "text"
        assert block.text == TEXT
        assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 60)

    async def test_reads_the_same_from_a_stream_as_from_a_unary_answer(
        self, client: anthropic.AsyncAnthropic
    ) -> None:
        model = "fault: reasoning 3 + tools 2 with-text split=1"
        whole, gained = await unary(client, model), await gathered(client, model)
        kinds = ["thinking", "text", "tool_use", "tool_use"]
        assert [block.type for block in whole.content] == [block.type for block in gained.content] == kinds
        for one, other in zip(whole.content, gained.content, strict=True):
            shown = {"text", "thinking", "signature", "id", "name", "input"}
            assert one.model_dump(include=shown) == other.model_dump(include=shown)
        assert (whole.stop_reason, gained.stop_reason) == ("tool_use", "tool_use")
        assert whole.usage.output_tokens == gained.usage.output_tokens

    async def test_reads_thinking_and_its_signature(self, client: anthropic.AsyncAnthropic) -> None:
        for answer in (
            await unary(client, "fault: reasoning 3"),
            await gathered(client, "fault: reasoning 3"),
        ):
            thinking, said = answer.content
            assert thinking.type == "thinking"
            assert thinking.thinking == " thought-1 thought-2 thought-3"
            assert thinking.signature == anthropic_messages.SIGNATURE
            assert said.type == "text"
            assert answer.usage.output_tokens == 63

    async def test_reads_tool_calls(self, client: anthropic.AsyncAnthropic) -> None:
        for answer in (await unary(client, "fault: tools 2"), await gathered(client, "fault: tools 2")):
            first, second = answer.content
            assert first.type == second.type == "tool_use"
            assert (first.name, second.name) == ("get_weather", "get_time")
            assert (first.id, second.id) == ("call_0000", "call_0001")
            assert first.input == second.input == INPUT
            assert answer.stop_reason == "tool_use"

    async def test_gets_an_id_of_its_own_with_every_answer(self, client: anthropic.AsyncAnthropic) -> None:
        ids = [(await unary(client)).id for _ in range(2)] + [(await gathered(client)).id]
        assert len(set(ids)) == 3
        assert {len(one) for one in ids} == {len(anthropic_messages.IDENTITY)}

    async def test_counts_tokens(self, client: anthropic.AsyncAnthropic) -> None:
        count = await client.messages.count_tokens(model="m", messages=MESSAGES, system="12345678")
        assert count.input_tokens == 6

    async def test_lists_the_models(self, client: anthropic.AsyncAnthropic) -> None:
        assert [model.id async for model in client.models.list()] == ["gpt-understudy"]

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (401, anthropic.AuthenticationError),
            (429, anthropic.RateLimitError),
            (500, anthropic.InternalServerError),
        ],
    )
    async def test_reads_errors(
        self, client: anthropic.AsyncAnthropic, status: int, kind: type[anthropic.APIStatusError]
    ) -> None:
        with pytest.raises(kind, match="not today") as caught:
            await unary(client, f"fault: {status} message='not today'")
        assert caught.value.request_id == "msg_0000000001"

    async def test_reads_an_error_inside_a_stream(self, client: anthropic.AsyncAnthropic) -> None:
        with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
            await streamed(client, "fault: error anthropic-overloaded after=3")


class TestTheRequest:
    def test_is_read_as_a_call(self) -> None:
        body = {
            "model": "m",
            "stream": True,
            "system": [{"type": "text", "text": "four"}],
            "messages": [
                {"role": "user", "content": "12345"},
                {"role": "user", "content": [{"type": "text", "text": "é"}, {"type": "image"}, "nonsense"]},
                {"role": "assistant", "content": None},
                "nonsense",
            ],
        }
        assert anthropic_messages.read_call(body, PATH, {}) == Call(
            "m", stream=True, prompt_size=4 + 5 + 1 + len('{"type":"image"}')
        )
        body = {"model": "m", "system": "abc"}
        assert anthropic_messages.read_call(body, PATH, {}) == Call("m", prompt_size=3)

    def test_counts_as_not_given_where_it_makes_no_sense(self) -> None:
        nonsense = {"model": None, "stream": "yes", "system": 3, "n": 2, "messages": "hello"}
        for body in (nonsense, {}):
            assert anthropic_messages.read_call(body, PATH, {}) == Call("")
        odd = {"messages": [{"content": [{"type": "text", "text": None}]}]}
        assert anthropic_messages.read_call(odd, PATH, {}).prompt_size == 0

    @pytest.mark.parametrize("prefix", ["/v1", "", "/anthropic/v1"])
    async def test_is_answered_under_any_prefix(self, prefix: str) -> None:
        async with FaultProvider() as provider:
            assert text(await raw.ask(provider, path=f"{prefix}/messages")) == TEXT

    async def test_is_logged_with_its_format_its_headers_and_its_body_but_not_its_key(self) -> None:
        headers = "x-api-key: sk-ant-secret\r\nAnthropic-Version: 2023-06-01\r\nanthropic-beta: a,b\r\n"
        async with FaultProvider() as provider:
            await raw.ask(provider, path=PATH, headers=headers, system="Be brief.", max_tokens=9)
            await raw.ask(provider)
            request, other = provider.requests
        assert (request.path, request.format) == (PATH, "anthropic-messages")
        assert (other.path, other.format) == ("/v1/chat/completions", "openai-chat")
        assert request.headers["anthropic-version"] == "2023-06-01"
        assert request.headers["anthropic-beta"] == "a,b"
        assert request.body == raw.chat(system="Be brief.", max_tokens=9)
        assert (request.model, request.prompt_size) == ("m", 14 + 9)
        assert request.credential is not None
        assert "secret" not in json.dumps(request.to_dict()) + repr(request)

    async def test_that_counts_tokens_is_always_well_and_uses_no_step_up(self) -> None:
        path = PATH + "/count_tokens"
        async with FaultProvider("500; fine") as provider:
            count = await raw.ask(provider, path=path)
            assert (count.status, count.json) == (200, {"input_tokens": 4})
            assert (await raw.ask(provider, path=PATH)).status == 500
            (logged, _) = provider.requests
        assert (logged.path, logged.format, logged.prompt_size) == (path, "anthropic-messages", 14)
        assert (logged.model, logged.step, logged.status) == ("m", "", 200)

    @pytest.mark.parametrize(
        ("method", "path", "body", "status", "kind"),
        [
            ("GET", PATH, b"", 404, "not_found_error"),
            ("POST", PATH, b"[]", 400, "invalid_request_error"),
            ("POST", PATH + "/count_tokens", b"{", 400, "invalid_request_error"),
            ("POST", PATH, b'{"model":"fault: statsu"}', 400, "invalid_request_error"),
        ],
    )
    async def test_is_refused_in_the_formats_own_way(
        self, method: str, path: str, body: bytes, status: int, kind: str
    ) -> None:
        async with FaultProvider() as provider, Client(provider) as client:
            client.post(path, body, method=method)
            answer = await client.receive()
        assert (answer.status, answer.json["type"], answer.json["error"]["type"]) == (status, "error", kind)

    async def test_shares_its_models_script_with_the_other_format(self) -> None:
        async with FaultProvider("500; 503; fine") as provider:
            paths = (PATH, "/v1/chat/completions", PATH)
            assert [(await raw.ask(provider, path=path)).status for path in paths] == [500, 503, 200]

    async def test_asks_for_no_usage_though_it_is_told(self) -> None:
        assert (await play("when usage 400", stream_options={"include_usage": True})).status == 200


class TestTheStream:
    async def test_is_the_documented_one_byte_by_byte(self) -> None:
        answer = await stream("text 'Hello there'", model="claude-any")
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["request-id"] == "msg_0000000001"
        assert answer.body == (
            b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_0000000001",'
            b'"type":"message","role":"assistant","model":"claude-any","content":[],"stop_reason":null,'
            b'"stop_sequence":null,"usage":{"input_tokens":4,"cache_creation_input_tokens":0,'
            b'"cache_read_input_tokens":0,"output_tokens":1}}}\n\n'
            b'event: ping\ndata: {"type":"ping"}\n\n'
            b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
            b'"content_block":{"type":"text","text":""}}\n\n'
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":"Hello"}}\n\n'
            b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
            b'"delta":{"type":"text_delta","text":" there"}}\n\n'
            b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
            b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn",'
            b'"stop_sequence":null},"usage":{"output_tokens":2}}\n\n'
            b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
        )

    @pytest.mark.parametrize("script", ["fine", "reasoning 2 + tools 2 with-text", "usage twice", "azure"])
    async def test_names_every_event_by_its_type(self, script: str) -> None:
        assert all(name == value["type"] for name, value in (await stream(script)).named)

    async def test_has_one_block_after_the_other(self) -> None:
        answer = await stream("reasoning 2 + tools 2 with-text interleaved")
        order = [value["index"] for _, value in answer.named if "index" in value]
        assert order == sorted(order)
        for index in range(4):
            own = [name for name, value in answer.named if value.get("index") == index]
            assert (own[0], own[-1]) == ("content_block_start", "content_block_stop")
            assert set(own[1:-1]) == {"content_block_delta"}
        starts = [
            value["content_block"]["type"] for name, value in answer.named if name == "content_block_start"
        ]
        assert starts == ["thinking", "text", "tool_use", "tool_use"]

    async def test_ends_thinking_with_its_signature(self) -> None:
        answer = await stream("reasoning 2 only field=reasoning")
        kinds = [value["delta"]["type"] for name, value in answer.named if name == "content_block_delta"]
        assert kinds == ["thinking_delta", "thinking_delta", "signature_delta"]
        assert deltas(answer, "signature") == [anthropic_messages.SIGNATURE]

    async def test_names_a_tool_first_and_begins_its_arguments_with_nothing(self) -> None:
        answer = await stream("tools split=12")
        _, value = answer.named[2]
        assert value["content_block"] == {
            "type": "tool_use",
            "id": "call_0000",
            "name": "get_weather",
            "input": {},
        }
        pieces = deltas(answer, "partial_json")
        assert (pieces[0], "".join(pieces)) == ("", ARGUMENTS)
        assert {len(piece) for piece in pieces[1:-1]} == {12}

    @pytest.mark.parametrize(
        ("script", "tokens"), [("fine", 60), ("reasoning 5", 65), ("tools 2 split=50", 4), ("tokens 0", 0)]
    )
    async def test_counts_every_piece_of_thinking_text_and_tool_calls(self, script: str, tokens: int) -> None:
        assert message_deltas(await stream(script))[-1]["usage"] == {"output_tokens": tokens}
        assert (await play(script)).json["usage"]["output_tokens"] == tokens

    @pytest.mark.parametrize(
        ("after", "last"),
        [
            ("headers", None),
            ("preamble", "content_block_start"),
            ("1", "content_block_delta"),
            # The last block's stop comes with the stop reason.
            ("60", "content_block_delta"),
            ("finish", "message_delta"),
            ("done", "message_stop"),
        ],
    )
    async def test_has_its_places_as_the_other_format_has(self, after: str, last: str | None) -> None:
        answer = await stream(f"cut after={after}")
        assert ([None, *names(answer)][-1], answer.ending) == (last, "cut")

    async def test_has_usage_that_follows_the_stop_reason_behind_the_place_finish(self) -> None:
        (only,) = message_deltas(await stream("usage twice + end after=finish"))
        assert only["delta"]["stop_reason"] == "end_turn"

    async def test_counts_a_tools_name_as_a_token_of_its_own(self) -> None:
        named = await stream("tools 2 split=50 + cut after=1")
        assert names(named)[2:] == ["content_block_start", "content_block_delta"]
        assert deltas(named, "partial_json") == [""]
        second = await stream("tools 2 split=50 + cut after=3")
        assert names(second)[-3:] == ["content_block_stop", "content_block_start", "content_block_delta"]

    async def test_stops_a_block_and_starts_the_next_with_what_was_before(self) -> None:
        thought = await stream("reasoning 2 + cut after=2")
        assert names(thought)[-4:] == [
            "content_block_delta",
            "content_block_delta",
            "content_block_stop",
            "content_block_start",
        ]

    async def test_is_the_same_when_it_was_written_before(self) -> None:
        async with FaultProvider() as provider:
            first, second = [(await raw.ask(provider, path=PATH, stream=True)).body for _ in range(2)]
        assert b'"msg_0000000001"' in first
        assert first.replace(b"msg_0000000001", b"msg_0000000002") == second


class TestTheUnaryAnswer:
    async def test_is_the_documented_one_byte_by_byte(self) -> None:
        answer = await play("text Hello", model="claude-any")
        assert answer.headers["content-type"] == "application/json"
        assert answer.body == (
            b'{"id":"msg_0000000001","type":"message","role":"assistant","model":"claude-any",'
            b'"content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,'
            b'"usage":{"input_tokens":4,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
            b'"output_tokens":1}}'
        )

    async def test_has_blocks_of_every_kind(self) -> None:
        assert (await play("reasoning 1 + tools with-text")).json["content"] == [
            {"type": "thinking", "thinking": " thought-1", "signature": anthropic_messages.SIGNATURE},
            {"type": "text", "text": TEXT},
            {"type": "tool_use", "id": "call_0000", "name": "get_weather", "input": INPUT},
        ]

    @pytest.mark.parametrize(("arguments", "value"), [('{"city": ', '{"city": '), ("", {})])
    async def test_has_arguments_that_are_no_json_as_the_text_they_are(
        self, arguments: str, value: object
    ) -> None:
        (block,) = (await play(f"tools arguments='{arguments}'")).json["content"]
        assert block["input"] == value
        assert "".join(deltas(await stream(f"tools arguments='{arguments}'"), "partial_json")) == arguments


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("content_filter", "refusal"),
        ("pause_turn", "pause_turn"),
    ],
)
async def test_finish_reasons_have_the_formats_own_names(word: str, reason: str) -> None:
    assert stop_reason(await stream(f"finish {word}")) == reason
    assert stop_reason(await play(f"finish {word}")) == reason


# Words that send what is literally someone else's, in whatever format.
LITERAL = ("says", "error")


@pytest.mark.parametrize("word", [name for name in WORDS if name not in LITERAL])
@pytest.mark.parametrize("asked", [True, False])
def test_no_word_speaks_the_other_format(word: str, asked: bool) -> None:
    plan = Script.parse(WORDS[word].example).steps[0].plan(Plan(format=anthropic_messages))
    stage = Stage(anthropic_messages.identity(1), created=1, wall=0.0, other_origin="", target=PATH)
    acts = islice(perform(plan, Call("m", stream=asked), stage), 300)
    sent = b"".join(act.data for act in acts if isinstance(act, Part))
    for foreign in (b"chatcmpl", b"choices", b"[DONE]", b"x-request-id", b"completion"):
        assert foreign not in sent


class TestInsteadOfAnAnswer:
    async def test_fine(self) -> None:
        answer = await stream("fine")
        assert (text(answer), stop_reason(answer), answer.ending) == (TEXT, "end_turn", "end")

    @pytest.mark.parametrize("asked", [True, False])
    async def test_status(self, asked: bool) -> None:
        answer = await play("503 message='try later' error-type=busy retry-after=2", stream=asked)
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        assert answer.json == {
            "type": "error",
            "error": {"type": "busy", "message": "try later"},
            "request_id": "req_000000000000",
        }
        coded = (await play("429 error-code=enforced_spend_limit_reached")).json["error"]
        assert coded["details"] == {"error_code": "enforced_spend_limit_reached"}

    async def test_the_type_of_an_error_follows_from_its_status(self) -> None:
        kinds = {}
        for code in (400, 401, 402, 403, 404, 409, 413, 418, 429, 500, 503, 504, 529):
            kinds[code] = (await play(str(code))).json["error"]["type"]
        assert kinds == {
            400: "invalid_request_error",
            401: "authentication_error",
            402: "billing_error",
            403: "permission_error",
            404: "not_found_error",
            409: "conflict_error",
            413: "request_too_large",
            418: "invalid_request_error",
            429: "rate_limit_error",
            500: "api_error",
            503: "api_error",
            504: "timeout_error",
            529: "overloaded_error",
        }

    async def test_beyond_its_capacity(self) -> None:
        async with FaultProvider("capacity 0") as provider:
            answer = await raw.ask(provider, path=PATH)
        assert (answer.status, answer.json["error"]["type"]) == (503, "api_error")

    async def test_says(self) -> None:
        answer = await play("says anthropic-credit")
        assert (answer.status, answer.json) == (400, WORDINGS["anthropic-credit"].value)

    async def test_html(self) -> None:
        assert (await stream("html 502")).body.startswith(b"<html>")

    async def test_redirect(self) -> None:
        async with FaultProvider("redirect; redirect to=other; redirect to=loop") as provider:
            here, other, loop = [(await raw.ask(provider, path=PATH)).headers["location"] for _ in range(3)]
            assert (here, loop) == ("/v1/moved/messages", PATH)
            assert other == f"http://localhost:{provider.port}/v1/moved/messages"
            assert text(await raw.ask(provider, path=here)) == TEXT

    async def test_flood(self) -> None:
        answer = await play("flood 500 size=200000")
        assert (answer.status, len(answer.body)) == (500, 200_000)


class TestTimeAndEndings:
    async def test_delay_and_drip_and_pace(self) -> None:
        for script in ("delay 1s", "drip every=10ms", "pace 1000/s"):
            answer = await stream(script)
            assert (text(answer), answer.ending) == (TEXT, "end")

    async def test_silence_and_stall(self) -> None:
        for script in ("silence 60s after=preamble", "stall 60s after=20"):
            answer = await stream(script)
            assert answer.ending == "cut"
            assert deltas(answer) == list(TOKENS[: 20 if "20" in script else 0])

    @pytest.mark.parametrize(
        ("script", "ending"), [("cut", "cut"), ("end", "end"), ("reset after=40", "reset")]
    )
    async def test_cut_and_end_and_reset(self, script: str, ending: str) -> None:
        answer = await stream(script)
        assert answer.ending == ending
        assert (deltas(answer), stop_reason(answer)) == (list(TOKENS[:40]), None)

    async def test_a_unary_answer_ends_in_the_middle_of_its_json(self) -> None:
        whole = (await play("fine")).body
        assert (await play("end after=30")).body == whole[: len(whole) // 2]
        # One choice: its tokens are all there are.
        assert (await play("choices 2 + end after=30")).body == whole[: len(whole) // 2]


class TestInsideTheAnswer:
    @pytest.mark.parametrize("kind", events.KINDS)
    async def test_malformed(self, kind: str) -> None:
        data = {**events.MALFORMED, **anthropic_messages.MALFORMED}[kind]
        answer = await stream(f"malformed {kind} after=10")
        before, found, after = answer.body.partition(b"event: content_block_delta\ndata: " + data + b"\n\n")
        assert found
        assert before.count(b"text_delta") == 10
        answer.body = before + after
        assert (text(answer), stop_reason(answer)) == (TEXT, "end_turn")
        assert (await play(f"malformed {kind}")).body == data

    @pytest.mark.parametrize(
        ("then", "ending", "last"),
        [("end", "end", "error"), ("done", "end", "message_stop"), ("cut", "cut", "error")],
    )
    async def test_error(self, then: str, ending: str, last: str) -> None:
        answer = await stream(f"error anthropic-overloaded after=5 then={then}")
        assert (answer.ending, names(answer)[-1]) == (ending, last)
        assert dict(answer.named)["error"] == WORDINGS["anthropic-overloaded"].value
        assert names(answer).index("error") == 3 + 5

    async def test_error_of_nobody_in_particular_is_the_formats_own(self) -> None:
        assert dict((await stream("error")).named)["error"] == WORDINGS["anthropic-server"].value
        assert (await play("error")).json == WORDINGS["anthropic-server"].value

    async def test_error_before_everything_else_and_as_an_event_like_any_other(self) -> None:
        (first,) = (await stream("error openai-quota after=headers")).named
        assert first == ("error", WORDINGS["openai-quota"].value)
        answer = await stream("error anthropic-overloaded after=0 form=chunk")
        assert json.loads(answer.data[-1]) == WORDINGS["anthropic-overloaded"].value
        assert b"event: error" not in answer.body

    @pytest.mark.parametrize("asked", [True, False])
    async def test_invalid_utf8(self, asked: bool) -> None:
        answer = await play("invalid-utf8", stream=asked)
        assert answer.body.count(b"\xff\xc3") == 1
        answer.body = answer.body.replace(b"\xff\xc3", b"")
        assert text(answer) == TEXT

    @pytest.mark.parametrize("asked", [True, False])
    async def test_big_event(self, asked: bool) -> None:
        answer = await play("reasoning 2 + big-event 1MB", stream=asked)
        assert len(text(answer)) == len(TEXT) + 1_000_000
        if asked:
            (index,) = {value["index"] for _, value in answer.named if "text" in value.get("delta", ())}
            assert index == 1

    @pytest.mark.parametrize(
        ("kind", "sign"),
        [
            ("comment", b": still here\n\n"),
            ("event", PING),
            (
                "delta",
                b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
                b'"delta":{"type":"text_delta","text":""}}\n\n',
            ),
        ],
    )
    async def test_pings(self, kind: str, sign: bytes) -> None:
        answer = await stream(f"pings every=2s times=3 kind={kind} after=preamble")
        before, found, after = answer.body.partition(sign * 3)
        assert found
        assert before.endswith(b'"content_block":{"type":"text","text":""}}\n\n')
        answer.body = before + after
        assert text(answer) == TEXT

    async def test_usage(self) -> None:
        assert b"usage" not in (await stream("usage missing")).body + (await play("usage missing")).body
        zero = await stream("usage zero")
        assert not any(zero.named[0][1]["message"]["usage"].values())
        assert message_deltas(zero)[0]["usage"] == {"output_tokens": 0}
        assert not any((await play("usage zero")).json["usage"].values())
        twice = message_deltas(await stream("usage twice"))
        assert [value["usage"]["output_tokens"] for value in twice] == [0, 60]
        assert {value["delta"]["stop_reason"] for value in twice} == {"end_turn"}
        fine = (await stream("fine", model="m")).body
        for kind in ("always", "finish"):
            assert (await stream(f"usage {kind}", model="m")).body == fine

    async def test_done(self) -> None:
        missing, twice, after = [await stream(f"done {kind}") for kind in ("missing", "twice", "data-after")]
        assert names(missing)[-1] == "message_delta"
        assert twice.body.endswith(STOP * 2)
        assert names(after)[-3:] == ["message_stop", "content_block_delta", "message_stop"]
        assert text(after) == TEXT + events.STRAY

    @pytest.mark.parametrize(
        ("kind", "content", "said"),
        [
            ("choices", [], []),
            ("null", [{"type": "text", "text": None}], [None]),
            ("blank", [{"type": "text", "text": ""}], []),
            ("space", [{"type": "text", "text": " \n\n"}], [" ", "\n\n"]),
        ],
    )
    async def test_empty(self, kind: str, content: list[Any], said: list[Any]) -> None:
        assert (await play(f"empty {kind}")).json["content"] == content
        answer = await stream(f"empty {kind} finish=length")
        assert (deltas(answer), stop_reason(answer)) == (said, "max_tokens")
        assert names(answer).count("content_block_start") == names(answer).count("content_block_stop")
        assert names(answer).count("content_block_start") == len(content)

    async def test_empty_but_for_the_last_event_or_of_no_bytes(self) -> None:
        assert (await stream("empty done")).body == STOP
        assert (await play("empty done")).body == b"{}"
        for asked in (True, False):
            assert (await play("empty body", stream=asked)).body == b""

    async def test_finish(self) -> None:
        answer = await stream("finish content_filter after=20")
        assert (deltas(answer), stop_reason(answer)) == (list(TOKENS[:20]), "refusal")
        assert message_deltas(answer)[0]["usage"]["output_tokens"] == 20

    async def test_finish_none_says_nothing_of_an_end(self) -> None:
        answer = await stream("finish none")
        assert (text(answer), answer.ending) == (TEXT, "end")
        assert names(answer)[-2:] == ["content_block_stop", "message_delta"]
        assert message_deltas(answer)[0]["delta"]["stop_reason"] is None
        assert message_deltas(answer)[0]["usage"]["output_tokens"] == 60
        assert (await play("finish none")).json["stop_reason"] is None
        assert names(await stream("finish none + usage missing"))[-1] == "content_block_stop"

    async def test_azure(self) -> None:
        answer = await stream("azure")
        preamble = ["message_start", "ping", "content_block_start"]
        assert names(answer)[:4] == [*preamble, "prompt_annotations"], "SDKs want the message first"
        assert text(answer) == TEXT

    @pytest.mark.parametrize("asked", [True, False])
    async def test_blocked(self, asked: bool) -> None:
        answer = await play("blocked", stream=asked)
        assert (text(answer), stop_reason(answer)) == ("", "refusal")
        assert b"content_block" not in answer.body


class TestLinesBytesAndHeads:
    async def test_sse(self) -> None:
        body = (await stream("sse lines=crlf no-space multiline fields comments bom")).body
        assert body.startswith(
            b"\xef\xbb\xbf: still here\r\n\r\nevent:message_start\r\nid: 1\r\nretry: 3000\r\ndata:{\r\n"
            b'data:"type":"message_start"'
        )

    async def test_another_type_or_form(self) -> None:
        assert (await stream("content-type text/plain")).headers["content-type"] == "text/plain"
        assert text(await stream("as unary")) == text(await play("as stream")) == TEXT

    @pytest.mark.parametrize("asked", [True, False])
    async def test_encoding_and_claim(self, asked: bool) -> None:
        answer = await play("encoding gzip", stream=asked)
        answer.body = zlib.decompress(answer.body, wbits=31)
        assert text(answer) == TEXT
        assert (await play("claim br", stream=asked)).headers["content-encoding"] == "br"

    async def test_length_and_truncate_and_split(self) -> None:
        assert (await play("length +10")).ending == "cut"
        cut = await stream("truncate after=3")
        assert cut.body.endswith(b"event: content_block_delta\n" + b'data: {"type":"content_bl')
        assert cut.body.count(b"text_delta") == 3
        with pytest.raises(json.JSONDecodeError):
            json.loads((await play("truncate")).body)
        split = await stream("split 1")
        assert {len(chunk) for chunk in split.chunks} == {1}
        assert text(split) == TEXT

    async def test_headers(self) -> None:
        answer = await stream("header anthropic-ratelimit-requests-remaining=0 + big-header 1000 + skew +1h")
        assert answer.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert len(answer.headers["x-big"]) == 1000

    async def test_heads_and_connections(self) -> None:
        for script in ("slow-head every=1ms", "interim 103", "http10", "close", "hang-up"):
            assert text(await stream(script)) == TEXT
        async with FaultProvider("garbage") as provider, Client(provider) as client:
            client.send(path=PATH)
            assert b"this is not HTTP" in await client.reader.read()


class TestOtherHealthyAnswers:
    async def test_text_and_tokens_and_model(self) -> None:
        assert text(await stream("text 'Hello there'")) == "Hello there"
        assert len(deltas(await stream("tokens 125"))) == 125
        answer = await stream("model claude-other")
        assert answer.named[0][1]["message"]["model"] == "claude-other"

    async def test_there_is_one_choice_whatever_is_asked_for(self) -> None:
        for answer in (await stream("choices 3", n=3), await play("choices 3", n=3)):
            assert text(answer) == TEXT

    async def test_refusal(self) -> None:
        for asked in (True, False):
            answer = await play("refusal 'I will not'", stream=asked)
            assert (text(answer), stop_reason(answer)) == ("I will not", "refusal")
        assert stop_reason(await play("refusal + finish length")) == "max_tokens"

    async def test_escape_and_surrogates(self) -> None:
        for asked in (True, False):
            answer = await play("escape", stream=asked)
            assert answer.body.isascii()
            assert text(answer) == TEXT
        halves = await stream("surrogates")
        assert rb'"text":" \ud83c"' in halves.body
        assert rb'"text":"\udfad"' in halves.body
        assert text(await play("surrogates")) == TEXT
