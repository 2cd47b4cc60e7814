"""The gateway in the words of OpenAPI 3.1, served as ``/openapi.json``.

1. A path stands here once, with ``/v1`` where clients put it; it is served without it as well.
2. A route lists every status that it can answer with. Statuses that a backend chose for a wrong request,
   and that we pass on, are ``4XX``.
3. Below ``/messages`` an error is Anthropic's; elsewhere it is OpenAI's, or Anthropic's if the request says
   ``anthropic-version``.
4. Keys are optional where there are none, and the admin routes are listed where there is an admin key.

The shapes themselves are in `openapi_schemas`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from http import HTTPStatus
from typing import Any

from understudy._version import __version__
from understudy.gateway.openapi_schemas import Schema, examples, named, schemas

_JSON = "application/json"
_STREAM = "text/event-stream"
_HTML = "text/html"
_SCRIPT = "text/javascript"
_STYLE = "text/css"
_PICTURE = "image/svg+xml"
_TEXT = "text/plain"
_OPENMETRICS = "application/openmetrics-text"

_ALWAYS = (400, 408, 431, 500)  # no HTTP, a slow or large head, a bug
_KEYED = (*_ALWAYS, 401, 503)
_NAMED = (*_KEYED, 404)
_READ = (*_NAMED, 413)
_CHAT = (*_READ, 429, 502, 504)

_MEANINGS = {
    400: "The request is wrong: `code` and `message` say how.",
    401: "No key came, or one that is not known here.",
    404: "Nothing has this name; the message names the nearest one.",
    408: "The head or the body did not come in time.",
    409: "This is one of several workers that share no state: the others would not hear of it.",
    413: "The body is too large.",
    429: "Every backend that could be asked is rate limited, benched or out of quota.",
    431: "The head is larger than 64 KiB, or has more than 100 headers.",
    500: "A bug in the gateway.",
    501: "This needs a package that is not installed.",
    502: "Every backend that was asked failed; `causes` has a line for each.",
    503: "No backend can be asked now, too many requests wait, or the gateway shuts down.",
    504: "The request's deadline passed, or every backend was too slow.",
}
_WAITS = (429, 503)
_EITHERS = (400, 413)  # that may be a backend's as well as ours

_CHANGE = 409

_NAMES = {"action": "Action", "key": "SettingName"}

_HEADERS: Mapping[str, Schema] = {
    "x-request-id": {"description": "The request's own, or one made for it: see `/requests/{id}`."},
    "x-understudy-profile": {"description": "The profile that was asked."},
    "x-understudy-backend": {"description": "The member that answers."},
    "x-understudy-model": {"description": "That member's model."},
    "x-understudy-attempts": {"description": "How many attempts it took.", "schema": {"type": "integer"}},
    "x-understudy-cost": {
        "description": "US dollars, if all of it is known by then.",
        "schema": {"type": "number"},
    },
    "x-understudy-worker": {
        "description": "Which of several workers answers.",
        "schema": {"type": "integer"},
    },
    "x-understudy-overhead-ms": {"description": "The gateway's own time.", "schema": {"type": "number"}},
}


class Access(Enum):
    """Whose key a route asks for."""

    OPEN = "anybody's"
    CLIENT = "a client's"
    ADMIN = "the admin's"


@dataclass(frozen=True, slots=True)
class Route:
    """One operation. `answers` are the schemas of a success by media type; `errors` is rule 2."""

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[str, str]
    errors: Sequence[int] = _KEYED
    body: str | None = None
    headers: Sequence[str] = ()
    query: Mapping[str, Schema] = field(default_factory=dict)
    access: Access = Access.CLIENT

    @property
    def is_chat(self) -> bool:
        return 502 in self.errors

    @property
    def is_anthropic(self) -> bool:
        return self.path.startswith("/v1/messages")


_ROUTES = (
    Route(
        "post", "/v1/chat/completions", "chat", "An answer in OpenAI's format, whole or as a stream.",
        {_JSON: "ChatCompletion", _STREAM: "Events"}, _CHAT, "ChatRequest", ("x-request-id",),
    ),
    Route(
        "post", "/v1/responses", "responses", "A response in OpenAI's newer format, whole or as a stream.",
        {_JSON: "Response", _STREAM: "Events"}, _CHAT, "ResponsesRequest", ("x-request-id",),
    ),
    Route(
        "post", "/v1/messages", "messages", "An answer in Anthropic's format, whole or as a stream.",
        {_JSON: "Message", _STREAM: "Events"}, _CHAT, "MessagesRequest", ("x-request-id", "anthropic-beta"),
    ),
    Route(
        "post", "/v1/messages/count_tokens", "countTokens", "About how many tokens a request has.",
        {_JSON: "TokenCount"}, _READ, "MessagesRequest",
    ),
    Route(
        "get", "/v1/models", "listModels", "The models that may be asked for: profiles and aliases.",
        {_JSON: "Models"}, headers=("anthropic-version",),
    ),
    Route(
        "get", "/v1/models/{id}", "getModel", "One model.",
        {_JSON: "Model"}, _NAMED, headers=("anthropic-version",),
    ),
    Route("get", "/", "page", "The page.", {_HTML: "File"}, _ALWAYS, access=Access.OPEN),
    Route(
        "get", "/page/{file}", "pageFile", "What the page is made of.",
        dict.fromkeys((_HTML, _SCRIPT, _STYLE, _PICTURE), "File"), (*_ALWAYS, 404), access=Access.OPEN,
    ),
    Route(
        "get", "/health/liveness", "liveness", "Does the process answer?",
        {_JSON: "Health"}, _ALWAYS, access=Access.OPEN,
    ),
    Route(
        "get", "/health/readiness", "readiness", "Are new requests taken? 503 while the gateway shuts down.",
        {_JSON: "Health"}, (*_ALWAYS, 503), access=Access.OPEN,
    ),
    Route("get", "/stats", "allStats", "The statistics of every profile.", {_JSON: "AllStats"}),
    Route("get", "/stats/{profile}", "stats", "One profile's statistics.", {_JSON: "Stats"}, _NAMED),
    Route(
        "get", "/live", "live", "What happens, as server-sent events; with `once` one picture of it.",
        {_STREAM: "Live", _JSON: "Picture"}, query={"once": {"enum": ["1"]}},
    ),
    Route(
        "get", "/requests", "listRequests", "The recent requests of yours, the newest first.",
        {_JSON: "Requests"}, query={"limit": {"type": "integer", "minimum": 1, "maximum": 1000}},
    ),
    Route(
        "get", "/requests/{id}", "getRequest", "A recent request of yours and its trail.",
        {_JSON: "Request"}, _NAMED,
    ),
    Route(
        "get", "/metrics", "metrics", "The same figures for Prometheus.",
        {_TEXT: "Exposition", _OPENMETRICS: "Exposition"}, (*_KEYED, 501),
    ),
    Route("get", "/openapi.json", "document", "This document.", {_JSON: "Document"}),
    Route(
        "post", "/admin/reload", "reload", "Loads all profiles anew, or none.",
        {_JSON: "Reloaded"}, access=Access.ADMIN,
    ),
    Route(
        "post", "/admin/profiles/{profile}/backends/{backend}/{action}", "act",
        "Takes one member in hand: resets, opens or closes its circuit, drains or enables it.",
        {_JSON: "Acted"}, (*_NAMED, _CHANGE), access=Access.ADMIN,
    ),
    Route(
        "get", "/admin/profiles/{profile}/settings", "listSettings", "The settings that can be changed live.",
        {_JSON: "Settings"}, _NAMED, access=Access.ADMIN,
    ),
    Route(
        "put", "/admin/profiles/{profile}/settings/{key}", "changeSetting",
        "Changes a setting from the next decision on.",
        {_JSON: "Setting"}, (*_READ, _CHANGE), "NewValue", access=Access.ADMIN,
    ),
    Route(
        "delete", "/admin/profiles/{profile}/settings/{key}", "resetSetting", "Takes a live change back.",
        {_JSON: "Setting"}, (*_NAMED, _CHANGE), access=Access.ADMIN,
    ),
)  # fmt: skip


def document(*, models: Sequence[str] = (), keyed: bool = True, admin: bool = False) -> dict[str, Any]:
    """The document. `models` are named as examples of what may be asked for; the rest is rule 4."""
    routes = [route for route in _ROUTES if admin or route.access is not Access.ADMIN]
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = paths.setdefault(route.path, _parameters(route.path, models))
        path[route.method] = _operation(route, keyed=keyed)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Understudy",
            "version": __version__,
            "description": "LLM backends behind one address, with failover. Every path is served with and "
            "without /v1 in front.",
        },
        "paths": paths,
        "components": {"schemas": schemas(models), "securitySchemes": _security_schemes(admin=admin)},
    }


# Requests


def _parameters(path: str, models: Sequence[str]) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", path)
    return {"parameters": [_path_parameter(name, path, models) for name in names]} if names else {}


def _path_parameter(name: str, path: str, models: Sequence[str]) -> Schema:
    schema: Schema = {"type": "string", "minLength": 1}
    if name in _NAMES:
        schema = named(_NAMES[name])
    elif name == "profile" or path == "/v1/models/{id}":
        schema |= examples(models)
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _operation(route: Route, *, keyed: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "security": _security(route.access, keyed=keyed),
        "responses": {"200": _success(route), **dict(_failures(route))},
    }
    parameters = [{"name": name, "in": "header", "schema": {"type": "string"}} for name in route.headers]
    parameters += [{"name": name, "in": "query", "schema": schema} for name, schema in route.query.items()]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": named(route.body)}}}
    return operation


def _security(access: Access, *, keyed: bool) -> list[dict[str, list[str]]]:
    """Rule 4."""
    match access:
        case Access.OPEN:
            return []
        case Access.ADMIN:
            return [{"adminBearer": []}, {"adminKey": []}]
    return [{"bearer": []}, {"key": []}, *([] if keyed else [{}])]


def _security_schemes(*, admin: bool) -> dict[str, Schema]:
    bearer = {"type": "http", "scheme": "bearer"}
    key = {"type": "apiKey", "in": "header", "name": "x-api-key"}
    return {"bearer": bearer, "key": key} | ({"adminBearer": bearer, "adminKey": key} if admin else {})


# Answers


def _success(route: Route) -> Schema:
    answer: Schema = {"description": HTTPStatus.OK.phrase, "content": _content(route.answers)}
    return answer | ({"headers": _headers(_HEADERS)} if route.is_chat else {})


def _failures(route: Route) -> Iterator[tuple[str, Schema]]:
    """Rules 2 and 3."""
    error = "AnthropicError" if route.is_anthropic else "Error"
    for status in sorted(route.errors):
        yield str(status), _failure(route, status, error)
    if route.is_chat:
        passed_on = "What the backend that was asked first said of this request, as it came."
        yield "4XX", {"description": passed_on, "content": _content({_JSON: "PassedOn"})}


def _failure(route: Route, status: int, error: str) -> Schema:
    if route.access is Access.OPEN and status == 503:
        return {"description": "The gateway shuts down.", "content": _content({_JSON: "Health"})}
    shape = "PassedOn" if route.is_chat and status in _EITHERS else error
    failure: Schema = {"description": _MEANINGS[status], "content": _content({_JSON: shape})}
    if status in _WAITS:
        wait = {"description": "Seconds until it is worth another try.", "schema": {"type": "integer"}}
        failure["headers"] = _headers({"retry-after": wait})
    return failure


def _content(schemas: Mapping[str, str]) -> Schema:
    return {media: {"schema": named(schema)} for media, schema in schemas.items()}


def _headers(headers: Mapping[str, Schema]) -> Schema:
    return {name: {"schema": {"type": "string"}, **header} for name, header in headers.items()}
