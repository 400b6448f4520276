"""Put transcripts on the topic, from JSON lines or plain text."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec
from kafka import KafkaProducer

from schemas.transcripts import InvalidTranscript, decode
from worker.connection import PRODUCER_OPTIONS, kafka_problems, open_client
from worker.settings import Settings
from worker.topics import require_topic

_ACK_TIMEOUT_S: Final = 30.0
_IN_FLIGHT: Final = 10_000
"""So many messages may wait for the broker's answer."""


def message_of(line: str) -> bytes | None:
    """Return the message that a line stands for: JSON as it is, other text as a transcript's; None for blank.

    What begins with a brace is JSON even where it is broken, and is left for the dead letters to show. What begins
    with a bracket may as well be text that begins with a tag, such as ``[laughter]``: there it takes valid JSON.
    """
    line = line.strip()
    if not line:
        return None
    if line.startswith("{") or (line.startswith("[") and _is_json(line)):
        return line.encode()
    return msgspec.json.encode({"text": line})


def _is_json(line: str) -> bool:
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def key_of(message: bytes) -> bytes | None:
    """Return the session as the key, so that a session's messages keep their order; None where there is none."""
    try:
        session = decode(message, timestamp_ms=0).session_id
    except InvalidTranscript:
        return None
    return session.encode() if session else None


def publish(lines: Iterable[str], settings: Settings, on_sent: Callable[[], None] = lambda: None) -> int:
    """Publish lines to the transcripts' topic and return how many the broker has acknowledged.

    Messages are not judged: what holds no transcript ends in the dead letters, with a reason. Memory does not grow
    with the number of lines.

    Args:
        lines: JSON objects or plain text; blank lines are left out.
        settings: which brokers and topic.
        on_sent: called after each message is handed to the client.

    Raises:
        ConfigurationError: the topic does not exist or the broker refuses us.
        Away: the broker cannot be reached.
    """
    require_topic(settings, settings.kafka_topic)
    with kafka_problems("publish"):
        producer = open_client(KafkaProducer, settings, **PRODUCER_OPTIONS, linger_ms=5)
        waiting: deque[Any] = deque()
        count = 0
        try:
            for message in filter(None, map(message_of, lines)):
                if len(waiting) == _IN_FLIGHT:
                    waiting.popleft().get(timeout=_ACK_TIMEOUT_S)
                waiting.append(producer.send(settings.kafka_topic, value=message, key=key_of(message)))
                count += 1
                on_sent()
            while waiting:
                waiting.popleft().get(timeout=_ACK_TIMEOUT_S)
        finally:
            producer.close()
    return count
