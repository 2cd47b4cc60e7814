"""``understudy demo`` as a user sees it: a real process, at its real pace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic

DEMO = [sys.executable, "-m", "understudy", "demo"]


def environ(temporary: Path) -> dict[str, str]:
    """No keys, a proxy that leads nowhere, and a place of its own for temporary files."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    return {**kept, "http_proxy": "http://127.0.0.1:1", "TMPDIR": str(temporary)}


def test_it_ends_well_within_twenty_seconds_without_key_network_or_traces(tmp_path: Path) -> None:
    began = monotonic()
    done = subprocess.run(DEMO, env=environ(tmp_path), capture_output=True, text=True, timeout=60)
    assert monotonic() - began < 20
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "\x1b" not in done.stdout
    assert "5 of 5 requests answered" in done.stdout
    assert (
        "\nCircuit Breaker States:\n  synthetic: closed\n  chutes: open\n  groqgpt: closed\n" in done.stdout
    )
    assert list(tmp_path.iterdir()) == []


def test_a_signal_ends_it_early_and_clears_up(tmp_path: Path) -> None:
    with subprocess.Popen(
        DEMO, env=environ(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if "Trying backend" in line:
                break
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
        assert (process.wait(5), process.stderr.read()) == (143, "")
    assert list(tmp_path.iterdir()) == []
