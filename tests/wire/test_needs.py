"""What a request asks for, in neutral words and in every client's; and what is made of it for a member."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.stage import takes
from understudy.core.facts import Facts, Feature, Tokenizer
from understudy.wire import anthropic_client, openai_client, responses_client
from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import ClientRequest, Dialect
from understudy.wire.needs import Needs, Request, own_limit, suited, suited_params
from understudy.wire.tokens import ATTACHMENT, MESSAGE, estimate

USER = {"role": "user", "content": "Hi"}
TEXT = {"type": "text", "text": "Look:"}
DATA = "iVBORw0KGgo" * 50


def client(dialect: Dialect, **fields: Any) -> ClientRequest:
    name = "input" if dialect is responses_client else "messages"
    return dialect.read_request(json.dumps({"model": "m", name: [USER], **fields}).encode())


def openai(**fields: Any) -> ClientRequest:
    return client(openai_client, **fields)


def anthropic(**fields: Any) -> ClientRequest:
    return client(anthropic_client, **{"max_tokens": 10, **fields})


def responses(**fields: Any) -> ClientRequest:
    return client(responses_client, **fields)


def chat(*messages: Any, **fields: Any) -> ChatRequest:
    return ChatRequest(messages or (USER,), fields)


def features(request: Request) -> set[str]:
    return set(map(str, Needs(request).features))


def parts(*content: Any, role: str = "user") -> list[dict[str, Any]]:
    return [{"role": role, "content": [TEXT, *content]}]


IMAGE_URL = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": DATA}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": DATA}}
PLAIN = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "some words"}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}
RESULT = {"type": "tool_result", "tool_use_id": "t", "content": [TEXT, IMAGE]}
USE = {"type": "tool_use", "id": "t", "name": "f", "input": {"type": "image", "x": "image_url"}}


class TestFeatures:
    """Rules 1 to 4."""

    @pytest.mark.parametrize(
        "request_",
        [
            chat(),
            chat(tools=[], response_format=None, reasoning_effort="none"),
            chat(response_format={"type": "json_object"}),
            openai(),
            openai(tools=[], functions=None, response_format=None, reasoning_effort="none"),
            openai(response_format={"type": "json_object"}, messages=parts()),
            openai(messages=[{"role": "user", "content": 'A "image_url" and {"type": "image"}'}]),
            anthropic(thinking=None, messages=parts(PLAIN)),
            anthropic(messages=[USER, *parts(USE, role="assistant"), USER]),
            responses(input="Hi"),
            responses(text={"format": {"type": "text"}}, reasoning={}),
        ],
    )
    def test_a_request_for_text_asks_for_nothing_more(self, request_: Request) -> None:
        assert features(request_) == set()

    @pytest.mark.parametrize(
        ("request_", "feature"),
        [
            (chat(tools=[{}]), "tools"),
            (openai(tools=[{"type": "function", "function": {"name": "f"}}]), "tools"),
            (openai(functions=[{"name": "f"}]), "tools"),
            (anthropic(tools=[{"name": "f", "input_schema": {}}]), "tools"),
            (responses(tools=[{"type": "web_search"}]), "tools"),
            (chat(response_format=SCHEMA), "json-schema"),
            (openai(response_format=SCHEMA), "json-schema"),
            (anthropic(output_config={"format": {"type": "json_schema", "schema": {}}}), "json-schema"),
            (responses(text={"format": {"type": "json_schema", "name": "a", "schema": {}}}), "json-schema"),
            (chat(reasoning_effort="low"), "reasoning"),
            (openai(reasoning_effort="low"), "reasoning"),
            (anthropic(thinking={"type": "enabled", "budget_tokens": 2000}), "reasoning"),
            (responses(reasoning={"effort": "high"}), "reasoning"),
            (chat(*parts(IMAGE_URL)), "images"),
            (openai(messages=parts(IMAGE_URL)), "images"),
            (anthropic(messages=parts(IMAGE)), "images"),
            (anthropic(messages=parts(RESULT)), "images"),
            (responses(input=parts({"type": "input_image", "image_url": "http://a/b.png"})), "images"),
            (
                responses(input=[{"type": "function_call_output", "output": [{"type": "input_image"}]}]),
                "images",
            ),
            (
                responses(
                    input=[{"type": "computer_call_output", "output": {"type": "computer_screenshot"}}]
                ),
                "images",
            ),
            (chat(*parts({"type": "file", "file": {"file_data": DATA}})), "files"),
            (openai(messages=parts({"type": "file", "file": {"file_id": "f"}})), "files"),
            (anthropic(messages=parts(PDF)), "files"),
            (responses(input=parts({"type": "input_file", "file_id": "f"})), "files"),
            (openai(messages=parts({"type": "input_audio", "input_audio": {"data": DATA}})), "audio"),
            (chat(USER, {"role": "assistant", "content": "{"}), "prefill"),
            (openai(messages=[USER, {"role": "assistant", "content": "{"}]), "prefill"),
            (anthropic(messages=[USER, *parts(role="assistant")]), "prefill"),
            (anthropic(messages=[USER, {"role": "assistant", "content": ["{"]}]), "prefill"),
            (responses(input=[USER, {"role": "assistant", "content": "{"}]), "prefill"),
        ],
    )
    def test_each_feature_is_found_in_every_protocol(self, request_: Request, feature: str) -> None:
        assert features(request_) == {feature}

    @pytest.mark.parametrize(
        "last",
        [
            {"role": "assistant", "content": ""},
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": "Hm", "tool_calls": [{"id": "t", "type": "function"}]},
            {"role": "assistant", "content": [TEXT, USE]},
            {"role": "user", "content": "{"},
        ],
    )
    def test_what_is_no_prefilled_answer(self, last: dict[str, Any]) -> None:
        assert "prefill" not in features(openai(messages=[USER, last]))
        assert "prefill" not in features(chat(USER, last))

    @pytest.mark.parametrize(
        "messages", ['[{"role":7}]', '[{"content":{"a":[]}}]', '[{"content":' + "[" * 400 + "]" * 400 + "}]"]
    )
    def test_a_conversation_that_cannot_be_read_asks_for_nothing(self, messages: str) -> None:
        """Rule 4."""
        fields = {"messages": msgspec.Raw(messages.encode()), "tools": msgspec.Raw(b"[{}]")}
        request = ClientRequest(openai_client, fields, model="m", stream=True)
        assert features(request) == {"tools"}

    def test_nor_does_one_in_neutral_words(self) -> None:
        assert features(chat(object(), tools=[{}])) == {"tools"}
        assert features(ChatRequest(())) == set()

    def test_they_are_found_out_once(self) -> None:
        needs = Needs(openai(tools=[{}]))
        assert needs.features is needs.features
        assert (needs.most_tokens, needs.answer_limit) == (needs.most_tokens, needs.answer_limit)


class TestLimit:
    @pytest.mark.parametrize(
        ("request_", "limit"),
        [
            (chat(), 0),
            (chat(max_tokens=7), 7),
            (chat(max_tokens=7, max_completion_tokens=9), 9),
            (openai(max_completion_tokens=9), 9),
            (openai(max_tokens=None), 0),
            (openai(max_tokens="many"), 0),
            (anthropic(max_tokens=5), 5),
            (responses(max_output_tokens=3), 3),
        ],
    )
    def test_the_longest_answer_is_the_requests_word(self, request_: Request, limit: int) -> None:
        assert Needs(request_).answer_limit == limit


class TestTokens:
    """Rules 3 and 5."""

    def test_texts_count_and_each_message_costs_a_little(self) -> None:
        assert Needs(chat(USER, USER)).prompt_tokens() == round(estimate("Hi\nHi")) + 2 * MESSAGE

    def test_every_protocol_counts_the_same(self) -> None:
        words = "What happens when the lead falls silent in the second act?"
        message = {"role": "user", "content": words}
        counted = {
            Needs(request).prompt_tokens()
            for request in (
                chat(message),
                openai(messages=[message]),
                anthropic(messages=[{"role": "user", "content": [{"type": "text", "text": words}]}]),
                responses(input=[message]),
                responses(input=words),
            )
        }
        assert counted == {round(estimate(words)) + MESSAGE}

    def test_each_family_counts_by_itself_and_once(self) -> None:
        needs = Needs(openai(messages=[{"role": "user", "content": "我想要一杯咖啡" * 20}]))
        counts = [needs.prompt_tokens(tokenizer) for tokenizer in (Tokenizer.CL100K, Tokenizer.QWEN)]
        assert counts[0] > counts[1] + 20
        assert counts == [needs.prompt_tokens(tokenizer) for tokenizer in (Tokenizer.CL100K, Tokenizer.QWEN)]

    @pytest.mark.parametrize(
        "request_",
        [
            chat(*parts(IMAGE_URL)),
            openai(messages=parts(IMAGE_URL)),
            anthropic(messages=parts(PDF)),
            responses(input=parts({"type": "input_file", "file_data": DATA * 10})),
        ],
    )
    def test_an_attachment_costs_a_fixed_figure_whatever_its_size(self, request_: Request) -> None:
        assert Needs(request_).prompt_tokens() == round(estimate("Look:")) + MESSAGE + ATTACHMENT

    def test_what_no_model_reads_counts_nothing(self) -> None:
        message = {
            "role": "assistant",
            "content": "Hi",
            "id": DATA,
            "provider_state": [DATA],
            "audio": {"x": DATA},
        }
        assert Needs(chat(message)).prompt_tokens() == Needs(chat()).prompt_tokens()

    @pytest.mark.parametrize(
        "more",
        [
            {"tools": [{"name": "get_weather", "input_schema": {"type": "object"}}]},
            {"system": "You are careful."},
            {"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}},
            {"messages": parts(USE)},
            {"messages": parts(PLAIN)},
        ],
    )
    def test_what_a_model_reads_besides_counts(self, more: dict[str, Any]) -> None:
        assert Needs(anthropic(**more)).prompt_tokens() > Needs(anthropic()).prompt_tokens()

    def test_what_a_tool_was_called_with_is_counted_as_json(self) -> None:
        use = {**USE, "input": {"amount": 12345}}
        counted = Needs(anthropic(messages=[{"role": "assistant", "content": [use]}])).prompt_tokens()
        assert counted == round(estimate('f\n{"amount":12345}')) + MESSAGE

    def test_a_strange_value_is_counted_as_it_is_shown(self) -> None:
        ring: list[Any] = []
        ring.append(ring)
        for tools in (object(), ring, {1: {2}}):
            assert Needs(chat(tools=tools)).prompt_tokens() > Needs(chat()).prompt_tokens()

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=5))
    def test_no_prompt_has_more_than_its_most(self, texts: list[str]) -> None:
        messages = [{"role": "user", "content": text} for text in texts]
        for request in (chat(*messages), openai(messages=messages), responses(input=messages)):
            needs = Needs(request)
            assert all(needs.prompt_tokens(family) <= needs.most_tokens for family in Tokenizer)

    @given(
        st.lists(
            st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=30)),
            max_size=5,
        )
    )
    def test_the_short_way_for_plain_texts_tells_the_same(self, said: list[tuple[str, str]]) -> None:
        plain = [{"role": role, "content": text} for role, text in said]
        short, long = Needs(chat(*plain)), Needs(chat(*map(MappingProxyType, plain)))
        assert short.features == long.features
        assert short.most_tokens == long.most_tokens
        assert short.prompt_tokens() == long.prompt_tokens()

    def test_the_most_is_told_by_the_bytes_alone(self) -> None:
        request = openai(messages=parts(IMAGE_URL), tools=[{}], temperature=1)
        size = len(request.fields["messages"]) + len(request.fields["tools"])
        assert Needs(request).most_tokens == size + ATTACHMENT

    def test_depth_is_no_danger(self) -> None:
        deep: Any = "Hi"
        for _ in range(5000):
            deep = [deep]
        assert Needs(chat({"role": "user", "content": deep})).prompt_tokens() == Needs(chat()).prompt_tokens()

    def test_nothing_can_be_counted_of_what_cannot_be_read(self) -> None:
        raw = msgspec.Raw(b'[{"content": "\\ud800"}]')
        request = ClientRequest(openai_client, {"messages": raw}, model="m", stream=True)
        assert Needs(request).prompt_tokens() == MESSAGE


SYSTEM = {"role": "system", "content": "You are terse."}
NEXT = [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "And now?"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


class TestAffinity:
    """Which requests belong together."""

    @pytest.mark.parametrize(
        ("request_", "session"),
        [
            (openai(), ""),
            (openai(user="u-1"), "u-1"),
            (openai(prompt_cache_key="k-1", user="u-1"), "k-1"),
            (anthropic(metadata={"user_id": "m-1"}), "m-1"),
            (openai(metadata={"user_id": "m-1"}, user="u-1"), "m-1"),
            (responses(prompt_cache_key="k-1"), "k-1"),
            (chat(user="u-1"), "u-1"),
            (chat(metadata={"user_id": "m-1"}, prompt_cache_key="k-1"), "k-1"),
            (openai(user=None, metadata=None), ""),
            (openai(user="", prompt_cache_key=""), ""),
            (chat(user=7, metadata=["m"], prompt_cache_key={"k": 1}), ""),
            (chat(metadata={"user_id": 7}), ""),
        ],
    )
    def test_a_session_is_what_the_request_says_it_is(self, request_: Request, session: str) -> None:
        assert Needs(request_).session == session

    def test_a_header_comes_before_all_others(self) -> None:
        request = openai(user="u-1", prompt_cache_key="k-1")
        request.session = "h-1"
        assert Needs(request).session == "h-1"

    def test_requests_of_one_session_belong_together_however_they_begin(self) -> None:
        one, other = chat(user="u-1"), chat(SYSTEM, USER, user="u-1")
        assert Needs(one).affinity == Needs(other).affinity
        assert Needs(one).affinity != Needs(chat(user="u-2")).affinity

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (chat(SYSTEM, USER), chat(SYSTEM, USER, *NEXT)),
            (openai(messages=[SYSTEM, USER]), openai(messages=[SYSTEM, USER, *NEXT])),
            (openai(messages=[SYSTEM, USER]), chat(SYSTEM, USER)),
            (responses(input="Hi"), responses(input="Hi", temperature=1)),
            (anthropic(system="s"), anthropic(system="s", messages=[USER, *NEXT])),
            (
                anthropic(
                    messages=[{"role": "user", "content": [{**TEXT, "cache_control": {"type": "ephemeral"}}]}]
                ),
                anthropic(messages=[*parts()[:0], {"role": "user", "content": [TEXT]}, *NEXT]),
            ),
        ],
    )
    def test_without_one_they_do_if_they_begin_alike(self, one: Request, other: Request) -> None:
        assert Needs(one).affinity == Needs(other).affinity

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (chat(SYSTEM, USER), chat({"role": "system", "content": "Be kind."}, USER)),
            (chat(USER), chat({"role": "user", "content": "Bye"})),
            (chat(USER), chat(USER, tools=[TOOL])),
            (chat(SYSTEM), chat(SYSTEM, USER)),
            (anthropic(system="s"), anthropic(system="t")),
            (responses(input="Hi"), responses(input="Bye")),
            (responses(instructions="s"), responses(instructions="t")),
        ],
    )
    def test_and_do_not_if_they_begin_otherwise(self, one: Request, other: Request) -> None:
        assert Needs(one).affinity != Needs(other).affinity

    @pytest.mark.parametrize("messages", [None, 7, [7], [None, "x"], {"role": "user"}, []])
    def test_a_conversation_that_cannot_be_read_begins_somehow(self, messages: Any) -> None:
        request = openai()
        request.fields["messages"] = msgspec.Raw(json.dumps(messages).encode())
        assert Needs(request).affinity == Needs(request).affinity

    def test_a_body_that_is_no_json_begins_somehow_too(self) -> None:
        request = openai()
        request.fields["messages"] = msgspec.Raw(b"[7")
        assert Needs(request).affinity == Needs(request).affinity

    def test_it_is_found_out_once(self) -> None:
        needs = Needs(chat(user="u-1"))
        first = needs.affinity
        needs._request.fields["user"] = "u-2"  # type: ignore[index,assignment]
        assert needs.affinity == first

    def test_it_is_the_same_in_every_process(self) -> None:
        assert Needs(chat(user="u-1")).affinity == 2885068504905809513

    def test_letters_that_are_none_make_no_difference(self) -> None:
        assert Needs(chat(user="\ud800")).affinity == Needs(chat(user="?")).affinity


def test_repr_names_the_request() -> None:
    assert repr(Needs(openai())) == "<Needs of <ClientRequest for m, unary>>"


SHORT = Facts(max_output=4096)
SILENT = Facts(supports=takes("tools"))


def fields(request: Request) -> dict[str, Any]:
    return {
        name: msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
        for name, value in request.fields.items()
    }


def for_member(request: Request, facts: Facts) -> Any:
    return suited(request, Needs(request), facts)


class TestSuited:
    @pytest.mark.parametrize("facts", [Facts(), SHORT, SILENT, Facts(supports=takes("reasoning"))])
    def test_what_suits_stays_the_same_object(self, facts: Facts) -> None:
        for request in (
            chat(),
            chat(max_tokens=4096),
            openai(max_tokens=10),
            anthropic(thinking={"type": "adaptive"}),
        ):
            if facts is SILENT and "thinking" in request.fields:
                continue
            assert for_member(request, facts) == (request, (), None)

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
    def test_a_longer_answer_than_the_model_gives_is_asked_for_at_its_length(self, name: str) -> None:
        for request in (chat(**{name: 9000}), openai(**{name: 9000}), responses(**{name: 9000})):
            found = for_member(request, SHORT)
            assert fields(found.request)[name] == 4096
            assert (found.left_out, found.answer_limit) == ((), 4096)
            assert fields(request)[name] == 9000

    def test_every_other_field_stays_as_it_came(self) -> None:
        request = openai(max_tokens=9000, temperature=0.50)
        found = for_member(request, SHORT)
        assert found.request.fields["temperature"] is request.fields["temperature"]
        assert bytes(found.request.fields["max_tokens"]) == b"4096"

    @pytest.mark.parametrize(
        ("limit", "thinking"),
        [
            (4096, {"type": "enabled", "budget_tokens": 2048}),
            (2000, None),
            (10_000, {"type": "enabled", "budget_tokens": 8000}),
        ],
    )
    def test_thinking_leaves_some_of_a_shorter_answer_or_is_left_out(
        self, limit: int, thinking: dict[str, Any] | None
    ) -> None:
        request = anthropic(max_tokens=16000, thinking={"type": "enabled", "budget_tokens": 8000})
        assert fields(for_member(request, Facts(max_output=limit)).request).get("thinking") == thinking

    @pytest.mark.parametrize("thinking", [{"type": "adaptive"}, {"budget_tokens": "all"}, None])
    def test_thinking_without_a_budget_stays(self, thinking: Any) -> None:
        request = anthropic(max_tokens=16000, thinking=thinking)
        assert fields(for_member(request, SHORT).request)["thinking"] == thinking

    @pytest.mark.parametrize(
        ("request_", "name"),
        [
            (chat(reasoning_effort="low"), "reasoning_effort"),
            (openai(reasoning_effort="low"), "reasoning_effort"),
            (anthropic(thinking={"type": "enabled", "budget_tokens": 2000}), "thinking"),
            (responses(reasoning={"effort": "low"}), "reasoning"),
        ],
    )
    def test_a_model_without_reasoning_hears_nothing_of_it(self, request_: Request, name: str) -> None:
        found = for_member(request_, SILENT)
        assert (found.left_out, found.answer_limit) == ((name,), None)
        assert name not in found.request.fields
        assert found.request.fields.keys() | {name} == request_.fields.keys()

    def test_of_a_request_that_asks_for_none_nothing_is_left_out(self) -> None:
        request = openai(reasoning_effort="none", max_tokens=9000)
        found = for_member(request, Facts(supports=takes(), max_output=10))
        assert found.left_out == ()
        assert "reasoning_effort" in found.request.fields

    def test_nor_of_clearing_its_thoughts_away(self) -> None:
        managed = {"edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]}
        asked = anthropic(thinking={"type": "adaptive"}, context_management=managed)
        found = for_member(asked, SILENT)
        assert found.left_out == ("thinking",)
        assert bytes(found.request.fields["context_management"]) == (
            b'{"edits":[{"type":"clear_tool_uses_20250919"}]}'
        )
        assert for_member(anthropic(context_management=managed), SILENT).left_out == ()

    def test_both_at_once(self) -> None:
        request = anthropic(max_tokens=9000, thinking={"type": "enabled", "budget_tokens": 5000})
        found = for_member(request, Facts(supports=takes(), max_output=4096))
        assert (found.left_out, found.answer_limit) == (("thinking",), 4096)
        assert "thinking" not in found.request.fields
        assert Feature.REASONING in Needs(request).features


class TestParams:
    """What a member adds to requests itself."""

    @pytest.mark.parametrize(
        ("params", "limit"),
        [
            ({}, 0),
            ({"temperature": 1, "max_tokens": None}, 0),
            ({"max_tokens": 7}, 7),
            ({"max_completion_tokens": 9, "max_tokens": 7}, 9),
            ({"max_output_tokens": 7}, 7),
            ({"generationConfig": {"maxOutputTokens": 7, "topK": 3}}, 7),
            ({"generationConfig": {"topK": 3}}, 0),
            ({"generationConfig": None, "max_tokens": "many"}, 0),
        ],
    )
    def test_the_longest_answer_that_they_ask_for_is_told_in_any_formats_words(
        self, params: dict[str, Any], limit: int
    ) -> None:
        assert own_limit(params) == limit

    @pytest.mark.parametrize(
        ("params", "told"),
        [
            ({"max_tokens": 9000}, {"max_tokens": 4096}),
            ({"max_output_tokens": 9000, "top_p": 1}, {"max_output_tokens": 4096, "top_p": 1}),
            (
                {"generationConfig": {"maxOutputTokens": 9000, "topK": 3}},
                {"generationConfig": {"maxOutputTokens": 4096, "topK": 3}},
            ),
            (
                {"max_tokens": 9000, "generationConfig": {"topK": 3}},
                {"max_tokens": 4096, "generationConfig": {"topK": 3}},
            ),
            (
                {"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 8000}},
                {"max_tokens": 4096, "thinking": {"type": "enabled", "budget_tokens": 2048}},
            ),
        ],
    )
    def test_a_longer_answer_than_the_model_gives_is_asked_for_at_its_length(
        self, params: dict[str, Any], told: dict[str, Any]
    ) -> None:
        assert suited_params(params, SHORT) == told
        assert suited_params(params, Facts()) == params
        assert suited_params(told, SHORT, unasked=8192) == told

    def test_so_is_the_one_that_a_format_asks_for_by_itself(self) -> None:
        assert suited_params({}, SHORT, unasked=8192) == {"max_tokens": 4096}
        assert suited_params({}, SHORT, unasked=4096) == {}
        assert suited_params({}, SHORT) == {}
