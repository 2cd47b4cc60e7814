"""Microseconds for putting one format into another: events, whole answers, requests. No sockets.

How it is measured:

1. A row is a client and a member, of which either speaks any format; towards clients there are three. Where
   both speak the same, nothing is translated and the bytes are passed on: such a row is what translation has
   to be held against.
2. *An event* is decoded as it arrives, alone, and written to the client, in the middle of a stream. Gemini
   sends no pieces of a call's arguments: there it is a whole call, as a stream of its own.
3. *An answer* of 60 tokens is decoded and written whole. *A request* of 100 messages is read from the
   client's bytes, encoded for the member, and looked through for what the member is not told.
4. In brackets: times what ``json.loads`` and ``json.dumps``, and what msgspec's decoding and encoding take
   for the same bytes, which are the member's (a request's: the client's). Nobody reads and writes JSON for
   less in this language.
5. CPU time of this process, the least of the rounds, in which all cells take turns; the collector is left on.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

import msgspec

from benches.machine import Steal, facts
from benches.spoken import MEMBERS, data_of, request_in
from understudy.runtime.backend import Backend
from understudy.wire import anthropic_client, openai_client, responses_client
from understudy.wire.chat import Usage
from understudy.wire.dialect import ClientRequest

Act = Callable[[], object]

CLIENTS: tuple[Any, ...] = (openai_client, responses_client, anthropic_client)
TITLES = {
    "openai": "OpenAI chat",
    "openai-responses": "Responses",
    "anthropic": "Anthropic",
    "gemini": "Gemini",
}
USAGE = Usage(19, 60)


class Cell(NamedTuple):
    """`make` begins something that can be done over and over; `data` is the JSON it starts from."""

    make: Callable[[], Act]
    data: bytes


Table = Mapping[str, Mapping[str, Cell]]  # by row, by column


def request(client: Any) -> ClientRequest:
    """A client's request as the gateway hands it on, with what it adds."""
    read = client.read_request(request_in(client))
    assert isinstance(read, ClientRequest)
    read.id, read.created = "0123456789abcdef", 1741569952
    return read


def event(client: Any, member: Any, kind: str) -> Act:
    """In the middle of a stream, or all of one."""
    stream, native, asked = MEMBERS[member].streams[kind], client.FORMAT is member, request(client)
    if stream.once:
        return lambda: client.StreamWriter(asked).write(
            member.StreamDecoder().feed(stream.event), native=native
        )
    feed, write = member.StreamDecoder().feed, client.StreamWriter(asked).write
    write(feed(stream.begin), native=native)
    return lambda: write(feed(stream.event), native=native)


def answer(client: Any, member: Any) -> Act:
    whole, asked = MEMBERS[member].whole, request(client)
    if client.FORMAT is member:
        return lambda: member.decode_unary(whole)[0].raw
    return lambda: client.write_answer(member.decode_unary(whole), USAGE, asked)


def asking(client: Any, member: Any) -> Act:
    body, backend = request_in(client), Backend("member", member, base_url="http://member", model="m")

    def ask() -> bytes:
        read = client.read_request(body)
        encoded, _ = backend.encode(read, stream=True)
        backend.left_out(read)
        return encoded

    return ask


def pairs() -> Iterator[tuple[Any, ModuleType, str]]:
    for client in CLIENTS:
        for member in MEMBERS:
            passed_on = ", passed on" if client.FORMAT is member else ""
            yield client, member, f"{TITLES[client.FORMAT.NAME]} ← {TITLES[member.NAME]}{passed_on}"


def events() -> Table:
    return {
        row: {
            kind: Cell(partial(event, client, member, kind), data_of(stream.event))
            for kind, stream in MEMBERS[member].streams.items()
        }
        for client, member, row in pairs()
    }


def wholes() -> Table:
    return {
        row: {
            "an answer": Cell(partial(answer, client, member), MEMBERS[member].whole),
            "a request": Cell(partial(asking, client, member), request_in(client)),
        }
        for client, member, row in pairs()
    }


def stdlib(data: bytes) -> Act:
    return lambda: json.dumps(json.loads(data))


def compiled(data: bytes) -> Act:
    return lambda: msgspec.json.encode(msgspec.json.decode(data))


def microseconds(act: Act, count: int) -> float:
    before = time.process_time()
    for _ in range(count):
        act()
    return (time.process_time() - before) / count * 1e6


class Least:
    """The least figure of each thing measured, over all rounds."""

    def __init__(self) -> None:
        self._figures: dict[tuple[object, ...], float] = {}

    def of(self, *what: object) -> float:
        return self._figures[what]

    def measure(self, act: Act, count: int, *what: object) -> None:
        self._figures[what] = min(microseconds(act, count), self._figures.get(what, math.inf))

    def round(self, table: Table, count: int) -> None:
        for data in {cell.data for columns in table.values() for cell in columns.values()}:
            often = count_for(data, count)
            self.measure(stdlib(data), often, stdlib, data)
            self.measure(compiled(data), often, compiled, data)
        for row, columns in table.items():
            for column, cell in columns.items():
                self.measure(cell.make(), count_for(cell.data, count), row, column)

    def cell(self, row: str, column: str, data: bytes) -> str:
        figure = self.of(row, column)
        floors = (figure / self.of(floor, data) for floor in (stdlib, compiled))
        return f"{number(figure)} ({' / '.join(map(number, floors))})"


def count_for(data: bytes, count: int) -> int:
    """How often, so that everything takes its share of the time: `count` is for an event of 200 bytes."""
    return max(5, min(count, count * 200 // len(data)))


def number(figure: float) -> str:
    return f"{figure:.1f}" if figure < 100 else f"{figure:,.0f}".replace(",", " ")


def written(table: Table, least: Least) -> str:
    columns = list(next(iter(table.values())))
    lines = [f"| client ← member | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for row, cells in table.items():
        said = [least.cell(row, column, cell.data) for column, cell in cells.items()]
        lines.append(f"| {row} | {' | '.join(said)} |")
    return "\n".join(lines)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench translate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=2000, help="events per round of each row and kind")
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args()


def main() -> None:
    given, steal, least = options(), Steal(), Least()
    tables = {"An event": events(), "A whole answer of 60 tokens, a request of 100 messages": wholes()}
    for _ in range(given.rounds):
        for table in tables.values():
            least.round(table, given.count)
    print(f"{facts()}; stolen meanwhile: {steal}; the least of {given.rounds} rounds")
    print("µs (times json.loads and json.dumps / times msgspec.json's decode and encode)")
    for title, table in tables.items():
        print(f"\n### {title}\n\n{written(table, least)}")


if __name__ == "__main__":
    main()
