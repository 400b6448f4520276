"""What is set for training: by option, in the environment or in a file of /run/secrets, in this order."""

from pathlib import Path

import pytest
from makers import forget_settings

import registry.settings
from registry.command_line import run_command
from registry.errors import ConfigurationError
from training.cli import app
from training.database import connect
from training.environment import Environment

URL = "postgresql://trainer:hunter2@database/emotions"
OTHER = "postgresql://worker:hunter3@database/emotions"


@pytest.fixture(autouse=True)
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment without settings, and an empty folder in place of /run/secrets."""
    forget_settings(monkeypatch)
    folder = tmp_path / "secrets"
    folder.mkdir()
    monkeypatch.setattr(registry.settings, "SECRETS", folder)
    return folder


def test_each_setting_is_described() -> None:
    own = {name: field for name, field in Environment.model_fields.items() if not field.validation_alias}
    assert [name for name, field in own.items() if not field.description] == []


def test_nothing_but_an_address_of_this_machine_is_set_by_default() -> None:
    assert Environment.load().printable() == {"http_host": "127.0.0.1"}


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [
        ("TRAINING_DATABSE_URL", "TRAINING_DATABASE_URL"),
        ("TRAINING_STORE", "TRAINING_MODEL_STORE"),
        ("training_crom", "TRAINING_CRON"),
    ],
)
def test_an_unknown_name_is_an_error_that_suggests_the_nearest(
    misspelt: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(misspelt, "hunter2")
    with pytest.raises(ConfigurationError, match=rf"^{misspelt} is no setting; did you mean {meant}\?") as raised:
        Environment.load()
    assert "hunter2" not in str(raised.value)


def test_an_empty_file_or_variable_is_not_set(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TRAINING_WORK", "TRAINING_HTTP_PORT", "TRAINING_MODEL_STORE"):
        (secrets / name).write_text("\n")
    monkeypatch.setenv("TRAINING_CRON", "")
    options = Environment.load()
    assert (options.work, options.http_port, options.model_store, options.cron) == (None, None, None, None)


def test_an_unknown_file_is_an_error_too(secrets: Path) -> None:
    (secrets / "TRAINING_DATABASEURL").write_text(URL)
    with pytest.raises(ConfigurationError, match=r"^TRAINING_DATABASEURL is .* TRAINING_DATABASE_URL\?"):
        Environment.load()


def test_names_of_the_worker_are_the_workers_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_XYZZY", "1")
    Environment.load()


@pytest.mark.parametrize(
    "line",
    [
        "labels stats",
        "models list",
        "models register folder",
        "retrain",
        "schedule",
        "labels forget --text x",
        "drift",
    ],
)
def test_every_command_that_needs_a_setting_refuses_a_misspelt_one(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TRAINING_DATABSE_URL", URL)
    assert run_command(app, str, line.split()) == 2
    told = capsys.readouterr()
    assert "TRAINING_DATABSE_URL is no setting; did you mean TRAINING_DATABASE_URL?" in told.out + told.err


def test_secrets_come_from_files_of_the_same_names(secrets: Path) -> None:
    (secrets / "TRAINING_DATABASE_URL").write_text(f"{URL}\n")
    assert connect().url.password == "hunter2"  # noqa: S105 - invented.


def test_the_workers_database_is_that_of_training_unless_it_has_its_own(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (secrets / "WORKER_DATABASE_URL").write_text(OTHER)
    assert Environment.load().url == OTHER
    monkeypatch.setenv("TRAINING_DATABASE_URL", "")
    assert Environment.load().url == OTHER
    monkeypatch.setenv("WORKER_DATABASE_URL", OTHER)
    (secrets / "TRAINING_DATABASE_URL").write_text(URL)
    assert Environment.load().url == URL, "its own comes first, wherever it is"


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, None),
        ("", None),
        ("seara/ru_go_emotions", ("seara/ru_go_emotions",)),
        ("a/set data/own", ("a/set", "data/own")),
    ],
)
def test_the_environment_names_public_sets(
    given: str | None, names: tuple[str, ...] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given is not None:
        monkeypatch.setenv("TRAINING_PUBLIC", given)
    assert Environment.load().public == names


def test_an_option_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINING_PUBLIC", "seara/ru_go_emotions")
    monkeypatch.setenv("TRAINING_MODEL_STORE", "s3://there")
    options = Environment.load(public=["data/one", "data/two"], model_store=None)
    assert options.public == ("data/one", "data/two")
    assert options.model_store == "s3://there"


def test_no_message_shows_a_secret() -> None:
    with pytest.raises(ConfigurationError, match=r"^TRAINING_DATABASE_URL: input should be") as raised:
        Environment.load(database_url=[URL])
    assert "hunter2" not in str(raised.value)


def test_a_schedule_needs_dates(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(app, str, ["schedule"]) == 2
    told = capsys.readouterr()
    assert "give --cron or TRAINING_CRON" in told.out + told.err
