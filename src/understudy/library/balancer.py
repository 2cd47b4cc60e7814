"""The balancer: one profile's backends behind `stream` and `complete`."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Literal, Protocol, TypedDict, Unpack, cast
from uuid import uuid4
from weakref import WeakSet

from understudy.config.aliases import WireFormat as WireName
from understudy.config.pool import MemberSlot, PoolProfile, load_pool, make_pool
from understudy.config.profile import LoadBalancerProfile, StandardProfile
from understudy.config.store import ProfileStore, config_dir
from understudy.core import fleet_stats
from understudy.core import stats as core_stats
from understudy.core.breaker import State
from understudy.core.events import Event
from understudy.core.facts import Facts
from understudy.core.history import Bucket
from understudy.core.member import Member
from understudy.core.policies import BY_NAME
from understudy.core.pool import Pool
from understudy.core.settings import (
    FACTS,
    REGISTRY,
    MemberSettings,
    PoolSettings,
    Scope,
    Source,
    check_live,
    lookup,
    lookup_live,
)
from understudy.core.stats import Stats
from understudy.errors import ConfigurationError
from understudy.library.answer import Answer
from understudy.library.chat_stream import ChatStream
from understudy.observe.logging import LoggingObserver
from understudy.runtime.backend import Backend, WireFormat
from understudy.runtime.clock import SystemClock
from understudy.runtime.engine import Call, Engine
from understudy.runtime.link import Link
from understudy.runtime.ports import Clock, Observer, StateStore, StateUnavailable, Transport
from understudy.runtime.sharing import Sharing
from understudy.runtime.tracing import Tracer
from understudy.state import open_store
from understudy.wire import anthropic_messages, gemini, openai_chat, openai_responses
from understudy.wire.anthropic_request import MAX_TOKENS
from understudy.wire.chat import ChatRequest
from understudy.wire.dialect import ClientRequest
from understudy.wire.needs import own_limit, suited_params
from understudy.wire.unwanted import refused_by

Messages = Sequence[Mapping[str, Any]]
TransportName = Literal["aiohttp", "pyreqwest"]
Action = Literal["reset", "open", "close", "drain", "enable"]

_FORMATS: dict[WireName, ModuleType] = {
    WireName.OPENAI: openai_chat,
    WireName.ANTHROPIC: anthropic_messages,
    WireName.GEMINI: gemini,
    WireName.OPENAI_RESPONSES: openai_responses,
}


class Random(Protocol):
    """What the balancer needs of a `random.Random`."""

    def random(self) -> float: ...


class Options(TypedDict, total=False):
    """What every way of making a balancer takes besides its profile; see `Balancer`."""

    settings: Mapping[str, Any] | None
    environ: Mapping[str, str] | None
    clock: Clock | None
    transport: Transport | TransportName
    rng: Random | None
    observers: Sequence[Observer]
    tracer: Tracer | None
    state: str | StateStore | Link | None


class Balancer:
    """Answers through a profile's members: skips, retries and fails over until one has answered.

    Balancer.load("testlb489")                       # a saved profile, or a path
    Balancer(LoadBalancerProfile(...), [member, …])  # profiles made in code

    `settings` override the profile's, like ``--set``. `environ` is where key variables are looked up,
    default the process's. `transport` is an adapter or its name. `clock`, `rng` and `observers` replace
    the system's clock, the jitter's source and the listeners besides the log. `tracer` records a trace of
    each request (`understudy.observe.otel`). `state` is where circuits, benches, ceilings and statistics are
    shared with other processes: a URL such as ``redis://localhost:6379/0``, or a store, which stays open for
    others. An asynchronous context manager: leaving it ends what is in flight and closes every connection.

    Raises `ConfigurationError` when no member is usable, or a setting is wrong.
    """

    def __init__(
        self,
        profile: PoolProfile | LoadBalancerProfile | StandardProfile,
        members: Iterable[StandardProfile] = (),
        *,
        settings: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Clock | None = None,
        transport: Transport | TransportName = "aiohttp",
        rng: Random | None = None,
        observers: Sequence[Observer] = (),
        tracer: Tracer | None = None,
        state: str | StateStore | Link | None = None,
    ) -> None:
        if not isinstance(profile, PoolProfile):
            profile = make_pool(profile, members, os.environ if environ is None else environ)
        self.profile = profile
        self._option = dict(checked(key, value) for key, value in (settings or {}).items())
        self._session: dict[str, Any] = {}
        self._clock = clock or SystemClock()
        self._transport = make_transport(transport) if isinstance(transport, str) else transport
        self._jitter = (rng or random.Random()).random  # noqa: S311 - jitter is no secret
        self._observers: list[Observer] = [LoggingObserver(), *observers]
        self._tracer = tracer
        self._pool = _pool(profile, self._option)
        self._own_store: StateStore | None = None
        if isinstance(state, str):
            state = self._own_store = open_store(state)
        self._sharing = self._make_sharing(state)
        if self._sharing is not None:
            self._observers.append(self._sharing)
        self._engine = self._make_engine()
        # A profile's earlier engines live as long as a call of theirs does, begun or not.
        self._retired: WeakSet[Engine] = WeakSet()

    @classmethod
    def load(
        cls,
        name_or_path: str,
        *,
        home: str | os.PathLike[str] | None = None,
        **options: Unpack[Options],
    ) -> Balancer:
        """The balancer of a saved profile. `home` is the configuration directory, default the user's.

        Raises `ConfigurationError`: no such profile, a wrong one, or one without a usable member.
        """
        given = options.get("environ")
        environ = os.environ if given is None else given
        store = ProfileStore(config_dir(environ) if home is None else Path(home))
        return cls(load_pool(name_or_path, store, environ), **options)

    def __repr__(self) -> str:
        return f"<Balancer {self.profile.name}, {self.profile.policy}, {len(self.profile.members)} members>"

    async def __aenter__(self) -> Balancer:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End what is in flight with `BalancerClosed`, and close every connection. Idempotent."""
        for engine in self._engines():
            await engine.close()
        if self._sharing is not None:
            await self._sharing.close()
        if self._own_store is not None:
            await self._own_store.close()

    def stream(self, prompt: str | Messages | ChatRequest, **fields: Any) -> ChatStream:
        """The answer as it arrives.

        `prompt` is a text, a list of messages, or a request; `fields` are those of a chat request
        (``temperature``, ``max_tokens``, ``tools``, …). Iterating the result raises `RequestError`.
        """
        return ChatStream(self._engine.call(ChatRequest.of(prompt, fields), stream=True))

    async def complete(self, prompt: str | Messages | ChatRequest, **fields: Any) -> Answer:
        """The whole answer, asked for in one piece. Arguments as for `stream`.

        Raises `AllBackendsFailed` (of which `RequestRejected` blames the request itself),
        `NoBackendAvailable`, `DeadlineExceeded` or `BalancerClosed`.
        """
        async with ChatStream(self._engine.call(ChatRequest.of(prompt, fields), stream=False)) as stream:
            return await stream.answer()

    @property
    def pool(self) -> Pool:
        """The live members, for whoever measures them. Not to be changed from outside."""
        return self._pool

    def call(self, request: ClientRequest, *, stream: bool) -> Call:
        """The answering of a request in a client's own format, for servers: nothing of it is kept."""
        return self._engine.call(request, stream=stream, keeps_text=False)

    @property
    def busy(self) -> bool:
        """Is a request in flight?"""
        return any(engine.busy for engine in self._engines())

    def stats(self) -> Stats:
        """The pool at this instant; `to_dict` is the JSON, `str` the table."""
        now, wall = self._clock.now(), self._clock.wall()

        return core_stats.stats(self._pool, now, _calendar(now, wall))

    async def fleet_stats(self) -> Stats:
        """The pool with what all processes have counted that share it; this one's where none can be asked.

        Without shared state the same as `stats`.
        """
        if self._sharing is None:
            return self.stats()
        try:
            published = await self._sharing.numbers()
        except StateUnavailable:
            published = {}
        now, wall = self._clock.now(), self._clock.wall()
        return fleet_stats.together(self._pool, now, _calendar(now, wall), self._sharing.name, published)

    def strips(self) -> dict[str, list[Bucket | None]]:
        """By member the last ten minutes, ten seconds each, the newest last; None where nothing happened."""
        now = self._clock.now()
        return {member.name: member.health.history.strip(now) for member in self._pool.members}

    def attach(self, observer: Observer) -> None:
        """Tell this observer, too, from now on."""
        self._observers.append(observer)

    def detach(self, observer: Observer) -> None:
        """Tell it no more."""
        self._observers.remove(observer)

    # An operator's hand

    def reload(self, profile: PoolProfile) -> None:
        """Serve by this profile from now on.

        Requests in flight finish by the old one. A member that is the same in both keeps its circuit,
        benches, rates and metrics; the pool keeps its counts, and live settings stay in force.
        """
        before, pool = self.profile, _pool(profile, self._option, self._session)
        pool.members = tuple(_succeeding(before, self._pool.members, profile, pool.members))
        pool.succeed(self._pool)
        self._retired.add(self._engine)
        self.profile = profile
        self._pool = pool
        if self._sharing is not None:
            self._sharing.bind(pool)
        self._engine = self._make_engine()

    def act(self, backend: str, action: Action) -> None:
        """Take one member in hand, from the next decision on.

        ``drain`` lets it finish and gives it nothing more, until ``enable``. ``open`` and ``close`` force
        its circuit, until ``reset``, which also forgets failures and bench. Raises `ConfigurationError`
        if there is no such member or action.
        """
        member = next((member for member in self._pool.members if member.name == backend), None)
        if member is None:
            names = ", ".join(member.name for member in self._pool.members)
            raise ConfigurationError(f"{self.profile.name} has no member {backend}", hint=f"it has {names}")
        if action not in _ACTIONS:
            raise ConfigurationError(f"{action} is no action", hint=f"there are {', '.join(_ACTIONS)}")
        _ACTIONS[action](member, self._clock.now())
        if self._sharing is not None:
            self._sharing.fleet.acted(member, action)
        self._engine.acted(backend, action)
        for engine in self._retired:
            engine.wake()

    def share(self) -> None:
        """Begin to hear of others, on the running event loop, and not only with the first request."""
        if self._sharing is not None:
            self._sharing.start()

    # Live settings

    def set(self, key: str, value: Any) -> None:
        """Change a setting from the next decision on; raises `SettingError`."""
        canonical, checked_value = checked(key, value)
        self._session[canonical] = checked_value
        self._apply()

    def unset(self, key: str) -> None:
        """Take a live change back; raises `SettingError` for an unknown key."""
        self._session.pop(lookup(key).key, None)
        self._apply()

    def setting(self, key: str) -> tuple[Any, Source]:
        """A setting's value in force and where it came from; raises `SettingError`."""
        return self.profile.layers(None, self._option, self._session).effective(key)

    def settings(self) -> dict[str, tuple[Any, Source]]:
        """Every setting that can be changed here, with its value and where it came from."""
        live = (setting.key for setting in REGISTRY if setting.scope is not Scope.MEMBER)
        return {key: self.setting(key) for key in live}

    def _engines(self) -> tuple[Engine, ...]:
        return (*self._retired, self._engine)

    def _make_engine(self) -> Engine:
        profile = self.profile
        return Engine(
            self._pool,
            {slot.name: _backend(slot, profile) for slot in profile.members if slot.problem is None},
            transport=self._transport,
            clock=self._clock,
            jitter=self._jitter,
            observers=self._observers,
            tracer=self._tracer,
            sharing=self._sharing,
        )

    def _make_sharing(self, state: StateStore | Link | None) -> Sharing | None:
        if state is None:
            return None
        link = state if isinstance(state, Link) else Link(state, self._clock)

        def tell(events: Sequence[Event]) -> None:
            self._engine.hear(events)

        def wake() -> None:
            for engine in self._engines():
                engine.wake()

        name = uuid4().hex[:12]
        return Sharing(link, self._pool, self._clock, name, tell=tell, wake=wake, jitter=self._jitter)

    def _apply(self) -> None:
        self._pool.settings = PoolSettings.of(self.profile.layers(None, self._option, self._session))
        for member, slot in zip(self._pool.members, self.profile.members, strict=True):
            member.settings = _member_settings(slot, self.profile, self._option, self._session)
        self._engine.wake()


