"""The operator's routes, which are not there unless an admin key is set.

| route | does |
|---|---|
| ``POST /admin/reload`` | loads all profiles anew, or says what is wrong with them |
| ``POST /admin/profiles/{profile}/backends/{backend}/{action}`` | takes one member in hand: `Balancer.act` |
| ``GET /admin/profiles/{profile}/settings`` | every live setting with its value and source |
| ``PUT /admin/profiles/{profile}/settings/{key}`` | ``{"value": …}`` from the next decision on |
| ``DELETE /admin/profiles/{profile}/settings/{key}`` | takes that back |

1. The key is compared in constant time. Whoever has it may read everything that clients may, too.
2. What cannot be done is said in one line and changes nothing.
3. What only one of several workers would hear of is refused: a changed setting, and without shared state a
   member taken in hand. Loading anew is passed on to all.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec

from understudy.errors import ConfigurationError
from understudy.gateway.http import HttpError, Request, Send, answer_json, no_route
from understudy.gateway.keys import given_key
from understudy.gateway.profiles import Profiles, Served
from understudy.gateway.worker import ALONE, Worker
from understudy.library.balancer import Action, Balancer

VARIABLE = "UNDERSTUDY_ADMIN_KEY"

_BODY_LIMIT = 64 * 1024
_APART = "only worker {0.number} of {0.of} would hear of this; {1}, or serve with --workers 1"


class _NewValue(msgspec.Struct):
    value: Any


class Admin:
    """`profiles` says what is served now, `reload` loads it anew and raises `ConfigurationError`."""

    def __init__(
        self,
        key: str,
        profiles: Callable[[], Profiles],
        reload: Callable[[], Awaitable[None]],
        worker: Worker = ALONE,
    ) -> None:
        self._worker = worker
        self._key = key.encode()
        self._profiles = profiles
        self._reload = reload

    def knows(self, request: Request) -> bool:
        """Rule 1."""
        key = given_key(request)
        return key is not None and hmac.compare_digest(key, self._key)

    async def handle(self, request: Request, send: Send) -> None:
        """Raises `HttpError`."""
        if not self.knows(request):
            raise HttpError(401, "invalid_admin_key", "this route needs the admin key")
        try:
            await self._handle(request, send)
        except ConfigurationError as error:
            hint = f"; {error.hint}" if error.hint else ""
            raise HttpError(400, "invalid_configuration", f"{error.message}{hint}") from None

    async def _handle(self, request: Request, send: Send) -> None:
        match request.path.split("/")[2:]:
            case ["reload"]:
                _check(request, "POST")
                await self._reload()
                await answer_json(send, {"profiles": list(self._profiles().by_name)}, request)
            case ["profiles", profile, "backends", backend, action]:
                _check(request, "POST")
                self._check_heard(not self._worker.is_apart, "serve with --state redis://…")
                balancer = self._profiles().find_named(profile).balancer
                balancer.act(backend, cast(Action, action))
                stats = balancer.stats().to_dict()["backends"][backend]
                await answer_json(send, {"backend": backend, "action": action, "stats": stats}, request)
            case ["profiles", profile, "settings", *key]:
                await self._settings(request, send, self._profiles().find_named(profile), key)
            case _:
                raise no_route(request.path)

    def _check_heard(self, is_heard_by_all: bool, remedy: str) -> None:
        """Rule 3; raises `HttpError` 409."""
        if not is_heard_by_all:
            raise HttpError(409, "state_not_shared", _APART.format(self._worker, remedy))

    async def _settings(self, request: Request, send: Send, served: Served, key: list[str]) -> None:
        """There are three cases: all of them, a change, a change taken back."""
        balancer = served.balancer
        if request.method in ("PUT", "DELETE"):
            self._check_heard(self._worker.is_alone, "change the profile, which all of them load")
        match request.method, key:
            case "GET", []:
                await answer_json(
                    send, {name: _shown(balancer, name) for name in balancer.settings()}, request
                )
            case "PUT", [name]:
                balancer.set(name, await _new_value(request))
                served.heed_settings()
                await answer_json(send, _shown(balancer, name), request)
            case "DELETE", [name]:
                balancer.unset(name)
                served.heed_settings()
                await answer_json(send, _shown(balancer, name), request)
            case _, [_]:
                raise _not_allowed("PUT, DELETE")
            case _, []:
                raise _not_allowed("GET")
            case _:
                raise no_route(request.path)


async def _new_value(request: Request) -> Any:
    try:
        return msgspec.json.decode(await request.body(_BODY_LIMIT), type=_NewValue).value
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise HttpError(400, "invalid_request", 'the body must be {"value": …}') from None


def _shown(balancer: Balancer, name: str) -> dict[str, Any]:
    value, source = balancer.setting(name)
    return {"value": value, "source": str(source)}


def _check(request: Request, allowed: str) -> None:
    if request.method != allowed:
        raise _not_allowed(allowed)


def _not_allowed(allowed: str) -> HttpError:
    return HttpError(
        405, "method_not_allowed", f"this route takes {allowed} only", headers=[(b"allow", allowed.encode())]
    )
