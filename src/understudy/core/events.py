"""What happened, as frozen facts. Logs, metrics and screens are observers of these.

`at` is the monotonic instant of the step that reports the fact, `request` the request's number in its
pool. Structs of msgspec rather than dataclasses: several are made per request, at a tenth of the cost.
"""

from __future__ import annotations

import msgspec

from understudy.core.outcome import Failure
from understudy.errors import SkipReason


class Event(msgspec.Struct, frozen=True):
    """Base of every fact."""

    at: float
    request: int


class AttemptStarted(Event, frozen=True):
    """`attempt` of at most `allowed` on this backend begins."""

    backend: str
    attempt: int
    allowed: int
    policy: str
    probe: bool


class BackendSkipped(Event, frozen=True):
    """A member was passed over. `rate` and `threshold` (tokens per minute) are set for `low_tpm`."""

    backend: str
    reason: SkipReason
    until: float | None
    rate: float | None = None
    threshold: int | None = None
    measure: str = "serving"


class FieldsLeftOut(Event, frozen=True):
    """Of the request the backend was not told `fields`: its format or its model has no use for them."""

    backend: str
    fields: tuple[str, ...]


class FirstContent(Event, frozen=True):
    """The first content of an attempt arrived, `after` seconds since its start."""

    backend: str
    after: float


class AttemptSucceeded(Event, frozen=True):
    """A whole answer. `rate` is the member's serving rate after it, if there is enough evidence."""

    backend: str
    attempt: int
    duration: float
    policy: str
    rate: float | None = None


class AttemptFailed(Event, frozen=True):
    """`limit` is the first-content limit the attempt ran under, in seconds."""

    backend: str
    attempt: int
    allowed: int
    failure: Failure
    duration: float
    limit: float
    policy: str


class AttemptAbandoned(Event, frozen=True):
    """The attempt ended without anybody's blame."""

    backend: str
    attempt: int
    duration: float
    message: str


class BackendBenched(Event, frozen=True):
    """The backend is left alone for `seconds`."""

    backend: str
    seconds: float


class BreakerOpened(Event, frozen=True):
    """The circuit opened after `failures` counted failures inside the window."""

    backend: str
    failures: int
    recovery: float


class BreakerHalfOpened(Event, frozen=True):
    """A probe is on its way; `early` when the pool had nobody else to ask."""

    backend: str
    early: bool


class BreakerClosed(Event, frozen=True):
    """A probe found the backend recovered, or the breaker has been switched off."""

    backend: str


class ProbeSettled(Event, frozen=True):
    """A probe ended, however it did: whoever waits for capacity looks again."""

    backend: str


class WaitingForCapacity(Event, frozen=True):
    """No member can be asked now; the request waits until `until`, or until a probe settles."""

    until: float


class TurnCame(Event, frozen=True):
    """The waiting `request` may find a member that can be asked now."""


class ConfigurationWarning(Event, frozen=True):
    """A failure that only the operator can mend: a wrong key, an unknown model."""

    backend: str
    message: str


class Hedged(Event, frozen=True):
    """`late` has said nothing for so many seconds; `backend` is asked too."""

    late: str
    after: float
    backend: str


class FellSilent(Event, frozen=True):
    """The backend has lost so many races in a row without a word: for `seconds` it is asked last."""

    backend: str
    races: int
    seconds: float


class Panicked(Event, frozen=True):
    """The backend is asked in spite of its circuit: nobody else is left, and it answers some requests."""

    backend: str


class RecoveryStarted(Event, frozen=True):
    """`broken` broke off after so many tokens were shown; `backend` is asked to go on, in this `way`."""

    broken: str
    tokens: int
    backend: str
    way: str


class Recovered(Event, frozen=True):
    """The answer goes on, `after` seconds since it broke off."""

    backend: str
    after: float


class OperatorActed(Event, frozen=True):
    """Somebody took a backend in hand: ``reset``, ``open``, ``close``, ``drain``, ``enable``."""

    backend: str
    action: str


class VerdictAdopted(Event, frozen=True):
    """Another process has opened or closed this backend's circuit, or an operator has there."""

    backend: str
    state: str


class RequestEnded(Event, frozen=True):
    """A request is over: ``answered``, ``failed`` or ``cancelled``.

    `cost_usd` is what its attempts of known price cost, None if there are none; `cost_partial`: there are
    others.
    """

    result: str
    backend: str | None
    attempts: int
    failed_over: bool
    duration: float
    cost_usd: float | None = None
    cost_partial: bool = False
