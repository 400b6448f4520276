"""Messages of all kinds, published throughout a trial; what the brokers acknowledged is remembered."""

import json
import threading
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any, Final, NamedTuple

from fakes import POISON
from kafka import KafkaProducer
from kafka.errors import KafkaError

REPAIRED: Final = "сад"
"""What `dead-letters replay --repair` of a trial writes in place of the poison."""

_TICK_S: Final = 0.1
_WEIGHTS: Final = {
    "named": 50,
    "nameless": 25,
    "twice": 6,
    "corrected": 6,
    "call": 6,
    "call corrected": 4,
    "call poisoned": 2,
    "namesakes": 3,
    "bad": 5,
    "poison": 3,
    "header": 2,
    "tombstone": 3,
}


class _Name(str):
    """The name of a header, in bytes that are no UTF-8."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"\xff" + super().encode()


class Message(NamedTuple):
    """What is sent."""

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()


def messages(random: Random, number: int) -> list[Message]:
    """Return one message of a random kind, or several that belong together and go to one partition.

    Args:
        random: chooses.
        number: of the message; it makes the text different from all others.
    """
    text, name = f"фраза номер {number}", {"id": f"id-{number}"}
    good = Message(_json(text=text, **name))
    turns = [f"{text} реплика {turn}" for turn in range(4)]
    bad = (b'{"text": "cut off %d', b'{"id": "no-text-%d"}', b"[%d]", b'{"text": %d}')
    kinds: dict[str, list[Message]] = {
        "named": [good],
        "nameless": [Message(_json(text=text))],
        "twice": [good, good],
        "corrected": [Message(_json(text=f"{text} неверно", **name)), good],
        "call": [_call(turns, **name)],
        "call corrected": [_call([*turns, "лишнее"], **name), _call(turns[:2], **name)],
        "call poisoned": [_call([*turns, f"{POISON} {number}"], **name)],
        "namesakes": [Message(_json(text=f"{text} {where}", source=where, **name)) for where in ("линия", "такси")],
        "bad": [Message(random.choice(bad) % number)],
        "poison": [Message(_json(text=f"{POISON} {number}", **name))],
        "header": [good._replace(headers=((_Name("name"), b"value"),))],
        "tombstone": [Message(None, key=f"key-{number}".encode())],
    }
    return kinds[random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]]


class Publisher:
    """A thread that publishes; its producer is replaced after a failure.

    Attributes:
        acknowledged: the value at each place, a partition and an offset, that the brokers promised to keep.
        failed: how many messages were not acknowledged; they may be in the log or not.
    """

    def __init__(self, bootstrap: str, topic: str, seed: int, rate: int) -> None:
        self.acknowledged: dict[tuple[int, int], bytes | None] = {}
        self.failed = 0
        self._bootstrap = bootstrap
        self._topic = topic
        self._random = Random(seed)
        self._numbers: Iterator[int] = count()
        self._a_tick = max(1, round(rate * _TICK_S))
        self._lock = threading.Lock()
        self._broken = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return when all that was sent is acknowledged or given up."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._broken.clear()
            try:
                producer = KafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    acks="all",
                    metadata_max_age_ms=5_000,
                    request_timeout_ms=10_000,
                    delivery_timeout_ms=60_000,
                )
            except KafkaError:
                self._stop.wait(1)
                continue
            try:
                self._publish(producer)
            finally:
                producer.close(timeout=1 if self._broken.is_set() else 70)

    def _publish(self, producer: KafkaProducer) -> None:
        while not self._broken.is_set() and not self._stop.wait(_TICK_S):
            for _ in range(self._a_tick):
                self._send(producer, messages(self._random, next(self._numbers)))

    def _send(self, producer: KafkaProducer, together: list[Message]) -> None:
        try:
            partition = self._random.choice(sorted(producer.partitions_for(self._topic)))
            for message in together:
                future = producer.send(
                    self._topic, message.value, message.key, list(message.headers), partition=partition
                )
                future.add_callback(self._note, message.value)
                future.add_errback(self._note_failure)
        except KafkaError as error:
            self._note_failure(error)

    def _note(self, value: bytes | None, sent: Any) -> None:
        with self._lock:
            self.acknowledged[sent.partition, sent.offset] = value

    def _note_failure(self, _: BaseException) -> None:
        with self._lock:
            self.failed += 1
        self._broken.set()


def _call(turns: list[str], **name: str) -> Message:
    """Make a message that is a whole call."""
    return Message(_json(text=" ".join(turns), segments=[{"text": turn} for turn in turns], **name))


def _json(**fields: Any) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()
