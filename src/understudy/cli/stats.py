"""``understudy stats``: the statistics of a running gateway, by the table that a session has."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import quote

import click

from understudy.cli import render, running, standard_streams


@click.command()
@click.argument("name", required=False)
@running.url_option
@running.key_option
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway answers, as JSON.")
@click.pass_obj
def stats(plain: bool, name: str | None, url: str, key: str | None, as_json: bool) -> None:
    """Show the statistics of a running gateway: of the profile NAME, or of all that it serves."""
    from understudy.tui.document import stats_of
    from understudy.tui.remote import Remote, decoded

    path = "/stats" if name is None else f"/stats/{quote(name, safe='')}"

    async def read(remote: Remote) -> Any:
        return decoded(await remote.get(path))

    document = running.ask(url, key, read)
    if as_json:
        standard_streams.write_json(document)
        return
    with running.said_clearly():
        tables = [stats_of(one) for one in _profiles(document, name)]
    for number, table in enumerate(tables):
        standard_streams.write("\n" if number else "")
        render.stats_text(table, sys.stdout, plain=plain)


def _profiles(document: Any, name: str | None) -> list[Any]:
    if name is not None:
        return [document]
    profiles = document.get("profiles") if isinstance(document, dict) else None
    return list(profiles.values()) if isinstance(profiles, dict) else [None]
