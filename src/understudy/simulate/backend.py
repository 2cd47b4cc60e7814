"""One modelled backend: what it answers to a request, and when each piece of that comes.

1. All is decided when the request arrives, from the scenario's phases and the backend's own chance, but for
   ceilings and capacity, which depend on who else asks.
2. An answer's pieces are its first token, its last ones with all that follows them, and `chunks` - 2 equal
   parts in between. Head and first token come together.
3. What breaks off, breaks off between two tokens, each as likely as the other.
4. A ceiling is a bucket that refills all the time; a full one is answered 429, with the seconds to wait. While
   there are ceilings, answers tell what is left, in OpenAI's headers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from math import ceil, inf
from random import Random
from typing import NamedTuple

from understudy.errors import ConnectFailed, ConnectionReset, TransportError
from understudy.runtime.ports import HttpRequest
from understudy.simulate.bucket import Bucket
from understudy.simulate.canonical import TOKEN, answer
from understudy.simulate.fate import Fate
from understudy.simulate.scenario import Model
from understudy.simulate.words import Asked, Spoken, Words, tokens_of

Piece = tuple[float, bytes | TransportError]
"""When it comes, and what; no bytes are the body's end."""

_STREAM = {"content-type": "text/event-stream"}
_JSON = {"content-type": "application/json"}
_REFUSED_AFTER = 0.001


class Reply(NamedTuple):
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
        self._model_name = json.dumps(model_name)[1:-1]
        self._words = words
        self._model = model
        self._fate = fate
        self._chance = chance
        self._request_bucket, self._token_bucket = Bucket(), Bucket()

    def __repr__(self) -> str:
        return f"<ModelledBackend {self.name}, {self.requests} requests, {self.in_flight} in flight>"

    def reply(self, request: HttpRequest, now: float) -> Reply:
        """Decide. Whoever carries it out counts `in_flight`."""
        self.requests += 1
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
        headers = _JSON if retry_after is None else {**_JSON, "retry-after": str(ceil(retry_after))}
        body = self._words.error(status, message)
        return Reply(when, status, headers, ((when, body), (when, b"")))

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
        model, chance = self._model, self._chance
        text, is_cut = self._text(asked)
        tokens = tokens_of(text)
        first = now + model.first_content(chance) * self._fate.latency(now)
        pace = 1 / (model.tokens_per_second(chance) * self._fate.speed(now))
        spoken = Spoken(self._model_name, self.requests, asked.input_tokens, tokens, is_cut)
        last = first + max(0, tokens - 1) * pace
        breaks = self._break(failure, first, pace, tokens, self._fate.next_cut(now))
        if not asked.stream:
            return self._unary(spoken, text, headers, last, breaks)
        if breaks is None:
            pieces = tuple(self._pieces(spoken, text, first, pace))
        else:
            pieces = tuple(self._broken_pieces(spoken, text, first, breaks))
        return _streamed({**_STREAM, **headers} if headers else _STREAM, pieces)

    def _text(self, asked: Asked) -> tuple[str, bool]:
        """What is still to be said, and whether a limit cuts it off."""
        text = answer(asked.question, self._model.wording)
        if asked.prefill and text.startswith(asked.prefill):
            text = text[len(asked.prefill) :]
        if asked.limit is None or asked.limit >= tokens_of(text):
            return text, False
        return text[: asked.limit * TOKEN], True

    def _pieces(self, spoken: Spoken, text: str, first: float, pace: float) -> Iterator[Piece]:
        """Rule 2."""
        words, tokens, parts = self._words, spoken.output_tokens, max(1, self._model.chunks - 1)
        yield first, words.begin(spoken, text[:TOKEN])
        said = 1
        for part in range(1, parts + 1):
            until = 1 + (tokens - 1) * part // parts
            data = words.more(spoken, text[said * TOKEN : until * TOKEN]) if until > said else b""
            if part == parts:
                data += words.end(spoken)
            if data:
                yield first + (until - 1) * pace, data
            said = max(said, until)

    def _broken_pieces(self, spoken: Spoken, text: str, first: float, breaks: _Break) -> Iterator[Piece]:
        if breaks.tokens > 0:
            yield first, self._words.begin(spoken, text[:TOKEN])
        if breaks.tokens > 1:
            said = text[TOKEN : breaks.tokens * TOKEN]
            yield breaks.at if breaks.at < inf else first, self._words.more(spoken, said)
        match breaks.failure:
            case "ended":
                yield breaks.at, b""
            case "error":
                yield breaks.at, self._words.broken("modelled failure")
                yield breaks.at, b""
            case "stall":
                yield inf, b""
            case _:
                yield breaks.at, ConnectionReset("connection reset in the middle of the answer")

    def _unary(
        self, spoken: Spoken, text: str, headers: dict[str, str], last: float, breaks: _Break | None
    ) -> Reply:
        body = self._words.whole(spoken, text)
        if breaks is None:
            return Reply(last, 200, {**_JSON, **headers}, ((last, body), (last, b"")))
        if breaks.failure == "stall":
            return _broken(inf, ConnectionReset(""))
        return _broken(breaks.at, ConnectionReset("connection reset before the whole answer"))

    def _break(
        self, failure: str | None, first: float, pace: float, tokens: int, cut: float
    ) -> _Break | None:
        """Where the answer breaks off: by its own failure, or because a phase begins that cuts all."""
        own = None
        if failure is not None:
            said = 1 + int(self._chance.random() * max(1, tokens - 1))
            own = _Break(failure, first + (said - 1) * pace, min(said, tokens))
        if cut <= (first + (tokens - 1) * pace if own is None else own.at):
            said = 0 if cut < first else 1 + int((cut - first) / pace)
            return _Break("cut", cut, min(said, tokens))
        return own


class _Break(NamedTuple):
    """An answer's end before its time, after so many tokens."""

    failure: str
    at: float
    tokens: int


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
