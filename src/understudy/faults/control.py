"""The control endpoint: what a script outside the process says to the provider, as JSON.

``GET    /control/script[?model=NAME]``   the scripts, or one model's
``PUT    /control/script[?model=NAME]``   a script as text, or as JSON ``{"script": …}``
``DELETE /control/script[?model=NAME]``   healthy again
``GET    /control/requests[?since=N]``    the log, only requests numbered above N
``DELETE /control/requests``              forget them

Only clients on the loopback interface are served; others get 403.
"""

from __future__ import annotations

import json
from typing import Any

from understudy.faults.http import HttpRequest, whole_response
from understudy.faults.log import RequestLog
from understudy.faults.repertoire import Repertoire
from understudy.faults.word import ScriptError

PREFIX = "/control/"


class Control:
    """Answers the requests under `PREFIX`."""

    def __init__(self, repertoire: Repertoire, log: RequestLog) -> None:
        self._repertoire, self._log = repertoire, log

    def respond(self, request: HttpRequest, *, is_local: bool) -> bytes:
        """The whole response."""
        if not is_local:
            return _response(403, {"error": "the control endpoint is for this machine only"})
        routes = {
            "/control/script": {"GET": self._show, "PUT": self._set, "DELETE": self._remove},
            "/control/requests": {"GET": self._requests, "DELETE": self._clear},
        }
        if request.path not in routes:
            return _response(404, {"error": "nothing is here", "paths": list(routes)})
        methods = routes[request.path]
        if request.method not in methods:
            return _response(405, {"error": f"use {', '.join(methods)}"})
        try:
            return methods[request.method](request)
        except ScriptError as error:
            return _response(400, {"error": error.message, "hint": error.hint})

    def _show(self, request: HttpRequest) -> bytes:
        model = request.query.get("model")
        if model is not None:
            return _response(200, {"model": model, "script": self._repertoire.script(model)})
        models = {name: self._repertoire.script(name) for name in self._repertoire.models}
        return _response(200, {"script": self._repertoire.script(), "models": models})

    def _set(self, request: HttpRequest) -> bytes:
        self._repertoire.set(_script(request.body), request.query.get("model"))
        return self._show(request)

    def _remove(self, request: HttpRequest) -> bytes:
        self._repertoire.remove(request.query.get("model"))
        return self._show(request)

    def _requests(self, request: HttpRequest) -> bytes:
        since = request.query.get("since", "0")
        if not since.isdigit():
            return _response(400, {"error": "since must be a number"})
        rows = [entry.to_dict() for entry in self._log.requests if entry.number > int(since)]
        return _response(200, {"count": self._log.count, "requests": rows})

    def _clear(self, request: HttpRequest) -> bytes:
        self._log.clear()
        return self._requests(request)


def _script(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    if not text.startswith("{"):
        return text
    try:
        script = json.loads(text).get("script")
    except (ValueError, RecursionError):
        raise ScriptError("the body is neither a script nor JSON") from None
    if not isinstance(script, str):
        raise ScriptError('the JSON has no "script"', hint='send {"script": "status 500; fine"}')
    return script


def _response(status: int, value: Any) -> bytes:
    return whole_response(status, json.dumps(value, ensure_ascii=False).encode() + b"\n")
