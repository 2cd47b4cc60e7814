"""An answer that is written for a client and read as a backend's says what it said; of the rest it is listed
what is lost, and why.

Chunks go through the client's writer and the decoder of the same format, which do not know each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.neutral import (
    ARGUMENTS,
    ENCRYPTED,
    LOGPROBS,
    NAMES,
    PAGE,
    REDACTED,
    SIGNED,
    Drawn,
    Voice,
    answers,
)
from understudy.wire import anthropic_client, openai_client, responses_client, responses_state
from understudy.wire.chat import ChatChunk, ToolCallDelta, Usage
from understudy.wire.dialect import ClientRequest
from understudy.wire.state import ProviderState, tagged


class ChatVoice(Voice):
    logprobs = LOGPROBS
    annotation = PAGE


class AnthropicVoice(Voice):
    answer_id = NAMES.map("msg_{}".format)
    refuses = False
    state = SIGNED
    redacted = REDACTED
    annotation: Drawn | None = PAGE
    tier = st.sampled_from([None, "default", "priority", "batch"])


class ResponsesVoice(Voice):
    answer_id = NAMES.map("resp_{}".format)
    state = ENCRYPTED
    logprobs = LOGPROBS
    annotation = PAGE


DIALECTS: dict[str, Any] = {
    "openai": openai_client,
    "anthropic": anthropic_client,
    "responses": responses_client,
}
VOICES = {"openai": ChatVoice(), "anthropic": AnthropicVoice(), "responses": ResponsesVoice()}


class WholeAnthropicVoice(AnthropicVoice):
    arguments = ARGUMENTS
    annotation: Drawn | None = None


WHOLE_VOICES = {**VOICES, "anthropic": WholeAnthropicVoice()}


def asked(dialect: Any, **fields: Any) -> ClientRequest:
    prompt = "input" if dialect is responses_client else "messages"
    options = {"stream_options": {"include_usage": True}} if dialect is openai_client else {}
    said = {prompt: [{"role": "user", "content": "Hi"}], **options, **fields}
    body = {"model": "asked", "stream": True, **said}
    request: ClientRequest = dialect.read_request(json.dumps(body).encode())
    request.id = "req"
    return request


def streamed(dialect: Any, chunks: list[ChatChunk], usage: Usage | None) -> list[ChatChunk]:
    """The chunks, written as a stream and read again."""
    writer = dialect.StreamWriter(asked(dialect))
    said = b"".join(writer.write([chunk], native=False) for chunk in chunks) + writer.end(usage)
    decoder = dialect.FORMAT.StreamDecoder()
    heard: list[ChatChunk] = decoder.feed(said)
    assert decoder.finished
    return heard


def whole(dialect: Any, chunks: list[ChatChunk], usage: Usage | None) -> list[ChatChunk]:
    """The chunks, written as one answer and read again."""
    heard: list[ChatChunk] = dialect.FORMAT.decode_unary(dialect.write_answer(chunks, usage, asked(dialect)))
    return heard


def outline(chunks: Iterable[ChatChunk]) -> dict[str, Any]:
    """What is said, in its order, whichever pieces it came in."""
    said: list[tuple[str, Any]] = []
    calls: dict[int, list[str | None]] = {}
    told: dict[str, Any] = {"logprobs": (), "annotations": ()}
    for chunk in chunks:
        _go_on(said, "reasoning", chunk.reasoning)
        said += [("state", nameless(state)) for state in chunk.state]
        _go_on(said, "text", chunk.text)
        _go_on(said, "refusal", chunk.refusal)
        for delta in chunk.tool_calls:
            call = calls.setdefault(delta.index, [None, None, ""])
            call[:] = [call[0] or delta.id, call[1] or delta.name, f"{call[2]}{delta.arguments}"]
        told["logprobs"] += chunk.logprobs
        told["annotations"] += unnumbered(chunk)
        for kind in ("finish_reason", "usage", "service_tier", "id", "model"):
            told[kind] = told.get(kind) or getattr(chunk, kind)
    return {"said": said, "calls": calls, **told}


def nameless(state: ProviderState) -> ProviderState:
    """A reasoning item is named by its writer before its state has come (see `LOST`)."""
    if state.issuer != responses_state.NAME:
        return state
    item = responses_state.item_of(state)
    return responses_state.state_of(item["encrypted_content"], None, state.text)


def unnumbered(chunk: ChatChunk) -> tuple[Any, ...]:
    """Citations in a stream of OpenAI chat's say which of all they are."""
    told = [{name: value for name, value in entry.items() if name != "index"} for entry in chunk.annotations]
    return tuple(told)


