"""Every error that the client knows is sorted, and those that it will know one day end in one line too."""

import inspect

import pytest
from kafka import TopicPartition, errors

from worker.errors import Away, ConfigurationError
from worker.kafka.client import kafka_problems
from worker.kafka.errors import AWAY, OWN_FAULTS, SORTED
from worker.kafka.unreadable import UnreadableBatch

KINDS = sorted(
    {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.KafkaError) and kind not in {errors.KafkaError, errors.BrokerResponseError}
    },
    key=lambda kind: kind.__name__,
)


def example(kind: type[errors.KafkaError]) -> errors.KafkaError:
    return kind({}) if kind is errors.LogTruncationError else kind()


def test_the_client_knows_as_many_errors_as_ever() -> None:
    assert len(KINDS) > 130


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_is_sorted_and_none_twice(kind: type[errors.KafkaError]) -> None:
    places = [
        issubclass(kind, AWAY),
        issubclass(kind, OWN_FAULTS),
        any(parent in SORTED for parent in kind.__mro__),
    ]
    # What is tried again is looked for first: an error of a protocol's rules may be one of these as well.
    assert sum(places) == 1 or kind is errors.CorrelationIdError


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not issubclass(kind, OWN_FAULTS)])
def test_every_answer_of_a_broker_is_waited_out_or_is_one_line_that_says_what_to_do(
    kind: type[errors.KafkaError],
) -> None:
    error = example(kind)
    expected = Away if isinstance(error, AWAY) else ConfigurationError
    with pytest.raises(expected, match=r"^Kafka .* poll: .+$") as raised, kafka_problems("poll"):
        raise error
    assert raised.value.__cause__ is error
    assert "\n" not in str(raised.value)


class FutureError(errors.BrokerResponseError):
    """Of a release that is yet to come."""

    errno = 999


@pytest.mark.parametrize(
    "error", [errors.for_code(998)("why\nnot"), FutureError(), errors.KafkaError("as yet unnamed")]
)
def test_an_error_that_nobody_knows_yet_is_one_line_too(error: errors.KafkaError) -> None:
    with pytest.raises(ConfigurationError) as raised, kafka_problems("poll"):
        raise error
    assert str(raised.value) == f"Kafka cannot poll: {' '.join(str(error).split())}. The brokers' logs say more"


def test_an_answer_without_a_reason_is_told_with_what_its_code_means() -> None:
    told = r"\[Error 87\] InvalidRecordError \(This record has failed.*\)"
    with pytest.raises(ConfigurationError, match=told), kafka_problems("send"):
        raise errors.InvalidRecordError


def test_a_batch_that_cannot_be_read_is_told_with_its_place_and_where_it_ends() -> None:
    told = r"^Kafka cannot list: UnreadableBatch: letters\[3\] from offset 10 to 19: ValueError: why\. .*delete-records"
    with pytest.raises(ConfigurationError, match=told), kafka_problems("list"):
        raise UnreadableBatch(TopicPartition("letters", 3), 10, 20, ValueError("why"))
