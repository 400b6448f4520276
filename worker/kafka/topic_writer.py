"""A topic that is written: records are sent to it, and the sender knows when the broker has all of them."""

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from kafka import KafkaProducer
from kafka.errors import (
    IllegalStateError,
    InvalidProducerEpochError,
    InvalidProducerIdMappingError,
    InvalidRecordError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumberError,
    UnknownProducerIdError,
)

from worker.errors import Away, ConfigurationError
from worker.kafka.client import PRODUCER_OPTIONS, kafka_problems, open_client
from worker.kafka.topics import compaction_problem, refuse_compacted, require_topic
from worker.settings import Settings

ACK_TIMEOUT_S: Final = 15.0
"""How long the broker may take to acknowledge what is sent to it."""

_LOST_STEP: Final = (
    IllegalStateError,  # Another thread has given this producer up meanwhile.
    InvalidProducerEpochError,
    InvalidProducerIdMappingError,
    OutOfOrderSequenceNumberError,
    UnknownProducerIdError,
)
"""Producer and broker disagree about what was sent before; a new producer has nothing to disagree about."""


class Outgoing(NamedTuple):
    """A record that is to be sent."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]] | None = None


class TopicWriter:
    """Send records to a topic; used by the storage threads, which share its producer.

    A producer of the client (3.0.12) whose broker hung for 20 s or more sends nothing for minutes after the broker is
    back. So each failure costs the producer its place, and the next call opens another, after it has looked whether
    the topic is still there.

    Args:
        settings: which brokers, and how to talk to them.
        topic: name of the topic, which must not be compacted.
        what: what the records are, for errors: dead letters.
        options: options of the producer that differ from those of every other.
    """

    def __init__(self, settings: Settings, topic: str, what: str, **options: object) -> None:
        self._settings = settings
        self._topic = topic
        self._what = what
        self._options = options
        self._replacing = threading.Lock()
        self._producer: KafkaProducer | None = self._open()

    def send(self, records: Iterable[Outgoing]) -> None:
        """Return when the broker has acknowledged every record.

        Raises:
            Away: the broker did not acknowledge; some may be in the topic already and will be there twice.
            ConfigurationError: there is no such topic any more, or it does not take the records as they are.
        """
        with self._replacing:
            producer = self._producer = self._producer or self._open()
        try:
            with kafka_problems(f"send {self._what}"):
                self._send(producer, records)
        except BaseException:
            self._replace(producer)
            raise

    def close(self) -> None:
        """Close the producer; nothing is in flight between two calls of `send`."""
        if self._producer:
            self._producer.close(timeout=2)

    def _send(self, producer: KafkaProducer, records: Iterable[Outgoing]) -> None:
        try:
            futures = [
                producer.send(self._topic, value=record.value, key=record.key, headers=record.headers)
                for record in records
            ]
            for future in futures:
                future.get(timeout=ACK_TIMEOUT_S)
        except _LOST_STEP as error:
            raise Away(f"Kafka is away, cannot send {self._what}: {error!r}") from error
        except RuntimeError as error:
            # So says the client (3.0.12) to a send under way when another thread gives its producer up.
            if producer is self._producer:
                raise
            raise Away(f"Kafka is away, cannot send {self._what}: {error!r}") from error
        except InvalidRecordError as error:
            raise ConfigurationError(compaction_problem(self._topic)) from error

    def _open(self) -> KafkaProducer:
        require_topic(self._settings, self._topic)
        refuse_compacted(self._settings, self._topic)
        with kafka_problems(f"connect the producer of {self._what}"):
            return open_client(
                KafkaProducer,
                self._settings,
                **PRODUCER_OPTIONS | self._options,
                enable_idempotence=True,
                delivery_timeout_ms=int(ACK_TIMEOUT_S * 1000),
                request_timeout_ms=int(ACK_TIMEOUT_S * 1000) // 2,
                max_block_ms=int(ACK_TIMEOUT_S * 1000),
                metrics_enabled=False,
            )

    def _replace(self, producer: KafkaProducer) -> None:
        with self._replacing:
            if self._producer is producer:
                self._producer = None
        abandon(producer)


def abandon(producer: KafkaProducer) -> None:
    """Close a producer without waiting for what it has not delivered."""
    # The client's own way (3.0.12) waits for that first, and leaves its thread and sockets where it has not come.
    producer._sender.force_close()  # noqa: SLF001 - there is no other way to the thread.
    with suppress(KafkaTimeoutError):
        producer.close(timeout=2)
