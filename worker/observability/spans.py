"""Spans of OpenTelemetry: what a chunk spends in each stage, linked to those who produced its records."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable
from importlib.metadata import entry_points
from typing import Final, TypeVar

import structlog
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from worker.errors import ConfigurationError
from worker.records import Chunk, Record, Rejected, Utterance

log = structlog.get_logger(__name__)

Work = TypeVar("Work")
Done = TypeVar("Done")

_CLOSE_S: Final = 1.0
"""How long the last spans may take: a collector that is away must not hold up the end."""

_LINKS: Final = 1024
"""Most links of a chunk, unless OTEL_SPAN_LINK_COUNT_LIMIT says otherwise: as many as the records of a full chunk."""


def load_exporter(name: str) -> SpanExporter:
    """Make the exporter of a name, which takes its own settings from OTEL_ variables.

    Raises:
        ConfigurationError: no such exporter is installed.
    """
    group = "opentelemetry_traces_exporter"
    for found in entry_points(group=group, name=name):
        exporter: SpanExporter = found.load()()
        return exporter
    there = ", ".join(sorted(entry_points(group=group).names))
    raise ConfigurationError(
        f"No exporter {name} of OpenTelemetry is installed; there are {there}. Set OTEL_TRACES_EXPORTER to otlp or "
        "none, OTEL_EXPORTER_OTLP_PROTOCOL to http/protobuf, or install the exporter's package"
    )


class Spans:
    """Makes a trace of each chunk: `collect`, from its first record until it is full, and a span a stage below it.

    Spans hold counts and names, and nothing that a person said.

    Args:
        exporter: Where spans are sent, in batches and on a thread of its own.
    """

    def __init__(self, exporter: SpanExporter) -> None:
        logger = logging.getLogger("opentelemetry")
        logger.handlers, logger.propagate = [_Complaints()], False
        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "emotion-worker"}))
        limits = None if "OTEL_SPAN_LINK_COUNT_LIMIT" in os.environ else SpanLimits(max_links=_LINKS)
        self._provider = TracerProvider(resource=resource, span_limits=limits, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("asr-emotions")

    def around(self, name: str, stage: Callable[[Work], Done]) -> Callable[[Work], Done]:
        """Return a stage that makes a span of each chunk that holds records."""

        def traced(work: Work) -> Done:
            if not isinstance(work, Chunk) or not len(work):
                return stage(work)
            if not isinstance(work.trace, Context):
                work.trace = self._collected(work)
            # What an exception says may quote what a person said.
            span = self._tracer.start_span(name, work.trace, record_exception=False, set_status_on_exception=False)
            with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
                try:
                    done = stage(work)
                except BaseException as error:
                    span.set_status(trace.StatusCode.ERROR, type(error).__name__)
                    raise
                span.set_attributes(
                    {
                        "messaging.batch.message_count": len(work),
                        "emotions.rejected": len(work.rejected),
                        "emotions.model_version": work.model_version,
                    }
                )
                return done

        return traced

    def close(self) -> None:
        """Export the last spans, as far as a second allows."""
        thread = threading.Thread(target=self._provider.shutdown, name="tracing", daemon=True)
        thread.start()
        thread.join(_CLOSE_S)

    def _collected(self, chunk: Chunk) -> Context:
        """Make the span in which a chunk was filled, with links to its records; return the context of its trace."""
        now = time.time_ns()
        begun = now - int((time.monotonic() - chunk.opened_at) * 1e9)
        span = self._tracer.start_span("collect", Context(), trace.SpanKind.CONSUMER, start_time=begun)
        if span.is_recording():
            items: list[Utterance | Rejected] = [*chunk.utterances, *chunk.rejected]
            records = [item.record for item in items] + chunk.tombstones
            span.set_attributes(
                {
                    "messaging.system": "kafka",
                    "messaging.operation.type": "process",
                    "messaging.destination.name": records[0].topic,
                    "messaging.batch.message_count": len(records),
                }
            )
            for producer in _producers(records):
                span.add_link(producer)
        span.end(now)
        return trace.set_span_in_context(span, Context())


def _producers(records: Iterable[Record]) -> Iterable[trace.SpanContext]:
    """Yield the spans that the records' headers name, in a form of OTEL_PROPAGATORS."""
    # Baggage says nothing of a span, and what is wrong with it would be logged with its values.
    fields = propagate.get_global_textmap().fields - {"baggage"}
    for record in records:
        named = {name: (value or b"").decode("latin-1") for name, value in record.headers or () if name in fields}
        producer = trace.get_current_span(propagate.extract(named, Context())).get_span_context()
        if producer.is_valid:
            yield producer


class _Complaints(logging.Handler):
    """Has OpenTelemetry's warnings look like all other lines of the log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        log.warning("tracing: spans may be lost", why=record.getMessage())
