"""What can be read of the gateway: models, statistics, metrics, requests, and its own description.

A view gets the client's name, None for the operator, who may see everything. With several workers figures are
of all of them, and so are requests and trails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from understudy.gateway import merging, models, openapi
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
from understudy.gateway.profiles import Served
from understudy.gateway.siblings import Account
from understudy.observe.families import merged
from understudy.wire import anthropic_client

if TYPE_CHECKING:
    from understudy.gateway.app import Gateway
    from understudy.observe.prometheus import Snapshot

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
        stats = await self._stats_of(self._gateway.profiles.by_name)
        await answer_json(send, {**self._answerer, "profiles": stats}, request)

    async def _stats(self, request: Request, send: Send, client: str | None) -> None:
        served = self._gateway.profiles.find_named(request.path.removeprefix("/stats/"))
        stats = await self._stats_of({served.name: served})
        await answer_json(send, {**self._answerer, **stats[served.name]}, request)

    async def _stats_of(self, served: Mapping[str, Served]) -> dict[str, Any]:
        siblings = self._gateway.siblings
        if siblings is None or self._gateway.worker.is_shared:
            every = await asyncio.gather(*(one.balancer.fleet_stats() for one in served.values()))
            return {name: one.to_dict() for name, one in zip(served, every, strict=True)}
        accounts = (await siblings.accounts()).values()
        told = {name: [one.stats[name] for one in accounts if name in one.stats] for name in served}
        return {name: merging.merged(of_all) for name, of_all in told.items()}

    @property
    def _answerer(self) -> dict[str, int | str]:
        worker = self._gateway.worker
        return {} if worker.is_alone else {"worker": worker.number, "workers": worker.of}

    async def _metrics(self, request: Request, send: Send, client: str | None) -> None:
        try:
            from understudy.observe.prometheus import Snapshot, exposition
        except ImportError:
            message = "metrics need prometheus-client: pip install 'understudy[gateway]'"
            raise HttpError(501, "not_implemented", message) from None
        siblings = self._gateway.siblings
        if siblings is None:
            snapshot = _snapshot(self._gateway)
        else:
            told = await siblings.accounts()
            snapshot = Snapshot.of(merged({number: account.metrics for number, account in told.items()}))
        # A large pool's text takes long to write, and streams go on meanwhile.
        text, content_type = await asyncio.to_thread(
            exposition, snapshot, request.header(b"accept"), alone=siblings is None
        )
        await answer(send, 200, text, request.id_headers, (b"content-type", header_value(content_type)))

    async def _openapi(self, request: Request, send: Send, client: str | None) -> None:
        gateway = self._gateway
        value = openapi.document(
            models=gateway.profiles.names(), keyed=bool(gateway.keys), admin=gateway.admin is not None
        )
        await answer_json(send, value, request)

    async def _requests(self, request: Request, send: Send, client: str | None) -> None:
        gateway, limit = self._gateway, _limit(request)
        requests = gateway.journal.summaries(limit, client)
        if gateway.siblings is not None:
            requests += await gateway.siblings.newest(limit, client)
            requests = sorted(requests, key=itemgetter("began"), reverse=True)[:limit]
        await answer_json(send, {"requests": requests}, request)

    async def _trail(self, request: Request, send: Send, client: str | None) -> None:
        gateway, request_id = self._gateway, request.path.removeprefix("/requests/")
        trail = gateway.journal.trail(request_id, client)
        if trail is None and gateway.siblings is not None:
            trail = await gateway.siblings.trail(request_id, client)
        if trail is None:
            raise HttpError(404, "request_not_found", "no recent request of yours has this id")
        await answer_json(send, trail, request)


def _limit(request: Request) -> int:
    """How many are to be listed."""
    given = request.query("limit")
    if given is None:
        return LISTED
    if not given.isdecimal() or not 1 <= int(given[:LONGEST_LENGTH]) <= LIMIT:
        raise HttpError(400, "invalid_request", f"limit must be a number from 1 to {LIMIT}", param="limit")
    return int(given)


def account(gateway: Gateway) -> Account:
    """What this worker has counted, for the others."""
    stats = {
        name: merging.mergeable(one.balancer.stats(), one.balancer.pool.members)
        for name, one in gateway.profiles.by_name.items()
    }
    try:
        from understudy.observe.prometheus import process_families
    except ImportError:  # then no worker shows metrics
        return Account(stats=stats)
    return Account([*_snapshot(gateway).families, *process_families()], stats)


def _snapshot(gateway: Gateway) -> Snapshot:
    from understudy.observe.prometheus import ServedPool, Snapshot

    served = gateway.profiles.by_name.values()
    pools = [ServedPool(one.balancer.pool, one.door.inside, one.door.waiting) for one in served]
    return Snapshot(pools, gateway.conversations.own_time, gateway.clock.now(), draining=gateway.draining)
