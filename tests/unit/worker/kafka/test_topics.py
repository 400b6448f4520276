"""What a broker's answer to the question for a topic means."""

from collections.abc import Callable
from typing import Any

import pytest
from kafka import errors

from worker.errors import Away, ConfigurationError
from worker.kafka.topics import require_topic
from worker.settings import Settings


class Admin:
    """Answers as a broker does that tells an error of the topic."""

    def __init__(self, code: int) -> None:
        self._code = code

    def describe_topics(self, topics: list[str]) -> list[dict[str, Any]]:
        return [{"name": name, "error_code": self._code} for name in topics]

    def close(self) -> None: ...


@pytest.fixture
def require(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[errors.KafkaError]], None]:
    """Looks for a topic where the broker answers with an error."""

    def look(error: type[errors.KafkaError]) -> None:
        monkeypatch.setattr("worker.kafka.topics.open_client", lambda *_: Admin(error.errno))
        require_topic(Settings.load(), "transcripts")

    return look


@pytest.mark.parametrize("error", [errors.UnknownTopicOrPartitionError, errors.InvalidTopicError])
def test_a_topic_that_is_not_there_is_to_be_made(
    require: Callable[[type[errors.KafkaError]], None], error: type[errors.KafkaError]
) -> None:
    with pytest.raises(ConfigurationError, match="there is no topic transcripts"):
        require(error)


def test_a_topic_that_the_user_may_not_see_is_a_matter_of_rights(
    require: Callable[[type[errors.KafkaError]], None],
) -> None:
    with pytest.raises(ConfigurationError, match=r"Kafka refuses to look for the topic.*rights of that user"):
        require(errors.TopicAuthorizationFailedError)


def test_a_topic_whose_leader_is_being_elected_is_waited_for(
    require: Callable[[type[errors.KafkaError]], None],
) -> None:
    with pytest.raises(Away):
        require(errors.LeaderNotAvailableError)
