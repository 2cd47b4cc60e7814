"""Whether ``understudy serve`` records traces, and where they go.

1. ``--otel`` says yes and ``--no-otel`` no. Without either, an endpoint in the standard ``OTEL_`` variables
   does, unless they switch OpenTelemetry off.
2. Asked for by ``--otel`` and not installed is an error; by a variable, one line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from understudy.errors import ConfigurationError
from understudy.runtime.tracing import Tracer

_log = logging.getLogger("understudy.tracing")

ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)
DISABLED = "OTEL_SDK_DISABLED"
_MISSING = "tracing needs {name}, which is not installed"
_INSTALL = "pip install 'understudy[otel]'"


@contextmanager
def traced(asked: bool | None, environ: Mapping[str, str]) -> Iterator[Tracer | None]:
    """The tracer while something is served; at the end what is left is handed over."""
    if not _is_wanted(asked, environ):
        yield None
        return
    check(asked)
    try:
        from understudy.observe.otel import Export
    except ImportError as error:
        _log.warning("no traces are recorded: %s; %s", _MISSING.format(name=error.name), _INSTALL)
        yield None
        return
    export = Export(environ)
    try:
        yield export.tracer
    finally:
        export.close()


def check(asked: bool | None) -> None:
    """Rule 2; raises `ConfigurationError`."""
    if not asked:
        return
    try:
        import understudy.observe.otel  # noqa: F401
    except ImportError as error:
        raise ConfigurationError(_MISSING.format(name=error.name), hint=_INSTALL) from None


def _is_wanted(asked: bool | None, environ: Mapping[str, str]) -> bool:
    """Rule 1."""
    if asked is not None:
        return asked
    if environ.get(DISABLED, "").strip().lower() == "true":
        return False
    return any(environ.get(name, "").strip() for name in ENDPOINTS)
