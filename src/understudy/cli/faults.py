"""``understudy faults``: run the fault provider, and list what it can play.

1. The base URL goes to stdout, alone, once it can be used; the log goes to stderr.
2. SIGINT and SIGTERM close every connection and end it with exit code 0.
3. A script that cannot be read is told as the configuration error that it is, a port that cannot be
   listened on as a failure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from understudy.faults import FaultProvider, Request


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def faults() -> None:
    """A provider that misbehaves on command, for trying out failover."""


@faults.command("list")
def list_words() -> None:
    """Print every fault word with its meaning."""
    from understudy.faults.reference import listing

    click.echo(listing())


@faults.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option("--script", default="fine", show_default=True, help="What every model's attempts get.")
@click.option(
    "--model", "models", multiple=True, metavar="NAME=SCRIPT", help="A script for one model; repeats."
)
@click.option("--text", help="What it answers when it is well.")
@click.option("--pace", type=float, metavar="RATE", help="Tokens per second; without it, at once.")
@click.option(
    "--time-scale", type=float, default=1.0, show_default=True, help="0.1: a script's 60 s last 6 s."
)
@click.option("--seed", type=int, default=0, show_default=True, help="For steps such as '30% status 500'.")
@click.option("--log", is_flag=True, help="One JSON line per request on stderr.")
def serve(
    host: str,
    port: int,
    script: str,
    models: Sequence[str],
    text: str | None,
    pace: float | None,
    time_scale: float,
    seed: int,
    log: bool,
) -> None:
    """Listen until interrupted, and play SCRIPT.

    \b
    understudy faults serve --script 'status 500; fine'
    understudy faults serve --port 9000 --model slow='delay 20s' --model flaky='30% reset'
    """
    import asyncio
    from random import Random

    from understudy.faults import Answer, FaultProvider

    provider = FaultProvider(
        script,
        models=dict(map(_model, models)),
        host=host,
        port=port,
        answer=Answer() if text is None else Answer().saying(text),
        pace=pace,
        time_scale=time_scale,
        rng=Random(seed),  # noqa: S311  failures at random, no secrets
        settled=_print if log else None,
    )
    asyncio.run(_serve(provider))


def _model(text: str) -> tuple[str, str]:
    name, equals, script = text.partition("=")
    if not (name and equals):
        raise click.BadParameter(f"{text!r} is not NAME=SCRIPT", param_hint="--model")
    return name, script


def _print(request: Request) -> None:
    import json
    from contextlib import suppress

    # Whoever reads the log may stop reading; that is no reason to stop serving.
    with suppress(BrokenPipeError):
        click.echo(json.dumps(request.to_dict(), ensure_ascii=False), err=True)


async def _serve(provider: FaultProvider) -> None:
    import asyncio
    import signal

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await provider.start()
    except OSError as error:
        raise click.ClickException(f"cannot listen on {provider.origin}: {error.strerror}") from None
    try:
        click.echo(provider.base_url)
        await stop.wait()
    finally:
        await provider.close()
