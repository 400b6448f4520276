"""What an operator sets for training: environment variables, or files of their names in /run/secrets."""

from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, SecretStr, model_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from registry.settings import EnvironmentSettings

PREFIX: Final = "TRAINING_"

ByWord = BeforeValidator(lambda value: value.split() if isinstance(value, str) else value)


class Environment(EnvironmentSettings):
    """Settings of `emotion-training`; an option of a command comes before its variable, and an empty one is not set."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)

    database_url: SecretStr | None = None
    """Postgres, as postgresql://user:password@host/database; sslmode and the like may follow. Without it,
    WORKER_DATABASE_URL."""

    # The worker's own, which its table describes.
    worker_database_url: SecretStr | None = Field(None, validation_alias="WORKER_DATABASE_URL")

    model_store: str | None = None
    """Folder or URL of the bundles, where the workers find them; without it, the folder `models` in TRAINING_WORK."""

    work: Path | None = None
    """Folder for what a run has on the disk, for the last snapshot and for the reports; without it, `runs`."""

    public: Annotated[tuple[str, ...] | None, NoDecode, ByWord] = None
    """Sets on whose published validation rows champion and candidate are compared too: folders, files or hub names with
    spaces between."""

    cron: str | None = None
    """When `schedule` retrains: minute, hour, day of the month, month, day of the week, as in crontab(5)."""

    timezone: str | None = None
    """Time zone of these dates, such as Europe/Moscow; without it, this machine's."""

    http_host: str = "127.0.0.1"
    """Address of the metrics server of `schedule`."""

    http_port: Annotated[int, Field(ge=0, le=65_535)] | None = None
    """Port of `schedule`: /metrics for Prometheus, and once a day a comparison of the results as `drift` makes it. 0
    takes any free one and logs it; without it, neither is done."""

    @model_validator(mode="before")
    @classmethod
    def _pass_over_empty_files(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Leave out what is empty; `env_ignore_empty` does so for the environment alone."""
        return {name: value for name, value in given.items() if value != ""}

    @property
    def url(self) -> str | None:
        """URL of the database, if any is set."""
        given = self.database_url or self.worker_database_url
        return given.get_secret_value() if given else None
