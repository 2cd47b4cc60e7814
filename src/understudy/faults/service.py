"""Serves one connection after the other: request, cue, performance, and again.

1. ``POST`` to a path of a format's, such as ``…/chat/completions``, ``…/responses``, ``…/messages``
   or ``…/models/MODEL:generateContent``: the cue of the model's prompter is played in that format.
2. ``GET …/models``, and what counts tokens, such as ``POST …/messages/count_tokens``: always well,
   use no step up. Who has a key for Gemini gets Gemini's list of models, everybody else OpenAI's.
3. ``/control/…``: never logged, uses no step up.
4. anything else: 404. The path that a redirect names is answered fine and uses no step up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from understudy.faults import gemini, openai_chat
from understudy.faults.answer import Call
from understudy.faults.connection import ClientLeft, Connection
from understudy.faults.control import PREFIX, Control
from understudy.faults.cue import Cue, Prompter
from understudy.faults.formats import Format, asked_at
from understudy.faults.http import BadRequest, HttpRequest, whole_response
from understudy.faults.log import Request, RequestLog, credential_id, without_keys
from understudy.faults.performance import Prepared, perform
from understudy.faults.plan import Plans, Stage
from understudy.faults.player import Player
from understudy.faults.repertoire import Repertoire
from understudy.faults.replies import MOVED
from understudy.faults.script import Occasion
from understudy.faults.word import ScriptError

DEFAULT_MODEL = "gpt-understudy"
SAMPLING = frozenset(("temperature", "top_p", "top_k", "topP", "topK"))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and where its answer goes. Refusals are worded in some `format`, whatever the path."""

    connection: Connection
    http: HttpRequest
    request: Request
    format: Format


