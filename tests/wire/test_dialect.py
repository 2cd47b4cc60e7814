"""What every dialect stands on: requests cut apart, checked, and tool calls put together."""

from __future__ import annotations

import msgspec
import pytest

from understudy.wire import anthropic_client, openai_client, responses_client
from understudy.wire.chat import ChatChunk, ToolCallDelta
from understudy.wire.dialect import (
    BadRequest,
    ClientRequest,
    Dialect,
    checked,
    convert,
    cut_apart,
    whole_calls,
)

_COUNT = msgspec.json.Decoder(int)
_ROWS = msgspec.json.Decoder(list[dict[str, int]])


class TestCutApart:
    def test_fields_are_kept_as_they_came(self) -> None:
        fields = cut_apart(rb'{"a": 1.50 ,"b":{"c" : "\u00e9"}, "a": 2}')
        assert {name: bytes(raw) for name, raw in fields.items()} == {"a": b"2", "b": rb'{"c" : "\u00e9"}'}

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b'{"a":"\xff"}', "the body is not UTF-8: invalid start byte at byte 6"),
            (b"[]", "the body must be a JSON object"),
            (b"7", "the body must be a JSON object"),
            (b"", "the body is not JSON: "),
            (b'{"a":', "the body is not JSON: "),
            (b'{"a":1}{', "the body is not JSON: "),
            (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "the body is not JSON: "),
            (rb'{"a":"\ud83d!"}', "the body is not JSON: "),
        ],
    )
    def test_anything_else_is_the_clients_mistake(self, body: bytes, message: str) -> None:
        with pytest.raises(BadRequest) as caught:
            cut_apart(body)
        assert caught.value.message.startswith(message)
        assert caught.value.param is None


class TestFields:
    def test_a_value_is_converted_or_named(self) -> None:
        assert convert("n", msgspec.Raw(b"7"), _COUNT, "a number") == 7
        with pytest.raises(BadRequest, match=r"^n must be a number$") as caught:
            convert("n", msgspec.Raw(b'"7"'), _COUNT, "a number")
        assert caught.value.param == "n"

    @pytest.mark.parametrize(
        ("raw", "param", "message"),
        [
            (b'[{},{"a":"x"}]', "rows[1][...]", "rows[1][...]: expected `int`, got `str`"),
            (b"[3]", "rows[0]", "rows[0]: expected `object`, got `int`"),
            (b"3", "rows", "rows: expected `array`, got `int`"),
        ],
    )
    def test_what_is_wrong_deep_inside_is_named_by_its_path(
        self, raw: bytes, param: str, message: str
    ) -> None:
        assert checked("rows", msgspec.Raw(b'[{"a":1}]'), _ROWS) == [{"a": 1}]
        with pytest.raises(BadRequest) as caught:
            checked("rows", msgspec.Raw(raw), _ROWS)
        assert (caught.value.param, caught.value.message) == (param, message)


def test_calls_are_put_together_in_the_order_of_their_beginning() -> None:
    first = ChatChunk(tool_calls=(ToolCallDelta(1, "b", None, "{"), ToolCallDelta(0, None, "f", "[")))
    second = ChatChunk(tool_calls=(ToolCallDelta(0, "a", None, "]"), ToolCallDelta(1, "", "g", "}")))
    assert whole_calls([first, ChatChunk("text"), second]) == [
        ToolCallDelta(1, "b", "g", "{}"),
        ToolCallDelta(0, "a", "f", "[]"),
    ]


class TestClientRequest:
    def request(self, dialect: Dialect = openai_client) -> ClientRequest:
        return dialect.read_request(
            b'{"model":"m","stream":true,"messages":[{"role":"user","content":"Hi!"}],"input":"Hi!"}'
        )

    @pytest.mark.parametrize("dialect", [openai_client, responses_client, anthropic_client])
    def test_knows_its_own_dialect(self, dialect: Dialect) -> None:
        assert self.request(dialect).dialect is dialect

    def test_is_translated_once(self) -> None:
        request = self.request()
        assert request.chat is request.chat
        assert request.chat.messages == [{"role": "user", "content": "Hi!"}]

    def test_knows_the_field_that_holds_the_conversation(self) -> None:
        assert self.request().prompt == "messages"
        assert responses_client.read_request(b'{"model":"m","input":"Hi!"}').prompt == "input"

    def test_with_other_fields_is_the_same_request_translated_anew(self) -> None:
        request = self.request()
        request.id, request.headers = "req_1", {"x": "y"}
        assert request.chat.fields == {"input": "Hi!"}
        other = request.with_fields({**request.fields, "max_tokens": msgspec.Raw(b"7")})
        assert other.chat.fields == {"input": "Hi!", "max_tokens": 7}
        assert (other.id, other.headers, other.stream, other.model) == ("req_1", {"x": "y"}, True, "m")
        assert request.chat.fields == {"input": "Hi!"}

    @pytest.mark.parametrize(
        ("dialect", "fields", "lost"),
        [
            (openai_client, {"seed": 1, "top_k": 4, "anything": "else"}, ()),
            (anthropic_client, {"top_k": 4, "temperature": 0, "container": "c"}, ("top_k", "container")),
            (anthropic_client, {"top_k": None, "container": "", "metadata": {}}, ()),
            (
                anthropic_client,
                {
                    "messages": [
                        {
                            "role": "user",
                            "content": [
                                {
                                    "type": "document",
                                    "source": {"type": "text", "media_type": "text/plain", "data": "a"},
                                    "citations": {"enabled": True},
                                },
                                {"type": "text", "text": '"citations": {"enabled": true'},
                            ],
                        }
                    ],
                    "mood": "dark",
                },
                ("mood", "messages[].citations"),
            ),
            (
                anthropic_client,
                {"messages": [{"role": "user", "content": '"citations": {"enabled": true'}]},
                (),
            ),
            (responses_client, {"metadata": {"a": "b"}, "truncation": "auto"}, ("metadata", "truncation")),
            (responses_client, {"metadata": {}, "store": False, "temperature": 1}, ()),
        ],
    )
    def test_knows_which_fields_its_neutral_words_lack(
        self, dialect: Dialect, fields: dict[str, object], lost: tuple[str, ...]
    ) -> None:
        messages = [{"role": "user", "content": "Hi!"}]
        name = "input" if dialect is responses_client else "messages"
        body = {"model": "m", "max_tokens": 9, "stream": False, name: messages, **fields}
        if dialect is responses_client:
            del body["max_tokens"]
        request = dialect.read_request(msgspec.json.encode(body))
        assert request.left_out == lost
        assert request.left_out == lost

    def test_repr_names_the_model(self) -> None:
        assert repr(self.request()) == "<ClientRequest for m, stream>"
        unary = openai_client.read_request(b'{"model":"m","messages":[{}]}')
        assert repr(unary) == "<ClientRequest for m, unary>"

    def test_who_received_it_adds_what_the_answer_needs(self) -> None:
        request = self.request()
        assert (request.id, request.created, request.headers) == ("", 0, {})
