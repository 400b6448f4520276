"""Settings: names that are a contract, from the environment or from files, and secrets that stay secret."""

from pathlib import Path

import pytest
from makers import forget_settings

import registry.settings
from worker.errors import ConfigurationError
from worker.settings import Settings

CONTRACT = {
    "WORKER_KAFKA_BOOTSTRAP_SERVERS",
    "WORKER_KAFKA_TOPIC",
    "WORKER_KAFKA_GROUP_ID",
    "WORKER_KAFKA_DEAD_LETTER_TOPIC",
    "WORKER_KAFKA_SESSION_TIMEOUT_MS",
    "WORKER_KAFKA_SECURITY_PROTOCOL",
    "WORKER_KAFKA_SASL_MECHANISM",
    "WORKER_KAFKA_SASL_USERNAME",
    "WORKER_KAFKA_SASL_PASSWORD",
    "WORKER_KAFKA_OAUTH_COMMAND",
    "WORKER_KAFKA_OAUTH_ENDPOINT",
    "WORKER_KAFKA_OAUTH_CLIENT_ID",
    "WORKER_KAFKA_OAUTH_CLIENT_SECRET",
    "WORKER_KAFKA_OAUTH_MSK_REGION",
    "WORKER_KAFKA_SSL_CAFILE",
    "WORKER_KAFKA_SSL_CERTFILE",
    "WORKER_KAFKA_SSL_KEYFILE",
    "WORKER_KAFKA_SSL_PASSWORD",
    "WORKER_KAFKA_SSL_CHECK_HOSTNAME",
    "WORKER_DATABASE_URL",
    "WORKER_MODEL",
    "WORKER_BACKEND",
    "WORKER_DEVICE",
    "WORKER_MAX_RECORDS",
    "WORKER_MAX_WAIT_MS",
    "WORKER_MAX_BATCH_TOKENS",
    "WORKER_HTTP_PORT",
    "WORKER_STUCK_AFTER_S",
}
"""Renaming one of these breaks a deployment: only a major version may."""

