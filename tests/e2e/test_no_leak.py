"""Nothing piles up: no task, no socket, no memory, however requests end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TOTAL = 20_000
# Resident memory moves by itself (arenas, the allocator's own caches): 4 MiB over 18 000 requests are
# 230 bytes a request, less than one forgotten object of any kind would cost.
BOUND = 4 * 1024 * 1024


def test_twenty_thousand_requests_with_faults_leave_nothing_behind() -> None:
    # Not measured by coverage: what is measured here is memory.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    program = Path(__file__).with_name("leak_program.py")
    run = subprocess.run(
        [sys.executable, "-W", "error", str(program), str(TOTAL)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=170,
        check=False,
    )
    assert run.stderr == ""
    left = json.loads(run.stdout)
    assert (left["tasks"], left["sockets"], left["in_flight"]) == (0, 0, 0)
    assert left["requests"] == TOTAL == left["answered"] + left["failed"] + left["cancelled"]
    assert left["cancelled"] > TOTAL / 20
    assert {"server_error", "reset", "stall", "truncated", "timeout", "empty"} <= set(left["kinds"])
    assert left["grown"] < BOUND, f"resident memory grew by {left['grown']} bytes"
