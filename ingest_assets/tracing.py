"""Traces by OpenTelemetry, where the standard variables name a collector: else a span costs a comparison.

What belongs here: beginning, spans, and the context that comes with a request or goes to another process.
What does not: what is measured, which is where the work is done.

Attributes are names of ours, counts and numbers: never a text, an id, a query or a path, which may be about
people. For the same reason a span that fails has its error's type, and not its message.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)
R = TypeVar("R")
Value = str | int | float | bool
SERVICE = "ingest-assets"  # unless OTEL_SERVICE_NAME says otherwise
_FLUSH_MS = 5_000
_PATH = "/v1/traces"


class Wanted(Protocol):
    """The settings that say where traces go, as OpenTelemetry names them."""

    @property
    def otel_sdk_disabled(self) -> bool: ...
    @property
    def otel_traces_exporter(self) -> str: ...
    @property
    def otel_exporter_otlp_endpoint(self) -> str | None: ...
    @property
    def otel_exporter_otlp_traces_endpoint(self) -> str | None: ...


class _Tracing:
    """What this process traces with."""

    def __init__(self, provider: Any) -> None:
        self.provider = provider
        self.tracer = provider.get_tracer(SERVICE)


_tracing: _Tracing | None = None
_begun = False


def begin_tracing(wanted: Wanted, version: str) -> None:
    """Send this process's spans where the settings say, if anywhere. May be called again."""
    global _tracing, _begun  # noqa: PLW0603 - once per process, as the SDK itself has it
    if _begun:
        return
    _begun = True
    if (endpoint := _endpoint(wanted)) is None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("Traces are asked for, and not installed: pip install 'ingest-assets[tracing]'.")
        return
    ours = Resource({SERVICE_NAME: SERVICE, SERVICE_VERSION: version})
    provider = TracerProvider(resource=Resource.create().merge(ours).merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)))
    _tracing = _Tracing(provider)


def _endpoint(wanted: Wanted) -> str | None:
    if wanted.otel_sdk_disabled or wanted.otel_traces_exporter == "none":
        return None
    if wanted.otel_exporter_otlp_traces_endpoint is not None:
        return wanted.otel_exporter_otlp_traces_endpoint
    base = wanted.otel_exporter_otlp_endpoint
    return None if base is None else base.rstrip("/") + _PATH


def end_tracing() -> None:
    """Send what is left, and trace no more until it is begun again."""
    global _tracing, _begun
    tracing, _tracing, _begun = _tracing, None, False
    if tracing is not None:
        tracing.provider.shutdown()


def flush() -> None:
    """Send what is there, in a process that may end without notice."""
    if _tracing is not None:
        _tracing.provider.force_flush(_FLUSH_MS)


@contextmanager
def span(
    name: str, parent: Context | None = None, kind: str = "INTERNAL", /, **attributes: Value
) -> Iterator[Span | None]:
    """A span around the block, as a part of the one that is open; None where traces are off."""
    if _tracing is None:
        yield None
        return
    from opentelemetry.trace import SpanKind, Status, StatusCode

    with _tracing.tracer.start_as_current_span(
        name,
        context=parent,
        kind=SpanKind[kind],
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as one:
        try:
            yield one
        except BaseException as error:
            one.set_attribute("error.type", type(error).__name__)
            one.set_status(Status(StatusCode.ERROR))
            raise


def context_of(headers: Mapping[str, str]) -> Context | None:
    """The context that a request or another process sends along, as W3C has it."""
    if _tracing is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract(headers)


def context_to_send() -> dict[str, str]:
    """The open span, as headers for another process; empty where traces are off."""
    carrier: dict[str, str] = {}
    if _tracing is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(carrier)
    return carrier


def carried(work: Callable[..., R]) -> Callable[..., R]:
    """The same function for another thread, where its spans are parts of the one that is open here."""
    if _tracing is None:
        return work
    context = contextvars.copy_context()
    # A copy for each call: a context cannot be entered twice at once.
    return lambda *given, **named: context.copy().run(work, *given, **named)
