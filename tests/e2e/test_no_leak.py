"""Nothing piles up: no task, no socket, no memory, however requests end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TOTAL = 20_000
# One forgotten request holds some forty objects and three kilobytes: over 18 000 requests that is 50 MB.
# Resident memory moves by a few MB by itself, because garbage waits for its collector and the allocator
# keeps what it has; living objects do not, but for the buckets of windows and percentiles.
BYTES = 10 * 1024 * 1024
OBJECTS = 2_000


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
    assert left["objects"] < OBJECTS, f"{left['objects']} more objects are alive"
    assert left["grown"] < BYTES, f"resident memory grew by {left['grown']} bytes"
