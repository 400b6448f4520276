"""Dead letters are published again, repaired or as they are, each once over all replays."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Final, NamedTuple

from kafka import KafkaProducer
from kafka.errors import (
    InvalidProducerEpochError,
    InvalidTxnStateError,
    KafkaError,
    KafkaTimeoutError,
    ProducerFencedError,
)

from schemas.transcripts import InvalidTranscript, decode
from worker.dead_letters.headers import replayed_header
from worker.dead_letters.read import DeadLetter, format_message, read_dead_letters
from worker.dead_letters.repair import RepairFailed
from worker.dead_letters.selection import EVERY, Selection
from worker.errors import ConfigurationError
from worker.kafka.client import PRODUCER_OPTIONS, kafka_problems, open_client
from worker.kafka.topic_writer import ACK_TIMEOUT_S, abandon
from worker.kafka.topics import require_topic
from worker.settings import Settings

_ACK_TIMEOUT_MS: Final = int(ACK_TIMEOUT_S * 1000)
_TRANSACTION_TIMEOUT_MS: Final = 10_000
"""Readers of the topic wait for so long, and up to 10 s more, for a replay that died within a transaction."""

_MOST: Final = 100
_MOST_BYTES: Final = 2**20
_LONGEST_S: Final = 1.0
"""Letters, bytes and seconds after which the waiting letters become a transaction."""

_GIVEN_UP: Final = (ProducerFencedError, InvalidProducerEpochError, InvalidTxnStateError)


class Message(NamedTuple):
    """What is to be published of a dead letter."""

    letter: DeadLetter
    value: bytes
    topic: str


class Replayed(NamedTuple):
    """How many letters were published, and how many of those that were meant stay where they are."""

    published: int
    left: int


def replay_dead_letters(
    settings: Settings,
    which: Selection = EVERY,
    repair: Callable[[bytes], bytes] | None = None,
    *,
    dry_run: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Replayed:
    """Publish each waiting dead letter, once over all replays, to the topic it came from.

    A letter whose message holds no transcript, or whose repair fails, stays where it is and goes on waiting.

    A letter and the word that it was replayed, a record in its own partition, are one transaction of Kafka:
    both are there or neither is, wherever the process ends. All replays of a group share one transactional id, so one
    that begins puts an end to one that is under way.

    Args:
        settings: which topics.
        which: the letters that are meant.
        repair: given the original bytes, returns what to publish.
        dry_run: tell what would be published, and publish nothing.
        tell: takes a line for each letter that stays where it is, and in a dry run for each that would be published.

    Raises:
        ConfigurationError: there is no such topic, a topic does not take what is to be published, or another replay
            has begun.
        Away: the broker cannot be reached. What was not published goes on waiting.
    """
    published = left = 0

    def stays(letter: DeadLetter, reason: str) -> None:
        nonlocal left
        left += 1
        tell(f"left {letter.name}: {reason}")

    with ExitStack() as stack:
        # Before the letters are read: what an earlier replay publishes until now is then known to be published.
        transactions = None if dry_run else stack.enter_context(closing(_Transactions(settings)))
        for batch in _batches(_messages(settings, which, repair, stays)):
            if transactions:
                transactions.publish(batch)
            else:
                for message in batch:
                    tell(f"would publish {message.letter.name} to {message.topic}\n    {format_message(message.value)}")
            published += len(batch)
    return Replayed(published, left)


def _messages(
    settings: Settings,
    which: Selection,
    repair: Callable[[bytes], bytes] | None,
    stays: Callable[[DeadLetter, str], None],
) -> Iterator[Message]:
    for letter in read_dead_letters(settings, which):
        if letter.replayed_at is not None:
            continue
        try:
            yield _message(settings, letter, repair)
        except (InvalidTranscript, RepairFailed) as error:
            stays(letter, str(error))


def _message(settings: Settings, letter: DeadLetter, repair: Callable[[bytes], bytes] | None) -> Message:
    value = letter.value
    if repair and value is not None:
        value = repair(value)
    decode(value, key=letter.key, timestamp_ms=letter.original_timestamp)
    known = letter.origin.topic != letter.partition.topic
    return Message(letter, value or b"", letter.origin.topic if known else settings.kafka_topic)


def _batches(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Gather messages for a transaction each."""
    batch: list[Message] = []
    size, since = 0, time.monotonic()
    for message in messages:
        batch.append(message)
        size += len(message.value)
        if len(batch) == _MOST or size >= _MOST_BYTES or time.monotonic() - since >= _LONGEST_S:
            yield batch
            batch, size, since = [], 0, time.monotonic()
    if batch:
        yield batch


