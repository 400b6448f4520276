"""The commands emotion-worker dead-letters ..."""

from typing import Annotated

from cyclopts import Parameter

from worker.commands.settings import load_kafka_settings
from worker.dead_letters.read import describe_letter, read_dead_letters
from worker.dead_letters.repair import by_command
from worker.dead_letters.replay import replay_dead_letters
from worker.dead_letters.selection import EVERY, Selection

Which = Annotated[Selection, Parameter(name="*")]


def list_(*, waiting: bool = False, which: Which = EVERY) -> None:
    """List the dead letters.

    Args:
        waiting: Only those that were not replayed.
        which: Only those that fit all of it.
    """
    for letter in read_dead_letters(load_kafka_settings(), which):
        if not waiting or letter.replayed_at is None:
            print(describe_letter(letter))  # noqa: T201 - the command's answer.


def replay(*, repair: str | None = None, dry_run: bool = False, which: Which = EVERY) -> None:
    """Publish dead letters again.

    Args:
        repair: A shell command that reads a message on stdin and prints the repaired one.
        dry_run: Show what would be published, and publish nothing.
        which: Only those that fit all of it.
    """
    mend = by_command(repair) if repair else None
    done = replay_dead_letters(load_kafka_settings(), which, mend, dry_run=dry_run, tell=print)
    verb = "would publish" if dry_run else "published"
    print(f"{verb} {done.published} messages again, left {done.left} where they are")  # noqa: T201 - the command's answer.
