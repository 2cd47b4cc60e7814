"""``understudy serve``: the gateway.

1. The base URL goes to stdout, alone, once requests are taken; everything else to stderr.
2. Anybody may ask on loopback; an address that others reach needs client keys, or the word for doing without.
3. It ends with status 0 when a signal told it to.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from understudy.cli import saved_profiles
from understudy.errors import ConfigurationError

if TYPE_CHECKING:
    from understudy.gateway.keys import Keys

_MISSING = "the gateway needs {name}, which is not installed"
_INSTALL = "pip install 'understudy[gateway]'"


@click.command()
@click.option(
    "--profile-load",
    "profiles",
    multiple=True,
    metavar="NAME",
    shell_complete=saved_profiles.complete,
    help="Serve this profile, by name or path; repeats. The first is the default for unknown models. "
    "Without any, every saved load balancer is served.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=4141, show_default=True, help="Port; 0 takes a free one."
)
@click.option(
    "--alias", "aliases", multiple=True, metavar="MODEL=PROFILE",
    help="Serve MODEL, a name or a pattern such as 'claude-*', by PROFILE; repeats.",
)  # fmt: skip
@click.option(
    "--keyfile", type=click.Path(path_type=Path), metavar="FILE",
    help="Client keys, a line NAME=KEY each; else from UNDERSTUDY_KEYS.",
)  # fmt: skip
@click.option("--allow-unauthenticated", is_flag=True, help="Let others in without keys.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Override a setting; repeats.")
@click.option(
    "--transport",
    type=click.Choice(["aiohttp", "pyreqwest"]),
    default="aiohttp",
    show_default=True,
    help="The HTTP client to use.",
)
@click.option(
    "--state", metavar="URL", envvar="UNDERSTUDY_STATE", show_envvar=True,
    help="Share circuits, benches, ceilings and statistics with other processes through this Redis or "
    "Valkey, such as redis://localhost:6379/0.",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1), default=1, show_default=True,
    help="Processes that serve; one for each core is the most that makes sense.",
)  # fmt: skip
@click.option(
    "--max-concurrent", type=click.IntRange(1), default=2048, show_default=True,
    help="Requests that a profile serves at a time.",
)  # fmt: skip
@click.option(
    "--max-queue", type=click.IntRange(0), default=1024, show_default=True,
    help="Requests that may wait for their turn; more are answered 503.",
)  # fmt: skip
@click.option(
    "--comments", type=click.FloatRange(0), default=0.0, metavar="SECONDS",
    help="Send a comment into a stream that says nothing for so long, to keep proxies awake.",
)  # fmt: skip
@click.option(
    "--drain-delay", type=click.FloatRange(0), default=5.0, show_default=True, metavar="SECONDS",
    help="On SIGTERM, how long to refuse politely before the listener closes.",
)  # fmt: skip
@click.option(
    "--drain-timeout", type=click.FloatRange(0), default=120.0, show_default=True, metavar="SECONDS",
    help="How long open answers may take to finish then.",
)  # fmt: skip
@click.option(
    "--otel/--no-otel", default=None,
    help="Record traces and metrics by OpenTelemetry; else if OTEL_EXPORTER_OTLP_ENDPOINT is set.",
)  # fmt: skip
def serve(
    profiles: Sequence[str],
    host: str,
    port: int,
    aliases: Sequence[str],
    keyfile: Path | None,
    allow_unauthenticated: bool,
    settings: tuple[str, ...],
    transport: Any,
    state: str | None,
    workers: int,
    max_concurrent: int,
    max_queue: int,
    comments: float,
    drain_delay: float,
    drain_timeout: float,
    otel: bool | None,
) -> None:
    """Put profiles behind HTTP, for any OpenAI or Anthropic client.

    \b
    understudy serve --profile-load testlb489
    UNDERSTUDY_KEYS='alice=KEY' understudy serve --host 0.0.0.0
    """
    keys = _keys(keyfile)
    if not (keys or allow_unauthenticated or _is_loopback(host)):
        raise ConfigurationError(
            f"{host} can be reached by others, and there are no client keys",
            hint="set UNDERSTUDY_KEYS='NAME=KEY' or --keyfile, or say --allow-unauthenticated",
        )
    if max_concurrent < workers:
        raise click.BadParameter(
            f"--max-concurrent {max_concurrent} can't be divided among {workers} workers"
        )
    try:
        from understudy.gateway.server import ListenFailed, listen
    except ImportError as error:
        raise ConfigurationError(_MISSING.format(name=error.name), hint=_INSTALL) from None
    from understudy.cli import service
    from understudy.state import open_store

    if state:
        open_store(state)  # what is wrong with it is said here; nothing is connected
    try:
        listener = listen(host, port)
    except ListenFailed as error:
        raise click.ClickException(f"{error}\nhint: --port and --host choose another address") from None
    with listener:
        service.run(
            service.Order(
                listener,
                keys,
                profiles=profiles,
                aliases=dict(map(saved_profiles.pair, aliases)),
                settings=saved_profiles.settings_of(settings),
                transport=transport,
                limit=max_concurrent,
                queue=max_queue,
                comments=comments,
                drain_delay=drain_delay,
                drain_timeout=drain_timeout,
                workers=workers,
                state=state,
                otel=otel,
            )
        )


def _keys(keyfile: Path | None) -> Keys:
    import os

    from understudy.gateway.keys import VARIABLE, Keys

    return Keys(os.environ.get(VARIABLE, "")) if keyfile is None else Keys.of_file(keyfile)


def _is_loopback(host: str) -> bool:
    try:
        return host.lower() == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
