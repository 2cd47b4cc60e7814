"""The ASGI application: which route a request takes.

1. A path is the same with and without ``/v1`` in front.
2. Liveness and readiness are open; everything else asks for a client's key, if there are any, and the
   admin routes for the admin key.
3. An error is in the shape of the protocol whose path was asked: Anthropic's below ``/messages``, OpenAI's
   everywhere else.
4. While draining, readiness and every new request are answered 503 and ``connection: close``.
5. What goes wrong in here is one line for the client and a traceback for the log.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from understudy.gateway import models, openapi
from understudy.gateway.admin import Admin
from understudy.gateway.conversation import Conversations
from understudy.gateway.errors import reply_of, retry_after
from understudy.gateway.http import (
    ClientLeft,
    HttpError,
    Receive,
    Request,
    Scope,
    Send,
    answer,
    answer_json,
    header_value,
)
from understudy.gateway.journal import Journal
from understudy.gateway.keys import Keys
from understudy.gateway.profiles import Profiles
from understudy.runtime.clock import SystemClock
from understudy.runtime.ports import Clock
from understudy.wire import anthropic_client, openai_client
from understudy.wire.dialect import Dialect

_log = logging.getLogger("understudy.gateway")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_CLOSE = (b"connection", b"close")

# With the client's name, None for the operator, who may see everything.
Handler = Callable[[Request, Send, str | None], Awaitable[None]]


class Gateway:
    """The application. `profiles` may be replaced at any time; requests keep what they began with."""

    def __init__(
        self,
        profiles: Profiles,
        *,
        keys: Keys | None = None,
        clock: Clock | None = None,
        comment_seconds: float = 0.0,
    ) -> None:
        self.journal = Journal()
        self.keys = keys or Keys()
        self.clock = clock or SystemClock()
        self.admin: Admin | None = None
        self.draining = False
        self.running = 0
        self.conversations = Conversations(
            profiles, self.journal, clock=self.clock, comment_seconds=comment_seconds
        )
        self._chats: dict[str, Dialect] = {
            "/chat/completions": openai_client,
            "/messages": anthropic_client,
        }
        self._routes: dict[str, tuple[str, Handler]] = {
            "/models": ("GET", self._list_models),
            "/messages/count_tokens": ("POST", self._count_tokens),
            "/stats": ("GET", self._all_stats),
            "/metrics": ("GET", self._metrics),
            "/openapi.json": ("GET", self._openapi),
        }
        self._below: dict[str, tuple[str, Handler]] = {
            "/models/": ("GET", self._model),
            "/stats/": ("GET", self._stats),
            "/requests/": ("GET", self._trail),
        }

    @property
    def profiles(self) -> Profiles:
        return self.conversations.profiles

    @profiles.setter
    def profiles(self, profiles: Profiles) -> None:
        self.conversations.profiles = profiles

    async def close(self) -> None:
        """End what is in flight with the protocol's own error."""
        await self.profiles.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "lifespan":
                await _lifespan(receive, send)
            case _:
                await send({"type": "websocket.close", "code": 1000})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        request.id = _request_id(request)
        self.running += 1
        try:
            await self._route(request, scope, receive, send)
        except ClientLeft:
            pass
        except HttpError as error:
            await self._refuse(request, send, error)
        except Exception as error:
            _log.exception("request %s: a bug in the gateway", request.id)
            raise error
        finally:
            self.running -= 1

    async def _route(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        request.check_headers()
        dialect = self._chats.get(request.path)
        if dialect is not None:
            _check_method(request, "POST")
            client = self._admit(request)
            await self.conversations.answer(request, scope, receive, send, client, dialect)
        elif request.path.startswith("/health/"):
            await self._health(request, send)
        elif self.admin is not None and request.path.startswith("/admin/"):
            await self.admin.handle(request, send)
        else:
            method, handler = self._find(request)
            _check_method(request, method)
            is_admin = self.admin is not None and self.admin.knows(request)
            await handler(request, send, None if is_admin else self._admit(request))

    def _admit(self, request: Request) -> str:
        """Rules 2 and 4; the client's name."""
        if self.draining:
            raise HttpError(
                503, "shutting_down", "the gateway is shutting down", headers=[_CLOSE], retry_after=1
            )
        return self.keys.check(request)

    def _find(self, request: Request) -> tuple[str, Handler]:
        path = request.path
        found = self._routes.get(path)
        if found is None:
            found = next((route for start, route in self._below.items() if path.startswith(start)), None)
        if found is None:
            raise HttpError(404, "not_found", f"there is no route {path[:200]}")
        return found

    async def _refuse(self, request: Request, send: Send, error: HttpError) -> None:
        dialect = self._dialect_of(request)
        headers = [
            (b"x-request-id", header_value(request.id)),
            *error.headers,
            *retry_after(error.retry_after),
        ]
        body = dialect.write_error(reply_of(error, request.id))
        await answer(send, error.status, b"" if request.method == "HEAD" else body, headers)

    def _dialect_of(self, request: Request) -> Dialect:
        """Rule 3."""
        is_messages = request.path.startswith("/messages") or b"anthropic-version" in request.headers
        return anthropic_client if is_messages else openai_client

    # Routes

    async def _health(self, request: Request, send: Send) -> None:
        _check_method(request, "GET")
        match request.path:
            case "/health/liveness" | "/health/liveliness":
                await answer_json(send, {"status": "alive"}, [])
            case "/health/readiness" if self.draining:
                await answer_json(send, {"status": "draining"}, [_CLOSE], status=503)
            case "/health/readiness":
                await answer_json(send, {"status": "ready"}, [])
            case _:
                raise HttpError(404, "not_found", f"there is no route {request.path[:200]}")

    async def _list_models(self, request: Request, send: Send, client: str | None) -> None:
        is_anthropic = b"anthropic-version" in request.headers
        await answer_json(send, models.listing(self.profiles.names(), anthropic=is_anthropic), [])

    async def _model(self, request: Request, send: Send, client: str | None) -> None:
        name = request.path.removeprefix("/models/")
        self.profiles.find_named(name)
        is_anthropic = b"anthropic-version" in request.headers
        await answer_json(send, models.model(name, anthropic=is_anthropic), [])

    async def _count_tokens(self, request: Request, send: Send, client: str | None) -> None:
        asked = await self.conversations.read(request, anthropic_client)
        self.profiles.find(asked.model)
        await answer_json(send, {"input_tokens": anthropic_client.count_tokens(asked.fields)}, [])

    async def _all_stats(self, request: Request, send: Send, client: str | None) -> None:
        served = self.profiles.by_name.values()
        await answer_json(send, {"profiles": {one.name: _stats_of(one.balancer) for one in served}}, [])

    async def _stats(self, request: Request, send: Send, client: str | None) -> None:
        served = self.profiles.find_named(request.path.removeprefix("/stats/"))
        await answer_json(send, _stats_of(served.balancer), [])

    async def _metrics(self, request: Request, send: Send, client: str | None) -> None:
        try:
            from understudy.observe.prometheus import ServedPool, Snapshot, exposition
        except ImportError:
            message = "metrics need prometheus-client: pip install 'understudy[gateway]'"
            raise HttpError(501, "not_implemented", message) from None
        served = self.profiles.by_name.values()
        pools = [ServedPool(one.balancer._pool, one.door.inside, one.door.waiting) for one in served]
        snapshot = Snapshot(pools, self.conversations.own_time, self.clock.now())
        # A large pool's text takes long to write, and streams go on meanwhile.
        text, content_type = await asyncio.to_thread(exposition, snapshot, request.header(b"accept"))
        await answer(send, 200, text, [], (b"content-type", header_value(content_type)))

    async def _openapi(self, request: Request, send: Send, client: str | None) -> None:
        value = openapi.document(
            models=self.profiles.names(), keyed=bool(self.keys), admin=self.admin is not None
        )
        await answer_json(send, value, [])

    async def _trail(self, request: Request, send: Send, client: str | None) -> None:
        entry = self.journal.find(request.path.removeprefix("/requests/"), client)
        if entry is None:
            raise HttpError(404, "request_not_found", "no recent request of yours has this id")
        await answer_json(send, entry.to_dict(), [])


def _stats_of(balancer: Any) -> dict[str, Any]:
    stats: dict[str, Any] = balancer.stats().to_dict()
    return stats


def _check_method(request: Request, allowed: str) -> None:
    methods = ("GET", "HEAD") if allowed == "GET" else (allowed,)
    if request.method not in methods:
        raise HttpError(
            405,
            "method_not_allowed",
            f"{request.path[:200]} takes {allowed} only",
            headers=[(b"allow", ", ".join(methods).encode())],
        )


def _request_id(request: Request) -> str:
    """The client's own, if it is plain; else a new one."""
    given = request.headers.get(b"x-request-id")
    return given.decode() if given and _REQUEST_ID.match(given) else f"req_{secrets.token_hex(12)}"


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