def _go_on(said: list[tuple[str, Any]], kind: str, piece: str) -> None:
    if piece and said and said[-1][0] == kind:
        said[-1] = (kind, said[-1][1] + piece)
    elif piece:
        said.append((kind, piece))


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_a_stream_says_what_was_said(name: str, data: st.DataObject) -> None:
    chunks, usage = data.draw(answers(VOICES[name]))
    heard = streamed(DIALECTS[name], chunks, usage)
    assert outline(heard) == {**outline(chunks), "usage": usage}


@pytest.mark.parametrize("name", DIALECTS)
@given(data=st.data())
def test_a_whole_answer_says_what_was_said(name: str, data: st.DataObject) -> None:
    chunks, usage = data.draw(answers(WHOLE_VOICES[name]))
    heard = whole(DIALECTS[name], chunks, usage)
    assert at_once(heard) == {**at_once(chunks), "usage": usage}


def at_once(chunks: Iterable[ChatChunk]) -> dict[str, Any]:
    """The outline of an answer whose texts, thoughts and refusals are one text each."""
    told = outline(chunks)
    said = told.pop("said")
    kinds = ("reasoning", "text", "refusal")
    joined = {kind: "".join(piece for which, piece in said if which == kind) for kind in kinds}
    return {**told, **joined, "state": [piece for which, piece in said if which == "state"]}


@given(said=answers(ChatVoice()))
def test_a_chat_stream_comes_chunk_by_chunk(said: tuple[list[ChatChunk], Usage]) -> None:
    chunks, usage = said
    heard = streamed(openai_client, chunks, usage)
    told = [plain(chunk) for chunk in chunks]
    says_something = [chunk for chunk in told if chunk != ChatChunk()]
    assert [plain(chunk) for chunk in heard] == [*says_something, ChatChunk(usage=usage)]


def plain(chunk: ChatChunk) -> ChatChunk:
    """What each event of a stream repeats, and its bytes, are no matter."""
    return msgspec.structs.replace(chunk, id=None, model=None, raw=None, annotations=unnumbered(chunk))


# What is lost, and why

FOREIGN = ProviderState("gemini", "thoughtSignature", "x", "Hm")
SEALED = ProviderState("anthropic", "signature", "s", "Hm")
NAMED = responses_state.state_of("e", "rs_1", "Hm")
CITED = {"type": "file_citation", "file_citation": {"file_id": "f", "filename": "a.pdf", "index": 1}}
PROBABLE = {"token": "a", "logprob": -1.0, "bytes": None, "top_logprobs": []}
END = ChatChunk(finish_reason="stop")


def called(arguments: str) -> ChatChunk:
    return ChatChunk(tool_calls=(ToolCallDelta(0, "c", "f", arguments),))


