"""What is measured is a translation, and each says in the client's words what the member said."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from benches import spoken, translate
from understudy.wire import anthropic_client, gemini, openai_client, responses_client

PAIRS = [pytest.param(client, member, id=row) for client, member, row in translate.pairs()]
SAID = {"text": spoken.PIECE, "reasoning": spoken.THOUGHT, "arguments": spoken.ARGUMENTS}


def texts(value: Any) -> list[str]:
    """All strings in it, at any depth."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for each in value for text in texts(each)]
    return [value] if isinstance(value, str) else []


def texts_of(events: bytes) -> list[str]:
    data = re.findall(rb"^data: (.*)$", events, re.MULTILINE)
    return [text for each in data for text in texts(json.loads(each))]


def test_every_client_is_paired_with_every_member() -> None:
    assert len(PAIRS) == 3 * 4
    for table in (translate.events(), translate.wholes()):
        assert sum("passed on" in row for row in table) == 3


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize(("client", "member"), PAIRS)
def test_an_event_says_to_the_client_what_the_member_said(client: Any, member: Any, kind: str) -> None:
    came = spoken.MEMBERS[member].streams[kind].event
    once_more = translate.event(client, member, kind)
    for _ in range(3):
        written = once_more()
        assert isinstance(written, bytes)
        if client.FORMAT is member:
            assert written == came
        elif member is gemini and kind == "arguments":
            assert '{"city":"Brno"}' in texts_of(written)
        else:
            assert SAID[kind] in texts_of(written)


@pytest.mark.parametrize(("client", "member"), PAIRS)
def test_so_does_a_whole_answer(client: Any, member: Any) -> None:
    came = spoken.MEMBERS[member].whole
    written = translate.answer(client, member)()
    assert isinstance(written, bytes)
    assert (written == came) is (client.FORMAT is member)
    assert spoken.TEXT in texts(json.loads(written))


@pytest.mark.parametrize(("client", "member"), PAIRS)
def test_a_request_reaches_the_member_whole(client: Any, member: Any) -> None:
    written = translate.asking(client, member)()
    assert isinstance(written, bytes)
    told = "".join(texts(json.loads(written)))
    for said in (spoken.QUESTION, spoken.RESULT, spoken.TEXT):
        assert told.count(said) == sum(said in text for text in texts(list(spoken.CONVERSATION.messages)))


@pytest.mark.parametrize("client", [openai_client, responses_client, anthropic_client])
def test_all_clients_ask_the_same(client: Any) -> None:
    chat = client.read_request(spoken.request_in(client)).chat
    assert len(chat.messages) == len(spoken.CONVERSATION.messages) == 100
    assert [message["role"] for message in chat.messages] == [
        message["role"] for message in spoken.CONVERSATION.messages
    ]


@pytest.mark.parametrize("table", [translate.events(), translate.wholes()])
def test_every_cell_can_be_measured(table: translate.Table) -> None:
    least = translate.Least()
    least.round(table, count=2)
    written = translate.written(table, least).splitlines()
    assert len(written) == 2 + 12
    columns = len(next(iter(table.values())))
    cell = r" [\d. ]+ \([\d. ]+ / [\d. ]+\) \|"
    for line in written[2:]:
        assert re.fullmatch(rf"\| [^|]+ \|({cell}){{{columns}}}", line)


def test_the_least_of_all_rounds_counts_and_is_held_against_the_floors() -> None:
    least, data = translate.Least(), b"[1]"
    for _ in range(3):
        least.measure(translate.stdlib(data), 50, translate.stdlib, data)
        least.measure(translate.compiled(data), 50, translate.compiled, data)
        least.measure(lambda: sum(range(20_000)), 5, "row", "column")
    slow, floor = least.of("row", "column"), least.of(translate.stdlib, data)
    assert slow > 50 > floor > 0
    before = floor
    least.measure(lambda: sum(range(20_000)), 5, translate.stdlib, data)
    assert least.of(translate.stdlib, data) == before
    assert least.cell("row", "column", data).startswith(
        f"{translate.number(slow)} ({translate.number(slow / floor)} / "
    )


def test_long_texts_are_measured_less_often() -> None:
    assert translate.count_for(b"x" * 100, 2000) == 2000
    assert translate.count_for(b"x" * 2000, 2000) == 200
    assert translate.count_for(b"x" * 10_000_000, 2000) == 5
    assert translate.number(1234.5) == "1 234"
