"""Postgres's URLs, and what its errors mean: away, refused data, or a wrong deployment."""

import errno

import psycopg
import pytest
import sqlalchemy.exc

from registry.errors import Away, ConfigurationError, RejectedData
from registry.postgres import DatabaseAway, connect, database_problems


def meaning(error: BaseException, *, rejects_data: bool = True) -> BaseException:
    """What becomes of an error."""
    problems = database_problems("WORKER_DATABASE_URL", rejects_data=rejects_data)
    with pytest.raises(BaseException) as raised, problems:  # noqa: PT011 - the caller looks at it.
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
    for rejects_data in (True, False):
        error = meaning(psycopg.errors.lookup(state)("said"), rejects_data=rejects_data)
        assert isinstance(error, DatabaseAway)
        assert "said. Start it, or check the address in WORKER_DATABASE_URL" in str(error)


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


def test_refused_data_pass_as_they_are_where_the_caller_cannot_do_without_them() -> None:
    for error in (psycopg.errors.lookup("23505")("said"), psycopg.DataError("NUL"), OSError(errno.ENOSPC, "full")):
        assert meaning(error, rejects_data=False) is error


def test_a_character_that_the_database_lacks_is_told_where_the_caller_cannot_do_without_it() -> None:
    error = meaning(psycopg.errors.lookup("22P05")("said"), rejects_data=False)
    assert isinstance(error, ConfigurationError)
    assert "WITH ENCODING 'UTF8'" in str(error)


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
        'connection to server on socket "/run/postgresql/.s.PGSQL.5432" failed: Permission denied',
        "FATAL:  no such database: emotion",  # These two are PgBouncer's.
        "FATAL:  no such user: worker",
        'private key file "/tls/key.pem" has group or world access',
        'FATAL:  no pg_hba.conf entry for host "10.0.0.1", user "worker", database "emotions", no encryption',
        "server does not support SSL, but SSL was required",
        "SSL error: certificate verify failed",
        "SSL error: tlsv1 alert unknown ca",
        'root certificate file "/tls/ca.pem" does not exist',
        'server certificate for "database" does not match host name "10.0.0.1"',
        'invalid sslmode value: "requir"',
        'invalid port number: "99999"',
    ],
)
def test_a_refusal_before_the_connection_stands_is_known_by_its_words(said: str) -> None:
    assert isinstance(meaning(psycopg.OperationalError(f"connection failed: {said}")), ConfigurationError)


REFUSED_AT = """connection failed: connection to server at "localhost" (::1), port 5432 failed: Connection refused
\tIs the server running on that host and accepting TCP/IP connections?
connection to server at "localhost" (127.0.0.1), port 5432 failed: FATAL:  password authentication failed"""


def test_a_refusal_at_the_second_address_of_a_host_is_known_and_told() -> None:
    error = meaning(psycopg.OperationalError(REFUSED_AT))
    assert isinstance(error, ConfigurationError)
    assert "password authentication failed" in str(error)


def test_of_several_hosts_the_last_one_decides() -> None:
    said = "connection failed: Connection refused\nMultiple connection attempts failed. All failures were:\n- host: "
    assert isinstance(meaning(psycopg.OperationalError(f"{said}FATAL: no such user: x")), Away)


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


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UnicodeEncodeError("charmap", "секрет 😀", 7, 8, "character maps to <undefined>"), RejectedData),
        (UnicodeDecodeError("utf-8", "секрет".encode("cp1251"), 0, 1, "invalid start byte"), ConfigurationError),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), DatabaseAway),
        (OSError(errno.EMFILE, "Too many open files"), DatabaseAway),
        (TimeoutError(), DatabaseAway),
        (sqlalchemy.exc.TimeoutError("QueuePool limit"), DatabaseAway),
    ],
)
def test_errors_of_other_kinds_out_of_the_driver_are_known_too_and_quote_nothing(
    error: Exception, kind: type[Exception]
) -> None:
    for raised in (error, sqlalchemy.exc.StatementError("said", "SELECT 1", {"text": "секрет"}, error)):
        ours = meaning(raised)
        assert isinstance(ours, kind)
        assert "секрет" not in str(ours)


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "No such file", "env.py"), sqlalchemy.exc.InvalidRequestError("a bug")]
)
def test_a_missing_file_and_a_bug_of_ours_are_no_outage(error: Exception) -> None:
    assert meaning(error) is error


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


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://worker:hun@ter2@database/emotions",
        "postgresql://worker:a@ter2/hun@database/emotions",
        "postgresql://worker:a@ter2?hun@database/emotions",
        "postgresql://work@er:hunter2@database/emotions",
    ],
)
def test_a_password_with_an_at_is_refused_before_the_driver_could_take_its_end_for_a_host(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write %40 for an @") as raised:
        connect(url, "test")
    assert not any(part in str(raised.value) for part in ("hun", "ter2"))


def test_an_escaped_at_is_part_of_the_password() -> None:
    address = connect("postgresql://worker:hun%40ter2@database/emotions", "test").url
    assert (address.password, address.host) == ("hun@ter2", "database")


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    with pytest.raises(ConfigurationError, match="port is not between 1 and 65535"):
        connect(f"postgresql://worker:hunter2@database:{port}/emotions", "test")