# By format and reason: what is said, and what is heard instead.
LOST: dict[tuple[str, str], tuple[list[ChatChunk], list[ChatChunk]]] = {
    ("openai", "no backend of this format hands out state that we know of"): (
        [ChatChunk("", "Hm", state=(FOREIGN,)), END],
        [ChatChunk("", "Hm"), END],
    ),
    ("anthropic", "a refusal is a text like any other"): (
        [ChatChunk(refusal="No"), END],
        [ChatChunk("No"), END],
    ),
    ("anthropic", "there are no probabilities, and no audio"): (
        [ChatChunk("a", logprobs=(PROBABLE,), audio={"data": "x"}), END],
        [ChatChunk("a"), END],
    ),
    ("anthropic", "there is one choice"): (
        [ChatChunk("a"), ChatChunk("b", index=1), END],
        [ChatChunk("a"), END],
    ),
    ("anthropic", "a file's citation needs more than is told elsewhere"): (
        [ChatChunk("a", annotations=(CITED,)), END],
        [ChatChunk("a"), END],
    ),
    ("anthropic", "who called a tool stopped to have it used"): (
        [called("{}"), END],
        [called("{}"), ChatChunk(finish_reason="tool_calls")],
    ),
    ("anthropic", "a reason that it does not know is the end of the turn"): (
        [ChatChunk("a"), ChatChunk(finish_reason="novelty")],
        [ChatChunk("a"), END],
    ),
    ("anthropic", "a call without arguments has an empty object"): (
        [called(""), ChatChunk(finish_reason="tool_calls")],
        [called("{}"), ChatChunk(finish_reason="tool_calls")],
    ),
    ("anthropic", "it knows three tiers"): (
        [ChatChunk("a"), ChatChunk(finish_reason="stop", service_tier="flex")],
        [ChatChunk("a"), END],
    ),
    ("anthropic", "other formats' state is one word in the signature's place"): (
        [ChatChunk("", "Hm", state=(FOREIGN,)), END],
        [ChatChunk("", "Hm", state=(ProviderState("anthropic", "signature", tagged(FOREIGN), "Hm"),)), END],
    ),
    ("responses", "there is no audio, and one choice"): (
        [ChatChunk("a", audio={"data": "x"}), ChatChunk("b", index=1), END],
        [ChatChunk("a"), END],
    ),
    ("responses", "who called a tool stopped to have it used"): (
        [called("{}"), END],
        [called("{}"), ChatChunk(finish_reason="tool_calls")],
    ),
    ("responses", "a reason that it does not know is the end"): (
        [ChatChunk("a"), ChatChunk(finish_reason="novelty")],
        [ChatChunk("a"), END],
    ),
    ("responses", "other formats' state is one word in the place of encrypted content"): (
        [ChatChunk("", "Hm", state=(SEALED,)), END],
        [ChatChunk("", "Hm", state=(responses_state.state_of(tagged(SEALED), None, "Hm"),)), END],
    ),
}


@pytest.mark.parametrize("write", [streamed, whole])
@pytest.mark.parametrize(("row", "said"), LOST.items(), ids=map(": ".join, LOST))
def test_of_answers_this_is_lost(
    row: tuple[str, str], said: tuple[list[ChatChunk], list[ChatChunk]], write: Any
) -> None:
    chunks, heard = said
    told = outline(write(DIALECTS[row[0]], chunks, Usage(1, 1)))
    assert {**told, "id": None, "model": None} == {**outline(heard), "usage": Usage(1, 1)}


def test_of_whole_answers_anthropic_takes_objects_alone_as_arguments() -> None:
    [chunk] = whole(anthropic_client, [called("no JSON"), END], None)
    assert chunk.tool_calls == called('{"_raw":"no JSON"}').tool_calls


def test_an_item_of_responses_has_a_name_before_its_state_comes() -> None:
    heard = streamed(responses_client, [ChatChunk("", "Hm"), ChatChunk(state=(NAMED,)), END], None)
    [state] = [state for chunk in heard for state in chunk.state]
    assert responses_state.item_of(state) == {**responses_state.item_of(NAMED), "id": "rs_req_0"}


def test_no_usage_is_no_usage_in_the_other_format() -> None:
    for dialect in DIALECTS.values():
        assert outline(streamed(dialect, [ChatChunk("a"), END], None))["usage"] is None
