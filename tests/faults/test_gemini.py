"""The healthy answers, as Google's SDK reads them; the rules of the format, byte by byte; and every fault
word once, as it is in this format."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import AsyncIterator
from itertools import islice
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from google import genai
from google.genai import errors, types

from tests.faults import raw
from tests.faults.raw import Answer, Client
from understudy.faults import TEXT, TOKENS, FaultProvider, events, gemini
from understudy.faults.act import Part
from understudy.faults.answer import Call
from understudy.faults.answers import ARGUMENTS
from understudy.faults.performance import perform
from understudy.faults.plan import Plan, Stage
from understudy.faults.script import Script
from understudy.faults.vocabulary import WORDS
from understudy.faults.wordings import WORDINGS

CONTENTS: Any = [{"role": "user", "parts": [{"text": "Say something."}]}]
INPUT = json.loads(ARGUMENTS)
RATING = {"category": gemini.HARM, "probability": "HIGH", "blocked": True}
SIGNATURE = gemini.SIGNATURE.decode()


def path(method: str = "generateContent", model: str = "m", query: str = "") -> str:
    return f"/v1beta/models/{quote(model)}:{method}{query}"


STREAM = path("streamGenerateContent", query="?alt=sse")


async def play(script: str, *, asked: bool = False, **fields: Any) -> Answer:
    """A unary answer, or a stream if that is `asked` for."""
    return await raw.play(script, path=STREAM if asked else path(), contents=CONTENTS, **fields)


async def stream(script: str, **fields: Any) -> Answer:
    return await play(script, asked=True, **fields)


def chunks(answer: Answer) -> list[Any]:
    if answer.body.startswith(b"{"):
        return [answer.json]
    found = answer.body.decode().split("\r\n\r\n")
    return [json.loads(chunk.removeprefix("data: ")) for chunk in found if chunk.startswith("data: ")]


def candidates(answer: Answer, index: int = 0) -> list[Any]:
    found = [candidate for chunk in chunks(answer) for candidate in chunk.get("candidates", ())]
    return [candidate for candidate in found if candidate["index"] == index]


def parts(answer: Answer, index: int = 0) -> list[Any]:
    found = candidates(answer, index)
    return [part for candidate in found for part in candidate.get("content", {}).get("parts", ())]


def texts(answer: Answer, index: int = 0) -> list[str]:
    spoken = [part for part in parts(answer, index) if "thought" not in part]
    return [part["text"] for part in spoken if part.get("text")]


def text(answer: Answer) -> str:
    return "".join(texts(answer))


def finish_reason(answer: Answer) -> str | None:
    return next((one["finishReason"] for one in candidates(answer) if "finishReason" in one), None)


@pytest.fixture
async def provider() -> AsyncIterator[FaultProvider]:
    async with FaultProvider() as provider:
        yield provider


@pytest.fixture
async def client(provider: FaultProvider) -> AsyncIterator[genai.client.AsyncClient]:
    async with httpx.AsyncClient() as transport:
        options = types.HttpOptions(base_url=provider.origin, httpx_async_client=transport)
        whole = genai.Client(api_key="AIza-test", http_options=options)
        yield whole.aio
        whole.close()


Sdk = genai.client.AsyncClient


async def unary(client: Sdk, model: str = "m", choices: int = 1) -> types.GenerateContentResponse:
    config = types.GenerateContentConfig(candidate_count=choices)
    return await client.models.generate_content(model=model, contents=CONTENTS, config=config)


async def streamed(client: Sdk, model: str = "m") -> list[types.GenerateContentResponse]:
    found = await client.models.generate_content_stream(model=model, contents=CONTENTS)
    return [chunk async for chunk in found]


def content(answer: types.GenerateContentResponse) -> list[types.Part]:
    assert answer.candidates is not None
    (candidate,) = answer.candidates
    assert candidate.content is not None
    assert candidate.content.role == "model"
    return candidate.content.parts or []


def counted(answer: types.GenerateContentResponse) -> tuple[int | None, ...]:
    usage = answer.usage_metadata
    assert usage is not None
    return (
        usage.prompt_token_count,
        usage.candidates_token_count,
        usage.thoughts_token_count,
        usage.total_token_count,
    )


class TestTheSdk:
    async def test_reads_a_unary_answer(self, client: Sdk) -> None:
        answer = await unary(client, "gemini-any")
        assert answer.text == TEXT
        assert answer.candidates is not None
        assert answer.candidates[0].finish_reason == types.FinishReason.STOP
        assert (answer.model_version, answer.response_id) == ("gemini-any", "gemini-0000000001")
        assert counted(answer) == (4, 60, None, 64)

    async def test_reads_a_stream_one_chunk_per_token(self, client: Sdk) -> None:
        *found, last = await streamed(client)
        assert [chunk.text for chunk in found] == list(TOKENS)
        assert [counted(chunk) for chunk in found[:2]] == [(4, 1, None, 5), (4, 2, None, 6)]
        assert last.candidates is not None
        assert last.candidates[0].finish_reason == types.FinishReason.STOP
        assert (last.text, counted(last)) == ("", (4, 60, None, 64))
        assert {chunk.response_id for chunk in (*found, last)} == {"gemini-0000000001"}

    async def test_reads_reasoning_and_its_signature(self, client: Sdk) -> None:
        signature = base64.b64decode(SIGNATURE)
        answer = await unary(client, "fault: reasoning 3")
        thought, said = content(answer)
        assert (thought.text, thought.thought) == (" thought-1 thought-2 thought-3", True)
        assert (said.text, said.thought, said.thought_signature) == (TEXT, None, signature)
        assert counted(answer) == (4, 60, 3, 67)
        found = await streamed(client, "fault: reasoning 3")
        thoughts = [part.text for chunk in found for part in content(chunk) if part.thought]
        assert thoughts == [" thought-1", " thought-2", " thought-3"]
        assert [part.thought_signature for chunk in found for part in content(chunk)][-2:] == [
            None,
            signature,
        ]
        assert [counted(chunk) for chunk in (found[0], found[3], found[-1])] == [
            (4, None, 1, 5),
            (4, 1, 3, 8),
            (4, 60, 3, 67),
        ]

    async def test_reads_tool_calls_the_first_of_them_signed(self, client: Sdk) -> None:
        model = "fault: reasoning 1 + tools 2"
        for answers in ([await unary(client, model)], await streamed(client, model)):
            found = [part for answer in answers for part in content(answer) if part.function_call]
            calls = [part.function_call for part in found if part.function_call]
            assert [call.name for call in calls] == ["get_weather", "get_time"]
            assert [call.id for call in calls] == ["call_0000", "call_0001"]
            assert [call.args for call in calls] == [INPUT, INPUT]
            assert [part.thought_signature is None for part in found] == [False, True]
            last = answers[-1].candidates
            assert last is not None
            assert last[0].finish_reason == types.FinishReason.STOP

    async def test_reads_as_many_candidates_as_were_asked_for(self, client: Sdk) -> None:
        answer = await unary(client, choices=2)
        assert answer.candidates is not None
        assert [candidate.index for candidate in answer.candidates] == [0, 1]
        assert counted(answer) == (4, 120, None, 124)

    async def test_reads_that_a_prompt_was_blocked(self, client: Sdk) -> None:
        (chunk,) = await streamed(client, "fault: blocked")
        for answer in (await unary(client, "fault: blocked"), chunk):
            assert answer.candidates is None
            assert answer.prompt_feedback is not None
            assert answer.prompt_feedback.block_reason == types.BlockedReason.PROHIBITED_CONTENT
            assert counted(answer) == (4, None, None, 4)

    @pytest.mark.parametrize(
        ("model", "reason"),
        [("finish content_filter after=0", "SAFETY"), ("tools arguments=oops", "MALFORMED_FUNCTION_CALL")],
    )
    async def test_reads_other_finish_reasons(self, client: Sdk, model: str, reason: str) -> None:
        (chunk,) = await streamed(client, f"fault: {model}")
        for answer in (await unary(client, f"fault: {model}"), chunk):
            assert answer.candidates is not None
            assert answer.candidates[0].finish_reason == reason
            assert answer.candidates[0].content is None

    async def test_counts_tokens_and_lists_the_models(self, client: Sdk) -> None:
        count = await client.models.count_tokens(model="m", contents="12345678")
        assert count.total_tokens == 2
        found = [model async for model in await client.models.list()]
        assert [model.name for model in found] == ["models/gpt-understudy"]
        assert found[0].supported_actions == ["generateContent", "countTokens"]

    @pytest.mark.parametrize(
        ("status", "word", "kind"),
        [
            (401, "UNAUTHENTICATED", errors.ClientError),
            (429, "RESOURCE_EXHAUSTED", errors.ClientError),
            (503, "UNAVAILABLE", errors.ServerError),
        ],
    )
    async def test_reads_errors(
        self, client: Sdk, status: int, word: str, kind: type[errors.APIError]
    ) -> None:
        for ask in (unary, streamed):
            with pytest.raises(kind, match="not today") as caught:
                await ask(client, f"fault: {status} message='not today'")
            assert (caught.value.code, caught.value.status) == (status, word)

    @pytest.mark.parametrize("form", ["object", "bare"])
    async def test_reads_an_error_inside_a_stream(self, client: Sdk, form: str) -> None:
        with pytest.raises(errors.ServerError, match="overloaded") as caught:
            await streamed(client, f"fault: error gemini-overloaded after=3 form={form}")
        assert (caught.value.code, caught.value.status) == (503, "UNAVAILABLE")


class TestTheRequest:
    def test_is_read_as_a_call(self) -> None:
        body = {
            "systemInstruction": {"parts": [{"text": "four"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "12345"}, {"inlineData": {}}, "nonsense"]},
                "nonsense",
            ],
            "generationConfig": {"candidateCount": 2},
        }
        size = 4 + 5 + len('{"inlineData":{}}')
        assert gemini.read_call(body, "/v1/models/a:generateContent", {}) == Call(
            "a", choices=2, prompt_size=size
        )
        snake = {
            "system_instruction": body["systemInstruction"],
            "contents": body["contents"],
            "generation_config": {"candidate_count": 2},
        }
        wrapped = {"generateContentRequest": snake}
        for one in (snake, wrapped):
            found = gemini.read_call(one, "/models/a:streamGenerateContent", {"alt": "sse"})
            assert found == Call("a", stream=True, choices=2, prompt_size=size)

    def test_counts_as_not_given_where_it_makes_no_sense(self) -> None:
        nonsense = {"contents": "hello", "systemInstruction": 3, "generationConfig": {"candidateCount": 0}}
        for body in (nonsense, {}, {"contents": [{"parts": [{"text": None}]}][:0]}):
            assert gemini.read_call(body, "/v1/models/a:generateContent", {}) == Call("a")

    def test_is_for_an_array_unless_events_are_asked_for(self) -> None:
        for query, expected in (({}, True), ({"alt": "json"}, True), ({"alt": "sse"}, False)):
            assert gemini.read_call({}, "/models/a:streamGenerateContent", query).as_array is expected
            assert not gemini.read_call({}, "/models/a:generateContent", query).as_array

    @pytest.mark.parametrize("prefix", ["/v1beta", "/v1", "", "/v1/projects/p/publishers/google"])
    async def test_is_answered_under_any_prefix(self, prefix: str) -> None:
        async with FaultProvider() as provider:
            assert text(await raw.ask(provider, path=f"{prefix}/models/m:generateContent")) == TEXT

    @pytest.mark.parametrize("header", [True, False])
    async def test_is_logged_with_its_model_and_query_but_not_its_key(self, header: bool) -> None:
        where = path(
            "streamGenerateContent", "gemini-any", "?alt=sse" + ("" if header else "&key=AIza-secret")
        )
        headers = "x-goog-api-key: AIza-secret\r\n" if header else ""
        async with FaultProvider() as provider:
            await raw.ask(provider, path=where, headers=headers, contents=CONTENTS)
            (request,) = provider.requests
        assert (request.path, request.format) == (
            "/v1beta/models/gemini-any:streamGenerateContent",
            "gemini",
        )
        assert (request.model, request.stream, request.prompt_size) == ("gemini-any", True, 14)
        assert request.query == {"alt": "sse"}
        assert request.credential is not None
        assert "secret" not in json.dumps(request.to_dict()) + repr(request)

    async def test_that_counts_tokens_is_always_well_and_uses_no_step_up(self) -> None:
        async with FaultProvider("500; fine") as provider:
            count = await raw.ask(provider, path=path("countTokens"), contents=CONTENTS)
            details = [{"modality": "TEXT", "tokenCount": 4}]
            assert (count.status, count.json) == (200, {"totalTokens": 4, "promptTokensDetails": details})
            assert (await raw.ask(provider, path=path())).status == 500
            assert (provider.requests[0].step, provider.requests[0].status) == ("", 200)

    @pytest.mark.parametrize(
        ("method", "where", "body", "status", "kind"),
        [
            ("GET", path(), b"", 404, "NOT_FOUND"),
            ("POST", path(), b"[]", 400, "INVALID_ARGUMENT"),
            ("POST", path("countTokens"), b"{", 400, "INVALID_ARGUMENT"),
            ("POST", path(model="fault: statsu"), b"{}", 400, "INVALID_ARGUMENT"),
        ],
    )
    async def test_is_refused_in_the_formats_own_way(
        self, method: str, where: str, body: bytes, status: int, kind: str
    ) -> None:
        async with FaultProvider() as provider, Client(provider) as client:
            client.post(where, body, method=method)
            answer = await client.receive()
        error = answer.json["error"]
        assert (answer.status, error["code"], error["status"]) == (status, status, kind)

    async def test_of_a_list_of_models_is_known_by_its_key(self) -> None:
        async with FaultProvider(models={"a/b": "fine"}) as provider, Client(provider) as client:
            for where, headers in (("/v1/models", "x-goog-api-key: k\r\n"), ("/v1/models?key=k", "")):
                client.post(where, b"", headers, "GET")
                names = [model["name"] for model in (await client.receive()).json["models"]]
                assert names == ["models/a/b", "models/gpt-understudy"]
            client.post("/v1/models", b"", "", "GET")
            assert "data" in (await client.receive()).json

    async def test_asks_for_no_usage_though_it_is_told(self) -> None:
        assert (await play("when usage 400", stream_options={"include_usage": True})).status == 200


class TestTheStream:
    async def test_is_the_documented_one_byte_by_byte(self) -> None:
        where = path("streamGenerateContent", "gemini-any", "?alt=sse")
        answer = await raw.play("text 'Hello there'", path=where, contents=CONTENTS)
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        details = b'"promptTokensDetails":[{"modality":"TEXT","tokenCount":4}]},'
        ids = b'"modelVersion":"gemini-any","responseId":"gemini-0000000001"}\r\n\r\n'
        assert answer.body == (
            b'data: {"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"index":0}],'
            b'"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1,"totalTokenCount":5,'
            + details
            + ids
            + b'data: {"candidates":[{"content":{"parts":[{"text":" there"}],"role":"model"},"index":0}],'
            b'"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"totalTokenCount":6,'
            + details
            + ids
            + b'data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP",'
            b'"index":0}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":2,"totalTokenCount":6,'
            + details
            + ids
        )

    async def test_is_one_array_without_alt_sse(self) -> None:
        where = path("streamGenerateContent")
        answer = await raw.play("text 'Hello there'", path=where, contents=CONTENTS)
        assert answer.headers["content-type"] == "application/json"
        first, second, last = answer.json
        assert [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in answer.json] == [
            "Hello",
            " there",
            "",
        ]
        assert answer.body.startswith(b'[{"candidates":')
        assert answer.body.count(b"},\r\n{") == 2
        assert answer.body.endswith(b"}\n]")
        assert "finishReason" not in first["candidates"][0]
        assert last["candidates"][0]["finishReason"] == "STOP"
        assert second["usageMetadata"]["candidatesTokenCount"] == 2

    async def test_as_an_array_breaks_off_like_any_other(self) -> None:
        where = path("streamGenerateContent")
        cut = await raw.play("cut after=2", path=where)
        assert cut.ending == "cut"
        assert not cut.body.endswith(b"]")
        ended = await raw.play("end after=2", path=where)
        assert len(ended.json) == 2
        failed = await raw.play("error gemini-overloaded after=1", path=where)
        assert failed.json[-1] == WORDINGS["gemini-overloaded"].value
        assert (await raw.play("empty body", path=where)).body == b""

    async def test_has_no_preamble_and_no_last_event(self) -> None:
        assert (await stream("cut after=preamble")).body == b""
        fine = await stream("fine")
        assert {tuple(chunk) for chunk in chunks(fine)} == {
            ("candidates", "usageMetadata", "modelVersion", "responseId")
        }
        for script in ("done missing", "cut after=finish"):
            assert (await stream(script)).body == fine.body

    async def test_has_no_header_with_an_id(self) -> None:
        assert not any("request-id" in name for name in (await stream("fine")).headers)

    async def test_has_a_tool_call_whole_and_all_its_tokens_at_once(self) -> None:
        call = {"name": "get_weather", "args": INPUT, "id": "call_0000"}
        whole = await stream("tools split=4")
        assert parts(whole) == [{"functionCall": call}, {"text": ""}]
        tokens = 1 + -(-len(ARGUMENTS) // 4)
        assert chunks(whole)[0]["usageMetadata"]["candidatesTokenCount"] == tokens
        assert chunks(await stream(f"tools split=4 + cut after={tokens - 1}")) == []
        assert len(chunks(await stream(f"tools split=4 + cut after={tokens}"))) == 1
        async with FaultProvider("tools split=4") as provider:
            await raw.ask(provider, path=STREAM)
            assert provider.requests[0].tokens == tokens

    async def test_has_no_ids_where_calls_have_none(self) -> None:
        answer = await stream("tools 2 no-ids")
        assert [sorted(part["functionCall"]) for part in parts(answer)[:2]] == [["args", "name"]] * 2

    @pytest.mark.parametrize(
        ("script", "tokens"), [("fine", 60), ("reasoning 5", 65), ("tools 2 split=50", 4), ("tokens 0", 0)]
    )
    async def test_counts_every_piece_of_reasoning_text_and_tool_calls(
        self, script: str, tokens: int
    ) -> None:
        for answer in (await stream(script), await play(script)):
            assert chunks(answer)[-1]["usageMetadata"]["totalTokenCount"] == 4 + tokens

    @pytest.mark.parametrize(
        ("after", "count"), [("headers", 0), ("preamble", 0), ("1", 1), ("60", 60), ("finish", 61)]
    )
    async def test_has_its_places_as_the_others_have(self, after: str, count: int) -> None:
        answer = await stream(f"cut after={after}")
        assert (len(chunks(answer)), answer.ending) == (count, "cut")

    async def test_has_usage_that_follows_the_finish_reason_behind_the_place_finish(self) -> None:
        (*_, last) = chunks(await stream("usage twice + end after=finish"))
        assert last["candidates"][0]["finishReason"] == "STOP"

    async def test_is_the_same_when_it_was_written_before(self) -> None:
        async with FaultProvider() as provider:
            first, second = [(await raw.ask(provider, path=STREAM)).body for _ in range(2)]
        assert first.replace(b"gemini-0000000001", b"gemini-0000000002") == second


class TestTheUnaryAnswer:
    async def test_is_the_documented_one_byte_by_byte(self) -> None:
        answer = await raw.play("text Hello", path=path(model="gemini-any"), contents=CONTENTS)
        assert answer.headers["content-type"] == "application/json"
        assert answer.body == (
            b'{"candidates":[{"content":{"parts":[{"text":"Hello"}],"role":"model"},"finishReason":"STOP",'
            b'"index":0}],"usageMetadata":{"promptTokenCount":4,"candidatesTokenCount":1,"totalTokenCount":5,'
            b'"promptTokensDetails":[{"modality":"TEXT","tokenCount":4}]},"modelVersion":"gemini-any",'
            b'"responseId":"gemini-0000000001"}'
        )

    async def test_has_parts_of_every_kind(self) -> None:
        assert parts(await play("reasoning 1 + tools with-text")) == [
            {"text": " thought-1", "thought": True},
            {"text": TEXT},
            {
                "functionCall": {"name": "get_weather", "args": INPUT, "id": "call_0000"},
                "thoughtSignature": SIGNATURE,
            },
        ]

    async def test_of_reasoning_alone_is_signed_on_a_part_of_its_own(self) -> None:
        for answer in (await play("reasoning 1 only"), await stream("reasoning 1 only")):
            assert parts(answer) == [
                {"text": " thought-1", "thought": True},
                {"text": "", "thoughtSignature": SIGNATURE},
            ]

    @pytest.mark.parametrize("arguments", ['{"city": ', "[1]"])
    @pytest.mark.parametrize("asked", [True, False])
    async def test_cannot_say_arguments_that_are_no_object(self, arguments: str, asked: bool) -> None:
        answer = await play(f"tools 2 arguments='{arguments}' with-text", asked=asked)
        assert (text(answer), finish_reason(answer)) == (TEXT, "MALFORMED_FUNCTION_CALL")
        assert not any("functionCall" in part for part in parts(answer))
        message = candidates(answer)[-1]["finishMessage"]
        assert message == f"Malformed function call: get_weather({arguments}get_time({arguments}"

    async def test_says_arguments_that_are_nothing_and_keeps_a_finish_reason_of_the_scripts_own(self) -> None:
        assert parts(await play("tools arguments=''"))[0]["functionCall"]["args"] == {}
        assert finish_reason(await play("tools arguments=x + finish length")) == "MAX_TOKENS"


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("stop", "STOP"),
        ("length", "MAX_TOKENS"),
        ("tool_calls", "STOP"),
        ("content_filter", "SAFETY"),
        ("RECITATION", "RECITATION"),
    ],
)
async def test_finish_reasons_have_the_formats_own_names(word: str, reason: str) -> None:
    for answer in (await stream(f"finish {word}"), await play(f"finish {word}")):
        assert finish_reason(answer) == reason
        assert text(answer) == TEXT
    # With another reason, no content is beside it.
    said = candidates(await stream(f"finish {word}"))[-1]
    assert ("content" in said) is (reason in ("STOP", "MAX_TOKENS"))
    assert said.get("safetyRatings") == ([RATING] if reason == "SAFETY" else None)


async def test_a_malformed_call_of_the_scripts_own_has_its_message() -> None:
    answer = await stream("finish MALFORMED_FUNCTION_CALL after=0")
    assert candidates(answer) == [
        {
            "finishReason": "MALFORMED_FUNCTION_CALL",
            "finishMessage": "Malformed function call: print(default_api.",
            "index": 0,
        }
    ]


# Words that send what is literally someone else's, in whatever format.
LITERAL = ("says", "error")


@pytest.mark.parametrize("word", [name for name in WORDS if name not in LITERAL])
@pytest.mark.parametrize("asked", [True, False])
def test_no_word_speaks_another_format(word: str, asked: bool) -> None:
    plan = Script.parse(WORDS[word].example).steps[0].plan(Plan(format=gemini))
    stage = Stage(gemini.identity(1), created=1, wall=0.0, other_origin="", target=path())
    acts = islice(perform(plan, Call("m", stream=asked), stage), 300)
    sent = b"".join(act.data for act in acts if isinstance(act, Part))
    for foreign in (b"chatcmpl", b"choices", b"[DONE]", b"request-id", b"completion", b"message_", b"resp_"):
        assert foreign not in sent


class TestInsteadOfAnAnswer:
    async def test_fine(self) -> None:
        answer = await stream("fine")
        assert (text(answer), finish_reason(answer), answer.ending) == (TEXT, "STOP", "end")

    @pytest.mark.parametrize("asked", [True, False])
    async def test_status(self, asked: bool) -> None:
        answer = await play("503 message='try later' error-type=BUSY retry-after=2", asked=asked)
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        assert answer.json == {"error": {"code": 503, "message": "try later", "status": "BUSY"}}
        coded = (await play("400 error-code=API_KEY_INVALID")).json["error"]
        assert coded["details"] == [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "API_KEY_INVALID",
                "domain": "googleapis.com",
            }
        ]

    async def test_the_type_of_an_error_follows_from_its_status(self) -> None:
        kinds = {}
        for code in (400, 401, 403, 404, 409, 413, 429, 499, 500, 501, 502, 503, 504):
            kinds[code] = (await play(str(code))).json["error"]["status"]
        assert kinds == {
            400: "INVALID_ARGUMENT",
            401: "UNAUTHENTICATED",
            403: "PERMISSION_DENIED",
            404: "NOT_FOUND",
            409: "ABORTED",
            413: "INVALID_ARGUMENT",
            429: "RESOURCE_EXHAUSTED",
            499: "CANCELLED",
            500: "INTERNAL",
            501: "UNIMPLEMENTED",
            502: "INTERNAL",
            503: "UNAVAILABLE",
            504: "DEADLINE_EXCEEDED",
        }

    async def test_beyond_its_capacity(self) -> None:
        answer = await play("capacity 0")
        assert (answer.status, answer.json["error"]["status"]) == (503, "UNAVAILABLE")

    async def test_says(self) -> None:
        answer = await play("says gemini-rate-limit")
        error = answer.json["error"]
        assert (answer.status, error["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert error["details"][-1] == {
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": "2s",
        }
        assert "retry-after" not in answer.headers

    async def test_html_and_flood(self) -> None:
        assert (await stream("html 502")).body.startswith(b"<html>")
        assert len((await play("flood 500 size=200000")).body) == 200_000

    async def test_redirect(self) -> None:
        async with FaultProvider("redirect; redirect to=other; redirect to=loop") as provider:
            here, other, loop = [(await raw.ask(provider, path=STREAM)).headers["location"] for _ in range(3)]
            moved = "/v1beta/moved/models/m:streamGenerateContent?alt=sse"
            assert (here, loop) == (moved, STREAM)
            assert other == f"http://localhost:{provider.port}{moved}"
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
            assert texts(answer) == list(TOKENS[: 20 if "20" in script else 0])

    @pytest.mark.parametrize(
        ("script", "ending"), [("cut", "cut"), ("end", "end"), ("reset after=40", "reset")]
    )
    async def test_cut_and_end_and_reset(self, script: str, ending: str) -> None:
        answer = await stream(script)
        assert answer.ending == ending
        assert (texts(answer), finish_reason(answer)) == (list(TOKENS[:40]), None)

    async def test_a_unary_answer_ends_in_the_middle_of_its_json(self) -> None:
        whole = (await play("fine")).body
        assert (await play("end after=30")).body == whole[: len(whole) // 2]


class TestInsideTheAnswer:
    @pytest.mark.parametrize("kind", events.KINDS)
    async def test_malformed(self, kind: str) -> None:
        data = {**events.MALFORMED, **gemini.MALFORMED}[kind]
        answer = await stream(f"malformed {kind} after=10")
        before, found, after = answer.body.partition(b"data: " + data + b"\r\n\r\n")
        assert found
        assert before.count(b"data: ") == 10
        answer.body = before + after
        assert (text(answer), finish_reason(answer)) == (TEXT, "STOP")
        assert (await play(f"malformed {kind}")).body == data

    @pytest.mark.parametrize(("then", "ending"), [("end", "end"), ("done", "end"), ("cut", "cut")])
    async def test_error(self, then: str, ending: str) -> None:
        answer = await stream(f"error gemini-overloaded after=5 then={then}")
        found = chunks(answer)
        assert (answer.ending, len(found)) == (ending, 6 + (then == "done"))
        assert found[5] == WORDINGS["gemini-overloaded"].value
        assert finish_reason(answer) == ("STOP" if then == "done" else None)

    async def test_error_of_nobody_in_particular_is_the_formats_own(self) -> None:
        assert chunks(await stream("error"))[-1] == WORDINGS["gemini-server"].value
        assert (await play("error")).json == WORDINGS["gemini-server"].value

    async def test_error_in_its_other_forms(self) -> None:
        value = WORDINGS["gemini-overloaded"].value
        for form in ("object", "nested"):
            assert chunks(await stream(f"error gemini-overloaded after=headers form={form}")) == [value]
        (chunk,) = chunks(await stream("error gemini-overloaded after=0 form=chunk"))
        assert chunk == {"candidates": [{"finishReason": "OTHER", "index": 0}], **value}
        # Naked, in no event: so it came in the field.
        bare = (await stream("error gemini-overloaded after=1 form=bare")).body
        event, naked = bare.split(b"\r\n\r\n")
        assert event.startswith(b'data: {"candidates"')
        assert naked.startswith(b'{\n  "error": {\n')
        assert json.loads(naked) == value

    @pytest.mark.parametrize("asked", [True, False])
    async def test_invalid_utf8(self, asked: bool) -> None:
        answer = await play("reasoning 2 + invalid-utf8", asked=asked)
        assert answer.body.count(b"\xff\xc3") == 1
        answer.body = answer.body.replace(b"\xff\xc3", b"")
        assert text(answer) == TEXT

    @pytest.mark.parametrize("asked", [True, False])
    async def test_big_event(self, asked: bool) -> None:
        answer = await play("reasoning 2 + big-event 1MB", asked=asked)
        assert len(text(answer)) == len(TEXT) + 1_000_000

    @pytest.mark.parametrize(
        ("kind", "sign"),
        [
            ("comment", b": still here\n\n"),
            ("event", b'event: ping\ndata: {"type":"ping"}\n\n'),
            ("delta", b'data: {"candidates":[{"content":{"role":"model"},"index":0}]}\r\n\r\n'),
        ],
    )
    async def test_pings(self, kind: str, sign: bytes) -> None:
        answer = await stream(f"pings every=2s times=3 kind={kind} after=preamble")
        assert answer.body.startswith(sign * 3)
        answer.body = answer.body.removeprefix(sign * 3)
        assert text(answer) == TEXT

    async def test_usage(self) -> None:
        assert b"usage" not in (await stream("usage missing")).body + (await play("usage missing")).body
        for answer in (await stream("usage zero"), await play("usage zero")):
            assert all(not any(chunk["usageMetadata"].values()) for chunk in chunks(answer))
        *_, last, more = chunks(await stream("usage twice"))
        assert not any(last["usageMetadata"].values())
        assert "candidates" not in more
        assert more["usageMetadata"]["candidatesTokenCount"] == 60
        *rest, last = chunks(await stream("usage finish"))
        assert not any("usageMetadata" in chunk for chunk in rest)
        assert last["usageMetadata"]["candidatesTokenCount"] == 60
        assert (await stream("usage always")).body == (await stream("fine")).body
        assert (await play("usage twice")).json["usageMetadata"]["candidatesTokenCount"] == 60

    async def test_done(self) -> None:
        fine, twice, after = [await stream(script) for script in ("fine", "done twice", "done data-after")]
        # Where nothing is the last event, nothing can be missing.
        last = b"data: " + gemini.LAST.data + b"\r\n\r\n"
        assert twice.body == fine.body + last
        assert (text(after), after.body.endswith(last)) == (TEXT + events.STRAY, True)

    @pytest.mark.parametrize(
        ("kind", "content"),
        [
            ("null", {"role": "model"}),
            ("blank", {"parts": [{"text": ""}], "role": "model"}),
            ("space", {"parts": [{"text": " \n\n"}], "role": "model"}),
        ],
    )
    async def test_empty(self, kind: str, content: Any) -> None:
        (candidate,) = candidates(await play(f"empty {kind} finish=length"))
        assert candidate == {"content": content, "finishReason": "MAX_TOKENS", "index": 0}
        answer = await stream(f"empty {kind}")
        assert (texts(answer), finish_reason(answer)) == (
            [" ", "\n\n"] if kind == "space" else [],
            "STOP",
        )
        if kind == "null":
            assert [candidate["content"] for candidate in candidates(answer)] == [content]

    async def test_empty_of_candidates(self) -> None:
        for answer in (await stream("empty choices"), await play("empty choices")):
            (chunk,) = chunks(answer)
            assert sorted(chunk) == ["modelVersion", "responseId", "usageMetadata"]

    async def test_empty_but_for_the_last_event_or_of_no_bytes(self) -> None:
        assert (await stream("empty done")).body == b"data: " + gemini.LAST.data + b"\r\n\r\n"
        assert (await play("empty done")).body == b"{}"
        for asked in (True, False):
            assert (await play("empty body", asked=asked)).body == b""

    async def test_finish(self) -> None:
        for after in (0, 20):
            answer = await stream(f"finish content_filter after={after}")
            assert (texts(answer), finish_reason(answer)) == (list(TOKENS[:after]), "SAFETY")
            usage = chunks(answer)[-1]["usageMetadata"]
            assert usage.get("candidatesTokenCount", 0) == after
        assert candidates(await play("finish content_filter after=0")) == [
            {"finishReason": "SAFETY", "safetyRatings": [RATING], "index": 0}
        ]

    async def test_finish_none_says_nothing_of_an_end(self) -> None:
        answer = await stream("finish none")
        assert (text(answer), finish_reason(answer), answer.ending) == (TEXT, None, "end")
        assert finish_reason(await play("finish none")) is None
        assert candidates(await play("empty blank finish=none")) == [{"index": 0}]

    async def test_azure(self) -> None:
        first, *rest = chunks(await stream("azure"))
        assert list(first) == ["promptFeedback"]
        assert "blockReason" not in first["promptFeedback"]
        assert len(rest) == 61

    @pytest.mark.parametrize("asked", [True, False])
    async def test_blocked(self, asked: bool) -> None:
        answer = await play("blocked SAFETY", asked=asked)
        (chunk,) = chunks(answer)
        assert list(chunk) == ["promptFeedback", "usageMetadata", "modelVersion", "responseId"]
        assert chunk["promptFeedback"] == {"blockReason": "SAFETY"}
        assert "candidatesTokenCount" not in chunk["usageMetadata"]


class TestLinesBytesAndHeads:
    async def test_sse(self) -> None:
        body = (await stream("sse no-space multiline fields comments bom")).body
        assert body.startswith(
            b"\xef\xbb\xbf: still here\r\n\r\nevent: message\r\nid: 1\r\nretry: 3000\r\ndata:{\r\n"
            b'data:"candidates"'
        )
        assert b"\r" not in (await stream("sse lines=lf")).body

    async def test_another_type_or_form(self) -> None:
        assert (await stream("content-type text/plain")).headers["content-type"] == "text/plain"
        for answer in (await stream("as unary"), await play("as stream")):
            assert text(answer) == TEXT

    @pytest.mark.parametrize("asked", [True, False])
    async def test_encoding_and_claim(self, asked: bool) -> None:
        answer = await play("encoding gzip", asked=asked)
        answer.body = zlib.decompress(answer.body, wbits=31)
        assert text(answer) == TEXT
        assert (await play("claim br", asked=asked)).headers["content-encoding"] == "br"

    async def test_length_and_truncate_and_split(self) -> None:
        assert (await play("length +10")).ending == "cut"
        cut = await stream("truncate after=3")
        assert cut.body.endswith(b"\r\n\r\n" + gemini.HALF)
        assert cut.body.count(b"data: ") == 4
        with pytest.raises(json.JSONDecodeError):
            json.loads((await play("truncate")).body)
        split = await stream("split 1")
        assert {len(chunk) for chunk in split.chunks} == {1}
        assert text(split) == TEXT

    async def test_headers(self) -> None:
        answer = await stream("header x-gemini-service-tier=standard + big-header 1000 + skew +1h")
        assert answer.headers["x-gemini-service-tier"] == "standard"
        assert len(answer.headers["x-big"]) == 1000

    async def test_heads_and_connections(self) -> None:
        for script in ("slow-head every=1ms", "interim 103", "http10", "close", "hang-up"):
            assert text(await stream(script)) == TEXT
        async with FaultProvider("garbage") as provider, Client(provider) as client:
            client.send(path=path())
            assert b"this is not HTTP" in await client.reader.read()


class TestOtherHealthyAnswers:
    async def test_text_and_tokens_and_model(self) -> None:
        assert text(await stream("text 'Hello there'")) == "Hello there"
        assert len(texts(await stream("tokens 125"))) == 125
        for answer in (await stream("model gemini-other"), await play("model gemini-other")):
            assert {chunk["modelVersion"] for chunk in chunks(answer)} == {"gemini-other"}

    async def test_choices(self) -> None:
        for answer in (await stream("choices 3"), await play("choices 3")):
            assert ["".join(texts(answer, index)) for index in range(3)] == [TEXT] * 3
            assert chunks(answer)[-1]["usageMetadata"]["candidatesTokenCount"] == 180

    async def test_reasoning_and_tools(self) -> None:
        thoughts = [part for part in parts(await stream("reasoning 2 field=reasoning")) if "thought" in part]
        assert thoughts == [{"text": f" thought-{number}", "thought": True} for number in (1, 2)]
        apart, mixed = [parts(await stream(f"tools 2 {how}")) for how in ("", "interleaved")]
        assert apart == mixed

    async def test_refusal(self) -> None:
        answer = await stream("refusal 'I will not'")
        assert (text(answer), finish_reason(answer)) == ("I will not", "STOP")

    async def test_escape_and_surrogates(self) -> None:
        for asked in (True, False):
            answer = await play("escape + tools with-text", asked=asked)
            assert answer.body.isascii()
            assert text(answer) == TEXT
        halves = await stream("surrogates")
        assert rb'"text":" \ud83c"' in halves.body
        assert rb'"text":"\udfad"' in halves.body
        assert text(await play("surrogates")) == TEXT
