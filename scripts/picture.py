"""Draws docs/demo.svg: what `understudy demo` shows on a terminal of 88 columns, from a real run."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent.parent / "docs" / "demo.svg"
COLUMNS = 88


def run_demo() -> str:
    """The demo's output, colours and all."""
    master, slave = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(COLUMNS), "LINES": "60", "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "understudy", "demo"]
    # What runs is our own demo.
    demo = subprocess.Popen(  # noqa: S603
        command, stdout=slave, stderr=slave, stdin=slave, env=environment
    )
    os.close(slave)
    pieces = []
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
        pieces.append(piece)
    os.close(master)
    if demo.wait() != 0:
        raise SystemExit("the demo failed")
    return b"".join(pieces).decode().replace("\r\n", "\n")


def excerpt(output: str) -> str:
    """The first request, the recovery and the table: what fits on one page."""
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in output.splitlines()]
    lines = output.splitlines()

    def at(start: str) -> int:
        return next(number for number, line in enumerate(plain) if line.startswith(start))

    return "\n".join([*lines[at("1.") : at("3.")], "…", "", *lines[at("5.") : -1]])


def draw(text: str) -> str:
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text))
    svg = console.export_svg(title="understudy demo")
    # The picture stands alone: it must not fetch its letters from anywhere.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


if __name__ == "__main__":
    PICTURE.write_text(draw(excerpt(run_demo())), encoding="utf-8")
