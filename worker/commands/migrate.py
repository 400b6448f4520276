"""The command emotion-worker migrate."""

from schemas.access import MIGRATOR, READER, TRAINER, WORKER
from worker.commands.settings import load_settings
from worker.errors import ConfigurationError
from worker.settings import Settings
from worker.storage.migrate import apply_roles, migrate_to
from worker.storage.migrate import migrate as upgrade


def migrate(*, to: str | None = None, roles: bool = False) -> None:
    """Bring the tables to a revision.

    Args:
        to: Revision to bring the tables to, such as 0004; base drops all tables. Without it, the newest. An older
            revision drops the tables and columns that it does not have, with all that they hold.
        roles: Make the roles emotions_migrator, emotions_worker, emotions_trainer and emotions_reader too, and let each
            do what it may.
    """
    if roles and to is not None:
        raise ConfigurationError("--roles is for the newest tables: leave out --to")
    settings = load_settings()
    database_url = settings.required_database_url
    if to is None:
        upgrade(database_url)
        print("the database is up to date")  # noqa: T201 - the command's answer.
    else:
        migrate_to(database_url, to)
        print(f"the database is at {to}")  # noqa: T201 - the command's answer.
    if roles:
        apply_roles(database_url, _passwords(settings))
        print("each role may do what it is for")  # noqa: T201 - the command's answer.


def _passwords(settings: Settings) -> dict[str, str]:
    given = {
        MIGRATOR: settings.database_migrator_password,
        WORKER: settings.database_worker_password,
        TRAINER: settings.database_trainer_password,
        READER: settings.database_reader_password,
    }
    return {role: password.get_secret_value() for role, password in given.items() if password}
