"""The topics themselves: that they are there, and how to make them on a broker of our own."""

import uuid
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import InvalidTopicError, KafkaError, UnknownTopicOrPartitionError, for_code

from worker.errors import ConfigurationError
from worker.kafka.client import kafka_problems, open_client
from worker.settings import Settings

_NO_TOPIC_ID: Final = uuid.UUID(int=0)
_NO_TOPIC: Final = {UnknownTopicOrPartitionError.errno, InvalidTopicError.errno}
"""Answers that say that there is none of that name; others say why the broker does not tell."""


def require_topic(settings: Settings, topic: str) -> str | None:
    """Return the topic's id, or None where the broker gives topics none; raises as `require_topics` does."""
    return require_topics(settings, topic)[0]


def require_topics(settings: Settings, *topics: str) -> list[str | None]:
    """Return the ids of topics, each None where the broker gives topics none.

    Raises:
        ConfigurationError: one or several are not there, or there is no right to look for them.
        Away: the broker cannot be reached.
    """
    with kafka_problems("look for the topic"):
        admin = open_client(KafkaAdminClient, settings)
        try:
            found = {topic: _describe(admin, topic) for topic in topics}
        finally:
            admin.close()
    missing = [topic for topic, described in found.items() if described is None]
    if missing:
        servers = settings.kafka_bootstrap_servers
        make = [
            f"kafka-topics.sh --bootstrap-server {servers} --create --topic {name} --partitions 4" for name in missing
        ]
        raise ConfigurationError(
            f"there is no topic {' and no topic '.join(missing)} on {servers}: make it, for example with "
            f"`{' && '.join(make)}`, or correct the setting"
        )
    ids = [(described or {}).get("topic_id") for described in found.values()]
    return [None if each is None or uuid.UUID(str(each)) == _NO_TOPIC_ID else str(each) for each in ids]


def _describe(admin: Any, topic: str) -> dict[str, Any] | None:
    """Return the broker's description of a topic, or None where there is none of that name.

    Raises:
        KafkaError: the broker does not tell.
    """
    try:
        described: list[dict[str, Any]] = admin.describe_topics([topic])
    except UnknownTopicOrPartitionError:
        return None
    code = described[0]["error_code"] if described else UnknownTopicOrPartitionError.errno
    if code in _NO_TOPIC:
        return None
    if code:
        raise for_code(code)(topic)
    return described[0]


def refuse_compacted(settings: Settings, topic: str) -> None:
    """Refuse a topic that keeps one record of each key: those of one session would replace each other unseen.

    Raises:
        ConfigurationError: the topic is compacted.
        Away: the broker cannot be reached.
    """
    wanted = ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": None})
    with kafka_problems("look at the settings of the topic"):
        admin = open_client(KafkaAdminClient, settings)
        try:
            described = admin.describe_configs([wanted], config_filter="all")
        except KafkaError:
            return  # A user without that right, or a broker of another make, still takes records.
        finally:
            admin.close()
    policy = described.get("topic", {}).get(topic, {}).get("cleanup.policy", {}).get("value") or ""
    if "compact" in policy:
        raise ConfigurationError(compaction_problem(topic))


def compaction_problem(topic: str) -> str:
    """Say what is wrong with a compacted topic that records are sent to, and what to do."""
    return (
        f"the topic {topic} is compacted: it keeps one record of each key and takes none without a key. Set its "
        f"cleanup.policy to delete, with `kafka-configs.sh --alter --entity-type topics --entity-name {topic} "
        "--add-config cleanup.policy=delete`"
    )


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
