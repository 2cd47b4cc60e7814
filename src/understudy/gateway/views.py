"""What can be read of the gateway: models, statistics, metrics, requests, and its own description.

A view gets the client's name, None for the operator, who may see everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from understudy.gateway import models, openapi
from understudy.gateway.http import (
    LONGEST_LENGTH,
    HttpError,
    Request,
    Send,
    answer,
    answer_json,
    header_value,
    no_route,
)
from understudy.gateway.journal import LIMIT
from understudy.wire import anthropic_client

if TYPE_CHECKING:
    from understudy.gateway.app import Gateway

LISTED = 100

View = Callable[[Request, Send, str | None], Awaitable[None]]


class Views:
    """The views by path."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._exact: dict[str, tuple[str, View]] = {
            "/models": ("GET", self._models),
            "/messages/count_tokens": ("POST", self._count_tokens),
            "/stats": ("GET", self._all_stats),
            "/requests": ("GET", self._requests),
            "/metrics": ("GET", self._metrics),
            "/openapi.json": ("GET", self._openapi),
        }
        self._below: dict[str, tuple[str, View]] = {
            "/models/": ("GET", self._model),
            "/stats/": ("GET", self._stats),
            "/requests/": ("GET", self._trail),
        }

    def find(self, path: str) -> tuple[str, View]:
        """The method that is taken, and the view; raises `HttpError` 404."""
        found = self._exact.get(path)
        if found is None:
            found = next((view for start, view in self._below.items() if path.startswith(start)), None)
        if found is None:
            raise no_route(path)
        return found

    async def _models(self, request: Request, send: Send, client: str | None) -> None:
        names = self._gateway.profiles.names()
        await answer_json(send, models.listing(names, anthropic=request.is_anthropic), request)

    async def _model(self, request: Request, send: Send, client: str | None) -> None:
        name = request.path.removeprefix("/models/")
        self._gateway.profiles.find_named(name)
        await answer_json(send, models.model(name, anthropic=request.is_anthropic), request)

    async def _count_tokens(self, request: Request, send: Send, client: str | None) -> None:
        conversations = self._gateway.conversations
        body = await request.body(conversations.body_limit)
        asked = conversations.read(body, request, anthropic_client)
        self._gateway.profiles.find(asked.model)
        await answer_json(send, {"input_tokens": anthropic_client.count_tokens(asked.fields)}, request)

    async def _all_stats(self, request: Request, send: Send, client: str | None) -> None:
        served = self._gateway.profiles.by_name
        every = await asyncio.gather(*(one.balancer.fleet_stats() for one in served.values()))
        stats = {name: one.to_dict() for name, one in zip(served, every, strict=True)}
        await answer_json(send, {"profiles": stats}, request)

    async def _stats(self, request: Request, send: Send, client: str | None) -> None:
        served = self._gateway.profiles.find_named(request.path.removeprefix("/stats/"))
        stats = await served.balancer.fleet_stats()
        await answer_json(send, stats.to_dict(), request)

    async def _metrics(self, request: Request, send: Send, client: str | None) -> None:
        try:
            from understudy.observe.prometheus import ServedPool, Snapshot, exposition
        except ImportError:
            message = "metrics need prometheus-client: pip install 'understudy[gateway]'"
            raise HttpError(501, "not_implemented", message) from None
        gateway = self._gateway
        served = gateway.profiles.by_name.values()
        pools = [ServedPool(one.balancer.pool, one.door.inside, one.door.waiting) for one in served]
        snapshot = Snapshot(
            pools, gateway.conversations.own_time, gateway.clock.now(), draining=gateway.draining
        )
        # A large pool's text takes long to write, and streams go on meanwhile.
        text, content_type = await asyncio.to_thread(exposition, snapshot, request.header(b"accept"))
        await answer(send, 200, text, request.id_headers, (b"content-type", header_value(content_type)))

    async def _openapi(self, request: Request, send: Send, client: str | None) -> None:
        gateway = self._gateway
        value = openapi.document(
            models=gateway.profiles.names(), keyed=bool(gateway.keys), admin=gateway.admin is not None
        )
        await answer_json(send, value, request)

    async def _requests(self, request: Request, send: Send, client: str | None) -> None:
        entries = self._gateway.journal.newest(_limit(request), client)
        await answer_json(send, {"requests": [entry.summary() for entry in entries]}, request)

    async def _trail(self, request: Request, send: Send, client: str | None) -> None:
        entry = self._gateway.journal.find(request.path.removeprefix("/requests/"), client)
        if entry is None:
            raise HttpError(404, "request_not_found", "no recent request of yours has this id")
        await answer_json(send, entry.to_dict(), request)


def _limit(request: Request) -> int:
    """How many are to be listed."""
    given = request.query("limit")
    if given is None:
        return LISTED
    if not given.isdecimal() or not 1 <= int(given[:LONGEST_LENGTH]) <= LIMIT:
        raise HttpError(400, "invalid_request", f"limit must be a number from 1 to {LIMIT}", param="limit")
    return int(given)
