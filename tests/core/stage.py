"""A pool on a stage: members named by letters, time that is a plain number, walks told in few words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from understudy.core.attempt import Attempt
from understudy.core.breaker import State
from understudy.core.dispatch import AcceptEmpty, Dispatch, GiveUp, Wait
from understudy.core.events import Event
from understudy.core.facts import Facts, Feature, Tokenizer
from understudy.core.fit import Needs
from understudy.core.member import Member
from understudy.core.outcome import Abandoned, Failure, Outcome, Success, Tokens
from understudy.core.policies import BY_NAME
from understudy.core.pool import Pool
from understudy.core.settings import (
    BreakerSettings,
    MemberSettings,
    PoolSettings,
    RecoverySettings,
    RetrySettings,
    RoutingSettings,
)
from understudy.errors import FailureKind, RequestError, SkipReason

AnyEvent = TypeVar("AnyEvent", bound=Event)


def failure(kind: FailureKind | str, **more: Any) -> Failure:
    more.setdefault("message", f"says {kind}")
    return Failure(FailureKind(kind), **more)


def member(name: str = "a", index: int = 0, problem: SkipReason | None = None, **settings: Any) -> Member:
    """`settings` may be facts as well."""
    facts = Facts(**{key: settings.pop(key) for key in FACTS if key in settings})
    return Member(name, index, MemberSettings(**settings, facts=facts), problem)


def takes(*features: str) -> frozenset[Feature]:
    """What a model takes besides text, and nothing else."""
    return frozenset(map(Feature, features))


@dataclass
class Asking:
    """A request's needs, told outright; `looks` are the questions that were asked about them."""

    features: frozenset[Feature] = frozenset()
    answer_limit: int = 0
    tokens: int = 0
    bytes: int | None = None
    affinity: int = 0
    looks: list[str] = field(default_factory=list)

    @property
    def most_tokens(self) -> int:
        self.looks.append("most")
        return self.tokens if self.bytes is None else self.bytes

    def prompt_tokens(self, tokenizer: Tokenizer | None) -> int:
        self.looks.append(f"tokens {tokenizer}")
        return self.tokens


@dataclass
class Text:
    """What the caller was shown, told outright."""

    tokens: int = 40
    can_be_matched: bool = True
    can_be_prefilled: bool = True


FACTS = ("context_limit", "max_output", "supports", "price", "tokenizer")


class Stage:
    """`members` may give settings by member name; `jitter` is what the back-off adds, 0 by default.

    Nobody goes on with a broken answer, unless `recovery` says so.
    """

    def __init__(
        self,
        names: Sequence[str] = "ab",
        policy: str = "failover",
        *,
        now: float = 1000.0,
        members: dict[str, dict[str, Any]] | None = None,
        problems: dict[str, SkipReason] | None = None,
        breaker: dict[str, Any] | None = None,
        tpm_measure: str = "serving",
        recovery: dict[str, Any] | None = None,
        routing: dict[str, Any] | None = None,
        **retry: Any,
    ) -> None:
        self.now = now
        self.jitter = 0.0
        self.chance: Callable[[], float] = lambda: self.jitter
        self.pool = Pool(
            "company",
            BY_NAME[policy](),
            [
                member(name, index, (problems or {}).get(name), **(members or {}).get(name, {}))
                for index, name in enumerate(names)
            ],
            PoolSettings(
                BreakerSettings(**(breaker or {})),
                RetrySettings(**retry),
                tpm_measure,
                RecoverySettings(**{"scope": "off", **(recovery or {})}),
                routing=RoutingSettings(**(routing or {})),
            ),
        )

    def member(self, name: str) -> Member:
        return next(member for member in self.pool.members if member.name == name)

    def state(self, name: str) -> State:
        return self.member(name).breaker.state(self.now, self.pool.settings.breaker)

    def advance(self, seconds: float) -> None:
        self.now += seconds

    def begin(self, *, stream: bool = True, needs: Needs | None = None) -> Walk:
        return Walk(self, Dispatch(self.pool, self.now, self.chance, stream=stream, needs=needs))

    def set(self, *, breaker: dict[str, Any] | None = None, **retry: Any) -> None:
        """A live change of settings."""
        settings = self.pool.settings
        self.pool.settings = replace(
            settings,
            breaker=replace(settings.breaker, **(breaker or {})),
            retry=replace(settings.retry, **retry),
        )

    # Past troubles, by the shortest way there

    def open(self, name: str) -> None:
        """Open a member's circuit now, by failures that are as short as an instant."""
        settings = self.pool.settings.breaker
        breaker = self.member(name).breaker
        while self.state(name) is not State.OPEN:
            permit = breaker.try_acquire(self.now, settings)
            assert permit is not None
            breaker.record_failure(permit, self.now, settings, after_content=False)
        self.pool.quiet_since = self.now

    def slow(self, name: str, tokens_per_minute: float) -> None:
        """Give a member a measured serving rate."""
        self.member(name).window.generated.add(self.now, tokens_per_minute, 60.0)


