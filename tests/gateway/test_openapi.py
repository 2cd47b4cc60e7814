"""The document is valid, names every route, and is true to what is sent."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from schemathesis.specs.openapi import definitions

from tests.gateway.house import KEY, PROFILE, chat, house
from understudy.gateway.admin import Admin
from understudy.gateway.app import Gateway
from understudy.gateway.openapi import document
from understudy.gateway.profiles import Profiles

WHOLE = document(models=[PROFILE], admin=True)
SCHEMAS: dict[str, Any] = WHOLE["components"]["schemas"]

OPERATOR = f"authorization: Bearer {KEY}\r\n"
ANTHROPIC = "anthropic-version: 2023-06-01\r\n"


def check(value: Any, schema: str) -> None:
    """Raises if the value is not what the document says of this schema."""
    validator = Draft202012Validator({"$ref": f"#/components/schemas/{schema}", **WHOLE})
    validator.validate(value)


def operations(found: dict[str, Any] = WHOLE) -> dict[str, dict[str, Any]]:
    """Every operation by its name."""
    return {
        operation["operationId"]: operation
        for path in found["paths"].values()
        for method, operation in path.items()
        if method != "parameters"
    }


def test_it_is_valid_openapi() -> None:
    assert Draft202012Validator(definitions.OPENAPI_31).is_valid(WHOLE)
    assert not Draft202012Validator(definitions.OPENAPI_31).is_valid({**WHOLE, "paths": 7})


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_shape_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])


def test_every_reference_leads_to_a_shape_and_every_shape_is_referred_to() -> None:
    referred = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(WHOLE)))

    assert referred == set(SCHEMAS)


def test_it_is_json() -> None:
    assert json.loads(json.dumps(WHOLE)) == WHOLE


# Routes


async def test_it_names_every_route_and_no_other() -> None:
    """Whatever is named answers an unknown method with 405; whatever is served is named."""
    async with house() as open_house:
        gateway = open_house.gateway
        gateway.admin = Admin(KEY, lambda: gateway.profiles, gateway.close)
        for path, found in WHOLE["paths"].items():
            filled = path.replace("{profile}", PROFILE).replace("{key}", "timeout_ms")
            filled = filled.replace("{backend}/{action}", "lead/reset").replace("{id}", PROFILE)
            answer = await open_house.say(f"OPTIONS {filled} HTTP/1.1\r\nhost: x\r\n{OPERATOR}\r\n".encode())
            allowed = answer.headers["allow"].lower().split(", ")
            assert answer.status == 405
            assert sorted(set(allowed) - {"head"}) == sorted(set(found) - {"parameters"}), path
        named = {path.removeprefix("/v1").split("{")[0] for path in WHOLE["paths"]}
        assert {*gateway._chats, *gateway._views._exact, *gateway._views._below} <= named


async def test_it_is_served_with_the_models_that_may_be_asked_for() -> None:
    async with house() as open_house:
        answer = await open_house.say(b"GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\n\r\n")

    assert answer.json == document(models=[PROFILE], keyed=False)
    assert answer.json["components"]["schemas"]["ChatRequest"]["properties"]["model"]["examples"] == [PROFILE]


def test_without_a_model_there_are_no_examples() -> None:
    assert "examples" not in json.dumps(document())


# Keys


def test_the_admin_routes_are_named_where_there_is_an_admin_key() -> None:
    assert {"reload", "act", "listSettings", "changeSetting", "resetSetting"} <= set(operations())
    assert not [path for path in document()["paths"] if path.startswith("/admin")]
    assert set(document()["components"]["securitySchemes"]) == {"bearer", "key"}


def test_each_route_says_whose_key_it_asks_for() -> None:
    security = {name: operation["security"] for name, operation in operations().items()}

    assert security["chat"] == security["document"] == [{"bearer": []}, {"key": []}]
    assert security["liveness"] == security["readiness"] == []
    assert security["reload"] == [{"adminBearer": []}, {"adminKey": []}]


def test_where_there_are_no_keys_none_is_asked_for() -> None:
    security = {name: operation["security"] for name, operation in operations(document(keyed=False)).items()}

    assert security["chat"] == [{"bearer": []}, {"key": []}, {}]
    assert security["liveness"] == []


# Statuses


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("chat", "200 400 401 404 408 413 429 431 500 502 503 504 4XX"),
        ("responses", "200 400 401 404 408 413 429 431 500 502 503 504 4XX"),
        ("messages", "200 400 401 404 408 413 429 431 500 502 503 504 4XX"),
        ("countTokens", "200 400 401 404 408 413 431 500 503"),
        ("liveness", "200 400 408 431 500"),
        ("readiness", "200 400 408 431 500 503"),
        ("listModels", "200 400 401 408 431 500 503"),
        ("stats", "200 400 401 404 408 431 500 503"),
        ("metrics", "200 400 401 408 431 500 501 503"),
        ("changeSetting", "200 400 401 404 408 409 413 431 500 503"),
    ],
)
def test_each_route_lists_every_status_it_can_answer_with(name: str, statuses: str) -> None:
    assert " ".join(operations()[name]["responses"]) == statuses


def shape_of(operation: str, status: str) -> str:
    content = operations()[operation]["responses"][status]["content"]
    return str(content["application/json"]["schema"]["$ref"]).rpartition("/")[2]


def test_an_error_is_in_the_shape_of_its_protocol() -> None:
    assert shape_of("messages", "502") == shape_of("countTokens", "401") == "AnthropicError"
    assert shape_of("chat", "502") == shape_of("stats", "404") == "Error"
    assert shape_of("readiness", "503") == "Health"


def test_where_a_backends_own_error_is_passed_on_its_shape_is_the_backends() -> None:
    assert shape_of("chat", "400") == shape_of("messages", "4XX") == "PassedOn"
    assert shape_of("chat", "401") == "Error"


def test_who_has_to_wait_is_told_how_long() -> None:
    waits = [status for status, answer in operations()["chat"]["responses"].items() if "retry-after" in
             answer.get("headers", {})]  # fmt: skip

    assert waits == ["429", "503"]


# Shapes


async def test_answers_are_what_the_document_says() -> None:
    async with house() as evening:
        check((await evening.post("/v1/chat/completions", chat())).json, "ChatCompletion")
        check((await evening.post("/v1/responses", chat(input="Hi"))).json, "Response")
        check((await evening.post("/v1/messages", chat())).json, "Message")
        check((await evening.post("/v1/messages/count_tokens", chat())).json, "TokenCount")
        for more in ("", ANTHROPIC):
            for path, schema in (("/v1/models", "Models"), (f"/v1/models/{PROFILE}", "Model")):
                check((await evening.say(get(path, more))).json, schema)
        for path in ("/health/liveness", "/health/readiness"):
            check((await evening.say(get(path))).json, "Health")


def get(path: str, headers: str = "") -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n".encode()


async def test_statistics_and_trails_are_what_the_document_says() -> None:
    async with house("status 500", circuit_breaker_failure_threshold=1) as evening:
        for number in range(2):  # one that fails over, and one that skips an open circuit
            answer = await evening.post("/v1/chat/completions", chat(), f"x-request-id: no-{number}\r\n")
            assert answer.status == 200
            check((await evening.say(get(f"/requests/no-{number}"))).json, "Request")
        check((await evening.say(get("/stats"))).json, "AllStats")
        stats = (await evening.say(get(f"/stats/{PROFILE}"))).json

    check(stats, "Stats")
    assert stats["backends"]["lead"]["circuit_breaker"]["state"] == "open"


@pytest.mark.parametrize(
    ("path", "schema"),
    [("/chat/completions", "OpenAIError"), ("/responses", "OpenAIError"), ("/messages", "AnthropicError")],
)
@pytest.mark.parametrize(("script", "status"), [("status 500", 502), ("429 retry-after=60", 429)])
async def test_errors_are_what_the_document_says(path: str, schema: str, script: str, status: int) -> None:
    async with house(script, script) as evening:
        failed = await evening.post(path, chat(input="Hi"))
        wrong = await evening.post(path, {"model": PROFILE})
        unknown = await evening.post(path, chat(input="Hi", model="nobody"))

    assert (failed.status, wrong.status, unknown.status) == (status, 400, 404)
    for answer in (failed, wrong, unknown):
        check(answer.json, schema)
    assert {cause["backend"] for cause in failed.json["error"]["causes"]} == {"lead", "second"}


@pytest.mark.parametrize(
    ("fields", "is_right"),
    [
        ({"input": "Hi"}, True),
        ({"input": [{"role": "user", "content": "Hi"}], "store": True, "background": False}, True),
        ({"input": "Hi", "previous_response_id": None, "conversation": None}, True),
        ({}, False),
        ({"input": []}, False),
        ({"input": "Hi", "store": 1}, False),
        ({"input": "Hi", "background": True}, False),
        ({"input": "Hi", "previous_response_id": "resp_1"}, False),
        ({"input": "Hi", "conversation": {"id": "conv_1"}}, False),
    ],
)
async def test_of_responses_the_document_asks_for_what_is_taken(
    fields: dict[str, Any], is_right: bool
) -> None:
    body = {"model": PROFILE, **fields}
    validator = Draft202012Validator({"$ref": "#/components/schemas/ResponsesRequest", **WHOLE})
    assert validator.is_valid(body) is is_right
    async with house() as evening:
        assert (await evening.post("/responses", body)).status == (200 if is_right else 400)


async def test_what_a_backend_says_of_a_wrong_request_is_what_the_document_says() -> None:
    async with house("status 422") as evening:
        answer = await evening.post("/chat/completions", chat())

    assert answer.status == 422
    check(answer.json, "PassedOn")


async def test_what_operators_get_is_what_the_document_says() -> None:
    async with house() as evening:
        gateway: Gateway = evening.gateway

        async def reload() -> None:
            gateway.profiles = Profiles(gateway.profiles.by_name)

        gateway.admin = Admin(KEY, lambda: gateway.profiles, reload)
        settings = f"/admin/profiles/{PROFILE}/settings"
        for method, path, body, schema in (
            ("POST", "/admin/reload", b"", "Reloaded"),
            ("POST", f"/admin/profiles/{PROFILE}/backends/lead/drain", b"", "Acted"),
            ("GET", settings, b"", "Settings"),
            ("PUT", f"{settings}/timeout_ms", b'{"value": 5}', "Setting"),
            ("DELETE", f"{settings}/timeout_ms", b"", "Setting"),
        ):
            async with evening.line() as line:
                line.post(path, body, OPERATOR, method)
                answer = await line.receive()
            assert answer.status == 200
            check(answer.json, schema)
        listed = (await evening.say(get(settings, OPERATOR))).json

    assert sorted(listed) == sorted(SCHEMAS["SettingName"]["enum"])


def test_what_is_wrong_is_found() -> None:
    with pytest.raises(Exception, match="is a required property"):
        check({"backend": "lead"}, "Skip")
    with pytest.raises(Exception, match="unexpected"):
        check({"input_tokens": 1, "more": 2}, "TokenCount")
