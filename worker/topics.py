"""The topics themselves: that they are there, and how to make them on a broker of our own."""

import uuid
from typing import Final

from kafka import KafkaAdminClient
from kafka.errors import UnknownTopicOrPartitionError

from worker.connection import kafka_problems, open_client
from worker.errors import ConfigurationError
from worker.settings import Settings

_NO_TOPIC_ID: Final = uuid.UUID(int=0)


def require_topic(settings: Settings, topic: str) -> str | None:
    """Return the topic's id, or None where the broker gives topics none.

    Raises:
        ConfigurationError: there is no such topic.
        Away: the broker cannot be reached.
    """
    with kafka_problems("look for the topic"):
        admin = open_client(KafkaAdminClient, settings)
        try:
            described = admin.describe_topics([topic])
        except UnknownTopicOrPartitionError:
            described = []
        finally:
            admin.close()
    if not described or described[0]["error_code"]:
        raise ConfigurationError(
            f"there is no topic {topic} on {settings.kafka_bootstrap_servers}: make it, for example with "
            f"`kafka-topics.sh --create --topic {topic} --partitions 4`, or correct the setting"
        )
    topic_id = described[0].get("topic_id")
    return None if topic_id is None or uuid.UUID(str(topic_id)) == _NO_TOPIC_ID else str(topic_id)


def create_topics(settings: Settings, *topics: str) -> None:
    """Make topics of one partition and one replica.

    Raises:
        Away: the broker cannot be reached.
    """
    with kafka_problems("create topics"):
        admin = open_client(KafkaAdminClient, settings)
        try:
            admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1} for topic in topics})
        finally:
            admin.close()
