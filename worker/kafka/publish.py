"""Put transcripts on the topic."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from kafka import KafkaProducer

from schemas.errors import UserError
from worker.forms.naming import Message
from worker.forms.turn import UnreadableFile
from worker.kafka.client import PRODUCER_OPTIONS, kafka_problems, open_client
from worker.kafka.topics import require_topic
from worker.settings import Settings

_ACK_TIMEOUT_S: Final = 30.0
_IN_FLIGHT: Final = 10_000
"""So many messages may wait for the broker's answer."""


class _Sending:
    """Sends messages, and knows how many the broker has acknowledged, without a gap."""

    def __init__(self, producer: Any, topic: str) -> None:
        self.acknowledged = 0
        self.place = ""
        self._producer = producer
        self._topic = topic
        self._waiting: deque[tuple[str, Any]] = deque()

    def send(self, message: Message) -> None:
        """Hand a message to the client; its session is the key, so that a session's messages keep their order."""
        if len(self._waiting) == _IN_FLIGHT:
            self._await_one()
        session = message.transcript.session_id if message.transcript else None
        key = session.encode() if session else None
        self._waiting.append((message.place, self._producer.send(self._topic, value=message.value, key=key)))

    def await_all(self) -> None:
        """Wait until the broker has all of them."""
        while self._waiting:
            self._await_one()

    def _await_one(self) -> None:
        place, answer = self._waiting.popleft()
        answer.get(timeout=_ACK_TIMEOUT_S)
        self.acknowledged += 1
        self.place = place


def publish(messages: Iterable[Message], settings: Settings, on_sent: Callable[[], None] = lambda: None) -> int:
    """Publish messages to the transcripts' topic and return how many the broker has acknowledged.

    Memory does not grow with their number.

    Args:
        messages: as a form yields them.
        settings: which brokers and topic.
        on_sent: called after each message is handed to the client.

    Raises:
        ConfigurationError: the topic does not exist or the broker refuses us; or a line cannot be read, and all before
            it are published. Where some are published, the message says how many.
        Away: the broker cannot be reached; the same of the message.
    """
    require_topic(settings, settings.kafka_topic)
    sending = None
    try:
        with kafka_problems("publish"):
            producer = open_client(KafkaProducer, settings, **PRODUCER_OPTIONS, linger_ms=5)
            try:
                sending = _Sending(producer, settings.kafka_topic)
                try:
                    for message in messages:
                        sending.send(message)
                        on_sent()
                except UnreadableFile:
                    sending.await_all()
                    raise
                sending.await_all()
            finally:
                producer.close()
    except UserError as error:
        if sending and sending.acknowledged:
            raise type(error)(
                f"{error}. The first {sending.acknowledged} messages are published, up to {sending.place}: publish the "
                "file once more, which doubles nothing, or of a pipe what follows"
            ) from error
        raise
    return sending.acknowledged
