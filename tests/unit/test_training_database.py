"""What Postgres's errors mean to whoever runs a training command: the worker reads the same words and codes."""

import psycopg
import pytest

from training.database import DatabaseAway, UnusableDatabase, connect, database_problems


def meaning(error: psycopg.Error) -> BaseException:
    """What becomes of an error."""
    with pytest.raises((psycopg.Error, UnusableDatabase)) as raised, database_problems():
        raise error
    return raised.value


@pytest.mark.parametrize("state", ["08006", "53300", "57P01", "58030", "25006", "40P01", "55P03"])
def test_a_server_that_is_away_or_busy_is_waited_for(state: str) -> None:
    assert isinstance(meaning(psycopg.errors.lookup(state)("said")), DatabaseAway)


@pytest.mark.parametrize(
    "said",
    [
        'FATAL:  password authentication failed for user "training"',
        'FATAL:  role "training" is not permitted to log in',
        'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "training", database "emotions", no encryption',
        "SSL error: tlsv1 alert unknown ca",
    ],
)
def test_a_refusal_before_the_connection_stands_is_not_waited_for(said: str) -> None:
    refused = meaning(psycopg.OperationalError(f"connection failed: {said}"))
    assert type(refused) is UnusableDatabase
    assert "TRAINING_DATABASE_URL" in str(refused)


@pytest.mark.parametrize("said", ["SSL error: unexpected eof while reading", "Connection refused"])
def test_a_lost_connection_is_away(said: str) -> None:
    assert isinstance(meaning(psycopg.OperationalError(said)), DatabaseAway)


@pytest.mark.parametrize("state", ["23505", "XX000"])
def test_what_the_user_cannot_put_right_passes(state: str) -> None:
    error = psycopg.errors.lookup(state)("said")
    assert meaning(error) is error


def test_a_url_that_cannot_be_read_is_refused_without_showing_it() -> None:
    with pytest.raises(UnusableDatabase, match=r"is not of the form postgresql://") as raised:
        connect("postgresql://training:hunter2@database:hunter2/emotions")
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__, "a trace would show it"
