"""The optional transport without its library; with it, see the transport contract."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from understudy.errors import ConfigurationError
from understudy.runtime import pyreqwest_transport


def test_without_the_library_it_imports_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec(pyreqwest_transport.__name__)
    assert spec is not None
    assert spec.loader is not None
    anew = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "pyreqwest.client", None)
    spec.loader.exec_module(anew)
    with pytest.raises(ConfigurationError, match="not installed") as caught:
        anew.PyreqwestTransport()
    assert caught.value.hint == "pip install 'understudy[pyreqwest]'"
