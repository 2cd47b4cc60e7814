"""Error bodies of every shape: their words, sentences and status."""

from __future__ import annotations

import json

import pytest

from understudy.wire.complaint import Complaint, read, read_value


@pytest.mark.parametrize(
    ("body", "words", "sentences", "status"),
    [
        pytest.param(
            {"error": {"message": "No.", "type": "Invalid_Request_Error", "param": None, "code": "bad_key"}},
            ["bad_key", "invalid_request_error"],
            ["No."],
            None,
            id="openai",
        ),
        pytest.param(
            [{"error": {"code": 429, "message": "No.", "status": "RESOURCE_EXHAUSTED"}}],
            ["resource_exhausted"],
            ["No."],
            429,
            id="gemini: in a list",
        ),
        pytest.param(
            {"type": "error", "error": {"type": "overloaded_error", "message": "No."}, "request_id": "r"},
            ["error", "overloaded_error"],
            ["No."],
            None,
            id="anthropic",
        ),
        pytest.param(
            {"object": "error", "message": "No.", "type": "BadRequestError", "code": 400},
            ["badrequesterror"],
            ["No."],
            400,
            id="vllm: at the top",
        ),
        pytest.param({"code": "Some sentence", "error": "No."}, ["some sentence"], ["No."], None, id="xai"),
        pytest.param({"error": "No."}, [], ["No."], None, id="a string"),
        pytest.param({"detail": "No."}, [], ["No."], None, id="fastapi"),
        pytest.param(
            {"detail": [{"type": "extra_forbidden", "loc": ["body"], "msg": "No.", "input": "a prompt"}]},
            ["extra_forbidden"],
            ["No."],
            None,
            id="pydantic: the prompt is not read",
        ),
        pytest.param(
            {"message": {"detail": [{"msg": "No."}]}, "type": "t"}, ["t"], ["No."], None, id="mistral"
        ),
        pytest.param(
            {"success": False, "errors": [{"code": 10000, "message": "No."}]},
            [],
            ["No."],
            None,
            id="cloudflare: a code that is no status",
        ),
        pytest.param(
            {
                "error": {
                    "message": "No.",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {"code": "ResponsibleAIPolicyViolation"},
                }
            },
            ["content_filter", "responsibleaipolicyviolation"],
            ["No."],
            400,
            id="azure: an inner error",
        ),
        pytest.param(
            {"error": {"message": "No.", "code": "429"}}, ["429"], ["No."], 429, id="a status as a string"
        ),
        pytest.param(
            {"error": {"message": "No.", "code": 200}}, [], ["No."], None, id="200 is no error's status"
        ),
        pytest.param({"error": {"message": "No.", "code": 600}}, [], ["No."], None, id="600 is no status"),
        pytest.param(
            {
                "error": {
                    "message": "Outer",
                    "code": 502,
                    "metadata": {
                        "raw": '{"error":{"message":"Inner","code":400,"type":"t"}}',
                        "provider_name": "P",
                    },
                }
            },
            ["t"],
            ["Outer", "Inner"],
            502,
            id="openrouter: an upstream's body as a string",
        ),
        pytest.param(
            {"error": {"message": '{"error": {"message": "Inner", "status": "S"}}', "code": 429}},
            ["s"],
            ["Inner"],
            429,
            id="a body as a message",
        ),
        pytest.param({"error": {"message": "{braces}"}}, [], ["{braces}"], None, id="a message in braces"),
        pytest.param(
            {
                "error": {
                    "message": "No.",
                    "details": [{"@type": "QuotaFailure", "violations": [{"quotaId": "PerDay"}]}],
                }
            },
            ["perday"],
            ["No."],
            None,
            id="gemini: details",
        ),
        pytest.param({"message": "No.", "error": {"message": "No."}}, [], ["No."], None, id="said twice"),
        pytest.param({"title": "No.", "status": 503}, [], ["No."], 503, id="problem details"),
        pytest.param({"error": {"message": " ", "code": None}}, [], [], None, id="nothing said"),
        pytest.param({"error": 7, "errors": [7, None]}, [], [], None, id="numbers"),
    ],
)
def test_json(body: object, words: list[str], sentences: list[str], status: int | None) -> None:
    assert read(json.dumps(body)) == Complaint(words, sentences, status)
    assert read_value(body) == Complaint(words, sentences, status)