URL = "postgresql://emotions:hunter2@database/emotions?sslmode=verify-full"


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without settings, and an empty folder in place of /run/secrets."""
    forget_settings(monkeypatch)
    monkeypatch.setattr(registry.settings, "SECRETS", tmp_path)
    return tmp_path


def test_the_names_of_the_contract_exist() -> None:
    assert {f"WORKER_{name.upper()}" for name in Settings.model_fields} >= CONTRACT


def test_the_defaults_of_the_contract_hold() -> None:
    settings = Settings.load()
    assert settings.kafka_topic == "transcripts"
    assert settings.kafka_group_id == "emotion-worker"
    assert settings.kafka_dead_letter_topic == "transcripts.dead-letters"
    assert settings.device == "auto"
    assert settings.stuck_after_s == 30
    assert settings.model is None


def test_each_setting_is_described() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_the_environment_sets_them_in_upper_and_lower_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_MAX_RECORDS", "17")
    monkeypatch.setenv("worker_device", "cpu")
    settings = Settings.load()
    assert (settings.max_records, settings.device) == (17, "cpu")


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("WORKER_KAFKA_BOOTSTRAP_SERVER", "WORKER_KAFKA_BOOTSTRAP_SERVERS"),
        ("WORKER_DATABSE_URL", "WORKER_DATABASE_URL"),
        ("WORKER_DB_URL", "WORKER_DATABASE_URL"),
        ("WORKER_KAFKA_SASL_USER", "WORKER_KAFKA_SASL_USERNAME"),
        ("worker_http_prot", "WORKER_HTTP_PORT"),
    ],
)
def test_an_unknown_name_is_an_error_that_suggests_the_nearest(
    misspelt: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(misspelt, "hunter2")
    with pytest.raises(ConfigurationError, match=rf"^{misspelt} is no setting; did you mean {meant}\?") as raised:
        Settings.load()
    assert "hunter2" not in str(raised.value)


def test_nothing_is_suggested_for_an_unknown_name_that_is_near_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_XYZZY", "1")
    with pytest.raises(ConfigurationError, match=r"^WORKER_XYZZY is no setting\. docs/configuration\.md lists them$"):
        Settings.load()


def test_names_of_others_are_none_of_our_business(monkeypatch: pytest.MonkeyPatch, secrets: Path) -> None:
    monkeypatch.setenv("CELERY_WORKER_COUNT", "4")
    monkeypatch.setenv("WORKERS", "4")
    (secrets / "token").write_text("hunter2")
    Settings.load()


def test_secrets_come_from_files_of_the_same_names(secrets: Path) -> None:
    (secrets / "WORKER_DATABASE_URL").write_text(f"{URL}\n")
    (secrets / "worker_kafka_sasl_password").write_text("hunter2\n")
    settings = Settings.load()
    assert settings.required_database_url == URL, "without the line's end"
    assert settings.kafka_sasl_password
    assert settings.kafka_sasl_password.get_secret_value() == "hunter2"


def test_any_setting_may_come_from_a_file(secrets: Path) -> None:
    (secrets / "WORKER_MAX_RECORDS").write_text("17")
    assert Settings.load().max_records == 17


def test_the_environment_comes_before_the_files(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "WORKER_DATABASE_URL").write_text("postgresql://other/one")
    monkeypatch.setenv("WORKER_DATABASE_URL", URL)
    assert Settings.load().required_database_url == URL


def test_an_unknown_file_is_an_error_too(secrets: Path) -> None:
    (secrets / "WORKER_DATABASEURL").write_text(URL)
    with pytest.raises(ConfigurationError, match=r"^WORKER_DATABASEURL is .* WORKER_DATABASE_URL\?"):
        Settings.load()


def test_a_machine_without_the_folder_of_secrets_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.settings, "SECRETS", tmp_path / "none")
    monkeypatch.setenv("WORKER_DATABASE_URL", URL)
    assert Settings.load().required_database_url == URL


def test_a_file_that_cannot_be_read_is_named_and_not_shown(secrets: Path) -> None:
    (secrets / "WORKER_DATABASE_URL").write_bytes(b"hunter2 \xff")
    with pytest.raises(ConfigurationError, match=rf"^{secrets} cannot be read: .*must be UTF-8 text") as raised:
        Settings.load()
    assert "hunter2" not in str(raised.value)


def test_an_address_that_holds_a_password_is_refused_and_its_password_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKER_KAFKA_OAUTH_ENDPOINT", "https://emotions:hunter2@provider/token")
    with pytest.raises(ConfigurationError, match=r"^WORKER_KAFKA_OAUTH_ENDPOINT: .*CLIENT_SECRET, got ") as raised:
        Settings.load()
    assert "hunter2" not in str(raised.value)


def test_what_is_printed_holds_no_secret_and_nothing_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [name for name in Settings.model_fields if Settings.is_secret(name)]
    of_roles = [f"database_{role}_password" for role in ("migrator", "worker", "trainer", "reader")]
    assert names == [
        "kafka_sasl_password",
        "kafka_oauth_command",
        "kafka_oauth_client_secret",
        "kafka_ssl_password",
        "database_url",
        *of_roles,
    ]
    for name in names:
        monkeypatch.setenv(f"WORKER_{name.upper()}", URL)
    settings = Settings.load()
    printed = settings.printable()
    assert printed["kafka_topic"] == "transcripts"
    assert "model" not in printed
    assert {printed[name] for name in names} == {"**********"}
    assert "hunter2" not in f"{printed} {settings} {settings!r}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WORKER_MAX_RECORDS", "many"),
        ("WORKER_MAX_RECORDS", "0"),
        ("WORKER_MAX_WAIT_MS", "-1"),
        ("WORKER_HTTP_PORT", "65536"),
        ("WORKER_STUCK_AFTER_S", "0"),
        ("WORKER_DEAD_LETTERS_SHARE", "1.5"),
        ("WORKER_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("WORKER_KAFKA_SASL_MECHANISM", "DIGEST-MD5"),
        ("WORKER_KAFKA_OAUTH_ENDPOINT", "file:///etc/passwd"),
        ("WORKER_KAFKA_OAUTH_EXTENSIONS", "logical-cluster=lkc-1"),
        ("WORKER_KAFKA_OAUTH_EXTENSIONS", "logicalCluster"),
        ("WORKER_KAFKA_SSL_CHECK_HOSTNAME", "maybe"),
        ("WORKER_KAFKA_OFFSET_OUT_OF_RANGE", "skip"),
        ("WORKER_LOG_LEVEL", "loud"),
    ],
)
def test_a_bad_value_gives_one_line_that_names_it(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=rf"^{name}: .*, got '{value}'$") as raised:
        Settings.load()
    assert "\n" not in str(raised.value)
    assert "pydantic" not in str(raised.value)


def test_two_bad_values_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_MAX_RECORDS", "many")
    monkeypatch.setenv("WORKER_HTTP_PORT", "http")
    with pytest.raises(ConfigurationError, match=r"WORKER_MAX_RECORDS: .*; WORKER_HTTP_PORT: "):
        Settings.load()


@pytest.mark.parametrize("name", [name for name in Settings.model_fields if Settings.is_secret(name)])
def test_a_bad_secret_is_named_and_not_shown(name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^WORKER_{name.upper()}: input should be") as raised:
        Settings.load(**{name: [URL]})
    assert "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None, "a trace would show it"
    assert raised.value.__suppress_context__


def test_a_missing_database_url_is_named_when_it_is_needed() -> None:
    settings = Settings.load()
    with pytest.raises(ConfigurationError, match=r"^WORKER_DATABASE_URL is not set: give it, as postgresql://"):
        settings.required_database_url  # noqa: B018 - a property that raises.


def test_settings_do_not_change_once_they_are_loaded() -> None:
    settings = Settings.load()
    with pytest.raises(ValueError, match="frozen"):
        settings.max_records = 1


def test_roles_by_channel_are_words_that_name_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.load().channel_roles == {}
    monkeypatch.setenv("WORKER_CHANNEL_ROLES", "0=operator, 1=клиент")
    assert Settings.load().channel_roles == {"0": "agent", "1": "customer"}
    monkeypatch.setenv("WORKER_CHANNEL_ROLES", "0=boss")
    with pytest.raises(ConfigurationError, match=r"WORKER_CHANNEL_ROLES: .*'0=boss' is no channel with its role"):
        Settings.load()
