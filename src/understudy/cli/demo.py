"""``understudy demo``: failover and circuit breaking, seen live.

1. Nothing is acted out: the servers are the fault provider on real sockets, the profile is the shipped
   ``testlb489`` with shorter times, and what is printed are the balancer's own log lines and answers.
2. It needs no key, no network and no proxy, and leaves nothing behind.
3. What it claims to show must have happened, or the exit status is 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from understudy.cli import failures


@click.command()
@click.pass_obj
def demo(plain: bool) -> int:
    """Show failover and circuit breaking on three local servers. No key, no network, ten seconds."""
    from understudy.cli import stopping
    from understudy.cli.performance import Performance
    from understudy.cli.playbill import Playbill

    with without_proxy():
        missing = stopping.run(Performance(Playbill(sys.stdout, plain=plain)).play())
    for claim in missing:
        failures.complain(f"the demo did not show this: {claim}", None, sys.stderr)
    return failures.FAILED if missing else failures.ANSWERED


@contextmanager
def without_proxy() -> Iterator[None]:
    """The way to this machine leads through no proxy, whatever the environment says."""
    before = os.environ.get("no_proxy")
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["no_proxy"]
        else:
            os.environ["no_proxy"] = before
