"""The command emotion-worker migrate."""

from worker.commands.settings import load_settings
from worker.storage.migrate import migrate as upgrade
from worker.storage.migrate import migrate_to


def migrate(*, to: str | None = None) -> None:
    """Bring the tables to a revision.

    Args:
        to: Revision to bring the tables to, such as 0004; base drops all tables. Without it, the newest. An older
            revision drops the tables and columns that it does not have, with all that they hold.
    """
    database_url = load_settings().required_database_url
    if to is None:
        upgrade(database_url)
        print("the database is up to date")  # noqa: T201 - the command's answer.
    else:
        migrate_to(database_url, to)
        print(f"the database is at {to}")  # noqa: T201 - the command's answer.
