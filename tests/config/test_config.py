"""The ring's face."""

from __future__ import annotations

import subprocess
import sys

from understudy import config


def test_its_names_are_there_once_each() -> None:
    assert len(set(config.__all__)) == len(config.__all__)
    assert all(hasattr(config, name) for name in config.__all__)


def test_importing_it_brings_in_nothing_heavy() -> None:
    heavy = ["aiohttp", "asyncio", "jsonschema", "keyring", "platformdirs", "rich", "tempfile"]
    script = f"import sys, understudy.config; print([name for name in {heavy} if name in sys.modules])"

    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert answer.stdout == "[]\n"
