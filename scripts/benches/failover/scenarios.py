"""What the three backends do, in the order in which a pool lists them, and how they are asked.

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
    pace: float | None = None  # tokens per second

    @property
    def said(self) -> str:
        """What goes on, on one line."""
        backends = ", ".join(f"`{script}`" for script in self.scripts)
        speed = f", {self.pace:g} tokens/s" if self.pace else ""
        return f"Backends {backends}; {self.concurrency} at a time{speed}."


SCENARIOS = {
    "brownout": Scenario("One fails, one is slow", BROWN_OUT, concurrency=1),
    "brownout-many": Scenario("One fails, one is slow, many callers", BROWN_OUT, concurrency=8, pace=100),
    "cut": Scenario("One dies in mid-answer, always", ("cut after=20", "fine", "fine"), 8, pace=100),
    "cut-some": Scenario(
        "One dies in mid-answer, at times", ("30% cut after=20", "fine", "fine"), 8, pace=100
    ),
}
