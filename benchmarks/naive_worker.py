"""The worker that a user would write in an afternoon, for `end_to_end.py` to compare with.

It is meant to be good code of its kind: batches of 32 through the library's own pipeline, one transaction a batch,
offsets committed after the rows. What it lacks is what takes longer than an afternoon.

python benchmarks/naive_worker.py BOOTSTRAP DATABASE_URL --messages 1000
"""

import argparse
import json
import time
from datetime import datetime
from typing import Any

from kafka import KafkaConsumer
from sqlalchemy import ARRAY, Text, create_engine, func, make_url
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from transformers import pipeline

BATCH = 32
THRESHOLD = 0.5


class Base(DeclarativeBase):
    """What SQLAlchemy asks for."""


class NaiveResult(Base):
    """A row a message."""

    __tablename__ = "naive_results"

    id: Mapped[int] = mapped_column(primary_key=True)
    transcript_id: Mapped[str | None]
    session_id: Mapped[str | None]
    text: Mapped[str]
    emotions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    scores: Mapped[dict[str, float]] = mapped_column(JSONB)
    processed_at: Mapped[datetime] = mapped_column(server_default=func.now())


def drain(  # noqa: PLR0913 - the settings of a worker, which has no object for them.
    *, bootstrap: str, topic: str, group: str, database_url: str, model: str, messages: int, device: str
) -> float:
    """Read a number of messages, classify them and store them.

    Args:
        bootstrap: Kafka brokers, host:port.
        topic: where the messages are; each is a JSON object with a text.
        group: consumer group; a new one reads from the beginning.
        database_url: Postgres; the table is made when it is missing.
        model: folder or hub name of a text classification model.
        messages: how many to wait for.
        device: cpu, cuda or cuda:N.

    Returns:
        Seconds from the arrival of the first message until the last is committed; loading the model is left out.
    """
    classifier = pipeline("text-classification", model=model, top_k=None, function_to_apply="sigmoid", device=device)
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    Base.metadata.create_all(engine)
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6_000,  # The embedded broker takes half of it for a join; real ones do not mind.
    )
    started_at = 0.0
    done = 0
    while done < messages:
        polled = consumer.poll(timeout_ms=500, max_records=BATCH)
        payloads = [json.loads(record.value) for records in polled.values() for record in records]
        if not payloads:
            continue
        started_at = started_at or time.perf_counter()
        texts = [payload["text"].lower() for payload in payloads]
        answers: Any = classifier(texts, batch_size=BATCH, truncation=True)
        with Session(engine) as session:
            session.add_all(to_row(payload, answer) for payload, answer in zip(payloads, answers, strict=True))
            session.commit()
        consumer.commit()
        done += len(payloads)
    seconds = time.perf_counter() - started_at
    consumer.close()
    engine.dispose()
    return seconds


def to_row(payload: dict[str, Any], answer: list[dict[str, Any]]) -> NaiveResult:
    """Make the row of a message and of what the pipeline said of it."""
    scores = {item["label"]: item["score"] for item in answer}
    return NaiveResult(
        transcript_id=payload.get("id"),
        session_id=payload.get("session_id"),
        text=payload["text"],
        emotions=[label for label, score in scores.items() if score >= THRESHOLD],
        scores=scores,
    )


def main() -> None:
    """Drain a topic and print the rate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bootstrap")
    parser.add_argument("database_url")
    parser.add_argument("--messages", type=int, required=True)
    parser.add_argument("--topic", default="transcripts")
    parser.add_argument("--group", default="naive-worker")
    parser.add_argument("--model", default="models/ru-emotions-small")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    seconds = drain(**vars(given))
    print(f"{given.messages} messages in {seconds:.1f} s, {given.messages / seconds:.0f} msg/s")


if __name__ == "__main__":
    main()
