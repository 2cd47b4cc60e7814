"""Other healthy answers."""

from __future__ import annotations

import json

from tests.faults.raw import play, stream
from understudy.faults import TEXT, TOKENS
from understudy.faults.answers import ARGUMENTS

ASKED = {"stream_options": {"include_usage": True}}


async def test_another_text() -> None:
    for asked in (True, False):
        assert (await play("text 'Hello there'", stream=asked)).text == "Hello there"


async def test_another_number_of_tokens() -> None:
    answer = await stream("tokens 125", **ASKED)
    assert len(answer.events) == 1 + 125 + 1 + 1
    assert answer.events[-1]["usage"]["completion_tokens"] == 125
    assert answer.text == TEXT + TEXT + "".join(TOKENS[:5])


async def test_another_model() -> None:
    assert (await play("model gpt-other")).json["model"] == "gpt-other"
    assert (await stream("fine", model="gpt-asked")).events[0]["model"] == "gpt-asked"


async def test_more_choices_than_were_asked_for() -> None:
    assert len((await play("choices 2")).json["choices"]) == 2
    finished = [event["choices"][0]["finish_reason"] for event in (await stream("choices 2")).events]
    assert finished.count("stop") == 2


async def test_reasoning_in_another_field_and_nothing_else() -> None:
    message = (await play("reasoning 2 field=reasoning only")).json["choices"][0]["message"]
    assert (message["reasoning"], message["content"]) == (" thought-1 thought-2", None)
    deltas = [
        event["choices"][0]["delta"] for event in (await stream("reasoning 2 field=reasoning only")).events
    ]
    assert deltas[1:-1] == [{"reasoning": " thought-1"}, {"reasoning": " thought-2"}]


async def test_tool_calls_instead_of_text_or_behind_it() -> None:
    message = (await play("tools")).json["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["arguments"] == ARGUMENTS
    both = (await play("tools 4 with-text")).json["choices"][0]
    assert (both["message"]["content"], both["finish_reason"]) == (TEXT, "tool_calls")
    assert len({call["id"] for call in both["message"]["tool_calls"]}) == 4


async def test_tool_calls_that_go_on_where_an_answer_before_has_ended() -> None:
    calls = (await play("tools 2 first=2")).json["choices"][0]["message"]["tool_calls"]
    named = [(call["id"], call["function"]["name"]) for call in calls]
    assert named == [("call_0002", "get_news"), ("call_0003", "get_weather")]


async def test_arguments_that_are_no_json_with_a_proper_ending() -> None:
    answer = await stream("""tools arguments='{"city": ' split=3""")
    assert answer.finish == "tool_calls"
    pieces = [
        event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]
        for event in answer.events[1:-1]
    ]
    assert pieces == ["", '{"c', "ity", '": ']


async def test_a_stop_after_a_tool_call_and_tool_calls_without_one() -> None:
    assert (await stream("tools + finish stop")).finish == "stop"
    assert (await stream("empty blank finish=tool_calls")).finish == "tool_calls"


async def test_everything_beyond_ascii_as_escapes() -> None:
    for asked in (True, False):
        answer = await play("escape", stream=asked)
        assert answer.body.isascii()
        assert answer.text == TEXT


async def test_halves_of_an_emoji_in_different_events() -> None:
    answer = await stream("surrogates")
    assert rb'"content":" \ud83c"' in answer.body
    assert rb'"content":"\udfad"' in answer.body
    contents = [event["choices"][0]["delta"].get("content", "") for event in answer.events]
    joined = "".join(contents).encode("utf-16", "surrogatepass").decode("utf-16")
    assert joined == TEXT
    unary = await play("surrogates")
    assert json.loads(unary.body)["choices"][0]["message"]["content"] == TEXT


async def test_a_refusal_in_a_field_of_its_own() -> None:
    message = (await play("refusal 'I will not'")).json["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "I will not")
    answer = await stream("refusal 'I will not'")
    deltas = [event["choices"][0]["delta"] for event in answer.events]
    assert [delta["refusal"] for delta in deltas[1:-1]] == ["I", " will", " not"]
    assert answer.finish == "stop"
    assert (await play("refusal")).json["choices"][0]["message"]["refusal"] == TEXT


async def test_a_refusal_can_be_spoiled_like_any_text() -> None:
    for asked in (True, False):
        answer = await play("refusal No. + invalid-utf8 after=0", stream=asked)
        assert b'"refusal":"\xff\xc3' in answer.body


async def test_tool_calls_without_ids() -> None:
    calls = (await play("tools 2 no-ids")).json["choices"][0]["message"]["tool_calls"]
    assert [call["id"] for call in calls] == ["", ""]


async def test_what_a_prompt_cache_did_is_told_as_each_format_tells_it() -> None:
    messages = [{"role": "user", "content": "x" * 80}]  # twenty tokens
    cached, script = {"cached_tokens": 4, "cache_write_tokens": 2}, "cached 4 written=2"
    chat = (await play(script, messages=messages)).json["usage"]
    assert (chat["prompt_tokens"], chat["prompt_tokens_details"]) == (20, cached)
    assert (await stream(script, messages=messages, **ASKED)).events[-1]["usage"] == chat
    message = (await play(script, path="/v1/messages", messages=messages)).json["usage"]
    read, written = message["cache_read_input_tokens"], message["cache_creation_input_tokens"]
    assert (message["input_tokens"], read, written) == (14, 4, 2)
    response = (await play(script, path="/v1/responses", input="x" * 80)).json["usage"]
    assert (response["input_tokens"], response["input_tokens_details"]) == (20, cached)
    contents = [{"role": "user", "parts": [{"text": "x" * 80}]}]
    told = (await play(script, path="/v1beta/models/m:generateContent", contents=contents)).json
    usage = told["usageMetadata"]
    assert (usage["promptTokenCount"], usage["cachedContentTokenCount"]) == (20, 4)


async def test_no_more_is_cached_than_there_is() -> None:
    messages = [{"role": "user", "content": "x" * 80}]
    details = (await play("cached 15 written=9", messages=messages)).json["usage"]["prompt_tokens_details"]
    assert details == {"cached_tokens": 15, "cache_write_tokens": 5}
    all_of_it = (await play("cached 99", messages=messages)).json["usage"]["prompt_tokens_details"]
    assert all_of_it == {"cached_tokens": 20, "cache_write_tokens": 0}
    assert "prompt_tokens_details" not in (await play("fine", messages=messages)).json["usage"]
