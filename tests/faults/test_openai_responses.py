"""The healthy answers, as the OpenAI SDK reads them; the rules of the format, byte by byte; and every fault
word once, as it is in this format."""

from __future__ import annotations

import json
import zlib
from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent

from tests.faults import raw
from tests.faults.raw import Answer, Client
from understudy.faults import TEXT, TOKENS, FaultProvider, events, openai_responses
from understudy.faults.act import Part
from understudy.faults.answer import Call
from understudy.faults.answers import ARGUMENTS
from understudy.faults.performance import perform
from understudy.faults.plan import Plan, Stage
from understudy.faults.responses_object import ENCRYPTED
from understudy.faults.script import Script
from understudy.faults.vocabulary import WORDS
from understudy.faults.wordings import WORDINGS

PATH = "/v1/responses"
INPUT = "Say something."
INCLUDE: Any = [openai_responses.WANTS_ENCRYPTED]
TAIL = "68e0a1b2c3d40000000001"
DELTA = "response.output_text.delta"


async def play(script: str, **fields: Any) -> Answer:
    return await raw.play(script, path=PATH, input=INPUT, **fields)


async def stream(script: str, **fields: Any) -> Answer:
    return await play(script, stream=True, **fields)


def names(answer: Answer) -> list[str]:
    return [name for name, _ in answer.named]


def found(answer: Answer, name: str) -> list[Any]:
    """The events of that name."""
    return [value for event, value in answer.named if event == name]


def deltas(answer: Answer, name: str = DELTA) -> list[str]:
    return [value["delta"] for value in found(answer, name)]


def text(answer: Answer) -> str:
    if answer.body.startswith(b"{"):
        parts = [part for item in answer.json["output"] for part in item.get("content", ())]
        return "".join(part.get("text", "") for part in parts)
    return "".join(deltas(answer))


def last(answer: Answer) -> Any:
    """The response as it was at the end: that of the last event, or the unary answer."""
    if answer.body.startswith(b"{"):
        return answer.json
    return answer.named[-1][1].get("response")


def ending(answer: Answer) -> tuple[str, Any]:
    response = last(answer)
    return response["status"], response["incomplete_details"]


@pytest.fixture
async def provider() -> AsyncIterator[FaultProvider]:
    async with FaultProvider() as provider:
        yield provider


@pytest.fixture
async def client(provider: FaultProvider) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=provider.base_url, api_key="sk-test", max_retries=0) as client:
        yield client


async def unary(client: openai.AsyncOpenAI, model: str = "m", **fields: Any) -> Response:
    answer = await client.responses.create(model=model, input=INPUT, **fields)
    assert isinstance(answer, Response)
    return answer


async def streamed(client: openai.AsyncOpenAI, model: str = "m", **fields: Any) -> list[ResponseStreamEvent]:
    answer = await client.responses.create(model=model, input=INPUT, stream=True, **fields)
    return [event async for event in answer]


async def gathered(client: openai.AsyncOpenAI, model: str = "m", **fields: Any) -> Response:
    """What the SDK makes of a stream's events."""
    async with client.responses.stream(model=model, input=INPUT, **fields) as answer:
        return await answer.get_final_response()


