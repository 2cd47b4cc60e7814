"""``understudy why``: what was decided about a request of a running gateway, in a session's words."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from understudy.cli import running, standard_streams

_NEWEST = 20


@click.command()
@click.argument("request_id", metavar="[ID]", required=False)
@running.url_option
@running.key_option
@click.option("--json", "as_json", is_flag=True, help="Print what the gateway answers, as JSON.")
def why(request_id: str | None, url: str, key: str | None, as_json: bool) -> None:
    """Tell what was decided about the request ID, as `x-request-id` of its answer names it.

    Without ID the newest requests are listed, the newest first.
    """
    from understudy.tui.remote import Remote, decoded

    path = f"/requests?limit={_NEWEST}" if request_id is None else f"/requests/{quote(request_id, safe='')}"

    async def read(remote: Remote) -> Any:
        return decoded(await remote.get(path))

    document = running.ask(url, key, read)
    if as_json:
        standard_streams.write_json(document)
        return
    with running.said_clearly():
        lines = _newest(document) if request_id is None else _told(document)
    standard_streams.write("".join(f"{line}\n" for line in lines))


def _told(document: Any) -> list[str]:
    """As the session's ``/why`` has it."""
    from understudy.tui.document import summary_of

    request = summary_of(document)
    steps = [f"{number}. {words}" for number, words in enumerate(request.trail_words, 1)]
    decision = [request.words] if len(steps) > 1 else []
    return [*decision, *steps] or [request.words]


def _newest(document: Any) -> list[str]:
    from understudy.tui.document import summary_of

    listed = document.get("requests", ()) if isinstance(document, dict) else ()
    requests = [summary_of(one) for one in listed]
    width = max((len(request.id) for request in requests), default=0)
    lines = [f"{request.id:<{width}}  {request.status:<9}  {request.words}" for request in requests]
    return lines or ["nothing has been asked yet"]
