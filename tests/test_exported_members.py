"""Facts about the package's face."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import understudy

SOURCE = Path(understudy.__file__)


def test_public_names_are_sorted_and_all_there() -> None:
    assert understudy.__all__ == sorted(understudy.__all__)
    for name in understudy.__all__:
        assert getattr(understudy, name) is not None
    assert dir(understudy) == understudy.__all__


def test_what_a_type_checker_sees_is_what_is_exported() -> None:
    tree = ast.parse(SOURCE.read_text())
    seen = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(understudy.__all__) <= seen


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Balancr'"):
        understudy.Balancr  # noqa: B018


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'aiohttp', 'asyncio', 'msgspec', 'click', 'rich', 'prompt_toolkit'} & set(sys.modules)"
    program = f"import sys, understudy; print({heavy}); understudy.Balancer; print('asyncio' in sys.modules)"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed.split() == ["set()", "True"]


def test_the_package_is_typed() -> None:
    assert (SOURCE.parent / "py.typed").is_file()