class Walk:
    """One dispatch, told as a story: whom it asks, how that ends, how it waits, how it ends."""

    def __init__(self, stage: Stage, dispatch: Dispatch) -> None:
        self.stage = stage
        self.dispatch = dispatch
        self.attempt: Attempt | None = None

    @property
    def running(self) -> Attempt:
        assert self.attempt is not None
        return self.attempt

    def asks(self, name: str) -> Attempt:
        step = self.dispatch.next_step(self.stage.now)
        assert isinstance(step, Attempt), step
        assert step.member.name == name
        self.attempt = step
        return step

    def asks_in_turn(self, *names: str, kind: FailureKind | str = "auth") -> None:
        """Each is asked and fails with a kind that asks it no more."""
        for name in names:
            self.asks(name)
            self.fails(kind)

    def fails(self, kind: FailureKind | str, after: float = 0.0, **more: Any) -> None:
        self.stage.advance(after)
        self.settle(failure(kind, **more))

    def settle(self, outcome: Outcome, tokens: Tokens | None = None) -> None:
        self.dispatch.settle(self.running, outcome, self.stage.now, tokens)

    def commits(self) -> None:
        """Content arrives, and is shown at once."""
        self.dispatch.commit(self.running, self.stage.now)
        self.dispatch.show(self.running, Text())

    def arrives(self) -> None:
        """Content does, and is held back."""
        self.dispatch.commit(self.running, self.stage.now)

    def resumes(self) -> None:
        """The attempt goes on with the answer."""
        self.arrives()
        self.dispatch.resume(self.running, self.stage.now)

    def answers(self, tokens: Tokens | None = None) -> None:
        if self.running.committed_at is None:
            self.commits()
        self.settle(Success(), tokens)
        self.dispatch.answered(self.stage.now)
        self.leaves()

    def is_abandoned(self) -> None:
        self.settle(Abandoned())

    def leaves(self) -> None:
        self.dispatch.leave(self.stage.now)

    def waits(self) -> Wait:
        step = self.dispatch.next_step(self.stage.now)
        assert isinstance(step, Wait), step
        assert step.until > self.stage.now
        return step

    def rests(self, seconds: float) -> None:
        """Is told to wait so long, and does."""
        until = self.waits().until
        assert round(until - self.stage.now, 6) == seconds
        self.stage.now = until

    def gives_up(self) -> RequestError:
        step = self.dispatch.next_step(self.stage.now)
        assert isinstance(step, GiveUp), step
        return step.error

    def accepts_empty(self) -> Attempt:
        step = self.dispatch.next_step(self.stage.now)
        assert isinstance(step, AcceptEmpty), step
        self.dispatch.answered(self.stage.now)
        return step.attempt

    def told(self, kind: type[AnyEvent]) -> list[AnyEvent]:
        """The facts of one kind so far."""
        return [event for event in self.dispatch.events if isinstance(event, kind)]
