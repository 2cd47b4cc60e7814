"""When nobody else is left, who answers some requests is asked in spite of circuit and slow start.

A circuit keeps callers from a backend that fails too often. When all of them fail half of what they are
asked, circuits keep callers from everybody, though asking one after the other would answer nearly all: that
outage is of our own making. Envoy's way out of it is called panic mode, other balancers fail open. Rules:

1. A member is asked that its circuit does not admit, or that its slow start holds back, if it answers some of
   what it is asked (rule 13 of `core.breaker`). One that is down does not: it is left to its probes, and a
   pool that is down fails at once, as ever.
2. Benches and ceilings hold, and so does the line of those who wait for room under a ceiling.
3. Circuits learn nothing from it, and probes are made as ever: where one is due, this is it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.errors import SkipReason

if TYPE_CHECKING:
    from understudy.core.candidates import Candidates
    from understudy.core.member import Member


def may_ask(member: Member, candidates: Candidates, request: int, now: float) -> bool:
    """Rules 1 and 2, of a member that the request may still ask, and that can't be asked as usual."""
    settings = candidates.pool.settings.breaker
    if not settings.panic or now < member.benched_until or not member.breaker.answers_some(now, settings):
        return False
    full = candidates.no_room(member, now)
    if full is not None and full.reason is not SkipReason.SLOW_START:
        return False
    return member.settings.ceilings is None or candidates.pool.queue.may_take(request, member.index)
