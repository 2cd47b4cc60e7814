"""Facts about whether ``understudy serve`` records traces."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

import pytest

from understudy.cli.tracing import traced
from understudy.errors import ConfigurationError

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
NO_EXPORT = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none"}


@pytest.mark.parametrize(
    ("asked", "environ", "records"),
    [
        (None, {}, False),
        (None, {"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False),
        (None, ENDPOINT, True),
        (None, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9"}, True),
        (None, {**ENDPOINT, "OTEL_SDK_DISABLED": "TRUE"}, False),
        (False, ENDPOINT, False),
        (True, {}, True),
    ],
)
def test_who_switches_it_on(asked: bool | None, environ: Mapping[str, str], records: bool) -> None:
    with traced(asked, {**environ, **NO_EXPORT}) as tracer:
        assert (tracer is not None) is records


def test_asked_for_and_not_installed_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _uninstall(monkeypatch)
    with pytest.raises(ConfigurationError) as raised, traced(True, {}):
        pass
    assert raised.value.message == "tracing needs opentelemetry, which is not installed"
    assert raised.value.hint == "pip install 'understudy[otel]'"


def test_by_a_variable_and_not_installed_is_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _uninstall(monkeypatch)
    with caplog.at_level(logging.WARNING), traced(None, ENDPOINT) as tracer:
        assert tracer is None
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == (
        "no traces are recorded: tracing needs opentelemetry, which is not installed; "
        "pip install 'understudy[otel]'"
    )


def _uninstall(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python finds it where the package is not there."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "understudy.observe.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