class _Transactions:
    """The producer of a replay; from its making on, no earlier replay of the group publishes any more."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._topics = {settings.kafka_dead_letter_topic}
        with _problems():
            self._producer = open_client(
                KafkaProducer,
                settings,
                **PRODUCER_OPTIONS,
                transactional_id=f"{settings.kafka_group_id}.replay",
                transaction_timeout_ms=_TRANSACTION_TIMEOUT_MS,
                delivery_timeout_ms=_ACK_TIMEOUT_MS,
                request_timeout_ms=_ACK_TIMEOUT_MS // 2,
                max_block_ms=_ACK_TIMEOUT_MS,
                metrics_enabled=False,
            )
            try:
                self._producer.init_transactions()
            except BaseException:
                abandon(self._producer)
                raise

    def publish(self, batch: list[Message]) -> None:
        """Publish all of a batch, or nothing where this raises."""
        for topic in {message.topic for message in batch} - self._topics:
            require_topic(self._settings, topic)
            self._topics.add(topic)
        with _problems():
            try:
                self._producer.begin_transaction()
                self._send(batch)
            except KafkaError as error:
                # Of all that follows a failure the client (3.0.12) says only that there was one.
                failure = self._producer._transaction_manager.last_error or error  # noqa: SLF001 - as said.
                # Readers of the topic wait for the end of a transaction.
                with suppress(KafkaError):
                    self._end("begin_abort")
                raise failure from error
            self._end("begin_commit")

    def close(self) -> None:
        """Close the producer."""
        abandon(self._producer)

    def _send(self, batch: list[Message]) -> None:
        send, topic = self._producer.send, self._settings.kafka_dead_letter_topic
        futures = [
            send(
                message.topic,
                value=message.value,
                key=message.letter.key,
                headers=[*message.letter.own_headers, message.letter.origin.header],
                timestamp_ms=message.letter.original_timestamp,
            )
            for message in batch
        ]
        by_partition = defaultdict(list)
        for message in batch:
            by_partition[message.letter.partition.partition].append(message.letter.offset)
        for partition, offsets in by_partition.items():
            futures.append(send(topic, value=b"", headers=[replayed_header(offsets)], partition=partition))
        for future in futures:
            future.get(timeout=ACK_TIMEOUT_S)

    def _end(self, begin_end: str) -> None:
        # The client's own way (3.0.12) waits for ever for a broker that hangs.
        result = getattr(self._producer._transaction_manager, begin_end)()  # noqa: SLF001 - see above.
        self._producer._sender.wakeup()  # noqa: SLF001 - as above.
        if not result.wait(timeout_ms=_ACK_TIMEOUT_MS):
            raise KafkaTimeoutError(f"no answer to the end of a transaction in {ACK_TIMEOUT_S:g} s")


@contextmanager
def _problems() -> Iterator[None]:
    with kafka_problems("replay dead letters"):
        try:
            yield
        except _GIVEN_UP as error:
            raise ConfigurationError(
                "another replay of this group has begun, or the broker hung within a transaction: this replay ends. "
                "What it did not publish still waits: see `emotion-worker dead-letters list`"
            ) from error
