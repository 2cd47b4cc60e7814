"""``understudy profile``: the saved profiles, for scripts.

1. What was asked for goes to stdout; what was done is said on stderr.
2. A key is never taken from the command line, where others could see it: ``--key`` reads it hidden from
   the terminal, or a line from stdin. It is written into a profile only with ``--inline-key``.
3. Saving replaces a profile of the same name, and says so.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from understudy.cli import failures, standard_streams
from understudy.cli.prompt import decoded
from understudy.cli.saved_profiles import complete, pair, store
from understudy.errors import ConfigurationError

if TYPE_CHECKING:
    from understudy.config.profile import Profile

_name = click.argument("name", shell_complete=complete)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_settings = click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="A setting of the profile; repeats."
)
_params = click.option(
    "--param",
    "params",
    multiple=True,
    metavar="KEY=VALUE",
    help="A field for requests that leave it out, such as temperature=0.2; the value is JSON or text.",
)


@click.group()
def profile() -> None:
    """Look at, save and delete profiles."""


@profile.command("list")
@_json
def list_profiles(as_json: bool) -> None:
    """List every profile: yours, and the examples that ship with Understudy."""
    from understudy.cli.profile_list import as_text, rows

    found = rows(store())
    if as_json:
        standard_streams.write_json([row.to_dict() for row in found])
    else:
        standard_streams.write(as_text(found))


@profile.command()
@_name
def show(name: str) -> None:
    """Print a profile as JSON, with a key that it may hold masked."""
    click.echo(json.dumps(store().show(name), indent=2, ensure_ascii=False))


@profile.group()
def save() -> None:
    """Save a profile."""


@save.command("loadbalancer")
@_name
@click.argument("policy")
@click.argument("members", nargs=-1, required=True, shell_complete=complete)
@_settings
@_params
def save_load_balancer(
    name: str, policy: str, members: tuple[str, ...], settings: tuple[str, ...], params: tuple[str, ...]
) -> None:
    """Save a load balancer over MEMBERS, the first one preferred.

    POLICY is failover, roundrobin, weighted, least_busy, fastest, cheapest, sticky or failover_sticky;
    MEMBERS are profiles of backends.

    \b
    understudy profile save loadbalancer mine failover synthetic chutes --set timeout_ms=20000
    """
    from understudy.config.profile import LoadBalancerProfile

    _save(
        LoadBalancerProfile(name, policy, members, _values(params), _parsed(settings)),
        inline_key=False,
    )


@save.command("model")
@_name
@click.option("--provider", required=True, help="Who answers: openai, groq, ollama …; see the reference.")
@click.option("--model", required=True, help="The model, by the provider's name for it.")
@click.option("--base-url", metavar="URL", help="Where it is, if not at the provider's usual address.")
@click.option("--key-env", metavar="VARIABLE", help="The environment variable that holds the key.")
@click.option("--keyfile", metavar="PATH", help="The file that holds the key.")
@click.option("--key-name", metavar="NAME", help="The entry of the OS keyring that holds the key.")
@click.option("--key", is_flag=True, help="Read the key itself, hidden, or a line from stdin.")
@click.option("--inline-key", is_flag=True, help="Allow that key to be written into the profile.")
@_settings
@_params
def save_model(
    name: str,
    provider: str,
    model: str,
    base_url: str | None,
    key_env: str | None,
    keyfile: str | None,
    key_name: str | None,
    key: bool,
    inline_key: bool,
    settings: tuple[str, ...],
    params: tuple[str, ...],
) -> None:
    """Save a backend.

    \b
    understudy profile save model fast --provider groq --model openai/gpt-oss-120b
    """
    from understudy.config.profile import StandardProfile

    if key and not inline_key:
        raise click.UsageError(
            "--key would write the key into the profile\n"
            "hint: name where it is with --key-env, --keyfile or --key-name, or add --inline-key"
        )
    given = {
        "base-url": base_url,
        "auth-key-env": key_env,
        "auth-keyfile": keyfile,
        "auth-key-name": key_name,
        "auth-key": _read_key() if key else None,
    }
    known = {setting: value for setting, value in given.items() if value is not None}
    _save(
        StandardProfile(name, provider, model, _values(params), known | _parsed(settings)),
        inline_key=inline_key,
    )


@profile.command()
@_name
def delete(name: str) -> None:
    """Delete a profile; refused while a load balancer lists it."""
    store().delete(name)
    click.echo(f"deleted {name}", err=True)


@profile.command("set-default")
@click.argument("name", required=False, shell_complete=complete)
@click.option("--none", "nobody", is_flag=True, help="Have no default any more.")
def set_default(name: str | None, nobody: bool) -> None:
    """Choose the profile that is used when none is named."""
    if (name is None) is not nobody:
        raise click.UsageError("name a profile, or give --none")
    store().set_default(name)
    click.echo(f"the default is {name}" if name else "there is no default any more", err=True)


@profile.command()
@click.argument("name", required=False, shell_complete=complete)
def path(name: str | None) -> None:
    """Print the folder of your profiles, or the file of one."""
    if name is None:
        click.echo(store().folder)
        return
    file = store().load(name).path
    if file is None:
        raise ConfigurationError(
            f"{name} ships with Understudy and has no file",
            hint=f"`understudy profile show {name}` prints it",
        )
    click.echo(file)


@profile.command()
@click.argument("kind", type=click.Choice(["standard", "loadbalancer"]))
def schema(kind: str) -> None:
    """Print the JSON Schema of a kind of profile, for editors."""
    from understudy.config.schema import load_balancer_schema, standard_schema

    document = standard_schema() if kind == "standard" else load_balancer_schema()
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _save(made: Profile, *, inline_key: bool) -> None:
    profiles = store()
    replaced = " (replaced)" if made.name in profiles.own_names() else ""
    file = profiles.save(made, inline_key=inline_key)
    click.echo(f"saved {file}{replaced}", err=True)
    for warning in made.warnings:
        failures.warn(warning, sys.stderr)


def _read_key() -> str:
    """Rule 2."""
    if sys.stdin.isatty():
        key: str = click.prompt("Key", hide_input=True, err=True)
        return key
    return decoded(sys.stdin.buffer.readline(), "the key on stdin").strip()


def _parsed(pairs: Iterable[str]) -> dict[str, Any]:
    """Settings from ``KEY=VALUE`` texts; the profile itself checks whether they belong into it."""
    from understudy.core.settings import lookup

    settings: dict[str, Any] = {}
    for key, text in map(pair, pairs):
        setting = lookup(key)
        if setting.key == "auth-key":
            raise ConfigurationError("a key can't be given on the command line", hint="--key reads it hidden")
        value = _value(text)
        settings[setting.key] = setting.check(value) if isinstance(value, list) else setting.parse(text)
    return settings


def _values(pairs: Iterable[str]) -> dict[str, Any]:
    """Fields of a request: JSON where the text is JSON, else the text."""
    return {key: _value(text) for key, text in map(pair, pairs)}


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text


def _refuse(word: str) -> None:
    """NaN and Infinity are no JSON, whatever Python thinks."""
    raise ValueError(word)