class Service:
    """What all connections share. `settled` is told of every request the provider is done with."""

    def __init__(
        self,
        repertoire: Repertoire,
        log: RequestLog,
        plans: Plans,
        *,
        time_scale: float,
        settled: Callable[[Request], None] | None,
    ) -> None:
        self.other_origin = ""
        self._repertoire, self._log = repertoire, log
        self._control = Control(repertoire, log)
        self._prepared = {spoken: Prepared(plan) for spoken, plan in plans.items()}
        self._fine = Cue("fine", plans)
        self._time_scale = time_scale
        self._settled = settled
        self._created = int(time.time())
        self._connections = self._requests = 0

    async def serve(self, connection: Connection) -> None:
        """Until the client leaves or the connection has to close."""
        self._connections += 1
        number, reused = self._connections, False
        try:
            while await self._exchange(connection, number, reused):
                reused = True
        except ClientLeft:
            pass
        except BadRequest as error:
            await connection.write_last(_problem(error.status, str(error)))
        finally:
            connection.close()

    async def _exchange(self, connection: Connection, number: int, reused: bool) -> bool:
        """One request and its answer. False if the connection is not to be used again."""
        http = await connection.next_request()
        if http.path.startswith(PREFIX):
            await connection.write(self._control.respond(http, is_local=connection.is_local))
            return http.keep_alive
        spoken = asked_at(http.path)
        request = self._enter(http, spoken, number, reused)
        try:
            return await self._answer(Exchange(connection, http, request, spoken or openai_chat))
        finally:
            self._settle(connection, request)

    def _enter(self, http: HttpRequest, spoken: Format | None, connection: int, reused: bool) -> Request:
        self._requests += 1
        request = Request(
            number=self._requests,
            arrived=time.monotonic(),
            connection=connection,
            reused=reused,
            method=http.method,
            path=http.path,
            format=spoken.NAME if spoken else "",
            query=without_keys(http.query),
            headers=without_keys(http.headers),
            credential=credential_id(http.headers, http.query),
            body=_body(http.body),
            body_size=len(http.body),
        )
        self._log.add(request)
        return request

    def _settle(self, connection: Connection, request: Request) -> None:
        request.client_closed = connection.left_at
        self._log.changes.happened()
        if self._settled is not None:
            self._settled(request)

    async def _answer(self, exchange: Exchange) -> bool:
        http, body = exchange.http, exchange.request.body
        if http.method == "GET" and http.path.endswith(openai_chat.MODELS_PATH):
            return await self._write(exchange, 200, self._models(http))
        if http.method != "POST" or not exchange.request.format:
            return await self._refuse(exchange, 404, f"nothing is at {http.path}")
        if not isinstance(body, dict):
            return await self._refuse(exchange, 400, "the body is not a JSON object")
        call = self._noted(exchange, body)
        count = exchange.format.count(http.path, call)
        if count is not None:
            return await self._write(exchange, 200, count)
        return await self._perform(exchange, call)

    def _noted(self, exchange: Exchange, body: Mapping[str, Any]) -> Call:
        http, request = exchange.http, exchange.request
        call = exchange.format.read_call(body, http.path, http.query)
        request.model, request.stream, request.prompt_size = call.model, call.stream, call.prompt_size
        return call

    async def _refuse(self, exchange: Exchange, status: int, message: str) -> bool:
        return await self._write(exchange, status, exchange.format.error_body(message, status=status))

    async def _write(self, exchange: Exchange, status: int, body: bytes) -> bool:
        exchange.request.status = status
        await exchange.connection.write(whole_response(status, body))
        exchange.request.finished = time.monotonic()
        return exchange.http.keep_alive

    def _models(self, http: HttpRequest) -> bytes:
        names = sorted({DEFAULT_MODEL, *self._repertoire.models})
        if gemini.KEY_HEADER in http.headers or gemini.KEY_QUERY in http.query:
            return gemini.models_body(names)
        return openai_chat.models_body(names, self._created)

    async def _perform(self, exchange: Exchange, call: Call) -> bool:
        try:
            prompter = self._repertoire.prompter(call.model)
        except ScriptError as error:
            return await self._refuse(exchange, 400, error.message)
        prompter.active += 1
        try:
            return await self._play(exchange, call, self._cue(prompter, exchange, call))
        finally:
            prompter.active -= 1

    def _cue(self, prompter: Prompter, exchange: Exchange, call: Call) -> Cue:
        if MOVED in exchange.http.path:
            return self._fine
        body = exchange.request.body
        given: dict[Occasion, bool] = {
            "stream": call.stream,
            "unary": not call.stream,
            "usage": call.include_usage,
            "prefill": bool(call.prefill),
            "reused": exchange.request.reused,
            "sampling": _samples(body),
            "limit": "max_tokens" in body,
            "budget": "budget_tokens" in _parts(body, "thinking"),
        }
        occasions = frozenset(occasion for occasion, is_given in given.items() if is_given)
        # In the script's own time, which the time scale makes pass faster.
        return prompter.take(exchange.request.arrived / self._time_scale, occasions)

    async def _play(self, exchange: Exchange, call: Call, cue: Cue) -> bool:
        plan = cue.plans[exchange.format]
        if call.prefill:
            plan = replace(plan, answer=plan.answer.going_on(call.prefill))
        if not exchange.http.keep_alive:
            plan = replace(plan, closing="say")
        exchange.request.step = cue.text
        player = Player(exchange.connection, exchange.request, plan, self._time_scale)
        stage = self._stage(exchange)
        prepared = self._prepared[exchange.format].timeline(plan, call, stage)
        await player.play(prepared or perform(plan, call, stage))
        exchange.request.finished = time.monotonic()
        return plan.closing == "keep" and plan.version == "1.1"

    def _stage(self, exchange: Exchange) -> Stage:
        return Stage(
            identity=exchange.format.identity(exchange.request.number),
            created=self._created,
            wall=time.time(),
            other_origin=self.other_origin,
            target=exchange.http.target,
        )


def _problem(status: int, message: str) -> bytes:
    return whole_response(status, openai_chat.error_body(message, status=status))


def _samples(body: Mapping[str, Any]) -> bool:
    """Does a request say how to draw lots? Gemini's say so in a place of their own."""
    return not SAMPLING.isdisjoint((*body, *_parts(body, "generationConfig")))


def _parts(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    parts = body.get(name)
    return parts if isinstance(parts, dict) else {}


def _body(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except (ValueError, RecursionError):
        return None
