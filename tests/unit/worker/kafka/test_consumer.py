"""The source on a client that fails as Kafka's does where no broker of a test can be made to."""

from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import CommitFailedError, KafkaTimeoutError, LogTruncationError, OffsetOutOfRangeError
from kafka.structs import OffsetAndMetadata
from makers import forget_settings, partition
from services import wait_for

from worker.claims import Claim, Claimed
from worker.errors import OffsetOutOfRange
from worker.kafka.consumer import KafkaSource
from worker.kafka.log_offsets import Starts
from worker.kafka.unreadable import UnreadableBatch
from worker.records import Gap
from worker.settings import Settings

HERE = TopicPartition(*partition(0))


class Cluster:
    """Brokers of which the first leads the partition."""

    def leader_for_partition(self, _partition: TopicPartition) -> int:
        return 1

    def request_update(self) -> None:
        """Nothing is stale here."""


class Client:
    """The client as it is when one partition is assigned in its first poll."""

    _cluster = Cluster()

    def __init__(self, **options: Any) -> None:
        assert options["auto_offset_reset"] == "none"
        self.sought: dict[TopicPartition, int] = {}
        self.failures: list[Exception] = []
        self.committed: list[dict[TopicPartition, Any]] = []
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

    def commit(self, offsets: dict[TopicPartition, Any], **_: Any) -> None:
        self._fail()
        self.committed.append(offsets)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    forget_settings(monkeypatch)
    client = Client(auto_offset_reset="none")
    monkeypatch.setattr("worker.kafka.consumer.KafkaConsumer", lambda **_: client)
    return client


def answer(topic_id: str = "topic", first_offset: int | None = 7) -> Claimed:
    """The database's answer to the claim of the partition: it stands at 40."""
    return Claimed(Claim(partition(0), 0, "topic", first_offset), 1, 40, topic_id)


def source_with(policy: str) -> KafkaSource:
    """A source whose partition has come and waits for its claim."""
    source = KafkaSource(Settings.model_validate({"kafka_offset_out_of_range": policy}))
    assert source.poll(1, 0, paused=False).notes
    return source


def test_a_log_that_was_truncated_is_a_gap_like_any_other(client: Client) -> None:
    source = source_with("fail")
    source.begin(answer())
    client.failures = [LogTruncationError({HERE: None})]

    gaps = source.poll(1, 0, paused=False).gaps

    assert list(gaps) == [partition(0)]
    with pytest.raises(OffsetOutOfRange, match="the log was truncated"):
        source.skip_gap(partition(0), gaps[partition(0)])


def test_a_log_that_was_truncated_is_no_matter_before_the_claim(client: Client) -> None:
    source = source_with("fail")
    client.failures = [LogTruncationError({HERE: None})]
    assert source.poll(1, 0, paused=False).gaps == {}


def test_a_partition_that_comes_gets_a_position_so_that_no_poll_asks_for_one(client: Client) -> None:
    source_with("fail")
    assert client.sought == {HERE: 0}


def test_a_broker_that_goes_away_at_the_beginning_is_asked_again(client: Client) -> None:
    source = source_with("latest")
    client.failures = [KafkaTimeoutError()]
    assert source.begin(answer(topic_id="another")) is None
    source.poll(1, 0, paused=False)
    assert client.paused == {HERE}, "nothing is read before it is known where from"

    assert source.begin(answer(topic_id="another")) == 70
    source.poll(1, 0, paused=False)
    assert client.sought == {HERE: 70}
    assert client.paused == set()


def test_a_partition_with_a_gap_is_not_read_until_the_gap_is_skipped(client: Client) -> None:
    source = source_with("latest")
    source.begin(answer())
    client.failures = [OffsetOutOfRangeError({HERE: 40})]
    assert source.poll(1, 0, paused=False).gaps == {partition(0): Gap("offset 40 is not in the log")}
    source.poll(1, 0, paused=False)
    assert client.paused == {HERE}
    assert source.skip_gap(partition(0), Gap("it is gone")) == 70
    source.poll(1, 0, paused=False)
    assert client.paused == set()


def test_a_partition_that_is_released_is_not_read_until_it_is_claimed_again(client: Client) -> None:
    source = source_with("fail")
    source.begin(answer())
    source.release({partition(0)})
    source.poll(1, 0, paused=False)
    assert client.paused == {HERE}


def test_a_gap_of_an_earlier_claim_does_not_hold_up_the_next_one(client: Client) -> None:
    source = source_with("earliest")
    source.begin(answer())
    client.failures = [OffsetOutOfRangeError({HERE: 40})]
    assert source.poll(1, 0, paused=False).gaps
    source.release({partition(0)})  # The database has refused a chunk before the gap was skipped.
    source.begin(answer())
    source.poll(1, 0, paused=False)
    assert client.paused == set()


def test_a_claim_of_one_partition_hides_from_no_other_that_the_topic_was_recreated(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_with("earliest")
    topic_ids = iter(["old", "new"])
    monkeypatch.setattr("worker.kafka.consumer.require_topic", lambda *_: next(topic_ids))
    monkeypatch.setattr(
        source._offsets, "starts", lambda partitions, _: Starts(dict.fromkeys(partitions, 0), {}, {}, {}, {})
    )
    monkeypatch.setattr(source._offsets, "topic_id", lambda: "new")
    assert source.claims({partition(0)})
    assert source.claims({partition(1)})
    assert client.assignment() == {HERE}
    assert not source.check_topic()


def test_kafka_learns_where_a_group_began_before_its_first_record_is_read(client: Client) -> None:
    source = source_with("fail")
    client.failures = [CommitFailedError()]
    assert source.begin(answer(first_offset=None)) is None
    assert client.sought == {HERE: 0}
    assert source.begin(answer(first_offset=None)) is None, "a group that does not answer is left alone for a while"
    wait_for(lambda: source.begin(answer(first_offset=None)) == 40, what="the second question")
    assert client.committed == [{HERE: OffsetAndMetadata(40, "first-offset=40", -1)}]


def test_a_batch_that_cannot_be_read_is_a_gap_that_ends_behind_it(client: Client) -> None:
    source = source_with("earliest")
    source.begin(answer())
    client.failures = [UnreadableBatch(HERE, 40, 50, ValueError("why"))]
    gap = source.poll(1, 0, paused=False).gaps[partition(0)]
    assert gap == Gap("the records from offset 40 to 49 cannot be read (ValueError: why)", 50)
    assert source.skip_gap(partition(0), gap) == 50


def test_a_batch_of_unknown_length_is_passed_an_offset_at_a_time(client: Client) -> None:
    source = source_with("earliest")
    source.begin(answer())
    client.failures = [UnreadableBatch(HERE, 40, None, ValueError("why"))]
    gap = source.poll(1, 0, paused=False).gaps[partition(0)]
    assert source.skip_gap(partition(0), gap) == 41