def checked(key: str, value: Any) -> tuple[str, Any]:
    """A live setting's canonical key and checked value; text is read as on a command line."""
    if isinstance(value, str):
        return check_live(key, value)
    setting = lookup_live(key)
    return setting.key, setting.check(value)


def _drain(member: Member, now: float) -> None:
    member.health.drained = True


def _enable(member: Member, now: float) -> None:
    member.health.drained = False


def _reset(member: Member, now: float) -> None:
    member.breaker.reset()
    member.benched_until = now
    member.health.exhausted_until = now
    member.health.slow_start = None
    member.health.silence.forget()


_ACTIONS: dict[str, Callable[[Member, float], None]] = {
    "reset": _reset,
    "open": lambda member, now: member.breaker.force(State.OPEN, now),
    "close": lambda member, now: member.breaker.force(State.CLOSED, now),
    "drain": _drain,
    "enable": _enable,
}


def _succeeding(
    before: PoolProfile, old: Sequence[Member], profile: PoolProfile, new: Sequence[Member]
) -> Iterable[Member]:
    """The new members; where an old one was the same backend, with its health."""
    known = {slot.name: (slot, member.health) for slot, member in zip(before.members, old, strict=True)}
    for slot, member in zip(profile.members, new, strict=True):
        same, health = known.get(slot.name, (None, None))
        is_same = same is not None and (same.profile, same.key) == (slot.profile, slot.key)
        known_health = health if is_same else None
        yield Member(
            member.name, member.index, member.settings, member.problem, known_health, member.identity
        )