class TestTheSdk:
    async def test_reads_a_unary_answer(self, client: openai.AsyncOpenAI) -> None:
        answer = await unary(client, "gpt-any")
        assert answer.output_text == TEXT
        assert (answer.id, answer.model, answer.status) == (f"resp_{TAIL}", "gpt-any", "completed")
        (message,) = answer.output
        assert message.type == "message"
        assert (message.role, message.status) == ("assistant", "completed")
        assert answer.usage is not None
        usage = answer.usage
        assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (4, 60, 64)
        assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (
            0,
            0,
        )

    async def test_reads_a_stream_one_delta_per_token(self, client: openai.AsyncOpenAI) -> None:
        events = await streamed(client)
        assert [event.delta for event in events if event.type == "response.output_text.delta"] == list(TOKENS)
        assert [event.sequence_number for event in events] == list(range(len(events)))
        done = events[-1]
        assert done.type == "response.completed"
        assert done.response.output_text == TEXT

    @pytest.mark.parametrize(
        "model",
        [
            "fault: fine",
            "fault: reasoning 3 + tools 2 with-text split=1",
            "fault: reasoning 3 field=reasoning_text",
            "fault: tools 2 interleaved",
            "fault: refusal No.",
            "fault: empty null",
        ],
    )
    async def test_reads_the_same_from_a_stream_as_from_a_unary_answer(
        self, client: openai.AsyncOpenAI, model: str
    ) -> None:
        whole, gained = (
            await unary(client, model, include=INCLUDE),
            await gathered(client, model, include=INCLUDE),
        )
        for one, other in zip(whole.output, gained.output, strict=True):
            assert one.model_dump(exclude={"id"}) == other.model_dump(
                exclude={"id": True, "parsed_arguments": True, "content": {"__all__": {"parsed"}}}
            )
        assert (whole.status, whole.usage) == (gained.status, gained.usage)

    async def test_reads_reasoning(self, client: openai.AsyncOpenAI) -> None:
        for include, expected in ((INCLUDE, ENCRYPTED), ([], None)):
            model = "fault: reasoning 3"
            for answer in (
                await unary(client, model, include=include),
                await gathered(client, model, include=include),
            ):
                thought, said = answer.output
                assert thought.type == "reasoning"
                assert [part.text for part in thought.summary] == [" thought-1 thought-2 thought-3"]
                assert thought.encrypted_content == expected
                assert said.type == "message"
                assert answer.usage is not None
                assert answer.usage.output_tokens == 63
                assert answer.usage.output_tokens_details.reasoning_tokens == 3

    async def test_reads_tool_calls(self, client: openai.AsyncOpenAI) -> None:
        for model in ("fault: tools 2", "fault: tools 2 split=1 interleaved"):
            for answer in (await unary(client, model), await gathered(client, model)):
                first, second = answer.output
                assert first.type == second.type == "function_call"
                assert (first.name, second.name) == ("get_weather", "get_time")
                assert (first.call_id, second.call_id) == ("call_0000", "call_0001")
                assert first.arguments == second.arguments == ARGUMENTS
                assert answer.status == "completed"

    async def test_reads_a_refusal(self, client: openai.AsyncOpenAI) -> None:
        for answer in (
            await unary(client, "fault: refusal No."),
            await gathered(client, "fault: refusal No."),
        ):
            (message,) = answer.output
            assert message.type == "message"
            (part,) = message.content
            assert part.type == "refusal"
            assert part.refusal == "No."

    @pytest.mark.parametrize(
        ("word", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")]
    )
    async def test_reads_that_an_answer_is_incomplete(
        self, client: openai.AsyncOpenAI, word: str, reason: str
    ) -> None:
        model = f"fault: finish {word} after=20"
        done = (await streamed(client, model))[-1]
        assert done.type == "response.incomplete"
        for answer in (await unary(client, model), done.response):
            assert answer.status == "incomplete"
            assert answer.incomplete_details is not None
            assert answer.incomplete_details.reason == reason
            assert answer.output_text == "".join(TOKENS[:20])

    async def test_gets_an_id_of_its_own_with_every_answer(self, client: openai.AsyncOpenAI) -> None:
        answers = [await unary(client), await unary(client), await gathered(client)]
        assert len({answer.id for answer in answers}) == 3
        assert len({item.id for answer in answers for item in answer.output}) == 3

    async def test_counts_tokens(self, client: openai.AsyncOpenAI) -> None:
        count = await client.responses.input_tokens.count(model="m", input=INPUT, instructions="12345678")
        assert (count.object, count.input_tokens) == ("response.input_tokens", 6)

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
    )
    async def test_reads_errors(
        self, client: openai.AsyncOpenAI, status: int, kind: type[openai.APIStatusError]
    ) -> None:
        with pytest.raises(kind, match="not today") as caught:
            await unary(client, f"fault: {status} message='not today'")
        assert caught.value.request_id == TAIL

    async def test_reads_an_error_inside_a_stream(self, client: openai.AsyncOpenAI) -> None:
        *_, error, failed = await streamed(client, "fault: error openai-quota after=3")
        assert error.type == "error"
        assert (error.code, error.param) == ("insufficient_quota", None)
        assert failed.type == "response.failed"
        assert failed.response.status == "failed"
        assert failed.response.error is not None
        # The API says so, though its types do not know it.
        assert str(failed.response.error.code) == "insufficient_quota"
        assert (failed.response.id, failed.response.model) == (
            f"resp_{TAIL}",
            "fault: error openai-quota after=3",
        )
        with pytest.raises(openai.APIError, match="exceeded your current quota"):
            await streamed(client, "fault: error openai-quota form=nested")


