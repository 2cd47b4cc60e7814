"""One attempt carried out: send, read the head, read the body, decode, and say how it ended.

`next_batch` hands out the chunks that are ready. Rules:

1. Nothing is handed out before the first content: the preamble is held back with it. Content of white
   space alone is preamble.
2. Clocks: the attempt's own limit runs from its start to its first content (unary: to the whole answer),
   whatever arrives meanwhile; from then on a stream may go `stall` seconds without an event, counted
   only while we wait for the upstream.
3. A stream has succeeded at its terminal marker, whatever follows. It is finished when nothing more can
   come, at the end or the reset of the connection, or one second after the marker.
4. An end without a marker is a failure: `empty` or `reset` before content, `truncated` after it.
5. An answer without content is `empty`, unless its finish reason explains it (a policy stop, a length).
6. The status decides a refusal's kind, its body refines it; at most 64 KiB and 2 s of it are read.
7. What the backend refuses the request for is left out, if it may be and is there, and the backend is asked
   once more within the attempt, `REPAIRS` times at most: state that it cannot read (`wire.state`), this time;
   a field (`wire.unwanted`) for good, once the request was taken without it.
8. The request goes out as the member's model can take it (`wire.needs.suited`). What is left out of it, by
   that, because the member's format has no word for it or because it is known to refuse it, is noted in the
   attempt.
9. An attempt that goes on with a broken answer is read through a seam (`wire.seam`): what the caller has
   already does not go out again. Until something new has come, its deadline is the recovery's.
10. An attempt that fails ends after what came before has been handed out: until then it is not known
    whether the caller was shown anything of it.
11. Tokens that the backend did not count are estimated. Of an answer's pieces those of ASCII count a fourth
    of their letters, as most of them do; only longer or other ones are looked at.
12. A backend that answers, and says that its limit is used up with that, is asked last until it has more.
"""

from __future__ import annotations

from collections.abc import Collection, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from understudy.core.attempt import Attempt
from understudy.core.deadline import Deadline
from understudy.core.outcome import Abandoned, Failure, Outcome, Success, Tokens
from understudy.errors import (
    BodyCutShort,
    ConnectFailed,
    ConnectionReset,
    FailureKind,
    ProtocolViolation,
    TransportError,
)
from understudy.runtime.backend import Backend, Request, StreamDecoder, UnwritableRequest
from understudy.runtime.body import ContentDecoder
from understudy.runtime.ports import Clock, HttpRequest, HttpResponse, Transport
from understudy.runtime.redirect import MOVED, follow
from understudy.runtime.watchdog import LimitPassed, Watchdog
from understudy.wire.chat import ChatChunk, Usage, estimate_tokens
from understudy.wire.needs import Needs, suited
from understudy.wire.rate_limits import exhausted_for
from understudy.wire.refusal import classify
from understudy.wire.seam import Mismatch, Seam
from understudy.wire.state import FIELD
from understudy.wire.tokens import estimate
from understudy.wire.unwanted import UNNAMED

UNARY_LIMIT = 64 * 1024 * 1024
ERROR_BODY_LIMIT = 64 * 1024
ERROR_BODY_SECONDS = 2.0
LINGER = 1.0
REPAIRS = 4
SHORT = 100
MANY = 16
LOST = Abandoned("another backend was faster", lost=True)
GONE = Abandoned()
SUCCESS = Success()
NOTHING: frozenset[str] = frozenset()


class Progress(Protocol):
    """Who is told of an attempt's progress: the dispatch, through the engine."""

    def commit(self, attempt: Attempt, now: float) -> None: ...

    def settle(self, attempt: Attempt, outcome: Outcome, now: float, tokens: Tokens | None) -> None: ...


