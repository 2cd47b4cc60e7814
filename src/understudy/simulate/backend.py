"""One modelled backend: what it answers to a request, and when each piece of that comes.

1. All is decided when the request arrives, from the scenario's phases and the backend's own chance, but for
   ceilings and capacity, which depend on who else asks.
2. Head and first token come together.
3. What breaks off, breaks off between two tokens, each as likely as the other.
4. A ceiling is a bucket that refills all the time. An empty one is a 429, with the seconds to wait. While
   there are ceilings, answers tell what is left, in OpenAI's headers.
5. One request more than it bears, and it falls over: that one is refused, whatever is on its way breaks off
   where its next piece would have come, and connections are refused while it restarts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from math import ceil, inf
from random import Random

import msgspec

from understudy.errors import ConnectFailed, ConnectionReset, TransportError
from understudy.runtime.ports import HttpRequest
from understudy.simulate.bucket import Bucket
from understudy.simulate.canonical import TOKEN, answer
from understudy.simulate.clock import true_wall
from understudy.simulate.fate import Fate
from understudy.simulate.scenario import Model
from understudy.simulate.speech import Break, Piece, Speech
from understudy.simulate.words import Asked, Spoken, Words, tokens_of

_STREAM = {"content-type": "text/event-stream"}
_JSON = {"content-type": "application/json"}
_REFUSED_AFTER = 0.001


class Reply(msgspec.Struct, frozen=True):
    """What will come, its head at the instant `at`. With `error` that comes instead of a head."""

    at: float
    status: int
    headers: Mapping[str, str]
    pieces: tuple[Piece, ...]
    error: TransportError | None = None


class ModelledBackend:
    """Answers requests that arrive in order of time."""

    def __init__(
        self, name: str, model_name: str, words: Words, model: Model, fate: Fate, chance: Random
    ) -> None:
        self.name = name
        self.requests = 0
        self.in_flight = 0
        self.falls = 0
        self._model_name = json.dumps(model_name)[1:-1]
        self._words = words
        self._model = model
        self._fate = fate
        self._chance = chance
        self._request_bucket, self._token_bucket = Bucket(), Bucket()
        self._down_until = -inf

    def __repr__(self) -> str:
        return f"<ModelledBackend {self.name}, {self.requests} requests, {self.in_flight} in flight>"

    def reply(self, request: HttpRequest, now: float) -> Reply:
        """Decide. Whoever carries it out counts `in_flight`."""
        self.requests += 1
        if self._is_down(now):
            return _broken(now + _REFUSED_AFTER, ConnectFailed("connection refused"))
        failure = self._fate.failure(now, self._chance.random())
        if failure is not None and (early := self._early(failure, request, now)) is not None:
            return early
        asked = self._words.read(request.body)
        if self.in_flight >= self._fate.concurrent(now):
            return self._refusal(503, "over capacity", now)
        if asked.prefill and self._model.prefill is False:
            return self._refusal(400, "the last message must be the user's: prefill is not supported", now)
        headers = self._ceilings(asked, now)
        if isinstance(headers, Reply):
            return headers
        return self._answer(asked, failure, headers, now)

    def _is_down(self, now: float) -> bool:
        """Rule 5."""
        if now >= self._down_until and self.in_flight >= self._fate.topples(now):
            self.falls += 1
            self.in_flight = 0
            self._down_until = now + self._model.restart(self._chance)
        return now < self._down_until

    # What comes instead of an answer

    def _early(self, failure: str, request: HttpRequest, now: float) -> Reply | None:
        """None for what fails only once it has begun."""
        if failure.isdigit():
            status = int(failure)
            return self._refusal(status, "modelled failure", now)
        match failure:
            case "connect":
                return _broken(now + _REFUSED_AFTER, ConnectFailed("connection refused"))
            case "unreachable":
                limit = request.connect_timeout
                return _broken(now + limit, ConnectFailed(f"connect timeout after {limit:g} s"))
            case "reset":
                when = now + self._model.error_after(self._chance)
                return _broken(when, ConnectionReset("connection reset before the answer"))
            case "silence":
                return _broken(inf, ConnectionReset(""))
        return None

    def _refusal(self, status: int, message: str, now: float, retry_after: float | None = None) -> Reply:
        when = now + self._model.error_after(self._chance)
        headers = _JSON if retry_after is None else {**_JSON, "retry-after": self._later(when, retry_after)}
        body = self._words.error(status, message)
        return Reply(when, status, headers, ((when, body), (when, b"")))

    def _later(self, when: float, seconds: float) -> str:
        """A Retry-After: so many seconds, or the date on the backend's own clock, which nobody sets."""
        if self._model.retry_after == "seconds":
            return str(ceil(seconds))
        return formatdate(ceil(true_wall(when) + seconds), usegmt=True)

    def _ceilings(self, asked: Asked, now: float) -> dict[str, str] | Reply:
        """Take from the buckets (rule 4): headers to tell of them, or the refusal."""
        rpm, tpm = self._fate.ceilings(now)
        if rpm == inf and tpm == inf:
            return {}
        tokens = asked.input_tokens + min(asked.question.tokens, asked.limit or asked.question.tokens)
        buckets = ((self._request_bucket, 1.0, rpm, "requests"), (self._token_bucket, tokens, tpm, "tokens"))
        limited = [entry for entry in buckets if entry[2] != inf]
        wait = max(bucket.wait(now, amount, most) for bucket, amount, most, _ in limited)
        if wait > 0:
            return self._refusal(429, "rate limit reached", now, wait)
        for bucket, amount, _, _ in limited:
            bucket.take(amount)
        return dict(pair for bucket, _, most, what in limited for pair in _told(bucket, most, what, now))

    # An answer

    def _answer(self, asked: Asked, failure: str | None, headers: dict[str, str], now: float) -> Reply:
        text, is_cut = self._text(asked)
        spoken = Spoken(self._model_name, self.requests, asked.input_tokens, tokens_of(text), is_cut)
        speech = self._speech(spoken, text, now)
        breaks = self._break(failure, speech, self._fate.next_cut(now))
        if not asked.stream:
            return self._unary(speech, headers, breaks)
        pieces = tuple(speech.pieces() if breaks is None else speech.broken(breaks))
        return _streamed({**_STREAM, **headers} if headers else _STREAM, pieces)

    def _speech(self, spoken: Spoken, text: str, now: float) -> Speech:
        model, chance = self._model, self._chance
        first = now + model.first_content(chance) * self._fate.latency(now)
        pace = 1 / (model.tokens_per_second(chance) * self._fate.speed(now))
        return Speech(self._words, spoken, text, first, pace, model.chunks)

    def _text(self, asked: Asked) -> tuple[str, bool]:
        """What is still to be said, and whether a limit cuts it off."""
        text = answer(asked.question, self._model.wording)
        if asked.prefill and text.startswith(asked.prefill):
            text = text[len(asked.prefill) :]
        if asked.limit is None or asked.limit >= tokens_of(text):
            return text, False
        return text[: asked.limit * TOKEN], True

    def _unary(self, speech: Speech, headers: dict[str, str], breaks: Break | None) -> Reply:
        """There are three cases: whole, silent for ever, and broken off."""
        if breaks is None:
            body = self._words.whole(speech.spoken, speech.text)
            return Reply(speech.last, 200, {**_JSON, **headers}, ((speech.last, body), (speech.last, b"")))
        if breaks.failure == "stall":
            return _broken(inf, ConnectionReset(""))
        return _broken(breaks.at, ConnectionReset("connection reset before the whole answer"))

    def _break(self, failure: str | None, speech: Speech, cut: float) -> Break | None:
        """Where the answer breaks off: by its own failure, or because a phase begins that cuts all."""
        own = None
        if failure is not None:
            said = self._chance.randint(1, max(1, speech.spoken.output_tokens - 1))
            own = Break(failure, speech.at(said), said)
        if cut > (speech.last if own is None else own.at):
            return own
        return Break("cut", cut, 0 if cut < speech.first else 1 + int((cut - speech.first) / speech.pace))


def _broken(when: float, error: TransportError) -> Reply:
    return Reply(when, 0, {}, (), error)


def _streamed(headers: Mapping[str, str], pieces: tuple[Piece, ...]) -> Reply:
    """A stream that breaks before its first token has no head either."""
    when, what = pieces[0]
    if isinstance(what, TransportError):
        return _broken(when, what)
    return Reply(when, 200, headers, pieces)


def _told(bucket: Bucket, most: float, what: str, now: float) -> Iterator[tuple[str, str]]:
    left = bucket.left(now, most)
    yield f"x-ratelimit-limit-{what}", f"{most:.0f}"
    yield f"x-ratelimit-remaining-{what}", f"{max(0, int(left))}"
    yield f"x-ratelimit-reset-{what}", f"{(most - left) * 60 / most:.3f}s"