class TestTheRequest:
    def test_is_read_as_a_call(self) -> None:
        body = {
            "model": "m",
            "stream": True,
            "instructions": "four",
            "include": INCLUDE,
            "input": [
                {"role": "user", "content": "12345"},
                {
                    "type": "message",
                    "content": [{"type": "input_text", "text": "é"}, {"type": "input_image"}],
                },
                {"type": "function_call_output", "output": "warm"},
                "nonsense",
            ],
        }
        size = 4 + 5 + 1 + len('{"type":"input_image"}')
        size += len('{"type":"function_call_output","output":"warm"}') + len("nonsense")
        expected = Call("m", stream=True, prompt_size=size, encrypted=True)
        assert openai_responses.read_call(body, PATH, {}) == expected
        assert openai_responses.read_call({"input": "abc"}, PATH, {}) == Call("", prompt_size=3)

    def test_counts_as_not_given_where_it_makes_no_sense(self) -> None:
        nonsense = {"model": None, "stream": "yes", "instructions": 3, "include": "x", "input": None, "n": 2}
        for body in (nonsense, {}):
            assert openai_responses.read_call(body, PATH, {}) == Call("")

    @pytest.mark.parametrize("prefix", ["/v1", "", "/openai/v1"])
    async def test_is_answered_under_any_prefix(self, prefix: str) -> None:
        async with FaultProvider() as provider:
            assert text(await raw.ask(provider, path=f"{prefix}/responses")) == TEXT
            assert provider.requests[0].format == "openai-responses"

    async def test_that_counts_tokens_is_always_well_and_uses_no_step_up(self) -> None:
        async with FaultProvider("500; fine") as provider:
            count = await raw.ask(provider, path=f"{PATH}/input_tokens", input=INPUT)
            assert count.json == {"object": "response.input_tokens", "input_tokens": 4}
            assert (await raw.ask(provider, path=PATH)).status == 500
            assert (provider.requests[0].step, provider.requests[0].prompt_size) == ("", 14)

    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        [
            ("GET", PATH, b"", 404),
            ("GET", f"{PATH}/resp_1", b"", 404),
            ("POST", PATH, b"[]", 400),
            ("POST", PATH, b'{"model":"fault: statsu"}', 400),
        ],
    )
    async def test_is_refused_in_the_formats_own_way(
        self, method: str, path: str, body: bytes, status: int
    ) -> None:
        async with FaultProvider() as provider, Client(provider) as client:
            client.post(path, body, method=method)
            answer = await client.receive()
        assert (answer.status, answer.json["error"]["type"]) == (status, "invalid_request_error")

    async def test_asks_for_no_usage_though_it_is_told(self) -> None:
        assert (await play("when usage 400", stream_options={"include_usage": True})).status == 200


RESPONSE = (
    b'"background":false,"error":null,"incomplete_details":null,"instructions":null,'
    b'"max_output_tokens":null,"model":"gpt-any","output":[%b],"parallel_tool_calls":true,'
    b'"previous_response_id":null,"reasoning":{"effort":null,"summary":null},"service_tier":"default",'
    b'"store":true,"temperature":1.0,"text":{"format":{"type":"text"}},"tool_choice":"auto","tools":[],'
    b'"top_p":1.0,"truncation":"disabled","usage":%b,"user":null,"metadata":{}'
)
USAGE = (
    b'{"input_tokens":4,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},"output_tokens":2,'
    b'"output_tokens_details":{"reasoning_tokens":0},"total_tokens":6}'
)
MESSAGE = (
    b'{"id":"msg_68e0a1b2c3d4000000000100","type":"message","status":"completed","content":'
    b'[{"type":"output_text","text":"Hello there","annotations":[],"logprobs":[]}],"role":"assistant"}'
)


