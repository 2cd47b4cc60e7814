"""How many bytes an operation of `state.redis` is on the wire, there and back, in Redis's protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from understudy.core.shared import Picture, Report, Told
from understudy.state.redis import PREFIX

_DIGEST = "0" * 40
_BORN = "1700000000.123456"
_INSTANT = "1700000000123"
_SECONDS = "86400000"


def command(*parts: object) -> int:
    """An array of bulk strings."""
    sizes = [len(str(part).encode()) if not isinstance(part, bytes) else len(part) for part in parts]
    return 3 + len(str(len(sizes))) + sum(len(str(size)) + size + 5 for size in sizes)


def script(key: str, *arguments: object) -> int:
    return command("EVALSHA", _DIGEST, "1", f"{PREFIX}:{key}", *arguments)


def report(pool: str, told: Report) -> int:
    known = (_BORN, _INSTANT) if told.cursor.born else ("", "0")
    rows = [part for each in told.told for part in _row(each)]
    pin = told.pin.epoch, told.pin.member
    return script(f"circuits:{pool}", *known, *pin, _SECONDS, int(told.proves), *rows)


def _row(told: Told) -> Sequence[object]:
    verdict, record = told.record.verdict, told.record
    instants = ["12345" if instant else "" for instant in (verdict.since, verdict.until)]
    bench = "12345" if record.benched_until else ""
    return (
        told.member, verdict.epoch, int(verdict.is_open), *instants, verdict.forced or "-",
        int(verdict.drained), record.resets, bench, told.action, told.action_id, told.returned,
    )  # fmt: skip


def picture(heard: Picture) -> int:
    head = _INSTANT, _BORN, _INSTANT, heard.pin.epoch, heard.pin.member
    return command(*head, *(part for member in heard.records for part in (member, _kept(heard, member))))


def _kept(heard: Picture, member: str) -> str:
    _, record = heard.records[member]
    verdict = record.verdict
    instants = (verdict.since, verdict.until, record.benched_until, record.held_until)
    since, until, bench, held = (_INSTANT if instant else "0" for instant in instants)
    numbers = (verdict.epoch, int(verdict.is_open), since, until, int(verdict.drained), record.resets)
    fields = ("1", _INSTANT, *numbers, bench, held, verdict.forced or "-", record.holder or "-", "-")
    return " ".join(map(str, fields))


def numbers(published: Mapping[str, bytes]) -> int:
    return command(*(part for pair in published.items() for part in pair))
