"""What the three backends do, in the order in which a pool lists them, and how they are asked.

Between the beginnings of a caller's calls lies a while, so that everybody's run takes about as long: a run of
300 outlasts a circuit or cooldown of 30 s once, and what coming back costs is in the figures.
A paced backend speaks as slowly as real ones do, so that with many streams at once the
machine's cores are not what is measured.
"""

from __future__ import annotations

from typing import NamedTuple

BROWN_OUT = ("30% status 500", "delay 3s", "fine")


class Scenario(NamedTuple):
    """`scripts` are the backends', in the words of the fault provider."""

    title: str
    scripts: tuple[str, str, str]
    concurrency: int
    every: float = 0  # seconds from one call of a caller to its next, at least
    pace: float | None = None  # tokens per second

    @property
    def said(self) -> str:
        """What goes on, on one line."""
        backends = ", ".join(f"`{script}`" for script in self.scripts)
        speed = f", {self.pace:g} tokens/s" if self.pace else ""
        rest = f", each {self.every:g} s after its caller's last" if self.every else ""
        return f"Backends {backends}; {self.concurrency} at a time{rest}{speed}."


SCENARIOS = {
    "brownout": Scenario("One fails, one is slow", BROWN_OUT, concurrency=1, every=0.15),
    "brownout-many": Scenario(
        "One fails, one is slow, many callers", BROWN_OUT, concurrency=8, every=1.2, pace=100
    ),
    "cut": Scenario("One dies in mid-answer, always", ("cut after=20", "fine", "fine"), 8, pace=100),
    "cut-some": Scenario(
        "One dies in mid-answer, at times", ("30% cut after=20", "fine", "fine"), 8, pace=100
    ),
}
