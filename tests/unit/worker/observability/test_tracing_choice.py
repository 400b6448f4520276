"""When chunks are traced, by which exporter, and what a span says of a failure."""

import os

import pytest
from makers import chunk_of, utterances
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from worker.errors import ConfigurationError
from worker.observability import tracing
from worker.observability.spans import Spans
from worker.observability.tracing import NoTracing, chosen_exporter, open_tracing


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "exporter"),
    [
        ({}, None),
        ({"OTEL_SERVICE_NAME": "emotions"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "otlp_proto_http"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, "otlp_proto_http"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318"}, "otlp_proto_http"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "otlp_proto_grpc"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, None),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "True"}, None),
    ],
)
def test_opentelemetrys_own_variables_choose(
    variables: dict[str, str], exporter: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert chosen_exporter() == exporter


def test_what_is_not_asked_for_is_not_traced() -> None:
    assert isinstance(open_tracing(), NoTracing)


def test_an_exporter_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "zipkin")
    with pytest.raises(ConfigurationError, match=r"^No exporter zipkin .* there are console, otlp_proto_http\. Set "):
        open_tracing()


def test_what_is_missing_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(_: str) -> None:
        raise ModuleNotFoundError(name="opentelemetry")

    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setattr(tracing, "import_module", find_nothing)
    with pytest.raises(ConfigurationError, match=r"opentelemetry is not installed: pip install 'asr-emotions\[trac"):
        open_tracing()


def test_a_variable_that_opentelemetry_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_SPAN_LINK_COUNT_LIMIT", "many")
    with pytest.raises(
        ConfigurationError, match=r"OTEL_SPAN_LINK_COUNT_LIMIT must be .* got many\. .* OTEL_SDK_DISABLED=true$"
    ):
        open_tracing()


def test_a_span_names_the_kind_of_an_error_and_not_its_words() -> None:
    def fail(_: object) -> None:
        raise KeyError("что сказал клиент")

    exporter = InMemorySpanExporter()
    spans = Spans(exporter)
    with pytest.raises(KeyError):
        spans.around("classify", fail)(chunk_of(utterances(["да"])))
    spans.close()
    span = exporter.get_finished_spans()[-1]
    assert (span.name, span.status.description, span.events) == ("classify", "KeyError", ())


def test_what_producers_say_in_their_baggage_is_not_read_nor_logged() -> None:
    exporter = InMemorySpanExporter()
    spans = Spans(exporter)
    chunk = chunk_of(utterances(["да"]))
    producer = f"00-{1:032x}-{2:016x}-01".encode()
    chunk.utterances[0].record.headers.extend([("traceparent", producer), ("baggage", b"client=" + b"hunter2" * 1000)])
    with capture_logs() as lines:
        spans.around("classify", lambda done: done)(chunk)
    spans.close()
    assert lines == []
    assert [link.context.trace_id for link in exporter.get_finished_spans()[0].links] == [1]


def test_what_is_no_chunk_of_records_has_no_span() -> None:
    exporter = InMemorySpanExporter()
    spans = Spans(exporter)
    work = chunk_of([])
    assert spans.around("store", lambda done: done)(work) is work
    assert spans.around("store", lambda done: done)(()) == ()
    spans.close()
    assert exporter.get_finished_spans() == ()
