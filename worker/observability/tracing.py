"""Whether chunks are traced by OpenTelemetry, as its own variables say; without them, none of it is imported."""

import os
from collections.abc import Callable
from importlib import import_module
from typing import Protocol, TypeVar

from worker.errors import ConfigurationError

Work = TypeVar("Work")
Done = TypeVar("Done")


class Tracing(Protocol):
    """Makes spans around the stages that chunks pass through."""

    def around(self, name: str, stage: Callable[[Work], Done]) -> Callable[[Work], Done]:
        """Return a stage that makes a span of each chunk.

        Args:
            name: Name of the spans.
            stage: Function of a chunk or of other work, which gets no span.
        """

    def close(self) -> None:
        """Export the last spans, within a second."""


class NoTracing:
    """Leaves the stages as they are."""

    def around(self, _name: str, stage: Callable[[Work], Done]) -> Callable[[Work], Done]:
        """Return the stage."""
        return stage

    def close(self) -> None:
        """Do nothing."""


def open_tracing() -> Tracing:
    """Trace chunks where OTEL_TRACES_EXPORTER or an endpoint of OTLP is set.

    Raises:
        ConfigurationError: the exporter or OpenTelemetry itself is not installed, or refuses one of its variables.
    """
    name = chosen_exporter()
    if name is None:
        return NoTracing()
    try:
        spans = import_module("worker.observability.spans")
        traced: Tracing = spans.Spans(spans.load_exporter(name))
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The OTEL_ variables turn tracing on, and {error.name} is not installed: pip install "
            "'asr-emotions[tracing]', or set OTEL_SDK_DISABLED=true"
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"OpenTelemetry refuses one of the OTEL_ variables: {str(error).rstrip('.')}. Correct it, or set "
            "OTEL_SDK_DISABLED=true"
        ) from error
    return traced


def chosen_exporter() -> str | None:
    """Return the name of the exporter among the installed ones; None where nothing is to be traced."""
    endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    default = "otlp" if any(os.environ.get(name) for name in endpoints) else "none"
    name = os.environ.get("OTEL_TRACES_EXPORTER", "").strip() or default
    if name == "none" or os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if name != "otlp":
        return name
    protocols = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((os.environ[name] for name in protocols if os.environ.get(name)), "http/protobuf")
    return f"otlp_proto_{protocol.partition('/')[0]}"
