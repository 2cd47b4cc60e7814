"""Any walks over one pool: several requests at once, random outcomes at random times, live settings.

What holds whatever happens is stated as invariants; whom a walk may ask is checked at every attempt,
against facts gathered outside the engine.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.stage import Asking, Text, failure, takes
from understudy.core.attempt import Attempt
from understudy.core.breaker import State
from understudy.core.dispatch import AcceptEmpty, Dispatch, GiveUp, Step, Wait
from understudy.core.events import Event, RequestEnded
from understudy.core.facts import Facts
from understudy.core.member import Member
from understudy.core.outcome import Abandoned, Failure, Outcome, Success, Tokens
from understudy.core.policies import BY_NAME
from understudy.core.pool import Pool
from understudy.core.recovery import Way, is_same_model
from understudy.core.settings import (
    BreakerSettings,
    Ceilings,
    HedgeSettings,
    MemberSettings,
    PoolSettings,
    RecoverySettings,
    RetrySettings,
    Timeouts,
)
from understudy.core.stats import stats
from understudy.errors import AttemptEntry, FailureKind, SkipReason

NEVER_AGAIN = {"timeout", "quota", "auth", "model_not_found", "context_length", "invalid_request"}

BREAKERS = st.builds(
    BreakerSettings,
    enabled=st.sampled_from([True, True, True, False]),
    failure_threshold=st.integers(1, 3),
    recovery_timeout=st.sampled_from([1.0, 6.0, 30.0]),
    failure_rate=st.sampled_from([0.0, 0.5]),
    half_open_max=st.integers(1, 2),
    panic=st.sampled_from([True, True, False]),
)
RETRIES = st.builds(
    RetrySettings,
    count=st.integers(1, 3),
    delay=st.sampled_from([0.0, 0.5, 10.0]),
    on_network_errors=st.sampled_from([True, True, True, False]),
    status_codes=st.sampled_from([None, None, frozenset(), frozenset({400, 500})]),
    retry_after_max=st.sampled_from([0.0, 2.0]),
    wait_for_capacity=st.sampled_from([0.0, 5.0, 20.0]),
    bench_max=st.sampled_from([1.0, 900.0]),
    request_timeout=st.sampled_from([5.0, 600.0, 600.0]),
    max_attempts=st.sampled_from([None, None, 1, 4]),
    budget=st.sampled_from([0.0, 0.2, 10.0]),
)
RECOVERIES = st.builds(
    RecoverySettings,
    scope=st.sampled_from(["off", "same_model", "same_model", "any"]),
    timeout=st.sampled_from([2.0, 30.0]),
)
HEDGES = st.builds(
    HedgeSettings,
    after=st.sampled_from([None, 0.0, 0.5]),
    budget=st.sampled_from([0.0, 0.1, 10.0]),
)
POOLS = st.builds(
    PoolSettings,
    breaker=BREAKERS,
    retry=RETRIES,
    tpm_measure=st.sampled_from(["serving", "window"]),
    recovery=RECOVERIES,
    hedge=HEDGES,
)
TEXTS = st.builds(Text, can_be_matched=st.sampled_from([True, True, True, False]))
FACTS = st.builds(
    Facts,
    context_limit=st.sampled_from([None, 8, 32]),
    max_output=st.sampled_from([None, 4]),
    supports=st.sampled_from([None, None, takes(), takes("tools", "prefill")]),
)
MEMBERS = st.builds(
    MemberSettings,
    timeouts=st.just(Timeouts()),
    tpm_threshold=st.sampled_from([None, None, 100]),
    facts=FACTS,
    model=st.sampled_from(["m", "m", "n"]),
    ceilings=st.sampled_from([None, None, Ceilings(concurrency=1), Ceilings(requests=3, takeovers=1)]),
)
USUAL = ["connect", "reset", "server_error", "rate_limited", "timeout"]
FAILURES = st.builds(
    failure,
    st.sampled_from(USUAL) | st.sampled_from(sorted(FailureKind)),
    status=st.sampled_from([None, 400, 500]),
    retry_after=st.sampled_from([None, None, 0.5, 2.0, 15.0]),
    terminal=st.booleans(),
)
NEEDS = st.none() | st.builds(
    Asking,
    features=st.sampled_from(
        [takes(), takes("tools"), takes("images"), takes("prefill"), takes("reasoning")]
    ),
    answer_limit=st.sampled_from([0, 2, 30]),
    tokens=st.sampled_from([1, 9, 40]),
)
SECONDS = st.sampled_from([0.0, 0.0, 0.1, 0.5, 1.0, 5.0, 12.5, 31.0, 301.0])
PICK = st.integers(0, 10**6)


@dataclass(eq=False)
class Played:
    """One request as the test knows it: what was asked, and how each of that ended.

    Two attempts may run at once: the late one and its `hedge`.
    """

    dispatch: Dispatch
    attempts: list[Attempt] = field(default_factory=list)
    attempts_by_member: Counter[int] = field(default_factory=Counter)
    never_again: set[int] = field(default_factory=set)
    not_before: dict[int, float] = field(default_factory=dict)
    granted: Counter[int] = field(default_factory=Counter)
    shown: Text | None = None
    speaker: Attempt | None = None
    first_speaker: Attempt | None = None
    scope: str = "off"
    broken_at: float | None = None
    too_small: int | None = None
    needs: Asking | None = None
    step: Step | None = None
    hedge: Attempt | None = None

    @property
    def running(self) -> Attempt | None:
        """The first of those that run: after content there is but one."""
        return next((attempt for attempt in self.attempts if attempt.outcome is None), None)

    @property
    def all_running(self) -> list[Attempt]:
        return [attempt for attempt in self.attempts if attempt.outcome is None]

    @property
    def is_raced(self) -> bool:
        return len(self.all_running) > 1

    @property
    def is_walking(self) -> bool:
        return self.running is None


@dataclass(frozen=True)
class Before:
    """A member just before a step."""

    problem: SkipReason | None
    benched_until: float
    state: State
    admits: bool
    early_at: float
    panics: bool

    @classmethod
    def of(cls, member: Member, pool: Pool, now: float) -> Before:
        breaker, settings = member.breaker, pool.settings.breaker
        return cls(
            member.problem,
            member.benched_until,
            breaker.state(now, settings),
            breaker.admits(now, settings),
            pool.quiet_since + breaker.early_after(settings),
            settings.panic and breaker.answers_some(now, settings),
        )


class WalksMachine(RuleBasedStateMachine):
    """Requests begin, go on, answer, fail and are left in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.pool = Pool("company", BY_NAME["failover"](), [], PoolSettings())
        self.playing: list[Played] = []
        self.begun = 0
        self.results: Counter[str] = Counter()
        self.outcomes: dict[int, Counter[str]] = {}
        self.probes: list[Attempt] = []

    @initialize(
        policy=st.sampled_from(sorted(BY_NAME)),
        members=st.lists(MEMBERS, min_size=1, max_size=4),
        problem=st.sampled_from([None, None, None, SkipReason.MISSING]),
        chosen=POOLS,
    )
    def open_the_house(
        self, policy: str, members: list[MemberSettings], problem: SkipReason | None, chosen: PoolSettings
    ) -> None:
        company = [Member(f"m{index}", index, settings) for index, settings in enumerate(members)]
        company[-1].problem = problem
        self.pool = Pool("company", BY_NAME[policy](), company, chosen)
        self.outcomes = {member.index: Counter() for member in company}

    # What happens

    @rule(seconds=SECONDS)
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @rule(chosen=st.none() | POOLS)
    def change_settings(self, chosen: PoolSettings | None) -> None:
        self.pool.settings = chosen or self.pool.settings

    @rule(pick=PICK, seconds=st.sampled_from([0.3, 4.0, 15.0, 500.0]))
    def bench(self, pick: int, seconds: float) -> None:
        """As another request's Retry-After would."""
        self.some_member(pick).bench(self.now, seconds, 900.0)

    @rule(pick=PICK, everybody=st.booleans())
    def outage(self, pick: int, everybody: bool) -> None:
        """Circuits open as by other requests' failures."""
        for member in self.pool.members if everybody else [self.some_member(pick)]:
            settings = self.pool.settings.breaker
            for _ in range(20):
                permit = member.breaker.try_acquire(self.now, settings)
                if permit is not None:
                    member.breaker.record_failure(permit, self.now, settings, after_content=False)
            self.pool.quiet_since = self.now

    @rule(everybody=st.booleans(), pick=PICK)
    def brown_out(self, everybody: bool, pick: int) -> None:
        """Other requests fail, and every other one is answered, until the circuit is open."""
        settings = self.pool.settings.breaker
        for member in self.pool.members if everybody else [self.some_member(pick)]:
            for _ in range(10):
                for good in (False, True, False):
                    permit = member.breaker.try_acquire(self.now, settings)
                    if permit is not None and good:
                        member.breaker.record_opening(permit, self.now, settings)
                    elif permit is not None:
                        member.breaker.record_failure(permit, self.now, settings, after_content=False)
            self.pool.quiet_since = self.now

    @rule(pick=PICK, tokens=st.sampled_from([50.0, 600.0]))
    def measure(self, pick: int, tokens: float) -> None:
        member = self.some_member(pick)
        member.window.generated.add(self.now, tokens, 60.0)

    @precondition(lambda self: len(self.playing) < 6)
    @rule(stream=st.booleans(), needs=NEEDS)
    def begin(self, stream: bool, needs: Asking | None) -> None:
        dispatch = Dispatch(self.pool, self.now, lambda: 0.5, stream=stream, needs=needs)
        self.playing.append(Played(dispatch, needs=needs))
        self.begun += 1
        self.go_on(self.playing[-1])

    @precondition(lambda self: any(played.is_walking for played in self.playing))
    @rule(pick=PICK)
    def step(self, pick: int) -> None:
        """Also before a wait is over, as when a probe settles."""
        walking = [played for played in self.playing if played.is_walking]
        self.go_on(walking[pick % len(walking)])

    @precondition(lambda self: any(isinstance(played.step, Wait) for played in self.playing))
    @rule()
    def the_first_wait_ends(self) -> None:
        waiting = [(played.step.until, played) for played in self.playing if isinstance(played.step, Wait)]
        until, played = min(waiting, key=lambda pair: pair[0])
        self.now = max(self.now, until)
        self.go_on(played)

    @precondition(lambda self: any(played.running for played in self.playing))
    @rule(pick=PICK, outcome=FAILURES, seconds=SECONDS)
    def fail(self, pick: int, outcome: Failure, seconds: float) -> None:
        self.now += seconds
        self.settle(*self.some_attempt(pick), outcome)

    @precondition(lambda self: any(played.running for played in self.playing))
    @rule(pick=PICK, seconds=SECONDS, shown=st.none() | TEXTS)
    def commit(self, pick: int, seconds: float, shown: Text | None) -> None:
        """Content arrives; it is held back, or shown, or shown later."""
        self.now += seconds
        played, attempt = self.some_attempt(pick)
        if attempt.committed_at is None:
            self.arrives(played, attempt)
        elif attempt.evidence is not None:
            attempt.evidence.content(self.now, 40.0)
        if shown is not None and attempt is not played.speaker:
            self.show(played, attempt, shown)

    @precondition(lambda self: any(played.running for played in self.playing))
    @rule(pick=PICK, tokens=st.integers(0, 900))
    def answer(self, pick: int, tokens: int) -> None:
        played, attempt = self.some_attempt(pick)
        if attempt.committed_at is None:
            self.arrives(played, attempt)
        self.settle(played, attempt, Success(), Tokens(10, tokens, False, tokens))
        played.dispatch.answered(self.now)
        self.leave(played, "answered")

    @precondition(lambda self: any(played.running for played in self.playing))
    @rule(pick=PICK)
    def abandon(self, pick: int) -> None:
        """The deadline's way to end attempts; the walk is asked once more."""
        played, _ = self.some_attempt(pick)
        for attempt in played.all_running:
            self.settle(played, attempt, Abandoned())

    @precondition(lambda self: any(played.running for played in self.playing))
    @rule(pick=PICK, seconds=SECONDS)
    def hedge(self, pick: int, seconds: float) -> None:
        """As the runtime does it: only while one attempt runs and has said nothing."""
        played, late = self.some_attempt(pick)
        due = played.dispatch.hedge_at(late, self.now)
        if due is None or late.committed_at is not None or played.is_raced:
            return
        self.now = max(self.now + seconds, due)
        before = {member.index: Before.of(member, self.pool, self.now) for member in self.pool.members}
        spent = self.pool.hedges.allows(self.now, self.pool.settings.hedge.budget)
        other = played.dispatch.hedge(late, self.now)
        if other is None:
            return
        assert isinstance(other, Attempt), "nobody shares this pool"
        assert played.hedge is None, "once per request"
        assert spent or late.permit.probe or late.is_trial
        assert not other.is_trial
        assert played.shown is None
        assert before[other.member.index].state is State.CLOSED
        assert not other.permit.probe
        assert other.member.index not in played.attempts_by_member
        self.may_be_asked(played, other, before[other.member.index])
        played.hedge = other
        self.begin_attempt(played, other)

    @precondition(lambda self: self.playing)
    @rule(pick=PICK, really=st.sampled_from([False, False, True]))
    def caller_leaves(self, pick: int, really: bool) -> None:
        if not really:
            return
        played = self.playing[pick % len(self.playing)]
        for attempt in played.all_running:
            self.outcomes[attempt.member.index]["cancelled"] += 1
        self.leave(played, "cancelled")

    def arrives(self, played: Played, attempt: Attempt) -> None:
        """Whoever speaks first goes on; the other is told that it lost."""
        played.dispatch.commit(attempt, self.now)
        for other in played.all_running:
            if other is not attempt:
                self.settle(played, other, Abandoned("another backend was faster", lost=True))

    def show(self, played: Played, attempt: Attempt, shown: Text) -> None:
        played.speaker = attempt
        if played.shown is None:
            played.shown, played.first_speaker = shown, attempt
            played.dispatch.show(attempt, shown)
        else:
            played.dispatch.resume(attempt, self.now)

    # How it is carried out

    def some_member(self, pick: int) -> Member:
        return self.pool.members[pick % len(self.pool.members)]

    def some_attempt(self, pick: int) -> tuple[Played, Attempt]:
        running = [(played, attempt) for played in self.playing for attempt in played.all_running]
        return running[pick % len(running)]

    def go_on(self, played: Played) -> None:
        before = {member.index: Before.of(member, self.pool, self.now) for member in self.pool.members}
        step = played.step = played.dispatch.next_step(self.now)
        match step:
            case Attempt():
                self.may_be_asked(played, step, before[step.member.index])
                self.begin_attempt(played, step)
            case Wait():
                assert self.now < step.until <= played.dispatch.deadline.at
            case AcceptEmpty():
                assert step.attempt is played.attempts[-1]
                played.dispatch.answered(self.now)
                self.leave(played, "answered")
            case GiveUp():
                assert step.error.trail == played.dispatch.trail
                played.dispatch.failed(self.now)
                self.leave(played, "failed")

    def may_be_asked(self, played: Played, attempt: Attempt, before: Before) -> None:
        index, retry = attempt.member.index, self.pool.settings.retry
        assert (attempt.way is None) == (played.shown is None)
        if played.shown is not None:
            self.may_go_on(played, attempt)
        assert retry.max_attempts is None or len(played.attempts) < retry.max_attempts
        assert before.problem is None
        assert self.now >= before.benched_until
        early = before.state is State.OPEN and self.now >= before.early_at
        assert before.admits or early or before.panics
        assert attempt.permit.probe == (before.state is not State.CLOSED and (before.admits or early))
        assert played.attempts_by_member[index] - played.granted[index] < retry.count
        assert index not in played.never_again
        assert self.now >= played.not_before.get(index, 0.0)
        assert not played.dispatch.deadline.passed(self.now)
        limit = attempt.member.settings.facts.context_limit
        if played.too_small is not None and limit is not None:
            assert limit > played.too_small
        if played.needs is not None:
            self.can_take(attempt.member.settings.facts, played.needs)

    def may_go_on(self, played: Played, attempt: Attempt) -> None:
        assert played.shown is not None
        assert played.first_speaker is not None
        assert played.shown.can_be_matched
        assert played.scope != "off"
        first = played.first_speaker.member
        assert played.scope == "any" or attempt.member is first or is_same_model(attempt.member, first)
        prefilled = attempt.way is Way.CONTINUATION
        assert not (prefilled and attempt.member.settings.facts.supports is None)

    def can_take(self, facts: Facts, needs: Asking) -> None:
        wanted = {str(feature) for feature in needs.features} - {"reasoning"}
        others = [member.settings.facts for member in self.pool.members if member.problem is None]
        if all(other.supports is not None and "prefill" not in other.supports for other in others):
            wanted -= {"prefill"}
        assert facts.supports is None or wanted <= set(map(str, facts.supports))
        answer = min(needs.answer_limit, facts.max_output or needs.answer_limit)
        assert facts.context_limit is None or needs.tokens * 0.85 + answer <= facts.context_limit

    def begin_attempt(self, played: Played, attempt: Attempt) -> None:
        played.attempts.append(attempt)
        played.attempts_by_member[attempt.member.index] += 1
        assert attempt.number == played.attempts_by_member[attempt.member.index]
        most = attempt.member.max_concurrency
        assert most is None or attempt.member.in_flight <= most
        if attempt.permit.probe:
            self.probes.append(attempt)
            self.no_more_probes_than_allowed(attempt)

    def no_more_probes_than_allowed(self, newest: Attempt) -> None:
        settings = self.pool.settings.breaker
        lease = max(settings.recovery_timeout, 5.0)
        live = [
            probe
            for probe in self.probes
            if probe.member is newest.member
            and probe.permit.generation == newest.permit.generation
            and probe.outcome is None
            and probe.committed_at is None
            and self.now < probe.started_at + lease
        ]
        assert len(live) <= settings.half_open_max

    def settle(
        self, played: Played, attempt: Attempt, outcome: Outcome, tokens: Tokens | None = None
    ) -> None:
        index = attempt.member.index
        self.outcomes[index][self.word(outcome)] += 1
        played.dispatch.settle(attempt, outcome, self.now, tokens)
        if isinstance(outcome, Failure):
            if attempt is played.speaker:
                self.broke_off(played)
            if attempt.way is Way.CONTINUATION and outcome.kind in ("invalid_request", "unfit"):
                played.granted[index] += 1
            else:
                self.remember(played, attempt, outcome)

    def broke_off(self, played: Played) -> None:
        if played.broken_at is None:
            played.granted = Counter(played.attempts_by_member)
            played.scope = self.pool.settings.recovery.scope
        played.broken_at = self.now

    def remember(self, played: Played, attempt: Attempt, outcome: Failure) -> None:
        """What this failure forbids for the rest of the request."""
        index, retry = attempt.member.index, self.pool.settings.retry
        if outcome.kind in NEVER_AGAIN:
            played.never_again.add(index)
        benches = outcome.retry_after is not None and outcome.kind in ("rate_limited", "server_error")
        left = played.attempts_by_member[index] - played.granted[index] < retry.count
        left = left and self.pool.retries.allows(self.now, retry.budget)
        if not benches and (left or played.shown is not None):
            played.not_before[index] = self.now + retry.delay
        if outcome.kind == "context_length" and (retry.status_codes is None):
            limit = attempt.member.settings.facts.context_limit or 0
            played.too_small = max(played.too_small or 0, limit)

    def word(self, outcome: Outcome) -> str:
        match outcome:
            case Success():
                return "successes"
            case Failure() as failed:
                return "failures" if failed.counts or failed.kind == "internal" else "refused"
            case _:
                return "cancelled"

    def leave(self, played: Played, result: str) -> None:
        events = played.dispatch.take_events()
        played.dispatch.leave(self.now)
        events += played.dispatch.take_events()
        self.told_once(events, result)
        self.trail_tells_all(played)
        self.playing.remove(played)
        self.results[result] += 1

    def told_once(self, events: list[Event], result: str) -> None:
        ended = [event.result for event in events if isinstance(event, RequestEnded)]
        assert ended == [result]

    def trail_tells_all(self, played: Played) -> None:
        entries = [entry for entry in played.dispatch.trail if isinstance(entry, AttemptEntry)]
        asked = [(attempt.member.name, attempt.number) for attempt in played.attempts]
        assert [(entry.backend, entry.attempt) for entry in entries] == asked
        assert all(entry.duration is not None and entry.duration >= 0 for entry in entries)

    # What always holds

    @invariant()
    def every_attempt_is_counted_once(self) -> None:
        for member in self.pool.members:
            metrics = member.metrics
            running = sum(
                attempt.member is member for played in self.playing for attempt in played.all_running
            )
            assert metrics.in_flight == running
            assert metrics.requests == (
                metrics.successes + metrics.failures + metrics.refused + metrics.cancelled + running
            )
            counted = self.outcomes[member.index]
            for word in ("successes", "failures", "refused", "cancelled"):
                assert getattr(metrics, word) == counted[word]

    @invariant()
    def every_request_is_counted_once(self) -> None:
        metrics = self.pool.metrics
        assert metrics.requests == self.begun
        assert metrics.in_flight == len(self.playing)
        assert (metrics.answered, metrics.failed, metrics.cancelled) == tuple(
            self.results[word] for word in ("answered", "failed", "cancelled")
        )
        assert metrics.failed_over <= metrics.answered
        assert metrics.hedged == sum(member.metrics.hedged for member in self.pool.members)
        assert metrics.recovered == sum(member.metrics.recovered for member in self.pool.members)

    @invariant()
    def nobody_waits_who_is_being_served(self) -> None:
        walking = {played.dispatch.request for played in self.playing if played.is_walking}
        assert set(self.pool.queue.places) <= walking

    @invariant()
    def looking_changes_nothing(self) -> None:
        assert stats(self.pool, self.now, str) == stats(self.pool, self.now, str)

    def teardown(self) -> None:
        """Every walk comes to an end, whatever its attempts do; then every breaker lets a request in."""
        endings = [
            failure("reset"),
            failure("rate_limited", retry_after=1.0),
            failure("empty", terminal=True),
        ]
        for played in tuple(self.playing):
            for turn in range(200):
                if played not in self.playing:
                    break
                self.one_more_turn(played, replace(endings[turn % 3]))
            assert played not in self.playing
        self.every_request_is_counted_once()
        self.every_attempt_is_counted_once()
        assert not self.pool.queue.places
        for member in self.pool.members:
            self.no_permit_has_leaked(member)

    def one_more_turn(self, played: Played, ending: Failure) -> None:
        if played.running is not None:
            self.settle(played, played.running, ending)
        elif isinstance(played.step, Wait):
            self.now = max(self.now, played.step.until)
            self.go_on(played)
        else:
            self.go_on(played)

    def no_permit_has_leaked(self, member: Member) -> None:
        settings: Any = self.pool.settings.breaker
        assert not member.breaker.probing(self.now, settings)
        shown = member.breaker.next_probe_at(self.now, settings)
        assert member.breaker.admits(max(self.now, shown or 0.0), settings)


TestAnyWalks = WalksMachine.TestCase
TestAnyWalks.settings = settings(max_examples=100, stateful_step_count=50)
