"""The ASGI application: which route a request takes.

1. A path is the same with and without ``/v1`` in front.
2. Liveness, readiness and the page's own files are open; everything else asks for a client's key, if there
   are any, and the admin routes for the admin key.
3. An error is in the shape of the protocol whose path was asked: Anthropic's below ``/messages``, OpenAI's
   everywhere else.
4. While draining, readiness and every new request of a client are answered 503 and ``connection: close``,
   and live streams end.
5. What goes wrong in here is one line for the client, 500 in the protocol's shape, and a traceback for the
   log. Where the answer had begun the error is raised, for the server to cut the connection.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from random import Random

from understudy.gateway import page_files
from understudy.gateway.admin import Admin
from understudy.gateway.conversation import BrokenOff, Conversations
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
    no_route,
)
from understudy.gateway.journal import Journal
from understudy.gateway.keys import Keys
from understudy.gateway.live import Live
from understudy.gateway.profiles import Profiles
from understudy.gateway.siblings import Siblings
from understudy.gateway.views import Views
from understudy.gateway.worker import ALONE, Worker
from understudy.runtime.clock import SystemClock
from understudy.runtime.ports import Clock
from understudy.wire import anthropic_client, openai_client, responses_client
from understudy.wire.dialect import Dialect

_log = logging.getLogger("understudy.gateway")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_CLOSE = (b"connection", b"close")
_random = Random()  # noqa: S311 - an id is no secret: whoever asks for a trail is looked at
os.register_at_fork(after_in_child=_random.seed)  # else all workers would give the same ids


class Gateway:
    """The application. `profiles` may be replaced at any time; requests keep what they began with."""

    def __init__(
        self,
        profiles: Profiles,
        *,
        keys: Keys | None = None,
        clock: Clock | None = None,
        comment_seconds: float = 0.0,
        worker: Worker = ALONE,
    ) -> None:
        self.worker = worker
        self.siblings: Siblings | None = None
        self.journal = Journal()
        self.keys = keys or Keys()
        self.clock = clock or SystemClock()
        self.admin: Admin | None = None
        self.running = 0
        self._draining = False
        self._idle: asyncio.Future[None] | None = None
        self.conversations = Conversations(
            profiles, self.journal, clock=self.clock, comment_seconds=comment_seconds
        )
        self._chats: dict[str, Dialect] = {
            "/chat/completions": openai_client,
            "/messages": anthropic_client,
            "/responses": responses_client,
        }
        self.live = Live(self)
        self._views = Views(self)

    @property
    def draining(self) -> bool:
        return self._draining

    @draining.setter
    def draining(self, draining: bool) -> None:
        """It is never taken back."""
        self._draining = draining
        self.live.end()

    @property
    def profiles(self) -> Profiles:
        return self.conversations.profiles

    @profiles.setter
    def profiles(self, profiles: Profiles) -> None:
        self.conversations.profiles = profiles

    async def until_idle(self) -> None:
        """Wait until no request is running. One waits at a time."""
        if self.running:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    async def close(self) -> None:
        """End what is in flight with the protocol's own error."""
        self.live.end()
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
        except BrokenOff as error:
            _log.error("request %s: a bug in the gateway", request.id, exc_info=error.__cause__)
            raise
        except Exception:
            _log.exception("request %s: a bug in the gateway", request.id)
            await self._refuse(request, send, HttpError(500, "internal_error", "a bug of the gateway's own"))
        finally:
            self.running -= 1
            if self._idle is not None and not self.running and not self._idle.done():
                self._idle.set_result(None)

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
        elif request.path.startswith("/responses/"):
            raise HttpError(404, "not_found", "responses are not stored here")
        elif page_files.is_page(request.path):
            _check_method(request, "GET")
            await page_files.show(request, send)
        elif request.path == "/live":
            _check_method(request, "GET")
            await self.live.answer(request, scope, receive, send, self._reader(request))
        else:
            method, view = self._views.find(request.path)
            _check_method(request, method)
            await view(request, send, self._reader(request))

    def _reader(self, request: Request) -> str | None:
        """Whose own requests may be read; None for the operator, who may read all."""
        is_operator = self.admin is not None and self.admin.knows(request)
        return None if is_operator else self._admit(request)

    def _admit(self, request: Request) -> str:
        """Rules 2 and 4; the client's name."""
        if self.draining:
            raise HttpError(
                503, "shutting_down", "the gateway is shutting down", headers=[_CLOSE], retry_after=1
            )
        return self.keys.check(request)

    async def _refuse(self, request: Request, send: Send, error: HttpError) -> None:
        dialect = self._dialect_of(request)
        headers = [*request.id_headers, *error.headers, *retry_after(error.retry_after)]
        body = dialect.write_error(reply_of(error, request.id))
        await answer(send, error.status, b"" if request.method == "HEAD" else body, headers)

    def _dialect_of(self, request: Request) -> Dialect:
        """Rule 3."""
        return anthropic_client if request.is_anthropic else openai_client

    # Routes

    async def _health(self, request: Request, send: Send) -> None:
        _check_method(request, "GET")
        match request.path:
            case "/health/liveness" | "/health/liveliness":
                await answer_json(send, {"status": "alive"}, request)
            case "/health/readiness" if self.draining:
                await answer_json(send, {"status": "draining"}, request, [_CLOSE], status=503)
            case "/health/readiness":
                await answer_json(send, {"status": "ready"}, request)
            case _:
                raise no_route(request.path)


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
    return given.decode() if given and _REQUEST_ID.match(given) else f"req_{_random.getrandbits(96):024x}"


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
