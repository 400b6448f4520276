"""A repair is the operator's own command: what it prints counts, and where it fails it says why."""

import pytest

from worker.dead_letters.repair import RepairFailed, by_command


def test_a_message_goes_through_the_command() -> None:
    assert by_command("sed s/txt/text/")(b'{"txt": "\xff"}') == b'{"text": "\xff"}'


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("echo no >&2; echo 'bad key' >&2; exit 3", "exit code 3: bad key"),
        ("exit 1", "exit code 1: it says nothing"),
        ("no-such-command-at-all", "exit code 127: .*not found"),
        ("cat > /dev/null", "printed nothing"),
    ],
)
def test_a_command_that_makes_nothing_says_why(command: str, reason: str) -> None:
    with pytest.raises(RepairFailed, match=reason):
        by_command(command)(b"message")
