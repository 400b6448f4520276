"""The source on a client that fails as Kafka's does where no broker of a test can be made to."""

from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaTimeoutError, LogTruncationError
from makers import forget_settings, partition

from worker.errors import Away, OffsetOutOfRange
from worker.settings import Settings
from worker.source import KafkaSource

HERE = TopicPartition(*partition(0))


class Client:
    """The client as it is when one partition is assigned in its first poll."""

    def __init__(self, **options: Any) -> None:
        assert options["auto_offset_reset"] == "none"
        self.sought: dict[TopicPartition, int] = {}
        self.failures: list[Exception] = []
        self.paused: set[TopicPartition] = set()

    def subscribe(self, _topics: list[str], listener: Any) -> None:
        listener.on_partitions_assigned([HERE])

    def topics(self) -> set[str]:
        return {HERE.topic}

    def assignment(self) -> set[TopicPartition]:
        return {HERE}

    def pause(self, *partitions: TopicPartition) -> None:
        self.paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused -= set(partitions)

    def seek(self, where: TopicPartition, offset: int) -> None:
        self.sought[where] = offset

    def poll(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        self._fail()
        return {}

    def end_offsets(self, partitions: list[TopicPartition], **_: Any) -> dict[TopicPartition, int]:
        self._fail()
        return dict.fromkeys(partitions, 70)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    forget_settings(monkeypatch)
    client = Client(auto_offset_reset="none")
    monkeypatch.setattr("worker.source.KafkaConsumer", lambda **_: client)
    return client


def source_with(policy: str) -> KafkaSource:
    """A source whose partition has come and waits for its claim."""
    source = KafkaSource(Settings.model_validate({"kafka_offset_out_of_range": policy}))
    assert source.poll(1, 0, paused=False).notes
    return source


def test_a_log_that_was_truncated_is_a_gap_like_any_other(client: Client) -> None:
    source = source_with("fail")
    source.begin(partition(0), 40, made_anew=False)
    client.failures = [LogTruncationError({HERE: None})]

    gaps = source.poll(1, 0, paused=False).gaps

    assert list(gaps) == [partition(0)]
    with pytest.raises(OffsetOutOfRange, match="the log was truncated"):
        source.skip_gap(partition(0), gaps[partition(0)])


def test_a_log_that_was_truncated_is_no_matter_before_the_claim(client: Client) -> None:
    source = source_with("fail")
    client.failures = [LogTruncationError({HERE: None})]
    assert source.poll(1, 0, paused=False).gaps == {}


def test_a_broker_that_goes_away_at_the_beginning_is_asked_again(client: Client) -> None:
    source = source_with("latest")
    client.failures = [KafkaTimeoutError()]
    with pytest.raises(Away):
        source.begin(partition(0), 40, made_anew=True)
    source.poll(1, 0, paused=False)
    assert client.paused == {HERE}, "nothing is read before it is known where from"

    assert source.begin(partition(0), 40, made_anew=True) == 70
    source.poll(1, 0, paused=False)
    assert client.sought == {HERE: 70}
    assert client.paused == set()
