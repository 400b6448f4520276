"""What Postgres's errors mean to the worker: away, refused data, or a wrong deployment."""

import psycopg
import pytest
import sqlalchemy.exc

from worker.database import DatabaseAway, connect, database_problems
from worker.errors import Away, ConfigurationError, RejectedData


def meaning(error: BaseException) -> BaseException:
    """What becomes of an error."""
    with pytest.raises(BaseException) as raised, database_problems():  # noqa: PT011 - the caller looks at it.
        raise error
    return raised.value


@pytest.mark.parametrize(
    "state",
    [
        "08006",  # connection failure
        "25P03",  # a worker that was frozen within its transaction
        "25006",  # read only: a primary that became a standby
        "40001",  # serialization failure
        "40P01",  # deadlock
        "53100",  # disk full
        "53300",  # too many connections
        "55P03",  # lock not available
        "57014",  # cancelled, such as by a statement timeout
        "57P01",  # shut down by the administrator
        "57P03",  # starting up
        "58030",  # I/O error
    ],
)
def test_a_server_that_is_away_or_busy_is_waited_for(state: str) -> None:
    assert isinstance(meaning(psycopg.errors.lookup(state)("said")), DatabaseAway)


@pytest.mark.parametrize(
    "state",
    [
        "22001",  # too long
        "22021",  # not in the server's encoding
        "22P05",  # untranslatable character
        "23502",  # null
        "23505",  # not unique
        "23514",  # a check that the operator added
        "44000",  # a view's check option
        "54000",  # too large for an index
        "P0001",  # raised by a trigger
    ],
)
def test_data_that_the_server_refuses_are_rejected(state: str) -> None:
    error = meaning(psycopg.errors.lookup(state)("said"))
    assert isinstance(error, RejectedData)
    assert str(error) == "said"


@pytest.mark.parametrize("state", ["28000", "28P01", "3D000", "42501"])
def test_a_server_that_refuses_us_stops_the_worker(state: str) -> None:
    error = meaning(psycopg.errors.lookup(state)("said"))
    assert isinstance(error, ConfigurationError)
    assert "said. Check WORKER_DATABASE_URL" in str(error)


@pytest.mark.parametrize("state", ["42P01", "42703"])
def test_missing_tables_and_columns_name_the_command_that_makes_them(state: str) -> None:
    error = meaning(psycopg.errors.lookup(state)("said"))
    assert isinstance(error, ConfigurationError)
    assert "Run `emotion-worker migrate`" in str(error)


@pytest.mark.parametrize("state", ["0A000", "42601", "XX000"])
def test_a_fault_of_our_own_or_of_the_server_passes_through(state: str) -> None:
    error = psycopg.errors.lookup(state)("said")
    assert meaning(error) is error


@pytest.mark.parametrize(
    "said",
    [
        'connection to server at "127.0.0.1", port 5432 failed: Connection refused',
        'could not translate host name "database" to address: Name or service not known',
        "server closed the connection unexpectedly",
        "SSL SYSCALL error: EOF detected",
        "SSL connection has been closed unexpectedly",
        "SSL error: unexpected eof while reading",
        "FATAL:  the database system is starting up",
        "FATAL:  sorry, too many clients already",
        "connection timeout expired",
    ],
)
def test_a_lost_connection_without_a_code_is_waited_for_with_tls_as_without(said: str) -> None:
    assert isinstance(meaning(psycopg.OperationalError(said)), Away)


@pytest.mark.parametrize(
    "said",
    [
        'FATAL:  password authentication failed for user "worker"',
        "fe_sendauth: no password supplied",
        'FATAL:  database "emotion" does not exist',
        'FATAL:  role "worker" does not exist',
        'FATAL:  role "worker" is not permitted to log in',
        'FATAL:  permission denied for database "emotions"',
        'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "worker", database "emotions", no encryption',
        "server does not support SSL, but SSL was required",
        "SSL error: certificate verify failed",
        "SSL error: tlsv1 alert unknown ca",
        'root certificate file "/tls/ca.pem" does not exist',
        'server certificate for "database" does not match host name "10.0.0.1"',
        'invalid sslmode value: "requir"',
    ],
)
def test_a_refusal_before_the_connection_stands_is_known_by_its_words(said: str) -> None:
    assert isinstance(meaning(psycopg.OperationalError(f"connection failed: {said}")), ConfigurationError)


def test_an_option_that_does_not_exist_is_known_by_its_words() -> None:
    error = meaning(psycopg.ProgrammingError('invalid connection option "sslmod"'))
    assert isinstance(error, ConfigurationError)


def test_a_pooler_that_takes_no_options_stops_the_worker_and_says_what_to_do() -> None:
    # As PgBouncer says it before the connection stands, and with SQLSTATE 08P01 as a server would.
    said = "FATAL:  unsupported startup parameter: options"
    for error in (psycopg.OperationalError(f"connection failed: {said}"), psycopg.errors.lookup("08P01")(said)):
        ours = meaning(error)
        assert isinstance(ours, ConfigurationError)
        assert "ignore_startup_parameters" in str(ours)


def test_what_the_driver_cannot_send_is_rejected_data() -> None:
    assert isinstance(meaning(psycopg.DataError("PostgreSQL text fields cannot contain NUL bytes")), RejectedData)


def test_a_connection_that_was_lost_before_is_waited_for() -> None:
    assert isinstance(meaning(psycopg.InterfaceError("the connection is closed")), Away)


def test_errors_are_known_in_the_wrapping_of_sqlalchemy_too() -> None:
    original = psycopg.errors.lookup("57P01")("said")
    error = meaning(sqlalchemy.exc.OperationalError("SELECT 1", {}, original))
    assert isinstance(error, Away)
    assert error.__cause__ is original


def test_only_the_first_line_is_told() -> None:
    error = meaning(psycopg.errors.lookup("23505")("duplicate key\nDETAIL:  Key (id)=(secret) exists"))
    assert str(error) == "duplicate key"


def test_other_errors_pass_through() -> None:
    error = ZeroDivisionError()
    assert meaning(error) is error


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_each_spelling_of_a_postgres_url_is_taken(scheme: str) -> None:
    address = connect(f"{scheme}://worker:hunter2@database/emotions?sslmode=require", "test").url
    assert (address.drivername, address.host, address.query["sslmode"]) == ("postgresql+psycopg", "database", "require")


@pytest.mark.parametrize("url", ["", "database/emotions", "mysql://worker:hunter2@database/emotions"])
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"must begin with postgresql://") as raised:
        connect(url, "test")
    assert "hunter2" not in str(raised.value)


def test_a_url_that_cannot_be_read_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigurationError, match=r"is not of the form postgresql://") as raised:
        connect("postgresql://worker:hunter2@database:hunter2/emotions", "test")
    assert "hunter2" not in str(raised.value)
    assert raised.value.__suppress_context__, "a trace would show it"