class Exchange:
    """One attempt over the wire. `held` is the preamble; after an empty answer it is all there was."""

    __slots__ = (
        "_attempt",
        "_backend",
        "_characters",
        "_clock",
        "_content",
        "_deadline",
        "_decoder",
        "_idle_since",
        "_looked_at",
        "_marker_at",
        "_needs",
        "_overdue",
        "_paused",
        "_progress",
        "_refused_always",
        "_repairs",
        "_request",
        "_response",
        "_seam",
        "_transport",
        "_uncounted",
        "_visible_reasoning",
        "_waited",
        "_watchdog",
        "finish_reason",
        "held",
        "model",
        "trace_headers",
        "usage",
    )

    def __init__(
        self,
        attempt: Attempt,
        backend: Backend,
        request: Request,
        needs: Needs,
        *,
        transport: Transport,
        clock: Clock,
        watchdog: Watchdog,
        deadline: Deadline,
        progress: Progress,
        seam: Seam | None = None,
    ) -> None:
        self._attempt = attempt
        self._backend = backend
        fitted = suited(request, needs, attempt.settings.facts)
        attempt.left_out = fitted.left_out
        attempt.answer_limit = fitted.answer_limit
        self._request = fitted.request
        self._needs = needs
        self._transport = transport
        self._clock = clock
        self._watchdog = watchdog
        self._deadline = deadline
        self._progress = progress
        self._seam = seam
        self._repairs: list[str] = []  # what was left out after it was refused
        self._refused_always: list[str] = []
        self._response: HttpResponse | None = None
        self._content: ContentDecoder | None = None
        self._decoder: StreamDecoder | None = None
        self._characters = 0
        self._uncounted: list[ChatChunk] = []  # pieces of the answer that were not looked at yet
        self._looked_at = 0.0  # tokens of those pieces of the answer that were looked at
        self._visible_reasoning = False
        self._waited = 0.0
        self._paused = 0.0
        self._idle_since: float | None = None
        self._marker_at: float | None = None
        self._overdue: Failure | None = None  # how the attempt has ended, once its last chunks are handed out
        self.held: list[ChatChunk] = []
        self.usage: Usage | None = None
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.trace_headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"<Exchange of {self._attempt!r}>"

    async def next_batch(self) -> list[ChatChunk] | None:
        """The chunks that are ready, or None once the attempt has ended and been settled."""
        attempt, batch = self._attempt, None
        if attempt.outcome is not None:
            return None
        if self._overdue is not None:
            return self._ended(self._overdue)
        if self._idle_since is not None:
            self._paused += self._clock.now() - self._idle_since
        try:
            while not batch and attempt.outcome is None:
                if self._response is None:
                    batch = await self._open()
                elif not attempt.stream:
                    batch = await self._read_unary(self._response)
                elif self._decoder is None:
                    batch = await self._read_first(self._response)
                else:
                    began = self._clock.now()
                    data = await self._read(self._response, self._stream_limit(began))
                    batch = self._take(data, self._clock.now() - began)
        except (LimitPassed, TransportError) as error:
            batch = self._broke_off(error)
        self._idle_since = self._clock.now()
        return batch or None

    def abandon(self, *, lost: bool = False) -> None:
        """The caller is gone, or done: let go of the connection, settle what has not ended. Idempotent.

        `lost`: another attempt was faster. Its prompt has been sent all the same, and is paid for.
        """
        if lost and self.usage is None:
            self.usage = self._estimated_usage()
        self._end(self._overdue or (LOST if lost else GONE))

    # The head

    async def _open(self) -> list[ChatChunk] | None:
        """Send. None: the body is to be read, or the attempt has ended or is to be made again."""
        try:
            self._note_left_out(self._backend.left_out(self._request))
            request = self._written()
        except UnwritableRequest as error:
            return self._ended(Failure(FailureKind.UNFIT, str(error), param=error.param))
        response = await self._watchdog.guard(self._transport.send(request), self._first_limit())
        if response.status in MOVED:
            following = follow(self._transport, request, response)
            response = await self._watchdog.guard(following, self._first_limit())
        self._response = response
        self._attempt.status = response.status
        self._attempt.reconnected = self._attempt.reconnected or response.reconnected
        if not 200 <= response.status < 300 or response.status in (204, 205):
            return self._refused(await self._refusal(response))
        self._note_head(response)
        return None

    def _refused(self, failure: Failure) -> list[ChatChunk] | None:
        """`_ended`, unless what was refused can be left out (rule 7)."""
        field = failure.drop_field
        if field is None or len(self._repairs) == REPAIRS or not self._leave_out(field):
            return self._ended(failure)
        self._repairs.append(field)
        if failure.drop_always:
            self._refused_always.append(field)
        self._attempt.dropped_field = ", ".join(self._repairs)
        self._begin_anew()
        return None

    def _leave_out(self, field: str) -> bool:
        """Is there anything to leave out, that was not left out yet?"""
        if field in self._repairs:
            return False
        if field == FIELD:
            stateless = self._backend.stateless(self._request)
            self._request = stateless or self._request
            return stateless is not None
        return field in self._body({field})[1]

    def _body(self, besides: Collection[str] = ()) -> tuple[bytes, tuple[str, ...]]:
        unwanted = {*self._repairs, *besides} - {FIELD} if self._repairs or besides else NOTHING
        return self._backend.encode(self._request, stream=self._attempt.stream, besides=unwanted)

    def _note_left_out(self, names: Sequence[str]) -> None:
        if not names:
            return
        told = UNNAMED.union(self._repairs)
        more = (name for name in names if name not in told)
        self._attempt.left_out = tuple(dict.fromkeys((*self._attempt.left_out, *more)))

    def _begin_anew(self) -> None:
        """As if nothing had come yet."""
        assert self._response is not None
        self._response.close()
        self._response = self._content = self._decoder = None
        self._characters, self._looked_at, self._visible_reasoning = 0, 0.0, False
        self._uncounted, self.held, self.usage, self.model, self.finish_reason = [], [], None, None, None

    def _written(self) -> HttpRequest:
        attempt, backend = self._attempt, self._backend
        body, unwanted = self._body()
        self._note_left_out(unwanted)
        headers = backend.headers_for(self._request)
        if self.trace_headers:
            headers = {**headers, **self.trace_headers}
        return HttpRequest(
            url=backend.url_for(stream=attempt.stream),
            headers=headers,
            body=body,
            connect_timeout=attempt.settings.timeouts.connect,
            ca_file=backend.ca_file,
        )

    def _note_head(self, response: HttpResponse) -> None:
        """Rules 7 and 12, and how the body is encoded."""
        if self._refused_always:
            self._backend.refuses(self._refused_always)
        seconds = exhausted_for(response.headers, wall=self._clock.wall())
        if seconds is not None:
            self._attempt.member.exhaust(self._clock.now(), seconds)
        encoding = response.headers.get("content-encoding")
        self._content = ContentDecoder(encoding) if encoding else None

    async def _refusal(self, response: HttpResponse) -> Failure:
        body = await self._error_body(response)
        return classify(
            response.status,
            response.headers,
            body,
            wall=self._clock.wall(),
            rules=self._attempt.settings.error_rules,
            secrets=self._backend.secrets,
        )

    async def _error_body(self, response: HttpResponse) -> bytes:
        self._watchdog.reprieve = None  # which is for what may yet be an answer
        limit = min(self._clock.now() + ERROR_BODY_SECONDS, self._first_limit())
        pieces: list[bytes] = []
        size = 0
        try:
            decoder = ContentDecoder(response.headers.get("content-encoding"))
            while size < ERROR_BODY_LIMIT:
                data = await self._watchdog.guard(response.read(), limit)
                if not data:
                    break
                pieces.append(decoder.decode(data))
                size += len(pieces[-1])
        except (LimitPassed, TransportError):
            pass  # What has come so far is enough: the status has already decided.
        return b"".join(pieces)[:ERROR_BODY_LIMIT]

    # The body of a unary answer

    async def _read_unary(self, response: HttpResponse) -> list[ChatChunk] | None:
        body = await self._whole_body(response, b"")
        if not body:
            return self._ended(self._empty_failure(terminal=False))
        if self._sniffed(response, body) != "json":
            return self._ended(self._wrong_content(response))
        return self._decode_whole(body)

    async def _whole_body(self, response: HttpResponse, begun: bytes) -> bytes:
        pieces = [begun]
        size = len(begun)
        while data := await self._read(response, self._first_limit()):
            pieces.append(data)
            size += len(data)
            if size > UNARY_LIMIT:
                raise ProtocolViolation(f"the answer is larger than {UNARY_LIMIT >> 20} MiB")
        return b"".join(pieces)

    def _decode_whole(self, body: bytes) -> list[ChatChunk] | None:
        decoded = self._backend.format.decode_unary(
            body,
            self._request.choices,
            rules=self._attempt.settings.error_rules,
            secrets=self._backend.secrets,
        )
        if isinstance(decoded, Failure):
            return self._refused(decoded)
        decoded = list(map(self._backend.signed, decoded))
        if self._attempt.stream:
            decoded = [_without_bytes(chunk) for chunk in decoded]
        for chunk in decoded:
            self._note(chunk)
        self.held.extend(decoded)
        if not any(chunk.has_content for chunk in decoded) and self._empty():
            return self._ended(self._empty_failure(terminal=self.finish_reason is not None))
        batch = self._commit()
        if self._seam is not None:
            batch = self._spliced(batch, self._seam)
        if self._overdue is not None:
            return self._end_after(batch)
        self._end(SUCCESS)
        return batch

    # The body of a stream

    async def _read_first(self, response: HttpResponse) -> list[ChatChunk] | None:
        """The first bytes say whether it is a stream at all; a whole JSON answer is used as it is."""
        first = await self._read(response, self._first_limit())
        shape = self._sniffed(response, first)
        if shape == "json":
            return self._decode_whole(await self._whole_body(response, first))
        if shape == "unknown" and first:
            return self._ended(self._wrong_content(response))
        self._decoder = self._backend.format.StreamDecoder(
            self._request.choices,
            self._attempt.settings.strict_events,
            rules=self._attempt.settings.error_rules,
            secrets=self._backend.secrets,
        )
        return self._take(first)

    def _take(self, data: bytes, waited: float = 0.0) -> list[ChatChunk] | None:
        """Decode what came; None if it holds nothing to hand out yet."""
        decoder = self._decoder
        assert decoder is not None
        if not data:
            return self._finish(self._end_of_stream())
        items = decoder.feed(data)
        self._attempt.malformed_events = decoder.malformed
        self._waited = 0.0 if items else self._waited + waited
        ready: list[ChatChunk] = []
        for item in items:
            if isinstance(item, ChatChunk):
                self._chunk(self._backend.signed(item) if item.state else item, ready)
            elif isinstance(item, Failure) and self._marker_at is None:
                if self._attempt.committed_at is None:
                    return self._refused(item)
                self._overdue = item
            if self._overdue is not None:
                return self._end_after(ready)
        if self._marker_at is None and decoder.finished:
            self._marker_at = self._clock.now()
        if decoder.done:
            outcome = self._end_of_stream()
            if isinstance(outcome, Failure):
                self._overdue = outcome
                return self._end_after(ready)
            return ready + self._finish(outcome)
        return ready

    def _end_after(self, ready: list[ChatChunk]) -> list[ChatChunk] | None:
        """Rule 10."""
        assert self._overdue is not None
        return ready or self._ended(self._overdue)

    def _chunk(self, chunk: ChatChunk, ready: list[ChatChunk]) -> None:
        """Hold it back, or hand out what is new in it (rule 9), with what was held."""
        self._note(chunk)
        has_content = chunk.has_content
        is_first = has_content and self._attempt.committed_at is None
        if self._seam is not None:
            if is_first:
                self._commit()
            ready += self._spliced([chunk], self._seam)
        elif is_first:
            ready += [*self._commit(), chunk]
        elif self._attempt.committed_at is None:
            self.held.append(chunk)
        else:
            ready.append(chunk)
        if has_content:
            self._evidence(chunk)

    def _spliced(self, chunks: list[ChatChunk], seam: Seam) -> list[ChatChunk]:
        """What is new in them. At a difference the attempt fails."""
        new: list[ChatChunk] = []
        for chunk in chunks:
            passed = seam.feed(chunk)
            if isinstance(passed, Mismatch):
                self._overdue = Failure(FailureKind.MISMATCH, passed.message)
                break
            if passed is not None:
                new.append(passed)
        return new

    def _commit(self) -> list[ChatChunk]:
        """The first content: the held preamble may go out, and no other backend can step in plainly."""
        self._progress.commit(self._attempt, self._clock.now())
        held, self.held = self.held, []
        return held

    def _note(self, chunk: ChatChunk) -> None:
        if chunk.usage is not None:
            self.usage = chunk.usage
        elif self.usage is None:
            self._uncounted.append(chunk)
            if len(self._uncounted) > MANY:
                self._estimate()
        if chunk.reasoning:
            self._visible_reasoning = True
        if chunk.model is not None:
            self.model = chunk.model
        if chunk.finish_reason is not None:
            self.finish_reason = chunk.finish_reason

    def _estimate(self) -> None:
        """Many at a time, or once it is clear that nobody counts them."""
        for chunk in self._uncounted:
            self._weigh(chunk.text)
            self._weigh(chunk.reasoning + chunk.refusal)
            for call in chunk.tool_calls:
                self._weigh(call.arguments)
                self._weigh(call.name or "")
        self._uncounted.clear()

    def _weigh(self, text: str) -> None:
        """Rule 11."""
        if len(text) < SHORT and text.isascii():
            self._characters += len(text)
        else:
            self._looked_at += estimate(text, self._attempt.settings.facts.tokenizer)

    def _evidence(self, chunk: ChatChunk) -> None:
        """Of the rate that the backend serves at."""
        evidence = self._attempt.evidence
        assert evidence is not None, "content came, and was not committed"
        characters = len(chunk.text)
        if chunk.reasoning or chunk.refusal or chunk.tool_calls:
            characters += len(chunk.reasoning) + len(chunk.refusal)
            characters += sum(len(call.arguments) for call in chunk.tool_calls)
        evidence.content(self._clock.now(), characters / 4, self._paused)
        self._paused = 0.0

    # Ends

    def _end(self, outcome: Outcome) -> None:
        """Settle the attempt and let go of the connection. None: there is nothing to hand out."""
        now = self._clock.now()
        if isinstance(outcome, Failure) and outcome.kind is FailureKind.STALL and self._attempt.evidence:
            self._attempt.evidence.stalled(now, self._paused)
        if self._response is not None:
            self._response.close()
        if self._attempt.outcome is None:
            self._progress.settle(self._attempt, outcome, now, self._tokens())

    def _ended(self, outcome: Outcome) -> list[ChatChunk] | None:
        """`_end`, where a batch is expected: there is none."""
        self._end(outcome)
        return None

    def _finish(self, outcome: Outcome) -> list[ChatChunk]:
        """The stream is over. An answer that is rightly without content goes out now."""
        is_due = self._attempt.committed_at is None and outcome == SUCCESS
        batch = self._commit() if is_due else []
        self._end(outcome)
        return batch

    def _broke_off(self, error: LimitPassed | TransportError) -> list[ChatChunk] | None:
        """After the marker nothing can go wrong any more (rule 3)."""
        if self._marker_at is not None:
            return self._finish(self._end_of_stream())
        if isinstance(error, LimitPassed):
            return self._ended(self._limit_outcome())
        return self._ended(self._transport_outcome(error))

    def _end_of_stream(self) -> Outcome:
        """There are three cases: with a marker, without one after content, without one before content."""
        decoder = self._decoder
        committed = self._attempt.committed_at is not None
        if decoder is not None and decoder.finished:
            if committed:
                return SUCCESS
            if self._empty():
                return self._empty_failure(terminal=True)
            return SUCCESS
        if committed:
            return Failure(FailureKind.TRUNCATED, "the stream ended without a finish_reason")
        if decoder is not None and decoder.malformed:
            return Failure(FailureKind.PROTOCOL, "the stream held nothing but malformed events")
        return self._empty_failure(terminal=False)

    def _limit_outcome(self) -> Outcome:
        """There are three cases: the request's deadline, the stall clock, the first-content clock."""
        timeouts = self._attempt.settings.timeouts
        committed = self._attempt.committed_at is not None
        cut_short = self._is_awaited() if committed else self._deadline.cuts(self._attempt.limit_at)
        if cut_short and self._deadline.passed(self._clock.now()):
            return Abandoned(f"{self._deadline.setting} passed")
        if committed:
            return Failure(FailureKind.STALL, f"no event for {timeouts.stall * 1000:.0f} ms after content")
        return Failure(FailureKind.TIMEOUT, f"Request exceeded {self._attempt.limit * 1000:.0f}ms")

    def _transport_outcome(self, error: TransportError) -> Outcome:
        match error:
            case ConnectFailed():
                return Failure(FailureKind.CONNECT, str(error))
            case BodyCutShort() if not self._attempt.stream:
                # Whole or not, its length was a lie; and what came of it is cut JSON.
                return Failure(FailureKind.PROTOCOL, str(error))
            case ConnectionReset():
                committed = self._attempt.committed_at is not None
                return Failure(FailureKind.TRUNCATED if committed else FailureKind.RESET, str(error))
            case _:
                return Failure(FailureKind.PROTOCOL, str(error))

    def _empty(self) -> bool:
        return not self._backend.format.empty_is_legitimate(self.finish_reason)

    def _empty_failure(self, *, terminal: bool) -> Failure:
        reason = f" (finish_reason {self.finish_reason})" if self.finish_reason else ""
        return Failure(FailureKind.EMPTY, f"the answer is empty{reason}", terminal=terminal)

    def _wrong_content(self, response: HttpResponse) -> Failure:
        wanted = "an event stream" if self._attempt.stream else "JSON"
        content_type = response.headers.get("content-type", "no content-type")
        return Failure(FailureKind.PROTOCOL, f"expected {wanted}, got {content_type}")

    def _sniffed(self, response: HttpResponse, data: bytes) -> str:
        return self._backend.format.sniff(response.headers.get("content-type"), data)

    # Reading

    def _read(self, response: HttpResponse, limit: float) -> Coroutine[Any, Any, bytes]:
        """The next decoded bytes; ``b""`` at the proper end of the body.

        No coroutine itself: every one between a caller and its answer is resumed with each piece.
        """
        if self._content is None:
            return self._watchdog.guard(response.read(), limit)
        return self._read_encoded(response, self._content, limit)

    async def _read_encoded(self, response: HttpResponse, content: ContentDecoder, limit: float) -> bytes:
        while data := await self._watchdog.guard(response.read(), limit):
            if decoded := content.decode(data):
                return decoded
        content.finish()
        return b""

    def _first_limit(self) -> float:
        return min(self._attempt.limit_at, self._deadline.at)

    def _stream_limit(self, now: float) -> float:
        if self._marker_at is not None:
            return self._marker_at + LINGER
        if self._attempt.committed_at is None:
            return self._first_limit()
        limit = now + self._attempt.settings.timeouts.stall - self._waited
        return min(limit, self._deadline.at) if self._is_awaited() else limit

    def _is_awaited(self) -> bool:
        """Does the caller still wait for something new of a broken answer?"""
        return self._seam is not None and not self._seam.resumed

    # Tokens

    def _tokens(self) -> Tokens | None:
        """What the backend said it cost, or an estimate once it has begun to answer."""
        usage = self.usage
        if usage is None:
            self._estimate()
            if not self._characters and not self._looked_at:
                return None
            usage = self.usage = self._estimated_usage()
            return Tokens(usage.input_tokens, usage.output_tokens, True)
        hidden = 0 if self._visible_reasoning else usage.reasoning_tokens
        return Tokens(
            usage.input_tokens,
            usage.output_tokens,
            usage.estimated,
            max(0, usage.output_tokens - hidden),
            usage.cached_tokens,
            usage.cache_write_tokens,
            usage.reasoning_tokens,
        )

    def _estimated_usage(self) -> Usage:
        self._estimate()
        asked = self._needs.prompt_tokens(self._attempt.settings.facts.tokenizer)
        answered = estimate_tokens(self._characters) + round(self._looked_at)
        return Usage(asked, answered, estimated=True)


def _without_bytes(chunk: ChatChunk) -> ChatChunk:
    """The body of a unary answer is no event that a stream could pass on."""
    return msgspec.structs.replace(chunk, raw=None)
