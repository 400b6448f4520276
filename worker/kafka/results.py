"""The topic of results: what the model says goes there too, for those who cannot wait for a query."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from kafka.partitioner.abc import Partitioner
from kafka.partitioner.default import murmur2

from schemas.results import Result, Scores, encode
from schemas.roles import role_of
from worker.kafka.topic_writer import Outgoing, TopicWriter
from worker.records import Utterance, all_parts
from worker.settings import Settings

_LINGER_MS: Final = 10
"""How long a batch waits for the rest of its chunk; see docs/performance.md."""


@lru_cache(maxsize=4096)
def _hash(key: bytes) -> int:
    # As the partitioners of Java and of this client do, so that a session's partition is where they look for it.
    return int(murmur2(key)) & 0x7FFF_FFFF


class _BySession(Partitioner):  # type: ignore[misc]  # The client has no types.
    """Choose a partition as the client does by default, and remember what a session's key hashes to."""

    def partition(self, topic: str, *given: Any) -> int:
        """Return the partition of a record, of whose parts the client gives key, bytes of the key and more."""
        _, key, *_, cluster = given
        return _hash(key) % len(cluster.partitions_for_topic(topic))


class Results:
    """Send results to a topic; used by the storage threads, which share its producer.

    Args:
        settings: which brokers, the roles by channel.
        topic: name of the topic, which must not be compacted.
    """

    def __init__(self, settings: Settings, topic: str) -> None:
        self._channel_roles = settings.channel_roles
        # What consumers in every language can read, in a fraction of gzip's time.
        own = {"compression_type": "lz4", "batch_size": 2**18, "linger_ms": _LINGER_MS, "partitioner": _BySession()}
        self._writer = TopicWriter(settings, topic, "results", **own)

    def send(self, utterances: Sequence[Utterance], model_version: str, convention: str) -> None:
        """Return when the broker has a result of each row-to-be: only then may the offsets move past them.

        Raises:
            Away: the broker did not acknowledge; some may be in the topic already and will be there twice.
            ConfigurationError: there is no such topic any more, or it does not take the records as they are.
        """
        now = datetime.now(UTC)
        parts = all_parts(utterances)
        if parts:
            self._writer.send([self._record(item, model_version, convention, now) for item in parts])

    def close(self) -> None:
        """Close the producer; nothing is in flight between two calls of `send`."""
        self._writer.close()

    def _record(self, item: Utterance, model_version: str, convention: str, now: datetime) -> Outgoing:
        transcript, record = item.transcript, item.record
        result = Result(
            transcript_id=item.id,
            source=item.source,
            session_id=transcript.session_id,
            segment=transcript.segment,
            message_id=item.message_id,
            part=item.part,
            speaker=transcript.speaker,
            role=role_of(transcript, self._channel_roles),
            emotions=tuple(item.emotions or ()),
            scores=Scores(*item.scores) if item.scores else None,
            not_scored=item.not_scored,
            model_version=model_version,
            convention=convention,
            spoken_at=transcript.spoken_at,  # type: ignore[arg-type]  # `decode` makes a moment of every form.
            processed_at=now,
            kafka_topic=record.topic,
            kafka_partition=record.partition,
            kafka_offset=record.offset,
            kafka_timestamp=item.timestamp,
        )
        key = transcript.session_id or item.message_id or item.id
        return Outgoing(key.encode(), encode(result))
