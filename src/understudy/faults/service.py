"""Serves one connection after the other: request, cue, performance, and again.

1. ``POST …/chat/completions``: the cue of the model's prompter is played.
2. ``GET …/models``: always well.
3. ``/control/…``: never logged, uses no step up.
4. anything else: 404. The path that a redirect names is answered fine and uses no step up.
5. An answer that every request of its kind gets is written once a second and stamped with each
   request's id, so that a healthy provider costs next to nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from understudy.faults import openai_chat
from understudy.faults.act import End, Part, Timeline
from understudy.faults.answer import Call
from understudy.faults.connection import ClientLeft, Connection
from understudy.faults.control import PREFIX, Control
from understudy.faults.cue import Cue, Prompter
from understudy.faults.http import BadRequest, HttpRequest, whole_response
from understudy.faults.log import SECRET_HEADERS, Request, RequestLog, credential_id
from understudy.faults.performance import perform
from understudy.faults.plan import Plan, Stage
from understudy.faults.player import Player
from understudy.faults.repertoire import Repertoire
from understudy.faults.script import Occasion
from understudy.faults.word import ScriptError

MOVED = "/moved/"


class Service:
    """What all connections share. `settled` is told of every request the provider is done with."""

    def __init__(
        self,
        repertoire: Repertoire,
        log: RequestLog,
        plan: Plan,
        *,
        time_scale: float,
        settled: Callable[[Request], None],
    ) -> None:
        self.origin = ""
        self._repertoire, self._log = repertoire, log
        self._control = Control(repertoire, log)
        self._written = Written(plan)
        self._fine = Cue("fine", plan)
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
            await _write_last(connection, _problem(error.status, str(error)))
        finally:
            connection.close()

    async def _exchange(self, connection: Connection, number: int, reused: bool) -> bool:
        """One request and its answer. False if the connection is not to be used again."""
        http = await connection.next_request()
        if http.path.startswith(PREFIX):
            await connection.write(self._control.respond(http, is_local=connection.is_local))
            return http.keep_alive
        request = self._enter(http, number, reused)
        try:
            return await self._answer(connection, http, request)
        except ClientLeft:
            request.client_closed = connection.left_at
            raise
        finally:
            if request.client_closed is None:
                request.finished = time.monotonic()
            self._log.changed()
            self._settled(request)

    def _enter(self, http: HttpRequest, connection: int, reused: bool) -> Request:
        self._requests += 1
        request = Request(
            number=self._requests,
            arrived=time.monotonic(),
            connection=connection,
            reused=reused,
            method=http.method,
            path=http.path,
            headers={name: value for name, value in http.headers.items() if name not in SECRET_HEADERS},
            credential=credential_id(http.headers),
            body=_body(http.body),
            body_size=len(http.body),
        )
        self._log.add(request)
        return request

    async def _answer(self, connection: Connection, http: HttpRequest, request: Request) -> bool:
        if http.method == "GET" and http.path.endswith(openai_chat.MODELS_PATH):
            return await self._write(connection, http, request, 200, self._models())
        if http.method != "POST" or not http.path.endswith(openai_chat.ANSWER_PATH):
            body = openai_chat.error_body(f"no such path: {http.path}", kind="invalid_request_error")
            return await self._write(connection, http, request, 404, body)
        if not isinstance(request.body, dict):
            body = openai_chat.error_body("the body is not a JSON object", kind="invalid_request_error")
            return await self._write(connection, http, request, 400, body)
        return await self._perform(connection, http, request)

    async def _write(
        self, connection: Connection, http: HttpRequest, request: Request, status: int, body: bytes
    ) -> bool:
        request.status = status
        await connection.write(whole_response(status, body))
        return http.keep_alive

    def _models(self) -> bytes:
        names = sorted({"gpt-understudy", *self._repertoire.models})
        return openai_chat.models_body(names, self._created)

    async def _perform(self, connection: Connection, http: HttpRequest, request: Request) -> bool:
        call = openai_chat.read_call(request.body)
        request.model, request.stream, request.prompt_size = call.model, call.stream, call.prompt_size
        try:
            prompter = self._repertoire.prompter(call.model)
        except ScriptError as error:
            body = openai_chat.error_body(f"{error.message} ({error.hint})", kind="invalid_request_error")
            return await self._write(connection, http, request, 400, body)
        prompter.active += 1
        try:
            return await self._play(connection, http, request, call, self._cue(prompter, http, request, call))
        finally:
            prompter.active -= 1

    def _cue(self, prompter: Prompter, http: HttpRequest, request: Request, call: Call) -> Cue:
        if MOVED in http.path:
            return self._fine
        occasions: set[Occasion] = {"stream" if call.stream else "unary"}
        if call.include_usage:
            occasions.add("usage")
        if request.reused:
            occasions.add("reused")
        # A script's durations are long beside the real clock if the provider's is quick.
        return prompter.take(request.arrived / self._time_scale, frozenset(occasions))

    async def _play(
        self, connection: Connection, http: HttpRequest, request: Request, call: Call, cue: Cue
    ) -> bool:
        plan = cue.plan if http.keep_alive else replace(cue.plan, closing="say")
        stage = Stage(
            openai_chat.identity(request.number), self._created, time.time(), self.origin, http.path
        )
        request.step = cue.text
        player = Player(connection, request, plan, self._time_scale)
        await player.play(self._written.timeline(plan, call, stage) or perform(plan, call, stage))
        return player.whole and plan.closing == "keep" and plan.version == "1.1"


class Written:
    """Answers to `plan` that have been written already, for the current second."""

    LIMIT = 256

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._second = 0
        self._parts: dict[Call, tuple[Part, ...]] = {}

    def timeline(self, plan: Plan, call: Call, stage: Stage) -> Timeline | None:
        """None if the plan is another one."""
        if plan is not self._plan or plan.pace:
            return None
        if int(stage.wall) != self._second or len(self._parts) >= self.LIMIT:
            self._second = int(stage.wall)
            self._parts.clear()
        parts = self._parts.get(call)
        if parts is None:
            parts = self._parts[call] = self._write(call, stage)
        return self._stamped(parts, stage.identity)

    def _write(self, call: Call, stage: Stage) -> tuple[Part, ...]:
        acts = perform(self._plan, call, replace(stage, identity=openai_chat.IDENTITY))
        parts = tuple(act for act in acts if isinstance(act, Part))
        # A unary answer goes out in one piece.
        return parts if call.stream else (Part(b"".join(part.data for part in parts), parts[-1].mark),)

    def _stamped(self, parts: tuple[Part, ...], identity: bytes) -> Timeline:
        for part in parts:
            yield Part(part.data.replace(openai_chat.IDENTITY, identity), part.mark)
        yield End()


async def _write_last(connection: Connection, response: bytes) -> None:
    try:
        await connection.write(response)
    except ClientLeft:
        return


def _problem(status: int, message: str) -> bytes:
    return whole_response(status, openai_chat.error_body(message, kind="invalid_request_error"))


def _body(data: bytes) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:
        return None


__all__ = ["Mapping", "Service"]
