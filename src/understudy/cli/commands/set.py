"""``/set``: live settings."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

from understudy.cli.commands.command import Command, Context, Usage, misused
from understudy.cli.session import LIVE_SETTINGS, Session
from understudy.core.error_rules import ErrorRule
from understudy.core.settings import Scope, Setting, Source, lookup
from understudy.core.shapes import Boolean, Choice, ErrorRules

_WIDTH = 78
_HOMES = {
    Scope.POOL: "in load-balancer profiles",
    Scope.MEMBER: "in the profile of one backend; /set can't change it",
    Scope.BOTH: "in load-balancer profiles and in those of backends",
}


async def _run(context: Context, rest: str) -> None:
    """There are four cases: the list, help on a key, unset, and a new value."""
    key, _, value = rest.partition(" ")
    value = value.strip()
    if not key:
        context.screen.say(_listed(context.session))
    elif key == "unset":
        _unset(context, value)
    elif not value:
        context.screen.say(_explained(context.session, lookup(key)))
    else:
        context.session.set(key, value)
        context.screen.say(_line(context.session, lookup(key)))


def _unset(context: Context, key: str) -> None:
    if not key or " " in key:
        raise misused("/set unset KEY")
    removed = context.session.unset(key)
    line = _line(context.session, lookup(key))
    context.screen.say(line if removed else f"{line}; /set had not changed it")


def _listed(session: Session) -> str:
    rows = [row for setting in LIVE_SETTINGS for row in _rows(session, setting)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{key:<{widths[0]}}  {value:<{widths[1]}}  {source}" for key, value, source in rows)


def _rows(session: Session, setting: Setting) -> list[tuple[str, str, str]]:
    value, source = session.setting(setting.key)
    rows = [(setting.key, shown(setting, value), source.value)]
    for member, own in session.member_settings(setting.key):
        rows.append((f"  for {member}", shown(setting, own), Source.MEMBER.value))
    return rows


def _line(session: Session, setting: Setting) -> str:
    value, source = session.setting(setting.key)
    return f"{setting.key} = {shown(setting, value)} ({source})"


def _explained(session: Session, setting: Setting) -> str:
    facts = f"Takes {setting.shape.description}; default {setting.default_text}; {_HOMES[setting.scope]}."
    head = [setting.key] if setting.scope is Scope.MEMBER else [_line(session, setting)]
    return "\n".join(head + _wrapped(setting.help) + _wrapped(facts))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="  ", subsequent_indent="  ")


def shown(setting: Setting, value: Any) -> str:
    """A value as it could be typed, or what stands for none."""
    match value:
        case None:
            return setting.default_words
        case bool():
            return str(value).lower()
        case (ErrorRule(), *rules):
            return f"{len(rules) + 1} rules" if rules else "1 rule"
        case tuple():
            return ",".join(map(str, value)) or "empty list"
        case _:
            return str(value)


def _complete(session: Session, words: list[str]) -> Iterable[str]:
    match words:
        case []:
            return ["unset", *_keys()]
        case ["unset"]:
            return session.live_keys
        case [key]:
            return _values(key)
        case _:
            return ()


def _keys() -> list[str]:
    return [setting.key for setting in LIVE_SETTINGS if not isinstance(setting.shape, ErrorRules)]


def _values(key: str) -> Iterable[str]:
    shapes = {setting.key: setting.shape for setting in LIVE_SETTINGS}
    match shapes.get(key):
        case Boolean():
            return ("true", "false")
        case Choice(words):
            return words
        case _:
            return ()


SET = Command(
    "/set",
    (
        Usage("KEY VALUE", "change a setting from the next decision on"),
        Usage("KEY", "what the setting means, takes and is now"),
        Usage("unset KEY", "take the change back"),
        Usage("", "every setting with its value and where that came from"),
    ),
    _run,
    _complete,
)
