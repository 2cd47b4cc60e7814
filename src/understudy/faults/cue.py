"""Which step of a script is this attempt's? The one place that remembers attempts.

`take` changes the state and is told the time; nothing here reads a clock. The rules are those of
`script`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from understudy.faults.plan import Plans
from understudy.faults.script import Occasion, Script, Step

FINE = Step("fine")
OVERLOADED = Script.parse("503 message='more than this provider can take'").steps[0]


@dataclass(frozen=True, slots=True)
class Cue:
    """What one attempt gets: the step as written and the plan to play, in the caller's format."""

    text: str
    plans: Plans


class Prompter:
    """Follows one script through the attempts. `active` are the attempts that are being served."""

    def __init__(self, script: Script, plans: Plans, rng: Random) -> None:
        self.script = script
        self.active = 0
        self._fine = Cue(FINE.text, plans)
        self._overloaded = Cue("over capacity", OVERLOADED.plans(plans))
        self._cues = [Cue(step.text, step.plans(plans)) for step in script.steps]
        self._rng = rng
        self._index = 0
        self._taken = 0
        self._since: float | None = None

    def __repr__(self) -> str:
        return f"<Prompter {str(self.script)!r}, step {self._index + 1}, {self.active} active>"

    def take(self, now: float, occasions: frozenset[Occasion]) -> Cue:
        """This attempt's cue; the step is used up by it."""
        step = self._step(now)
        if step is None:
            return self._fine
        cue = self._cues[self._index]
        self._use(step)
        if step.capacity is not None and self.active > step.capacity:
            return self._overloaded
        return cue if self._applies(step, occasions) else self._fine

    def _step(self, now: float) -> Step | None:
        """The step that is on, None after the last. Steps whose time is over are passed by."""
        for _ in range(len(self.script.steps) + 1):
            if self._index >= len(self.script.steps):
                return None
            step = self.script.steps[self._index]
            if self._since is None:
                self._since = now
            if step.lasting is None or now - self._since < step.lasting:
                return step
            self._advance()
        return None

    def _use(self, step: Step) -> None:
        self._taken += 1
        last = self._index == len(self.script.steps) - 1
        if step.times is not None:
            over = self._taken >= step.times
        else:
            over = step.lasting is None and (not last or self.script.loops)
        if over:
            self._advance()

    def _advance(self) -> None:
        self._index += 1
        if self.script.loops:
            self._index %= len(self.script.steps)
        self._taken = 0
        self._since = None

    def _applies(self, step: Step, occasions: frozenset[Occasion]) -> bool:
        if not occasions.issuperset(step.occasions):
            return False
        return step.chance >= 1 or self._rng.random() < step.chance
