"""wrk, the generator of unary load, and what it says afterwards."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benches.gateway.failed import Failed
from benches.gateway.requests import PATH, Target, headers
from benches.gateway.tools import tool

_COUNT = re.compile(r"^\s*(\d+) requests in ", re.MULTILINE)
_RATE = re.compile(r"^Requests/sec:\s*([\d.]+)", re.MULTILINE)
_TROUBLE = re.compile(r"^\s*(Socket errors: .*|Non-2xx or 3xx responses: \d+)$", re.MULTILINE)


class Load(NamedTuple):
    """What came back."""

    requests: int
    per_second: float


def parse(said: str) -> Load:
    """Raises `Failed` if any answer was missing, late or not 2xx: then the rest means nothing."""
    trouble = _TROUBLE.search(said)
    count, rate = _COUNT.search(said), _RATE.search(said)
    if trouble or not count or not rate:
        raise Failed(f"wrk: {trouble[1] if trouble else said.strip() or 'it said nothing'}")
    if not int(count[1]):
        raise Failed("wrk: not one answer")
    return Load(int(count[1]), float(rate[1]))


def script(target: Target, bodies: Sequence[str]) -> str:
    """In Lua, whose strings can be written as JSON's here: ASCII, no escapes but quotes and line ends."""
    fields = ", ".join(f"[{json.dumps(name)}]={json.dumps(value)}" for name, value in headers(target).items())
    quoted = ", ".join(json.dumps(sent) for sent in bodies)
    return (
        f"local headers, bodies, ready, turn = {{{fields}}}, {{{quoted}}}, {{}}, 0\n"
        "function init()\n"
        f'  for at, sent in ipairs(bodies) do ready[at] = wrk.format("POST", "{PATH}", headers, sent) end\n'
        "end\n"
        "function request() turn = turn % #ready + 1; return ready[turn] end\n"
    )


def run(folder: Path, target: Target, bodies: Sequence[str], connections: int, seconds: float) -> Load:
    """As fast as `connections` can go; the bodies take turns."""
    file = folder / "wrk.lua"
    file.write_text(script(target, bodies))
    command = [tool("wrk"), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
    command += ["-s", str(file), f"http://127.0.0.1:{target.port}{PATH}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30)
    except subprocess.TimeoutExpired:
        raise Failed("wrk did not end") from None
    return parse(done.stdout + done.stderr)
