"""``/provider``, ``/model``, ``/baseurl``, ``/keyfile``, ``/key``: the draft, a field each.

Without a value each says what the draft is, but for ``/key``: it asks for the key without showing it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from understudy.cli.commands.command import Command, Context, Run, Usage, unquoted
from understudy.cli.draft import Draft
from understudy.cli.session import Session
from understudy.config.aliases import ALIASES

_Change = Callable[[Draft, str], Draft]


def _runs(change: _Change) -> Run:
    async def run(context: Context, rest: str) -> None:
        if rest:
            _change(context, change, rest)
        else:
            context.screen.say(str(context.session.draft) or "nothing is known of the backend yet")

    return run


def _change(context: Context, change: _Change, value: str) -> None:
    session, screen = context.session, context.screen
    before = session.draft
    session.draft = change(before, value)
    screen.say(str(session.draft))
    if before.has_key and not session.draft.has_key:
        screen.warn("the key was given for another address and is dropped; /key or /keyfile name one anew")
    if session.load_balancer is not None:
        screen.note(
            f"{session.load_balancer.name} goes on answering; /profile save model NAME saves this one"
        )


async def _key(context: Context, rest: str) -> None:
    key = rest or (await context.reader.hidden("Key: ")).strip()
    if key:
        _change(context, Draft.with_key, key)
    else:
        context.screen.say("no key was given, so nothing has changed")


def _providers(session: Session, words: list[str]) -> Iterable[str]:
    return () if words else sorted(ALIASES)


def _with_key_file(draft: Draft, path: str) -> Draft:
    return draft.with_key_file(unquoted(path))


PROVIDER = Command(
    "/provider",
    (Usage("NAME", "whose backend it is; also says in which format to speak"),),
    _runs(Draft.with_provider),
    _providers,
)
MODEL = Command("/model", (Usage("NAME", "the backend's model"),), _runs(Draft.with_model))
BASEURL = Command(
    "/baseurl", (Usage("URL", "where the backend is, if not the provider's own"),), _runs(Draft.with_base_url)
)
KEYFILE = Command("/keyfile", (Usage("PATH", "the file that holds the key"),), _runs(_with_key_file))
KEY = Command(
    "/key", (Usage("[KEY]", "the key itself, asked for hidden if left out; never remembered"),), _key
)
