"""What a session holds between two lines: who answers, live settings, the conversation.

1. A loaded load balancer answers; without one the draft does, which is what a loaded standard profile
   becomes. While a load balancer answers, changes of the draft only prepare another profile.
2. Loading a profile replaces draft and load balancer, keeps the conversation, and drops what ``/set`` set.
   A profile that can't be loaded leaves everything as it was.
3. ``--set`` holds for every profile of the session. What ``/set`` sets holds from the next decision on,
   also if it was set before there was anything to decide.
4. A failed or cancelled answer leaves the conversation as it was, question included.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from understudy.cli.draft import Draft
from understudy.config.pool import MemberSlot, PoolProfile, load_pool
from understudy.config.profile import LoadBalancerProfile, Profile, StandardProfile
from understudy.config.store import ProfileStore
from understudy.core.settings import REGISTRY, Layers, Scope, Setting, Source, lookup
from understudy.errors import ConfigurationError, TrailEntry
from understudy.library.balancer import Balancer, TransportName, checked

if TYPE_CHECKING:
    from understudy.core.stats import Stats

NO_PROFILE = (
    "no profile is loaded: /profile load NAME loads one, and `understudy demo` shows a failover without any"
)

# Those that /set and --set may change.
LIVE_SETTINGS: tuple[Setting, ...] = tuple(row for row in REGISTRY if row.scope is not Scope.MEMBER)


class Session:
    """`options` are the settings of the command line. `trail` is the last request's, None before one."""

    def __init__(
        self,
        store: ProfileStore,
        environ: Mapping[str, str],
        *,
        options: Mapping[str, Any] | None = None,
        transport: TransportName = "aiohttp",
    ) -> None:
        self.store = store
        self.draft = Draft()
        self.messages: list[dict[str, str]] = []
        self.trail: tuple[TrailEntry, ...] | None = None
        self.finished = False
        self._environ = environ
        self._options = dict(checked(key, value) for key, value in (options or {}).items())
        self._transport = transport
        self._live: dict[str, Any] = {}
        self._load_balancer: LoadBalancerProfile | None = None
        self._balancer: Balancer | None = None
        self._made_from: Draft | None = None
        self._answered_by: tuple[str | None, str | None] | None = None

    def __repr__(self) -> str:
        return f"<Session {self.status}, {len(self.messages)} messages>"

    # Who answers

    @property
    def load_balancer(self) -> LoadBalancerProfile | None:
        """The load-balancer profile that answers, None if none does."""
        return self._load_balancer

    @property
    def profile(self) -> Profile:
        """What answers; raises `ConfigurationError` if nothing can."""
        if self._load_balancer is not None:
            return self._load_balancer
        if self.draft.is_empty:
            raise ConfigurationError(NO_PROFILE)
        return self.draft.profile()

    @property
    def status(self) -> str:
        """``lb:PROFILE:BACKEND:MODEL``: who answered last, before that the first who can."""
        if self._load_balancer is None:
            draft = self.draft
            return "no profile" if draft.is_empty else f"{draft.name}:{draft.model or '-'}"
        backend, model = self._answered_by or self._first_usable()
        return f"lb:{self._load_balancer.name}:{backend}:{model or '-'}"

    async def load(self, name_or_path: str) -> tuple[str, ...]:
        """Load a profile (rule 2); returns its warnings. Raises `ConfigurationError`."""
        profile = self.store.load(name_or_path)
        pool = load_pool(name_or_path, self.store, self._environ)
        balancer = self._make(pool, {})
        await self._use(balancer)
        self._live.clear()
        if isinstance(profile, StandardProfile):
            self._load_balancer = None
            self.draft = self._made_from = Draft.of(profile)
        else:
            self._load_balancer = profile
            self.draft = Draft()
        return pool.warnings

    async def balancer(self) -> Balancer:
        """What carries the profile's requests out; raises `ConfigurationError` if nothing can."""
        if self._load_balancer is None and self._made_from is not self.draft:
            await self._use(self._make(self.profile, self._live))
            self._made_from = self.draft
        assert self._balancer is not None, "a load balancer is loaded together with its balancer"
        return self._balancer

    def stats(self) -> Stats | None:
        """The load balancer's statistics, None without one."""
        if self._load_balancer is None or self._balancer is None:
            return None
        return self._balancer.stats()

    async def close(self) -> None:
        """Close every connection."""
        if self._balancer is not None:
            await self._balancer.aclose()

    # Settings

    @property
    def live_keys(self) -> tuple[str, ...]:
        """What ``/set`` has set."""
        return tuple(self._live)

    def set(self, key: str, text: str) -> None:
        """Change a setting from the next decision on; raises `SettingError`."""
        canonical, value = checked(key, text)
        self._live[canonical] = value
        if self._balancer is not None:
            self._balancer.set(canonical, value)

    def unset(self, key: str) -> bool:
        """Take a live change back; False if there was none. Raises `SettingError`."""
        canonical = lookup(key).key
        if canonical not in self._live:
            return False
        del self._live[canonical]
        if self._balancer is not None:
            self._balancer.unset(canonical)
        return True

    def setting(self, key: str) -> tuple[Any, Source]:
        """A setting's value in force and where it came from."""
        return self._layers().effective(key)

    def member_settings(self, key: str) -> list[tuple[str, Any]]:
        """The members of the load balancer whose own profile decides this setting, with their values."""
        slots = self._slots() if self._load_balancer else ()
        found = ((slot.name, *self._layers(slot).effective(key)) for slot in slots)
        return [(name, value) for name, value, source in found if source is Source.MEMBER]

    def pool_settings(self) -> dict[str, Any]:
        """What a load balancer saved now gets: its settings in force that are no default."""
        found = {row.key: self.setting(row.key) for row in LIVE_SETTINGS}
        own = (Source.PROFILE, Source.OPTION, Source.SESSION)
        return {key: value for key, (value, source) in found.items() if source in own}

    # The conversation

    def question(self, prompt: str) -> list[dict[str, str]]:
        """The conversation with the next question."""
        return [*self.messages, {"role": "user", "content": prompt}]

    def answered(self, prompt: str, text: str, backend: str | None, model: str | None) -> None:
        """The question has its answer; one without text is none to go on from."""
        self._answered_by = backend, model
        if text:
            self.messages = [*self.question(prompt), {"role": "assistant", "content": text}]

    # Below

    def _make(self, profile: PoolProfile | Profile, live: Mapping[str, Any]) -> Balancer:
        balancer = Balancer(profile, settings=self._options, environ=self._environ, transport=self._transport)
        for key, value in live.items():
            balancer.set(key, value)
        return balancer

    async def _use(self, balancer: Balancer) -> None:
        await self.close()
        self._balancer = balancer
        self._answered_by = None

    def _slots(self) -> tuple[MemberSlot, ...]:
        return () if self._balancer is None else self._balancer.profile.members

    def _first_usable(self) -> tuple[str, str | None]:
        slot = next(slot for slot in self._slots() if slot.problem is None)
        return slot.name, slot.profile.model if slot.profile else None

    def _layers(self, slot: MemberSlot | None = None) -> Layers:
        if self._load_balancer is None or self._balancer is None:
            return Layers(member=self.draft.settings, option=self._options, session=self._live)
        return self._balancer.profile.layers(slot, self._options, self._live)
