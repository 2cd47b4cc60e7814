"""Who loses one race after another without a word is asked last for a while.

A race is a late attempt and the hedge beside it. One that is lost says little: somebody else was quicker.
Several in a row say that whoever asks this member first waits for nothing, though nobody has waited long
enough to blame it. So it is put behind the others, and its circuit knows nothing of it. Rules:

1. A race counts that the late attempt lost without a word, in spite of its start; and a probe's, which had
   none.
2. With `RACES` in a row the member is asked last, for as long as an open circuit waits for its probe.
3. Then one request tries it, while it stays last for all others. If that race is lost, too, the time begins
   anew.
4. A first content *in time* ends the row: one that took no more than `FAR` times what the winner of the last
   lost race took. A member that is merely slower than the others answers in time, however early its callers
   lose patience; one that says something after all, but far behind its peers, does not. A trial that is not
   streamed ends it with its answer, whenever that comes.
5. While a row lasts, a probe and a trial have a start of no more than that, whatever callers usually grant.
"""

from __future__ import annotations

RACES = 3
FAR = 4.0


class Silence:
    """One member's. `lost` is the row; `until` the instant until which the member is asked last."""

    __slots__ = ("_in_time", "lost", "until")

    def __init__(self) -> None:
        self.lost = 0
        self.until = 0.0
        self._in_time = 0.0

    def __repr__(self) -> str:
        return f"<Silence, {self.lost} races lost>"

    @property
    def is_settled(self) -> bool:
        """Have so many been lost that the member is asked last, but for trials?"""
        return self.lost >= RACES

    def start(self, usual: float | None) -> float | None:
        """How long a probe or a trial has before another one is asked besides (rule 5)."""
        return self._in_time if usual is None else min(usual, self._in_time)

    def holds(self, now: float) -> bool:
        """Is the member asked last?"""
        return now < self.until

    def lost_race(self, now: float, won_in: float, lasts: float) -> bool:
        """Rules 1 to 3. True if the member is asked last from now on, and was not before.

        The winner's content came `won_in` seconds after its own start; `lasts` is the time of rule 2.
        """
        was_settled = self.is_settled
        self.lost += 1
        self._in_time = FAR * won_in
        if self.is_settled:
            self.until = now + lasts
        return self.is_settled and not was_settled

    def tried(self, now: float, lasts: float) -> bool:
        """An attempt begins; True if it is a trial (rule 3)."""
        if not self.is_settled or self.holds(now):
            return False
        self.until = now + lasts
        return True

    def spoke(self, seconds: float) -> None:
        """An attempt's first content came so long after its start (rule 4)."""
        if seconds <= self._in_time:
            self.forget()

    def forget(self) -> None:
        self.lost = 0
        self.until = 0.0
        self._in_time = 0.0
