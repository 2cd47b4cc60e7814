"""A virtual environment for each peer, under ``.bench``, so that none is held back by another's needs.

It is made once for the versions in ``peers/versions.toml``, or for those handed in, with its bytecode
compiled.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
import venv
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
HOME = ROOT / ".bench"


class NotInstallable(Exception):
    """The peer's environment could not be made; the message is the installer's."""


def requirements() -> dict[str, list[str]]:
    """Each peer's, by the name of its module."""
    return tomllib.loads((HERE / "peers" / "versions.toml").read_text())


def environment(peer: str, packages: list[str] | None = None) -> Path:
    """The peer's interpreter; raises `NotInstallable`."""
    folder, packages = HOME / peer, packages or requirements()[peer]
    stamp, wanted = folder / "stamp", "\n".join([sys.version, *packages])
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Setting up {folder.relative_to(ROOT)} (once) …", file=sys.stderr)
        _install(folder, packages)
        stamp.write_text(wanted)
    return _interpreter(folder)


def _interpreter(folder: Path) -> Path:
    return folder / "bin" / "python"


def _install(folder: Path, packages: list[str]) -> None:
    venv.create(folder, clear=True, with_pip=True, symlinks=True)
    _run(folder, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-input", *packages)
    _run(folder, "-m", "compileall", "-qq", "-j0", str(folder / "lib"), may_fail=True)


def _run(folder: Path, *arguments: str, may_fail: bool = False) -> None:
    command = [str(_interpreter(folder)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode and not may_fail:
        raise NotInstallable((done.stderr.strip() or "no reason given").splitlines()[-1])
