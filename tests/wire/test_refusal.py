"""Refusals: the status decides, the body refines; a realistic body for every row of the table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.core.error_rules import ErrorRule
from understudy.core.outcome import Failure
from understudy.errors import FailureKind
from understudy.wire.complaint import read
from understudy.wire.refusal import TABLE, Row, classify, classify_error_object

AUTH = FailureKind.AUTH
CONTENT_FILTER = FailureKind.CONTENT_FILTER
CONTEXT_LENGTH = FailureKind.CONTEXT_LENGTH
INVALID_REQUEST = FailureKind.INVALID_REQUEST
MODEL_NOT_FOUND = FailureKind.MODEL_NOT_FOUND
PROTOCOL = FailureKind.PROTOCOL
QUOTA = FailureKind.QUOTA
RATE_LIMITED = FailureKind.RATE_LIMITED
SERVER_ERROR = FailureKind.SERVER_ERROR


def refused(status: int, body: object = b"", headers: dict[str, str] | None = None, **more: Any) -> Failure:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return classify(status, headers or {}, data, wall=1_800_000_000.0, **more)


def openai(message: str, word: str | None = "invalid_request_error", code: object = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": word, "param": None, "code": code}}


def anthropic(message: str, word: str = "invalid_request_error") -> dict[str, Any]:
    return {"type": "error", "error": {"type": word, "message": message}, "request_id": "req_011CZLrUf"}


# One refusal a line: whose row of the table it is for, its status, what it means, its body.
REFUSALS = (Path(__file__).parent / "corpus" / "refusals.jsonl").read_text().splitlines()
ROWS = [
    (row["row"], row["status"], FailureKind(row["kind"]), row["body"]) for row in map(json.loads, REFUSALS)
]


def first_row(status: int | None, body: object) -> Row:
    return next(row for row in TABLE if row.matches(status, read(json.dumps(body))))


FIRST_ROWS = [(first_row(status, body), read(json.dumps(body))) for _, status, _, body in ROWS]


class TestTable:
    @pytest.mark.parametrize(("provider", "status", "kind", "body"), ROWS)
    def test_a_body_is_told_by_its_own_row(
        self, provider: str, status: int, kind: FailureKind, body: object
    ) -> None:
        assert first_row(status, body).provider == provider
        assert refused(status, body).kind is kind

    @pytest.mark.parametrize(("provider", "status", "kind", "body"), ROWS)
    def test_the_same_body_inside_a_stream_is_classed_alike(
        self, provider: str, status: int, kind: FailureKind, body: Any
    ) -> None:
        inner = body[0] if isinstance(body, list) else body
        error = inner.get("error", inner)
        named = classify_error_object({"status": status, **error} if isinstance(error, dict) else error)
        assert named.kind is kind
        assert named.in_stream

    @pytest.mark.parametrize(("provider", "status", "kind", "body"), ROWS)
    def test_a_422_is_refined_like_a_400_except_that_nobody_asks_for_money_with_it(
        self, provider: str, status: int, kind: FailureKind, body: object
    ) -> None:
        if status == 400:
            assert refused(422, body).kind is (INVALID_REQUEST if kind is QUOTA else kind)

    @pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.provider}-{row.kind}")
    def test_every_row_every_word_and_every_wording_has_a_body(self, row: Row) -> None:
        mine = [complaint for first, complaint in FIRST_ROWS if first is row]
        assert row.words <= {word for complaint in mine for word in complaint.words}
        for alternative in alternatives(row):
            spoken = Row(row.provider, row.kind, row.statuses, wording=alternative)
            assert any(spoken.matches(None, complaint) for complaint in mine), alternative.pattern

    @pytest.mark.parametrize("status", [401, 402, 404, 408, 409, 425, 500, 502, 503, 529])
    def test_no_row_speaks_for_a_status_that_has_decided(self, status: int) -> None:
        assert not [row for row in TABLE if status in row.statuses]


def alternatives(row: Row) -> Iterator[Any]:
    """The wordings of a row, split at the bars that stand outside parentheses."""
    pattern = row.wording.pattern if row.wording else ""
    depth, begun = 0, 0
    for position, letter in enumerate([*pattern, "|"] if pattern else []):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "|" and depth == 0:
            yield re.compile(pattern[begun:position], re.IGNORECASE)
            begun = position + 1


class TestStatus:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (204, PROTOCOL),
            (200, PROTOCOL),
            (301, PROTOCOL),
            (307, PROTOCOL),
            (400, INVALID_REQUEST),
            (401, AUTH),
            (402, QUOTA),
            (403, AUTH),
            (404, MODEL_NOT_FOUND),
            (405, INVALID_REQUEST),
            (406, INVALID_REQUEST),
            (408, SERVER_ERROR),
            (409, SERVER_ERROR),
            (410, INVALID_REQUEST),
            (412, INVALID_REQUEST),
            (413, INVALID_REQUEST),
            (415, INVALID_REQUEST),
            (418, INVALID_REQUEST),
            (422, INVALID_REQUEST),
            (425, SERVER_ERROR),
            (429, RATE_LIMITED),
            (431, INVALID_REQUEST),
            (451, INVALID_REQUEST),
            (498, SERVER_ERROR),
            (500, SERVER_ERROR),
            (501, SERVER_ERROR),
            (502, SERVER_ERROR),
            (503, SERVER_ERROR),
            (504, SERVER_ERROR),
            (520, SERVER_ERROR),
            (524, SERVER_ERROR),
            (529, SERVER_ERROR),
            (599, SERVER_ERROR),
        ],
    )
    def test_the_status_decides(self, status: int, kind: FailureKind) -> None:
        failure = refused(status)
        assert failure.kind is kind
        assert failure.status == status
        assert not failure.in_stream

    @pytest.mark.parametrize("status", [401, 404, 408, 500, 502, 529])
    def test_no_body_overrules_it(self, status: int) -> None:
        body = openai("maximum context length; insufficient quota", "insufficient_quota", "content_filter")
        assert refused(status, body).kind is refused(status).kind

    @given(st.integers(100, 999), st.binary(max_size=200))
    def test_any_status_with_any_body_is_classed(self, status: int, body: bytes) -> None:
        failure = refused(status, body)
        assert "\n" not in failure.message
        assert failure.status == status


class TestRetryAfter:
    @pytest.mark.parametrize("status", [429, 402, 500, 503, 529])
    def test_it_is_read_where_waiting_may_help(self, status: int) -> None:
        assert refused(status, headers={"retry-after": "2"}).retry_after == 2

    @pytest.mark.parametrize("status", [307, 400, 401, 404])
    def test_it_is_not_read_where_waiting_does_not_help(self, status: int) -> None:
        assert refused(status, headers={"retry-after": "2"}).retry_after is None

    def test_dates_are_measured_from_the_arrival(self) -> None:
        headers = {"retry-after": "Fri, 15 Jan 2027 08:00:09 GMT"}
        assert refused(429, headers=headers).retry_after == 9

    @pytest.mark.parametrize(("status", "seconds"), [(429, 17), (503, 17), (400, None), (401, None)])
    def test_where_the_headers_do_not_say_google_may_in_the_body(
        self, status: int, seconds: float | None
    ) -> None:
        info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "17s"}
        body = [{"error": {"code": status, "message": "Not now.", "details": [info]}}]
        assert refused(status, body).retry_after == seconds
        assert classify_error_object(body[0]["error"]).retry_after == seconds
        if seconds:
            assert refused(status, body, {"retry-after": "2"}).retry_after == 2

    def test_a_429_with_it_does_not_count_and_one_without_does(self) -> None:
        assert not refused(429, headers={"retry-after": "2"}).counts
        assert refused(429).counts


class TestRules:
    def test_a_users_rule_comes_before_the_table(self) -> None:
        body = openai("Upstream is temporarily unavailable, insufficient_quota")
        rules = [ErrorRule(400, "temporarily unavailable", SERVER_ERROR)]
        assert refused(400, body, rules=rules).kind is SERVER_ERROR
        assert refused(400, b"other", rules=rules).kind is INVALID_REQUEST
        assert refused(403, body, rules=rules).kind is AUTH

    def test_the_first_rule_that_matches_decides(self) -> None:
        rules = [
            ErrorRule(418, None, AUTH),
            ErrorRule(None, "tea", QUOTA),
            ErrorRule(None, "tea", SERVER_ERROR),
        ]
        assert refused(500, b"no tea", rules=rules).kind is QUOTA

    def test_a_rule_may_overrule_any_status(self) -> None:
        assert refused(503, rules=[ErrorRule(503, None, INVALID_REQUEST)]).kind is INVALID_REQUEST

    def test_a_rule_sees_the_status_that_a_streamed_error_stands_for(self) -> None:
        error = {"message": "busy", "type": "invalid_request_error"}
        rules = [ErrorRule(400, "busy", SERVER_ERROR)]
        assert classify_error_object(error, rules=rules).kind is SERVER_ERROR
        assert classify_error_object(error).kind is INVALID_REQUEST


class TestState:
    """A backend that can't read somebody's state asks to be spared it."""

    SIGNATURE = anthropic("messages.1.content.0: Invalid `signature` in `thinking` block")

    @pytest.mark.parametrize(
        ("body", "dropped"),
        [
            (SIGNATURE, "provider_state"),
            (openai("no", code="invalid_encrypted_content"), "provider_state"),
            ([{"error": {"code": 400, "message": "Corrupted thought signature."}}], "provider_state"),
            (openai("Function call is missing a thought_signature in functionCall parts."), None),
            (openai("no", code="invalid_image_url"), None),
            (openai("maximum context length"), None),
        ],
    )
    def test_what_it_wants_dropped_is_named(self, body: Any, dropped: str | None) -> None:
        assert refused(400, body).drop_field == dropped
        inner = body[0] if isinstance(body, list) else body
        assert classify_error_object(inner["error"]).drop_field == dropped

    def test_unless_a_users_rule_says_what_it_is(self) -> None:
        rules = [ErrorRule(400, "signature", SERVER_ERROR)]
        failure = refused(400, self.SIGNATURE, rules=rules)
        assert (failure.kind, failure.drop_field) == (SERVER_ERROR, None)
        failure = classify_error_object(self.SIGNATURE["error"], rules=rules)
        assert (failure.kind, failure.drop_field) == (SERVER_ERROR, None)

    def test_or_the_format_knows_it_beyond_doubt(self) -> None:
        failure = classify_error_object(self.SIGNATURE["error"], kind=CONTENT_FILTER)
        assert (failure.kind, failure.drop_field) == (CONTENT_FILTER, None)


class TestMessage:
    @pytest.mark.parametrize(
        ("status", "body", "message"),
        [
            (401, openai("Incorrect API key provided"), "401 Unauthorized: Incorrect API key provided"),
            (500, b"", "500 Internal Server Error"),
            (502, b"<html><title>502 Bad Gateway</title><h1>x", "502 Bad Gateway"),
            (502, b"<html><title>Down</title>", "502 Bad Gateway: Down"),
            (503, b"<html><body>Service <b>Unavailable</b>", "503 Service Unavailable"),
            (503, b"no <b>healthy</b> upstream", "503 Service Unavailable: no healthy upstream"),
            (529, anthropic("Overloaded", "overloaded_error"), "529 Overloaded"),
            (524, b"", "524 Origin Answered Too Late"),
            (498, b"", "498 Capacity Exceeded"),
            (521, b"", "521 Origin Down"),
            (529, b"", "529 Overloaded"),
            (599, b"", "599"),
            (502, b"bad \xff gate\xfeway", "502 Bad Gateway: bad gate way"),
            (
                400,
                openai("one\r\n\ttwo\x00\x1b[31m\u202ethree \ud83d"),
                "400 Bad Request: one two [31m three",
            ),
            (400, openai("80 <= 90 > 70"), "400 Bad Request: 80 <= 90 > 70"),
            (400, {"error": {"code": "quite_odd"}}, "400 Bad Request: quite_odd"),
            (302, b"<a href='http://x'>", "302 Found: a redirect that is not followed"),
            (204, b"", "204 No Content"),
        ],
    )
    def test_is_one_line_for_people(self, status: int, body: object, message: str) -> None:
        assert refused(status, body).message == message

    def test_is_short(self) -> None:
        message = refused(400, openai("word " * 100_000)).message
        assert len(message) < 330
        assert message.endswith("word…")

    def test_and_body_hold_no_key(self) -> None:
        body = openai("Incorrect API key provided: sk-abcd1234567890, or my-own-secret")
        failure = refused(401, body, secrets=["my-own-secret"])
        assert failure.message == "401 Unauthorized: Incorrect API key provided: sk-***, or ***"
        assert failure.body == json.dumps(openai("Incorrect API key provided: sk-***, or ***")).encode()


class TestBody:
    def test_is_kept_as_it_came(self) -> None:
        assert refused(400, b"\xff<html>").body == b"\xff<html>"

    def test_none_where_nothing_came(self) -> None:
        assert refused(400, b"").body is None

    def test_is_cut_at_64_kibibytes(self) -> None:
        assert refused(400, b"x" * 100_000).body == b"x" * 65536


class TestUnknownField:
    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (400, openai("Unknown parameter: 'stream_options'.", code="unknown_parameter")),
            (400, openai("Unrecognized request argument supplied: stream_options")),
            (400, {"detail": "Extra parameters ['stream_options'] are not allowed"}),
            (
                422,
                {
                    "object": "error",
                    "message": {
                        "detail": [
                            {
                                "type": "extra_forbidden",
                                "loc": ["body", "stream_options"],
                                "msg": "Extra inputs are not permitted",
                            }
                        ]
                    },
                },
            ),
        ],
    )
    def test_a_complaint_that_names_our_field_drops_it(self, status: int, body: object) -> None:
        failure = refused(status, body)
        assert failure.kind is INVALID_REQUEST
        assert failure.drop_field == "stream_options"

    def test_a_field_that_matters_is_the_callers_own(self) -> None:
        assert refused(400, openai("Unknown parameter: 'x'.")).drop_field is None

    @pytest.mark.parametrize("status", [403, 405, 500])
    def test_only_a_400_or_a_422_complains_of_a_field(self, status: int) -> None:
        assert refused(status, openai("stream_options")).drop_field is None

    def test_an_error_of_another_kind_that_mentions_it_does_not_drop_it(self) -> None:
        assert refused(400, openai("stream_options: maximum context length")).drop_field is None


class TestErrorObject:
    def test_a_decoder_may_say_the_kind_and_only_a_users_rule_comes_before_it(self) -> None:
        said = "the call was malformed: maximum context length"
        assert classify_error_object(said, kind=SERVER_ERROR).kind is SERVER_ERROR
        rule = ErrorRule(None, "malformed", AUTH)
        assert classify_error_object(said, kind=SERVER_ERROR, rules=[rule]).kind is AUTH

    @pytest.mark.parametrize(
        ("error", "kind", "status"),
        [
            pytest.param(
                {"code": 502, "message": "Provider returned error"}, SERVER_ERROR, 502, id="a status"
            ),
            pytest.param({"code": "429", "message": "x"}, RATE_LIMITED, 429, id="a status as a string"),
            pytest.param({"status": 401, "message": "x"}, AUTH, 401, id="status as a field"),
            pytest.param({"code": 403, "message": "x"}, AUTH, 403, id="a permission"),
            pytest.param({"code": 402, "message": "x"}, QUOTA, 402, id="a payment"),
            pytest.param({"type": "overloaded_error", "message": "Overloaded"}, SERVER_ERROR, None, id="529"),
            pytest.param({"type": "rate_limit_error", "message": "x"}, RATE_LIMITED, None, id="429"),
            pytest.param({"type": "authentication_error", "message": "x"}, AUTH, None, id="401"),
            pytest.param({"type": "not_found_error", "message": "x"}, MODEL_NOT_FOUND, None, id="404"),
            pytest.param({"type": "invalid_request_error", "message": "x"}, INVALID_REQUEST, None, id="400"),
            pytest.param({"type": "request_too_large", "message": "x"}, INVALID_REQUEST, None, id="413"),
            pytest.param(
                {"type": "invalid_request_error", "code": "rate_limit_exceeded"},
                RATE_LIMITED,
                None,
                id="the code says more than the type",
            ),
            pytest.param(
                {"type": "server_error", "message": "maximum context length"},
                SERVER_ERROR,
                None,
                id="a word stands for a status, and 500 is not refined",
            ),
            pytest.param({"message": "Rate limit reached"}, RATE_LIMITED, None, id="by wording alone"),
            pytest.param(
                {"message": "maximum context length is 8"}, CONTEXT_LENGTH, None, id="wording, context"
            ),
            pytest.param("Internal server error", SERVER_ERROR, None, id="a string"),
            pytest.param("insufficient balance", QUOTA, None, id="a string with a wording"),
            pytest.param({}, SERVER_ERROR, None, id="nothing"),
            pytest.param(17, SERVER_ERROR, None, id="a number"),
            pytest.param(True, SERVER_ERROR, None, id="true"),
            pytest.param({"code": 200, "message": "x"}, SERVER_ERROR, None, id="200 is no error's status"),
        ],
    )
    def test_is_classed_as_if_it_had_come_as_a_status(
        self, error: object, kind: FailureKind, status: int | None
    ) -> None:
        failure = classify_error_object(error)
        assert failure.kind is kind
        assert failure.status == status
        assert failure.in_stream
        assert failure.retry_after is None

    @pytest.mark.parametrize(
        ("kind", "words"),
        [
            (
                SERVER_ERROR,
                "server_error api_error INTERNAL internal_error internal_server_error InternalServerError "
                "UNAVAILABLE service_unavailable timeout_error DEADLINE_EXCEEDED overloaded_error",
            ),
            (
                RATE_LIMITED,
                "rate_limit_error rate_limit_exceeded RateLimitError too_many_requests RESOURCE_EXHAUSTED",
            ),
            (AUTH, "unauthorized UNAUTHENTICATED AuthenticationError"),
            (AUTH, "permission_error permissions_error PERMISSION_DENIED PermissionDeniedError"),
            (MODEL_NOT_FOUND, "NOT_FOUND not_found_error NotFoundError"),
            (
                INVALID_REQUEST,
                "invalid_request_error bad_request BadRequestError INVALID_ARGUMENT FAILED_PRECONDITION "
                "request_too_large",
            ),
        ],
    )
    def test_a_word_stands_for_a_status_which_then_decides(self, kind: FailureKind, words: str) -> None:
        """The wording would mean a model that is not there, but for the status that says otherwise."""
        for word in words.split():
            refining = kind is INVALID_REQUEST and word != "request_too_large"
            error = {"type": word, "message": "x" if refining else "Model Not Exist"}
            assert classify_error_object(error).kind is kind, word

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            ({"code": 502, "message": "Down"}, "502 Bad Gateway: Down"),
            ({"message": "Down"}, "Down"),
            ({"type": "overloaded_error"}, "overloaded_error"),
            ("Down", "Down"),
            ({}, "an error without a message"),
            ({"message": "key sk-abcd1234567890 and my-own-secret"}, "key sk-*** and ***"),
        ],
    )
    def test_its_message(self, error: object, message: str) -> None:
        assert classify_error_object(error, secrets=["my-own-secret"]).message == message

    def test_its_body_is_an_error_body_without_keys(self) -> None:
        failure = classify_error_object(
            {"message": "sk-abcd1234567890 my-own-secret"}, secrets=["my-own-secret"]
        )
        assert failure.body == b'{"error":{"message":"sk-*** ***"}}'

    def test_its_body_is_cut_at_64_kibibytes(self) -> None:
        body = classify_error_object({"message": "x" * 100_000}).body
        assert body is not None
        assert len(body) == 65536

    def test_half_a_surrogate_pair_does_not_break_it(self) -> None:
        failure = classify_error_object({"message": "\ud83d Rate limit"})
        assert failure.kind is RATE_LIMITED
        assert failure.message == "Rate limit"
        assert failure.body == b'{"error":null}'
