"""Spans of a real flow: one a stage of each chunk, linked to those who produced its records."""

import json
import subprocess
import sys
import threading
from typing import Any

import pytest
from fakes import StubClassifier
from flow import Flow
from kafka import KafkaProducer
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from services import wait_for

from worker.observability import spans
from worker.run import run_worker
from worker.settings import Settings

PRODUCERS = [f"{number:032x}" for number in range(1, 31)]
"""Traces of those who produced the records."""
TEXT = "секретная фраза"


def publish_traced(flow: Flow) -> None:
    """Publish a text for each producer, the last of which has sent garbage, and a text that nobody traced."""
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap)
    for trace in PRODUCERS:
        value = json.dumps({"text": f"{TEXT} {trace}"}) if trace != PRODUCERS[-1] else "garbage"
        headers = [("traceparent", f"00-{trace}-00000000000000ab-01".encode()), ("traceparent-of-others", b"\xff")]
        producer.send(flow.topic, value=value.encode(), headers=headers)
    producer.send(flow.topic, value=json.dumps({"text": TEXT}).encode(), headers=[("traceparent", b"\xff")])
    producer.close()


@pytest.fixture
def exported(flow: Flow, monkeypatch: pytest.MonkeyPatch) -> list[ReadableSpan]:
    """The spans of a worker that has stored all records and stopped."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(spans, "load_exporter", {"otlp_proto_http": exporter}.get)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    for name, value in flow.settings.items():
        monkeypatch.setenv(name, value)
    publish_traced(flow)
    stop = threading.Event()
    worker = threading.Thread(target=run_worker, args=(Settings.load(), StubClassifier(), stop))
    worker.start()
    try:
        wait_for(lambda: flow.count() == len(PRODUCERS) and flow.stored_to_the_end(), "rows")
    finally:
        stop.set()
        worker.join()
    return list(exporter.get_finished_spans())


def of_name(exported: list[ReadableSpan], name: str) -> list[Any]:
    return [span for span in exported if span.name == name]


def test_each_chunk_has_a_span_a_stage_and_links_to_its_records(flow: Flow, exported: list[ReadableSpan]) -> None:
    collected = of_name(exported, "collect")
    linked = sorted(f"{link.context.trace_id:032x}" for span in collected for link in span.links)
    assert linked == PRODUCERS
    assert sum(span.attributes["messaging.batch.message_count"] for span in collected) == len(PRODUCERS) + 1
    roots = {span.context.span_id: span.context.trace_id for span in collected}
    for name in ("classify", "store"):
        stages = of_name(exported, name)
        assert {span.parent.span_id for span in stages} == roots.keys(), "every chunk passed through it"
        assert all(roots[span.parent.span_id] == span.context.trace_id for span in stages)
        assert sum(span.attributes["messaging.batch.message_count"] for span in stages) == len(PRODUCERS) + 1
        assert sum(span.attributes["emotions.rejected"] for span in stages) == 1
    assert exported[0].resource.attributes["service.name"] == "emotion-worker"
    assert exported[0].resource.attributes["deployment.environment"] == "test"
    assert not [span for span in exported if TEXT in json.dumps(json.loads(span.to_json()), ensure_ascii=False)]

    [letter] = flow.dead_letters()
    assert dict(letter.headers)["traceparent"].decode().split("-")[1] == PRODUCERS[-1]


def test_without_its_variables_nothing_of_opentelemetry_is_imported() -> None:
    code = (
        "import sys, worker.run; from worker.observability.tracing import open_tracing; stage = print;"
        "assert open_tracing().around('store', stage) is stage;"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