def _pool(profile: PoolProfile, option: Mapping[str, Any], session: Mapping[str, Any] | None = None) -> Pool:
    members = [
        Member(
            slot.name,
            index,
            _member_settings(slot, profile, option, session or {}),
            None if slot.problem is None else slot.problem[0],
            identity=_identity(slot),
        )
        for index, slot in enumerate(profile.members)
    ]
    settings = PoolSettings.of(profile.layers(None, option, session))
    return Pool(profile.name, BY_NAME[profile.policy](), members, settings)


def _identity(slot: MemberSlot) -> str:
    """The member's name, and a digest of where it is and of its key, for all who share the pool."""
    digest = blake2b(digest_size=8)
    profile = slot.profile
    parts = () if profile is None else (profile.base_url, profile.model)
    for part in (*parts, "" if slot.key is None else slot.key.reveal()):
        digest.update(blake2b(part.encode()).digest())
    return f"{slot.name}~{digest.hexdigest()}"


def _calendar(now: float, wall: float) -> Callable[[float], str]:
    """What turns instants into text."""

    def instant(monotonic: float) -> str:
        moment = datetime.fromtimestamp(wall - (now - monotonic), UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    return instant


def _member_settings(
    slot: MemberSlot, profile: PoolProfile, option: Mapping[str, Any], session: Mapping[str, Any]
) -> MemberSettings:
    model = "" if slot.profile is None else slot.profile.model
    layers = profile.layers(slot, option, session)
    return MemberSettings.of(layers, model, own_limit(profile.params(slot)))


def _params(slot: MemberSlot, member: StandardProfile, profile: PoolProfile) -> dict[str, Any]:
    """What fills the gaps of a request to this member, as its model can take it."""
    unasked = MAX_TOKENS if member.wire_format is WireName.ANTHROPIC else 0
    return suited_params(profile.params(slot), _facts(slot, profile), unasked)


def _facts(slot: MemberSlot, profile: PoolProfile) -> Facts:
    layers = profile.layers(slot)
    return Facts.of({key: layers.value(key) for key in FACTS})


def _backend(slot: MemberSlot, profile: PoolProfile) -> Backend:
    member = slot.profile
    assert member is not None, "a usable member has a profile"
    return Backend(
        slot.name,
        cast(WireFormat, _FORMATS[member.wire_format]),
        base_url=member.base_url,
        model=member.model,
        key=None if slot.key is None else slot.key.reveal(),
        defaults=_params(slot, member, profile),
        asks_usage=member.knows_stream_usage,
        ca_file=None if member.ca_file is None else str(member.ca_file),
        continuation=member.alias.continuation,
        unwanted=refused_by(_facts(slot, profile)),
    )


def _aiohttp() -> Transport:
    from understudy.runtime.aiohttp_transport import AiohttpTransport

    return AiohttpTransport()


def _pyreqwest() -> Transport:
    from understudy.runtime.pyreqwest_transport import PyreqwestTransport

    return PyreqwestTransport()


_TRANSPORTS: dict[TransportName, Callable[[], Transport]] = {"aiohttp": _aiohttp, "pyreqwest": _pyreqwest}


def make_transport(name: TransportName) -> Transport:
    return _TRANSPORTS[name]()