class TestTheStream:
    async def test_is_the_documented_one_byte_by_byte(self) -> None:
        answer = await stream("text 'Hello there'", model="gpt-any")
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["x-request-id"] == TAIL
        created = b'"created_at":%d,' % last(answer)["created_at"]
        head = b'"response":{"id":"resp_68e0a1b2c3d40000000001","object":"response",' + created
        begun = head + b'"status":"in_progress",' + RESPONSE % (b"", b"null") + b"}}\n\n"
        place = b'"item_id":"msg_68e0a1b2c3d4000000000100","output_index":0,"content_index":0,'
        part = b'"part":{"type":"output_text","text":"%b","annotations":[],"logprobs":[]}}\n\n'

        def event(name: bytes, number: int, rest: bytes) -> bytes:
            return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b' % (name, name, number, rest)

        assert answer.body == b"".join(
            (
                event(b"response.created", 0, begun),
                event(b"response.in_progress", 1, begun),
                event(
                    b"response.output_item.added",
                    2,
                    b'"output_index":0,"item":{"id":"msg_68e0a1b2c3d4000000000100","type":"message",'
                    b'"status":"in_progress","content":[],"role":"assistant"}}\n\n',
                ),
                event(b"response.content_part.added", 3, place + part % b""),
                event(b"response.output_text.delta", 4, place + b'"delta":"Hello","logprobs":[]}\n\n'),
                event(b"response.output_text.delta", 5, place + b'"delta":" there","logprobs":[]}\n\n'),
                event(b"response.output_text.done", 6, place + b'"text":"Hello there","logprobs":[]}\n\n'),
                event(b"response.content_part.done", 7, place + part % b"Hello there"),
                event(b"response.output_item.done", 8, b'"output_index":0,"item":' + MESSAGE + b"}\n\n"),
                event(
                    b"response.completed",
                    9,
                    head + b'"status":"completed",' + RESPONSE % (MESSAGE, USAGE) + b"}}\n\n",
                ),
            )
        )

    @pytest.mark.parametrize(
        "script",
        [
            "fine",
            "reasoning 2 + tools 2 with-text",
            "usage twice",
            "azure",
            "done data-after",
            "error after=3",
            "error after=3 form=nested then=done",
            "pings every=1s times=2 kind=delta",
        ],
    )
    async def test_names_every_event_by_its_type_and_numbers_it(self, script: str) -> None:
        answer = await stream(script)
        assert all(name == value["type"] for name, value in answer.named)
        assert [value["sequence_number"] for _, value in answer.named] == list(range(len(answer.named)))

    async def test_has_one_item_after_the_other(self) -> None:
        answer = await stream("reasoning 2 + tools 2 with-text")
        order = [value["output_index"] for _, value in answer.named if "output_index" in value]
        assert order == sorted(order)
        for index in range(4):
            own = [name for name, value in answer.named if value.get("output_index") == index]
            assert (own[0], own[-1]) == ("response.output_item.added", "response.output_item.done")
        kinds = ["reasoning", "message", "function_call", "function_call"]
        for name in ("added", "done"):
            items = [value["item"] for value in found(answer, f"response.output_item.{name}")]
            assert [item["type"] for item in items] == kinds
        assert last(answer)["output"] == items

    async def test_says_reasoning_as_a_summary(self) -> None:
        answer = await stream("reasoning 2 only")
        assert names(answer)[2:-1] == [
            "response.output_item.added",
            "response.reasoning_summary_part.added",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.delta",
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
        ]
        (done,) = found(answer, "response.reasoning_summary_text.done")
        assert (done["text"], done["summary_index"]) == (" thought-1 thought-2", 0)
        assert "encrypted_content" not in json.dumps(last(answer))

    async def test_says_reasoning_as_it_was_thought_under_its_own_name(self) -> None:
        answer = await stream("reasoning 2 only field=reasoning_text")
        assert deltas(answer, "response.reasoning_text.delta") == [" thought-1", " thought-2"]
        (added,) = found(answer, "response.content_part.added")
        assert added["part"] == {"type": "reasoning_text", "text": ""}
        (item,) = last(answer)["output"]
        assert (item["summary"], item["content"]) == (
            [],
            [{"type": "reasoning_text", "text": " thought-1 thought-2"}],
        )

    async def test_has_encrypted_reasoning_whole_only_when_it_is_done(self) -> None:
        answer = await stream("reasoning 2", include=INCLUDE)
        added = found(answer, "response.output_item.added")[0]["item"]["encrypted_content"]
        done = found(answer, "response.output_item.done")[0]["item"]["encrypted_content"]
        assert (done, done.startswith(added), done != added) == (ENCRYPTED, True, True)

    async def test_says_a_refusal_in_a_part_of_its_own(self) -> None:
        answer = await stream("refusal 'I will not'")
        assert names(answer)[3:-2] == [
            "response.content_part.added",
            *["response.refusal.delta"] * 3,
            "response.refusal.done",
            "response.content_part.done",
        ]
        assert found(answer, "response.refusal.done")[0]["refusal"] == "I will not"
        assert found(answer, "response.content_part.done")[0]["part"] == {
            "type": "refusal",
            "refusal": "I will not",
        }

    async def test_names_a_tool_first_and_then_says_its_arguments(self) -> None:
        answer = await stream("tools split=12")
        (added,) = found(answer, "response.output_item.added")
        assert added["item"] == {
            "id": f"fc_{TAIL}00",
            "type": "function_call",
            "status": "in_progress",
            "arguments": "",
            "call_id": "call_0000",
            "name": "get_weather",
        }
        pieces = deltas(answer, "response.function_call_arguments.delta")
        assert "".join(pieces) == ARGUMENTS
        assert {len(piece) for piece in pieces[:-1]} == {12}
        (done,) = found(answer, "response.function_call_arguments.done")
        assert (done["name"], done["arguments"]) == ("get_weather", ARGUMENTS)

    async def test_has_interleaved_calls_in_turns(self) -> None:
        answer = await stream("tools 2 split=12 interleaved with-text + text hello")
        own = [
            (name.rpartition(".")[2], value["output_index"])
            for name, value in answer.named
            if value.get("output_index", 0) > 0
        ]
        pieces = -(-len(ARGUMENTS) // 12)
        assert own == [
            *[("added", 1), ("added", 2)],
            *[("delta", 1), ("delta", 2)] * pieces,
            *[("done", 1)] * 2,
            *[("done", 2)] * 2,
        ]
        assert [item["type"] for item in last(answer)["output"]] == ["message", *["function_call"] * 2]
        # Without a call there is nothing to take turns.
        assert text(await stream("tools 1 interleaved with-text + text hello")) == "hello"

    @pytest.mark.parametrize(
        ("script", "tokens"), [("fine", 60), ("reasoning 5", 65), ("tools 2 split=50", 4), ("tokens 0", 0)]
    )
    async def test_counts_every_piece_of_reasoning_text_and_tool_calls(
        self, script: str, tokens: int
    ) -> None:
        for answer in (await stream(script), await play(script)):
            assert last(answer)["usage"]["output_tokens"] == tokens

    @pytest.mark.parametrize(
        ("after", "final"),
        [
            ("headers", None),
            ("preamble", "response.content_part.added"),
            ("1", DELTA),
            # The last item is done with the stop reason.
            ("60", DELTA),
            ("finish", "response.completed"),
            ("done", "response.completed"),
        ],
    )
    async def test_has_its_places_as_the_others_have(self, after: str, final: str | None) -> None:
        answer = await stream(f"cut after={after}")
        assert ([None, *names(answer)][-1], answer.ending) == (final, "cut")

    async def test_counts_a_tools_name_as_a_token_of_its_own(self) -> None:
        named = await stream("tools 2 split=50 + cut after=1")
        assert names(named)[2:] == ["response.output_item.added"]
        second = await stream("tools 2 split=50 + cut after=3")
        assert names(second)[-3:] == [
            "response.function_call_arguments.done",
            "response.output_item.done",
            "response.output_item.added",
        ]

    async def test_is_done_with_an_item_and_adds_the_next_with_what_was_before(self) -> None:
        thought = await stream("reasoning 2 + cut after=2")
        assert names(thought)[-5:] == [
            "response.reasoning_summary_text.done",
            "response.reasoning_summary_part.done",
            "response.output_item.done",
            "response.output_item.added",
            "response.content_part.added",
        ]

    async def test_is_the_same_when_it_was_written_before(self) -> None:
        async with FaultProvider() as provider:
            first, second = [(await raw.ask(provider, path=PATH, stream=True)).body for _ in range(2)]
        assert first.replace(b"68e0a1b2c3d40000000001", b"68e0a1b2c3d40000000002") == second


class TestTheUnaryAnswer:
    async def test_is_the_documented_one_byte_by_byte(self) -> None:
        answer = await play("text 'Hello there'", model="gpt-any")
        assert answer.headers["content-type"] == "application/json"
        assert (
            answer.body
            == (
                b'{"id":"resp_68e0a1b2c3d40000000001","object":"response","created_at":%d,"status":"completed",'
                % answer.json["created_at"]
            )
            + RESPONSE % (MESSAGE, USAGE)
            + b"}"
        )

    async def test_has_items_of_every_kind(self) -> None:
        assert (await play("reasoning 1 + tools with-text no-ids", include=INCLUDE)).json["output"] == [
            {
                "id": f"rs_{TAIL}00",
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": " thought-1"}],
                "encrypted_content": ENCRYPTED,
            },
            {
                "id": f"msg_{TAIL}01",
                "type": "message",
                "status": "completed",
                "content": [{"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}],
                "role": "assistant",
            },
            {
                "id": f"fc_{TAIL}02",
                "type": "function_call",
                "status": "completed",
                "arguments": ARGUMENTS,
                "call_id": "",
                "name": "get_weather",
            },
        ]

    async def test_passes_arguments_that_are_no_json_on(self) -> None:
        for answer in (
            await play("tools arguments='{\"city\": '"),
            await stream("tools arguments='{\"city\": '"),
        ):
            assert last(answer)["output"][0]["arguments"] == '{"city": '


@pytest.mark.parametrize(
    ("word", "status", "details"),
    [
        ("stop", "completed", None),
        ("tool_calls", "completed", None),
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("max_messages", "incomplete", {"reason": "max_messages"}),
    ],
)
async def test_finish_reasons_have_the_formats_own_names(word: str, status: str, details: Any) -> None:
    streamed = await stream(f"finish {word}")
    assert names(streamed)[-1] == f"response.{status}"
    for answer in (streamed, await play(f"finish {word}")):
        assert ending(answer) == (status, details)
        assert last(answer)["output"][-1]["status"] == status
    assert found(streamed, "response.output_item.done")[-1]["item"] == last(streamed)["output"][-1]


# Words that send what is literally someone else's, in whatever format.
LITERAL = ("says", "error")


@pytest.mark.parametrize("word", [name for name in WORDS if name not in LITERAL])
@pytest.mark.parametrize("asked", [True, False])
def test_no_word_speaks_another_format(word: str, asked: bool) -> None:
    plan = Script.parse(WORDS[word].example).steps[0].plan(Plan(format=openai_responses))
    stage = Stage(openai_responses.identity(1), created=1, wall=0.0, other_origin="", target=PATH)
    acts = islice(perform(plan, Call("m", stream=asked), stage), 300)
    sent = b"".join(act.data for act in acts if isinstance(act, Part))
    for foreign in (b"chatcmpl", b"choices", b"[DONE]", b"chat.completion", b"message_start", b"candidates"):
        assert foreign not in sent


class TestInsteadOfAnAnswer:
    async def test_fine(self) -> None:
        answer = await stream("fine")
        assert (text(answer), ending(answer), answer.ending) == (TEXT, ("completed", None), "end")

    @pytest.mark.parametrize("asked", [True, False])
    async def test_status(self, asked: bool) -> None:
        answer = await play(
            "503 message='try later' error-type=busy error-code=x retry-after=2", stream=asked
        )
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        error = {"message": "try later", "type": "busy", "param": None, "code": "x"}
        assert answer.json == {"error": error}

    async def test_beyond_its_capacity(self) -> None:
        answer = await play("capacity 0")
        assert (answer.status, answer.json["error"]["type"]) == (503, "server_error")

    async def test_says(self) -> None:
        answer = await play("says azure-filter")
        assert (answer.status, answer.json["error"]["code"]) == (400, "content_filter")
        assert "content_filter_result" in answer.json["error"]["innererror"]

    async def test_html_and_flood(self) -> None:
        assert (await stream("html 502")).body.startswith(b"<html>")
        assert len((await play("flood 500 size=200000")).body) == 200_000

    async def test_redirect(self) -> None:
        async with FaultProvider("redirect; redirect to=other; redirect to=loop") as provider:
            here, other, loop = [(await raw.ask(provider, path=PATH)).headers["location"] for _ in range(3)]
            assert (here, loop) == ("/v1/moved/responses", PATH)
            assert other == f"http://localhost:{provider.port}/v1/moved/responses"
            assert text(await raw.ask(provider, path=here)) == TEXT


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
        assert (deltas(answer), names(answer)[-1]) == (list(TOKENS[:40]), DELTA)

    async def test_a_unary_answer_ends_in_the_middle_of_its_json(self) -> None:
        whole = (await play("fine")).body
        assert (await play("end after=30")).body[:40] == whole[:40]
        assert len((await play("choices 2 + end after=30")).body) == len(whole) // 2


class TestInsideTheAnswer:
    @pytest.mark.parametrize("kind", events.KINDS)
    async def test_malformed(self, kind: str) -> None:
        data = {**events.MALFORMED, **openai_responses.MALFORMED}[kind]
        answer = await stream(f"malformed {kind} after=10")
        before, found, after = answer.body.partition(b"event: %b\ndata: %b\n\n" % (DELTA.encode(), data))
        assert found
        assert before.count(b"output_text.delta\n") == 10
        answer.body = before + after
        assert (text(answer), ending(answer)) == (TEXT, ("completed", None))
        assert (await play(f"malformed {kind}")).body == data

    @pytest.mark.parametrize(
        ("then", "ending", "final"),
        [
            ("end", "end", ["error", "response.failed"]),
            ("done", "end", ["error", "response.failed", "response.completed"]),
            ("cut", "cut", ["error", "response.failed"]),
        ],
    )
    async def test_error(self, then: str, ending: str, final: list[str]) -> None:
        answer = await stream(f"error openai-rate-limit after=5 then={then}")
        assert (answer.ending, names(answer)[4 + 5 :]) == (ending, final)
        message = WORDINGS["openai-rate-limit"].value["error"]["message"]
        (error,), (failed,) = found(answer, "error"), found(answer, "response.failed")
        assert error == {
            "type": "error",
            "sequence_number": 9,
            "code": "rate_limit_exceeded",
            "message": message,
            "param": None,
        }
        response = failed["response"]
        assert (response["id"], response["status"]) == (f"resp_{TAIL}", "failed")
        assert response["error"] == {"code": "rate_limit_exceeded", "message": message}
        assert (response["output"], response["usage"]) == ([], None)
        assert set(response) == set(answer.named[0][1]["response"])

    async def test_error_of_nobody_in_particular_is_the_formats_own(self) -> None:
        (failed,) = found(await stream("error"), "response.failed")
        assert failed["response"]["error"]["code"] == "server_error"

    async def test_error_in_a_unary_answer_is_a_response_that_failed(self) -> None:
        answer = await play("error openai-quota", model="gpt-any")
        assert (answer.status, last(answer)["status"], last(answer)["model"]) == (200, "failed", "gpt-any")
        assert last(answer)["error"]["code"] == "insufficient_quota"

    async def test_error_in_its_other_forms(self) -> None:
        value = WORDINGS["openai-quota"].value
        nested = await stream("error openai-quota after=headers form=nested")
        assert nested.named[0] == ("error", {"type": "error", "sequence_number": 0, **value})
        assert names(nested)[1:] == ["response.failed"]
        assert names(await stream("error openai-quota after=headers form=chunk")) == ["response.failed"]
        assert json.loads((await stream("error openai-quota after=headers form=bare")).body) == value

    @pytest.mark.parametrize("wording", WORDINGS)
    async def test_error_in_anybodys_words(self, wording: str) -> None:
        answer = await stream(f"error {wording} after=headers")
        assert all(value["sequence_number"] == number for number, (_, value) in enumerate(answer.named))
        (error,) = found(answer, "error")
        assert isinstance(error["code"], str)
        assert (
            error["message"]
            in json.loads(json.dumps(WORDINGS[wording].value)).get("error", WORDINGS[wording].value).values()
        )

    @pytest.mark.parametrize("asked", [True, False])
    @pytest.mark.parametrize("word", ["reasoning 2", "refusal"])
    async def test_invalid_utf8(self, asked: bool, word: str) -> None:
        answer = await play(f"{word} + invalid-utf8", stream=asked)
        assert answer.body.count(b"\xff\xc3") == 1
        repaired = answer.body.replace(b"\xff\xc3", b"")
        fine = (await play(word, stream=asked, model="m")).body
        if asked:
            assert repaired.count(b'"delta":"",') + repaired.count(b'"delta":""}') == 1
        else:
            assert len(repaired) == len(fine)

    @pytest.mark.parametrize("asked", [True, False])
    async def test_big_event(self, asked: bool) -> None:
        answer = await play("reasoning 2 + big-event 1MB", stream=asked)
        assert len(text(answer)) == len(TEXT) + 1_000_000
        if asked:
            assert {value["item_id"] for value in found(answer, DELTA)} == {f"msg_{TAIL}01"}

    @pytest.mark.parametrize(
        ("kind", "sign"),
        [
            ("comment", b": still here\n\n"),
            ("event", b'event: ping\ndata: {"type":"ping"}\n\n'),
        ],
    )
    async def test_pings(self, kind: str, sign: bytes) -> None:
        answer = await stream(f"pings every=2s times=3 kind={kind} after=preamble")
        before, sent, after = answer.body.partition(sign * 3)
        assert sent
        assert before.count(b"event: ") == 4
        answer.body = before + after
        assert text(answer) == TEXT

    async def test_pings_that_are_deltas(self) -> None:
        answer = await stream("pings every=2s times=3 kind=delta after=preamble")
        assert deltas(answer) == ["", "", "", *TOKENS]
        assert {value["item_id"] for value in found(answer, DELTA)} == {f"msg_{TAIL}00"}

    async def test_usage(self) -> None:
        for kind, expected in (("missing", None), ("zero", 0), ("always", 60), ("finish", 60), ("twice", 60)):
            for answer in (await stream(f"usage {kind}"), await play(f"usage {kind}")):
                usage = last(answer)["usage"]
                assert (usage and usage["output_tokens"]) == expected
        zero = last(await play("usage zero"))["usage"]
        assert (zero["input_tokens"], zero["total_tokens"]) == (0, 0)
        twice = [value["response"]["usage"] for _, value in (await stream("usage twice")).named[:2]]
        assert twice[0] is None
        assert twice[1]["total_tokens"] == 0

    async def test_done(self) -> None:
        fine, missing, twice, after = [
            await stream(f"{script}", model="m")
            for script in ("fine", "done missing", "done twice", "done data-after")
        ]
        # Where the stop reason is in the last event, nothing behind it can be missing.
        assert names(missing) == names(fine)
        assert names(twice) == [*names(fine), "response.completed"]
        assert last(twice)["output"] == twice.named[-2][1]["response"]["output"]
        assert names(after)[-3:] == ["response.completed", DELTA, "response.completed"]
        assert text(after) == TEXT + events.STRAY

    @pytest.mark.parametrize(
        ("kind", "content", "said"),
        [
            ("null", [], []),
            ("blank", [""], []),
            ("space", [" \n\n"], [" ", "\n\n"]),
        ],
    )
    async def test_empty(self, kind: str, content: list[str], said: list[str]) -> None:
        answer = await stream(f"empty {kind} finish=length")
        assert (deltas(answer), ending(answer)[0]) == (said, "incomplete")
        for one in (answer, await play(f"empty {kind}")):
            (item,) = last(one)["output"]
            assert [part["text"] for part in item["content"]] == content

    async def test_empty_of_items(self) -> None:
        answer = await stream("empty choices")
        assert names(answer) == ["response.created", "response.in_progress", "response.completed"]
        for one in (answer, await play("empty choices")):
            assert last(one)["output"] == []

    async def test_empty_but_for_the_last_event_or_of_no_bytes(self) -> None:
        answer = await stream("empty done")
        assert names(answer) == ["response.completed"]
        assert text(answer) == ""
        assert (await play("empty done")).body == b"{}"
        for asked in (True, False):
            assert (await play("empty body", stream=asked)).body == b""

    async def test_finish(self) -> None:
        answer = await stream("finish content_filter after=20")
        assert (deltas(answer), ending(answer)) == (
            list(TOKENS[:20]),
            ("incomplete", {"reason": "content_filter"}),
        )
        assert last(answer)["usage"]["output_tokens"] == 20

    async def test_finish_none_says_nothing_of_an_end(self) -> None:
        answer = await stream("finish none")
        assert (text(answer), answer.ending) == (TEXT, "end")
        assert names(answer)[-1] == "response.output_item.done"
        assert ending(await play("finish none")) == ("in_progress", None)

    async def test_azure(self) -> None:
        answer = await stream("azure + finish content_filter after=2")
        assert names(answer)[0] == "response.created", "no event of its own: SDKs want this one first"
        (prompt,) = answer.named[0][1]["response"]["content_filters"]
        assert (prompt["source_type"], prompt["blocked"]) == ("prompt", False)
        filters = [(one["source_type"], one["blocked"]) for one in last(answer)["content_filters"]]
        assert filters == [("prompt", False), ("completion", True)]
        violence = last(answer)["content_filters"][1]["content_filter_results"]["violence"]
        assert violence == {"filtered": True, "severity": "medium"}
        fine = last(await play("azure"))["content_filters"]
        assert [one["blocked"] for one in fine] == [False, False]
        assert "content_filters" not in last(await play("fine"))

    @pytest.mark.parametrize("asked", [True, False])
    async def test_blocked(self, asked: bool) -> None:
        answer = await play("reasoning 2 + blocked", stream=asked)
        assert ending(answer) == ("incomplete", {"reason": "content_filter"})
        assert last(answer)["output"] == []


class TestLinesBytesAndHeads:
    async def test_sse(self) -> None:
        body = (await stream("sse lines=crlf no-space multiline fields comments bom")).body
        assert body.startswith(
            b"\xef\xbb\xbf: still here\r\n\r\nevent:response.created\r\nid: 1\r\nretry: 3000\r\ndata:{\r\n"
            b'data:"type":"response.created"'
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
        assert cut.body.endswith(b"\n\n" + openai_responses.HALF)
        assert cut.body.count(b"data: ") == 4 + 3 + 1
        with pytest.raises(json.JSONDecodeError):
            json.loads((await play("truncate")).body)
        split = await stream("split 1")
        assert {len(chunk) for chunk in split.chunks} == {1}
        assert text(split) == TEXT

    async def test_headers(self) -> None:
        answer = await stream("header x-ratelimit-remaining-requests=0 + big-header 1000 + skew +1h")
        assert answer.headers["x-ratelimit-remaining-requests"] == "0"
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
        answer = await stream("model gpt-other")
        assert {value["response"]["model"] for _, value in answer.named if "response" in value} == {
            "gpt-other"
        }

    async def test_there_is_one_choice_whatever_is_asked_for(self) -> None:
        for answer in (await stream("choices 3", n=3), await play("choices 3", n=3)):
            assert text(answer) == TEXT

    async def test_escape_and_surrogates(self) -> None:
        for asked in (True, False):
            answer = await play("escape + tools with-text", stream=asked)
            assert answer.body.isascii()
            assert text(answer) == TEXT
        halves = await stream("surrogates")
        assert rb'"delta":" \ud83c"' in halves.body
        assert rb'"delta":"\udfad"' in halves.body
        assert text(await play("surrogates")) == TEXT
