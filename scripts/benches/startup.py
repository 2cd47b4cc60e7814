"""How long importing the package and starting the command take.

1. ``import understudy`` next to ``import httpx``, both in a fresh interpreter whose own start is taken off.
2. ``understudy --version`` next to an interpreter that does nothing.
3. Interleaved runs (A B C … A B C …), wall-clock, the median of each; bytecode is compiled by the warm-up.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benches.machine import Steal, facts

COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import understudy": [sys.executable, "-c", "import understudy"],
    "import httpx": [sys.executable, "-c", "import httpx"],
    "understudy --version": [str(Path(sys.executable).with_name("understudy")), "--version"],
}


def milliseconds(command: list[str]) -> float:
    before = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - before) * 1000


def measure(rounds: int) -> dict[str, float]:
    figures: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(rounds + 1):
        for name, command in COMMANDS.items():
            figures[name].append(milliseconds(command))
    return {name: median(taken[1:]) for name, taken in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="scripts/bench import", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    steal = Steal()
    cost = measure(given.rounds)
    bare = cost["bare interpreter"]
    print(f"{facts()}; stolen meanwhile: {steal}; medians of {given.rounds} interleaved rounds\n")
    print("| command | ms | interpreter starts |")
    print("|---|---|---|")
    for name, taken in cost.items():
        print(f"| {name} | {taken:.0f} | {taken / bare:.1f} |")
    ratio = (cost["import understudy"] - bare) / (cost["import httpx"] - bare)
    print(f"\nimport understudy ÷ import httpx: {ratio:.2f}")


if __name__ == "__main__":
    main()
