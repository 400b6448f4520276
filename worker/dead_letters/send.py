"""The dead-letter topic: records that cannot become rows are sent there, with the reason and their original bytes."""

from collections.abc import Sequence

import structlog

from worker.dead_letters.headers import headers_of
from worker.errors import loggable_text
from worker.kafka.topic_writer import Outgoing, TopicWriter
from worker.records import Rejected
from worker.settings import Settings

log = structlog.get_logger(__name__)


class DeadLetters:
    """Send rejected records to the dead-letter topic; used by the storage threads, which share its producer."""

    def __init__(self, settings: Settings) -> None:
        self._writer = TopicWriter(settings, settings.kafka_dead_letter_topic, "dead letters")

    def send(self, rejected: Sequence[Rejected]) -> None:
        """Return when the broker has acknowledged every record: only then may the offsets move past them.

        Raises:
            Away: the broker did not acknowledge; some may be in the topic already and will be there twice.
            ConfigurationError: there is no such topic any more, or it does not take the records as they are.
        """
        if not rejected:
            return
        self._writer.send([Outgoing(item.record.key, item.record.value, headers_of(item)) for item in rejected])
        for item in rejected:
            log.warning(
                "record went to the dead letters; replay it once it is repaired",
                reason=loggable_text(item.error),
                stage=item.stage,
                topic=item.record.topic,
                partition=item.record.partition,
                offset=item.record.offset,
            )

    def close(self) -> None:
        """Close the producer; nothing is in flight between two calls of `send`."""
        self._writer.close()
