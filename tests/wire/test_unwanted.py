"""Facts about fields that backends refuse: how that is said, and what a request looks like without them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from understudy.core.facts import Facts, Refusal
from understudy.core.outcome import Failure
from understudy.errors import FailureKind
from understudy.faults.wordings import WORDINGS
from understudy.wire.refusal import classify, classify_error_object
from understudy.wire.unwanted import BUDGET, DISABLED, PENALTIES, RENAMED, SAMPLING, refused_by, without

MESSAGES = [{"role": "user", "content": "Hi"}]


def refused(value: Any, status: int = 400, **options: Any) -> Failure:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return classify(status, {}, body, wall=0.0, **options)


def said(message: str, **fields: Any) -> Failure:
    return refused({"error": {"message": message, "type": "invalid_request_error", **fields}})


def dropped(failure: Failure) -> tuple[str | None, bool]:
    return failure.drop_field, failure.drop_always


class TestComplaint:
    @pytest.mark.parametrize(
        ("message", "name"),
        [
            ("Unsupported parameter: 'logprobs' is not supported with this model.", "logprobs"),
            ("Unsupported parameter: 'max_tokens' is not supported with this model.", "max_tokens"),
            ("Unknown parameter: 'reasoning.effort'.", "reasoning"),
            ("Unknown parameter: 'text.verbosity'.", "text.verbosity"),
            ("Unknown parameter: 'messages[1].reasoning_content'.", "messages.reasoning_content"),
            ("Unrecognized request argument supplied: reasoning_effort", "reasoning_effort"),
            ("Unrecognized request arguments supplied: metadata, store", "metadata"),
            ("`top_k` is deprecated for this model.", "top_k"),
            ("temperature is deprecated for this model.", "temperature"),
            ("top_k: Extra inputs are not permitted", "top_k"),
            ("Extra inputs are not permitted, field: 'seed', value: 7", "seed"),
            ("property 'service_tier' is unsupported", "service_tier"),
            (
                "'messages.0' : for 'role:assistant' the following must be satisfied[('messages.0' : "
                "property 'reasoning_content' is unsupported)]",
                "messages.reasoning_content",
            ),
            ("Argument not supported on this model: presencePenalty", "presence_penalty"),
            ("Model grok-4 does not support parameter frequencyPenalty.", "frequency_penalty"),
            ("This model does not support the effort parameter.", "output_config.effort"),
            ("adaptive thinking is not supported on this model", "thinking"),
            ('"thinking.type.disabled" is not supported for this model.', DISABLED),
            ("Invalid JSON payload received. Unknown name \"topK\" at 'generation_config'", "top_k"),
            ("Penalty is not enabled for models/gemini-2.5-pro", PENALTIES),
            ("The parallel_tool_calls parameter is not supported", "parallel_tool_calls"),
            ("'user' is not allowed", "user"),
            ("Got unexpected keyword argument 'logit_bias'", "logit_bias"),
        ],
    )
    def test_names_a_field_that_may_be_left_out_for_good(self, message: str, name: str) -> None:
        failure = said(message)
        assert failure.kind is FailureKind.INVALID_REQUEST
        assert dropped(failure) == (name, True)

    @pytest.mark.parametrize(
        ("wording", "name"),
        [
            ("openai-temperature", "temperature"),
            ("openai-limit", "max_tokens"),
            ("unrecognized-argument", "temperature"),
            ("anthropic-temperature", "temperature"),
            ("anthropic-budget", BUDGET),
            ("unknown-parameter", "reasoning_effort"),
            ("unknown-name", "reasoning_effort"),
            ("stream-options", "stream_options"),
            ("extra-forbidden", "stream_options"),
        ],
    )
    def test_is_known_in_the_providers_own_words(self, wording: str, name: str) -> None:
        assert dropped(refused(WORDINGS[wording].body)) == (name, True)

    def test_of_one_value_or_of_two_fields_together_says_nothing_of_another_request(self) -> None:
        value = (
            "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. "
            "Supported values are: 'low', 'medium', and 'high'."
        )
        assert dropped(said(value)) == ("reasoning_effort", False)
        assert dropped(said("'temperature' is not supported when reasoning is on")) == ("temperature", False)
        assert dropped(refused(WORDINGS["anthropic-two"].body)) == ("top_p", False)
        assert dropped(said("`tools` and `stop` cannot both be specified")) == (None, False)

    @pytest.mark.parametrize(
        "body",
        [
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "no", "input": 7}]},
            {"message": "[{'type': 'extra_forbidden', 'loc': ('body', 'seed'), 'msg': '…'}]", "code": 400},
            {
                "message": {
                    "detail": [{"msg": "Extra inputs are not permitted", "loc": ["body", "seed"], "input": 7}]
                }
            },
        ],
    )
    def test_by_a_validators_path(self, body: object) -> None:
        assert dropped(refused(body, 422)) == ("seed", True)

    def test_of_a_value_that_a_validator_refuses_stands(self) -> None:
        told = {"type": "less_than_equal", "loc": ["body", "temperature"], "msg": "Input should be at most 1"}
        assert refused({"detail": [told]}, 422).drop_field is None

    def test_a_path_into_messages_counts_for_what_they_may_do_without(self) -> None:
        def path(*steps: object) -> Failure:
            return refused({"detail": [{"type": "extra_forbidden", "loc": ["body", "messages", *steps]}]})

        assert path(2, "assistant", "reasoning_content").drop_field == "messages.reasoning_content"
        assert path(2, "assistant", "tool_calls").drop_field is None

    def test_by_openais_code_and_parameter(self) -> None:
        assert said("Not so.", code="unsupported_parameter", param="top_p").drop_field == "top_p"
        assert said("Not so.", code="unsupported_parameter", param=None).drop_field is None
        assert said("Not so.", code="invalid_value", param="top_p").drop_field is None

    @pytest.mark.parametrize(
        "message",
        [
            "Unsupported parameter: 'tools' is not supported with this model.",
            "Unknown parameter: 'response_format'.",
            "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
            "stop: Extra inputs are not permitted",
            "temperature: Input should be less than or equal to 1",
            "This user is not allowed to sample from this model",
            "The reasoning is not supported by evidence",
            "the body is not JSON",
        ],
    )
    def test_of_anything_else_stands(self, message: str) -> None:
        failure = said(message)
        assert (failure.kind, failure.drop_field) == (FailureKind.INVALID_REQUEST, None)

    def test_of_another_kind_is_about_no_field(self) -> None:
        failure = said("`temperature` is deprecated; maximum context length")
        assert (failure.kind, failure.drop_field) == (FailureKind.CONTEXT_LENGTH, None)

    @pytest.mark.parametrize("status", [403, 405, 500])
    def test_comes_with_400_or_422(self, status: int) -> None:
        assert refused(WORDINGS["anthropic-temperature"].body, status).drop_field is None

    def test_may_come_inside_of_a_200(self) -> None:
        error = {"code": 400, "message": "`temperature` is deprecated for this model."}
        assert dropped(classify_error_object(error)) == ("temperature", True)


class TestBody:
    def without(self, names: set[str], **fields: Any) -> tuple[Any, tuple[str, ...]]:
        body, gone = without(json.dumps(fields).encode(), names)
        return json.loads(body), gone

    def test_lacks_what_is_not_wanted_and_tells_what_that_was(self) -> None:
        body, gone = self.without({"temperature", "seed", "top_k"}, temperature=1, seed=7, top_p=1)
        assert (body, gone) == ({"top_p": 1}, ("seed", "temperature"))

    def test_is_the_same_bytes_if_nothing_of_it_is_there(self) -> None:
        body = b'{ "model" : "m" }'
        assert without(
            body, {"temperature", BUDGET, DISABLED, PENALTIES, "messages.refusal", "text.verbosity"}
        ) == (
            body,
            (),
        )

    def test_keeps_texts_as_they_are_written(self) -> None:
        body = rb'{"seed":1,"messages":[{"content":"half \ud83d","refusal":null}]}'
        bare, gone = without(body, {"seed", "messages.refusal"})
        assert bare == rb'{"messages":[{"content":"half \ud83d"}]}'
        assert gone == ("messages.refusal", "seed")

    def test_of_geminis_lacks_it_in_its_own_place_and_spelling(self) -> None:
        body, gone = self.without({"top_k", "seed"}, generationConfig={"topK": 3, "topP": 1})
        assert (body, gone) == ({"generationConfig": {"topP": 1}}, ("top_k",))

    def test_lacks_part_of_an_object_and_the_object_if_it_was_all_of_it(self) -> None:
        body, gone = self.without({"text.verbosity"}, text={"verbosity": "low", "format": {}})
        assert (body, gone) == ({"text": {"format": {}}}, ("text.verbosity",))
        assert self.without({"text.verbosity"}, text={"verbosity": "low"})[0] == {}
        assert self.without({"text.verbosity"}, text="low")[1] == ()

    def test_lacks_a_field_of_every_message(self) -> None:
        messages = [{"role": "assistant", "content": "x", "reasoning_content": "Hm"}, *MESSAGES]
        body, gone = self.without({"messages.reasoning_content"}, messages=messages)
        assert body == {"messages": [{"role": "assistant", "content": "x"}, *MESSAGES]}
        assert gone == ("messages.reasoning_content",)
        assert self.without({"messages.reasoning_content"}, messages=MESSAGES)[1] == ()
        assert self.without({"messages.reasoning_content"}, messages="Hi")[1] == ()

    @pytest.mark.parametrize("name", list(RENAMED))
    def test_has_its_limit_by_the_other_name(self, name: str) -> None:
        assert self.without({name}, **{name: 9}) == ({RENAMED[name]: 9}, (name,))
        both = {name: 9, RENAMED[name]: 8}
        assert self.without({name}, **both) == (both, ())

    def test_has_no_penalties(self) -> None:
        body, gone = self.without({PENALTIES}, presence_penalty=0, frequency_penalty=1)
        assert (body, gone) == ({}, (PENALTIES,))

    @pytest.mark.parametrize(("budget", "effort"), [(1024, "low"), (8192, "medium"), (8193, "high")])
    def test_thinks_adaptively_instead_of_with_a_budget(self, budget: int, effort: str) -> None:
        body, gone = self.without({BUDGET}, thinking={"type": "enabled", "budget_tokens": budget})
        assert body == {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}
        assert gone == (BUDGET,)

    def test_keeps_an_effort_that_it_names_itself(self) -> None:
        thinking = {"type": "enabled", "budget_tokens": 1024}
        body, _ = self.without({BUDGET}, thinking=thinking, output_config={"effort": "max", "format": {}})
        assert body["output_config"] == {"effort": "max", "format": {}}
        assert self.without({BUDGET}, thinking={"type": "enabled"})[0] == {"thinking": {"type": "adaptive"}}
        adaptive = {"thinking": {"type": "adaptive"}}
        assert self.without({BUDGET, DISABLED}, **adaptive) == (adaptive, ())

    def test_says_nothing_of_thinking_instead_of_that_there_shall_be_none(self) -> None:
        assert self.without({DISABLED}, thinking={"type": "disabled"}) == ({}, (DISABLED,))

    def test_is_an_object(self) -> None:
        with pytest.raises(msgspec.DecodeError):
            without(b"[", {"seed"})


def test_a_models_facts_tell_what_it_refuses() -> None:
    assert refused_by(Facts()) == frozenset()
    assert refused_by(Facts(refuses=frozenset({Refusal.SAMPLING}))) == frozenset(SAMPLING)
    assert refused_by(Facts(refuses=frozenset({Refusal.THINKING_BUDGET}))) == {BUDGET}