@pytest.mark.parametrize("name", ["code", "type", "status", "reason", "error_type", "error_code", "quotaId"])
def test_words_are_read_from(name: str) -> None:
    assert read_value({name: "Word"}) == Complaint(["word"])
    assert read(f'{{"error": {{"{name}": "Word", "cut') == Complaint(["Word".lower()])


@pytest.mark.parametrize("name", ["message", "msg", "detail", "error", "raw", "title"])
def test_sentences_are_read_from(name: str) -> None:
    assert read_value({name: "[A sentence.]"}) == Complaint([], ["[A sentence.]"])
    assert read_value({name: '["A sentence."]'}) == Complaint([], ["A sentence."])
    assert read(f'{{"error": {{"{name}": "A sent') == Complaint([], ["A sent"])


@pytest.mark.parametrize("name", ["code", "status", "status_code", "http_status"])
def test_a_status_is_read_from(name: str) -> None:
    assert read_value({name: 503}).status == 503
    assert read_value({name: "503"}).status == 503


@pytest.mark.parametrize(
    "name", ["error", "message", "detail", "errors", "metadata", "details", "violations", "innererror"]
)
def test_nested_objects_are_read_from(name: str) -> None:
    assert read_value({name: {"message": "A sentence."}}) == Complaint([], ["A sentence."])


def test_no_other_field_is_read() -> None:
    assert read_value({"input": "A prompt.", "flagged_input": "A prompt.", "param": "x"}) == Complaint()


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        pytest.param("upstream connect error\n", ["upstream connect error\n"], id="plain text"),
        pytest.param('"quoted"', ["quoted"], id="a JSON string"),
        pytest.param("17", ["17"], id="a number is text"),
        pytest.param("", [], id="nothing"),
        pytest.param(" \n", [], id="white space"),
        pytest.param(
            "<html><head><title>502 &amp; Bad</title></head><p>x", ["502 & Bad"], id="a page's title"
        ),
        pytest.param(
            "<!DOCTYPE html><TITLE lang=en>\nDown\n</TITLE><title>2</title>", ["\nDown\n"], id="doctype"
        ),
        pytest.param("<html><body>no title</body>", [], id="a page without a title"),
        pytest.param("<html><title>cut", [], id="a page cut in its title"),
    ],
)
def test_what_is_not_json(text: str, sentences: list[str]) -> None:
    assert read(text) == Complaint([], sentences, None)


@pytest.mark.parametrize(
    ("text", "words", "sentences"),
    [
        (
            '{"error":{"message":"It\\"s full","type":"insufficient_quota","par',
            ["insufficient_quota"],
            ['It"s full'],
        ),
        ('{"error":{"code":"c","message":"cut in the mid', ["c"], ["cut in the mid"]),
        ('[{"error":{"message":"bad \\q escape', [], ["bad \\q escape"]),
        ("{nonsense", [], []),
    ],
)
def test_cut_json_still_says_something(text: str, words: list[str], sentences: list[str]) -> None:
    assert read(text) == Complaint(words, sentences, None)


def test_nobody_complains_at_more_length_than_32_words_and_sentences() -> None:
    complaint = read_value([{"message": f"sentence {n}", "type": f"word{n}"} for n in range(10_000)])
    assert complaint.sentences == [f"sentence {n}" for n in range(32)]
    assert complaint.words == [f"word{n}" for n in range(32)]


def test_nesting_beyond_reason_is_not_followed() -> None:
    deep: object = {"message": "bottom"}
    for _ in range(20):
        deep = {"error": deep}
    assert read_value(deep) == Complaint()
    assert read("[" * 100_000) == Complaint()


def test_the_summary_is_the_sentences_or_else_the_first_word() -> None:
    assert Complaint(["w"], ["One.", "Two."]).summary == "One.; Two."
    assert Complaint(["w", "x"]).summary == "w"
    assert Complaint().summary == ""


def test_everything_is_sentences_and_words() -> None:
    assert Complaint(["w"], ["One."]).everything == "One.; w"
