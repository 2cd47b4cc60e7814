"""What the process of a peer runs: lines ``COUNT CONCURRENCY EVERY`` on stdin, a JSON line of calls for each.

Its only argument is the `Pool`. The pool's seed is that of `random`, too, by which some peers draw lots.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from benches.failover.calls import Stream, calls
from benches.failover.pool import Pool

MODEL = "mock"
PROMPT = "Tell me about the theatre, and take your time."
MESSAGES = [{"role": "user", "content": PROMPT}]

Opener = Callable[[Pool], AbstractAsyncContextManager[Stream]]


async def _made(stream: Stream, count: int, concurrency: int, every: float) -> str:
    began = time.perf_counter()
    made = await calls(stream, count, concurrency, every)
    return json.dumps({"wall": time.perf_counter() - began, "calls": made})


async def _obey(open_client: Opener, pool: Pool) -> None:
    loop = asyncio.get_running_loop()
    async with open_client(pool) as stream:
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            count, concurrency, every = line.split()
            print(await _made(stream, int(count), int(concurrency), float(every)), flush=True)


def run(open_client: Opener) -> None:
    pool = Pool.from_json(sys.argv[1])
    random.seed(pool.seed)
    asyncio.run(_obey(open_client, pool))
