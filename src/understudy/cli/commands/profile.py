"""``/profile``: saved profiles.

1. Saving a load balancer keeps the session's load-balancer settings: what of them is in force and no
   default, whether it came from the loaded load balancer, ``--set`` or ``/set``. Never a key or a base
   URL: those are its members' own. A loaded load balancer's model parameters are kept, too.
2. Saving a model keeps the draft. A key that was typed in is left out but with ``--inline-key``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from understudy.cli.commands.command import Command, Context, Usage, flag, misused, unquoted
from understudy.cli.commands.set import shown
from understudy.cli.profile_list import as_text, rows
from understudy.cli.session import Session
from understudy.config.profile import LoadBalancerProfile, Profile, StandardProfile
from understudy.config.profile_file import to_document
from understudy.config.store import ProfileStore
from understudy.core.policies import BY_NAME as POLICIES
from understudy.core.settings import lookup
from understudy.errors import ConfigurationError

_KINDS = ("loadbalancer", "model")
_SAVE_BALANCER = "/profile save loadbalancer NAME POLICY MEMBER MEMBER …"
_SAVE_MODEL = "/profile save model NAME [--inline-key]"


async def _run(context: Context, rest: str) -> None:
    verb, _, rest = rest.partition(" ")
    action = _VERBS.get(verb)
    if action is None:
        raise misused(f"/profile {'|'.join(_VERBS)} …")
    await action(context, rest.strip())


async def _load(context: Context, rest: str) -> None:
    if not rest:
        raise misused("/profile load NAME")
    session = context.session
    dropped = session.live_keys
    for warning in await session.load(unquoted(rest)):
        context.screen.warn(warning)
    context.screen.say(f"loaded {_words(session.profile)}")
    if dropped:
        context.screen.say(f"dropped what /set had set: {', '.join(dropped)}")


async def _list(context: Context, rest: str) -> None:
    if rest:
        raise misused("/profile list")
    context.screen.say(as_text(rows(context.session.store)).rstrip("\n"))


async def _show(context: Context, rest: str) -> None:
    session = context.session
    profile = session.store.load(unquoted(rest)) if rest else session.profile
    context.screen.say(json.dumps(to_document(profile), indent=2, ensure_ascii=False))


async def _delete(context: Context, rest: str) -> None:
    name = _one_name(rest, "delete")
    context.session.store.delete(name)
    context.screen.say(f"deleted {name}")


async def _set_default(context: Context, rest: str) -> None:
    name = None if rest == "--none" else _one_name(rest, "set-default")
    context.session.store.set_default(name)
    context.screen.say(f"the default is {name}" if name else "there is no default any more")


async def _save(context: Context, rest: str) -> None:
    match rest.split():
        case ["loadbalancer", name, policy, *members] if members:
            _save_balancer(context, name, policy, tuple(members))
        case ["model", *words]:
            _save_model(context, words)
        case ["loadbalancer", *_]:
            raise misused(_SAVE_BALANCER)
        case _:
            raise misused(f"{_SAVE_BALANCER}, or {_SAVE_MODEL}")


def _save_balancer(context: Context, name: str, policy: str, members: tuple[str, ...]) -> None:
    session = context.session
    profile = LoadBalancerProfile(
        name,
        policy,
        members,
        session.load_balancer.model_params if session.load_balancer else {},
        session.pool_settings(),
    )
    _store(context, profile, inline_key=False)
    for key, value in profile.settings.items():
        context.screen.say(f"  {key} = {shown(lookup(key), value)}")


def _save_model(context: Context, words: list[str]) -> None:
    inline = flag(words, "--inline-key")
    if len(words) != 1:
        raise misused(_SAVE_MODEL)
    session, name = context.session, words[0]
    profile = session.draft.profile(name)
    _store(context, profile, inline_key=inline)
    session.draft = replace(session.draft, name=name)
    if session.draft.has_inline_key and not inline:
        context.screen.warn("the key was not saved: /keyfile names a file for it, --inline-key saves it")


def _store(context: Context, profile: Profile, *, inline_key: bool) -> None:
    store, screen = context.session.store, context.screen
    replaced = " (replaced)" if profile.name in store.own_names() else ""
    path = store.save(profile, inline_key=inline_key)
    screen.say(f"saved {_words(profile)} as {path}{replaced}")
    # Those of what was saved, which may lack the draft's key.
    for warning in store.load(profile.name).warnings:
        screen.warn(warning)


_VERBS: dict[str, Callable[[Context, str], Awaitable[None]]] = {
    "load": _load,
    "list": _list,
    "show": _show,
    "save": _save,
    "delete": _delete,
    "set-default": _set_default,
}


def _one_name(rest: str, verb: str) -> str:
    if not rest or " " in rest:
        raise misused(f"/profile {verb} NAME")
    return rest


def _words(profile: Profile) -> str:
    """testlb489: failover over synthetic, chutes, groqgpt"""
    if isinstance(profile, LoadBalancerProfile):
        return f"{profile.name}: {profile.policy} over {', '.join(profile.members)}"
    return f"{profile.name}: {profile.provider}, {profile.model}"


def _complete(session: Session, words: list[str]) -> Iterable[str]:
    match words:
        case []:
            return _VERBS
        case ["load" | "show" | "set-default"]:
            return session.store.names()
        case ["delete"]:
            return session.store.own_names()
        case ["save"]:
            return _KINDS
        case ["save", *rest]:
            return _complete_save(session, rest)
        case _:
            return ()


def _complete_save(session: Session, words: list[str]) -> Iterable[str]:
    match words:
        case ["loadbalancer"] | ["model"]:
            return session.store.own_names()
        case ["loadbalancer", _]:
            return sorted(POLICIES)
        case ["loadbalancer", _, _, *_]:
            return _standard_names(session.store)
        case ["model", _]:
            return ("--inline-key",)
        case _:
            return ()


def _standard_names(store: ProfileStore) -> Iterable[str]:
    for name in store.names():
        try:
            if isinstance(store.load(name), StandardProfile):
                yield name
        except ConfigurationError:
            continue


PROFILE = Command(
    "/profile",
    (
        Usage("load NAME", "answer through this profile from now on; a path will do, too"),
        Usage("list", "every saved profile, and the examples"),
        Usage("show [NAME]", "a profile as its file has it, keys masked"),
        Usage("save loadbalancer NAME POLICY P1 P2 …", "save a load balancer over these profiles"),
        Usage("save model NAME [--inline-key]", "save the backend that /provider, /model … describe"),
        Usage("delete NAME", "delete a profile that no load balancer lists"),
        Usage("set-default NAME", "begin with this profile next time; --none forgets it"),
    ),
    _run,
    _complete,
)
