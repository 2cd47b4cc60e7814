"""What one request brings along when members are ranked and their ceilings looked at.

Whatever is not known of it is guessed: a prompt of `PROMPT` tokens, an answer of `ANSWER`.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import TYPE_CHECKING

import msgspec

from understudy.core.facts import Facts
from understudy.core.settings import PoolSettings

if TYPE_CHECKING:
    from understudy.core.fit import Needs
    from understudy.core.member import Member

PROMPT = 1000
ANSWER = 500


class Demand(msgspec.Struct, eq=False):
    """One request's. `settings` are the pool's when it began; `chance` gives [0, 1).

    `stream`: the answer is to come as it arises, not whole. `takes_over`: whoever is asked next steps in for
    another member. `rooms` are the members under whose ceilings others have granted it room already
    (`core.consent`).
    """

    _needs: Needs | None
    settings: PoolSettings
    chance: Callable[[], float]
    stream: bool = True
    takes_over: bool = False
    rooms: Container[Member] = ()

    def __repr__(self) -> str:
        return f"<Demand of {self._needs!r}>"

    @property
    def affinity(self) -> int:
        """The same number for requests that should meet the same member."""
        return 0 if self._needs is None else self._needs.affinity

    @property
    def size(self) -> int:
        """The prompt's tokens at a glance: four bytes are one."""
        return PROMPT if self._needs is None else self._needs.most_tokens // 4

    def prompt(self, facts: Facts) -> int:
        """The prompt's tokens, counted as the model cuts them."""
        return PROMPT if self._needs is None else self._needs.prompt_tokens(facts.tokenizer)

    def answer(self, facts: Facts) -> int:
        """The most tokens that the answer may have, as far as the request says; else a guess."""
        limit = 0 if self._needs is None else self._needs.answer_limit
        if limit and facts.max_output is not None:
            return min(limit, facts.max_output)
        return limit or ANSWER

    def most(self, facts: Facts) -> int:
        """The tokens of the prompt, and the most that the answer may have."""
        return PROMPT + ANSWER if self._needs is None else self.prompt(facts) + self.answer(facts)

    def price(self, facts: Facts) -> float | None:
        """What the request is expected to cost, in millionths of a US dollar; None if nobody knows."""
        price = facts.price
        if price is None:
            return None
        return price.input * self.prompt(facts) + price.output * min(self.answer(facts), ANSWER)


UNKNOWN = Demand(None, PoolSettings(), float)
"""Of a request of which nothing is known, or of none in particular."""
