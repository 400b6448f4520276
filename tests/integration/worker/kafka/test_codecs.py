"""Producers compress as they like: the worker reads every codec that Kafka has."""

import json
from pathlib import Path

import pytest
from flow import Flow
from kafka import KafkaProducer

pytestmark = pytest.mark.kafka

CODECS = [None, "gzip", "lz4", "snappy", "zstd"]


def publish_compressed(flow: Flow, codec: str | None, count: int) -> list[str]:
    """Publish texts that are worth compressing, in one batch, and return them."""
    texts = [f"{codec} номер {number} " + "и снова " * 20 + "то же" for number in range(count)]
    producer = KafkaProducer(bootstrap_servers=flow.bootstrap, compression_type=codec, linger_ms=200)
    for text in texts:
        producer.send(flow.topic, value=json.dumps({"text": text}).encode(), partition=0)
    producer.close()
    return texts


def test_records_of_every_codec_become_rows(flow: Flow) -> None:
    published = [text for codec in CODECS for text in publish_compressed(flow, codec, 20)]
    flow.start()
    flow.wait_for_rows(len(published))
    assert sorted(row["text"] for row in flow.rows()) == sorted(published)


def test_a_codec_whose_library_is_missing_stops_the_worker_with_what_to_install(flow: Flow, tmp_path: Path) -> None:
    (tmp_path / "snappy.py").write_text("raise ImportError")
    publish_compressed(flow, "snappy", 20)

    worker = flow.start(PYTHONPATH=str(tmp_path))

    assert worker.wait() == 2, worker.output()
    assert "Traceback" not in worker.output()
    (complaint,) = [line["event"] for line in worker.log if line["level"] == "error"]
    assert "Libraries for snappy compression codec not found. Install `kafka-python[" in complaint
    assert flow.count() == 0
