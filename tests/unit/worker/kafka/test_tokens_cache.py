"""Tokens are renewed before they end, and the last one serves while no new one comes."""

import pytest
from kafka.errors import KafkaConnectionError, SaslAuthenticationFailedError

from worker.errors import Away, ConfigurationError
from worker.kafka import tokens
from worker.kafka.tokens import Token, Tokens


class Giver:
    """Gives numbered tokens of 100 s, unless it fails; the clock is its own."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.count = 0
        self.failure: Exception | None = None
        self.failures = 0
        self.takes_s = 0.0

    def time(self) -> float:
        return self.now

    def __call__(self) -> Token:
        self.now += self.takes_s
        if self.failure:
            self.failures += 1
            raise self.failure
        self.count += 1
        return Token(f"token-{self.count}", self.now + 100)


@pytest.fixture
def giver(monkeypatch: pytest.MonkeyPatch) -> Giver:
    giver = Giver()
    monkeypatch.setattr(tokens, "time", giver)
    return giver


def test_a_token_is_kept_for_most_of_its_life(giver: Giver) -> None:
    shared = Tokens(giver, {"logicalCluster": "lkc-1"})
    assert [shared.token(), shared.token()] == ["token-1", "token-1"]
    giver.now += 79
    assert shared.token() == "token-1"
    giver.now += 2
    assert [shared.renew(), shared.token()] == ["token-2", "token-2"]
    assert shared.extensions() == {"logicalCluster": "lkc-1"}


@pytest.mark.parametrize("failure", [Away("gone"), ConfigurationError("no")])
def test_the_last_token_serves_until_its_end(giver: Giver, failure: Exception) -> None:
    shared = Tokens(giver, {})
    shared.renew()
    giver.failure = failure
    giver.now += 98
    assert shared.renew() == "token-1"
    giver.now += 2
    with pytest.raises(type(failure)):
        shared.renew()
    giver.failure = None
    assert shared.renew() == "token-2"


def test_the_client_hears_of_failures_in_kafkas_words(giver: Giver) -> None:
    shared = Tokens(giver, {})
    giver.failure = Away("gone")
    with pytest.raises(KafkaConnectionError, match="gone"):
        shared.token()
    giver.failure = ConfigurationError("no")
    with pytest.raises(SaslAuthenticationFailedError, match="no"):
        shared.token()


def test_a_provider_that_hangs_takes_little_of_the_time_in_which_the_last_token_holds(giver: Giver) -> None:
    """Who renews waits meanwhile, and reads no records."""
    shared = Tokens(giver, {})
    shared.renew()
    giver.now, giver.failure, giver.takes_s = giver.now + 81, Away("no answer"), 3
    for _ in range(12):
        assert shared.renew() == "token-1"
        giver.now += 1
    assert giver.failures == 1
    assert shared.renew() == "token-1"
    assert giver.failures == 2
