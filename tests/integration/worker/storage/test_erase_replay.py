"""A topic that is read again brings nothing back of what was erased: real Kafka, a whole worker, the command."""

import json

import pytest
from commands import emotion_worker, told_error
from flow import Flow
from probe import Probe
from services import as_role, wait_for

from schemas.access import MIGRATOR

pytestmark = pytest.mark.kafka


def transcript(session: str, number: int) -> bytes:
    said = {"text": f"{session} {number}", "session_id": session}
    return json.dumps(said | ({"id": f"{session}-{number}"} if number % 2 else {})).encode()


def test_a_replay_of_the_topic_brings_no_erased_row_back(flow: Flow) -> None:
    flow.publish_raw(transcript(session, number) for session in ("gone", "kept") for number in range(50))
    worker = flow.start()
    flow.wait_for_rows(100)
    unnamed = next(row["transcript_id"] for row in flow.rows() if row["text"] == "kept 0")
    owner = flow.settings | {"WORKER_DATABASE_URL": as_role(flow.url, MIGRATOR)}
    for what, rows in ((("--session", "gone"), 50), (("--transcript", unnamed), 1)):
        would = emotion_worker("erase", *what, "--dry-run", **owner)
        assert would.stdout.startswith(f"{rows} rows, 0 shadow rows and 0 labels would go\n"), would.stderr
        done = emotion_worker("erase", *what, **owner)
        assert done.stdout.startswith(f"{rows} rows, 0 shadow rows and 0 labels are erased\n"), done.stderr
        for place in (flow.topic, "dead-letters", "backups", "Label Studio", "docs/privacy.md"):
            assert place in done.stdout
    assert worker.stop() == 0

    again = flow.start(WORKER_KAFKA_GROUP_ID=f"{flow.group}-replay")
    wait_for(lambda: Probe(again).metrics()["emotion_records_total",] == 100, what="the replay")
    assert Probe(again).metrics()["emotion_erased_records_total",] == 51
    assert sorted(row["text"] for row in flow.rows()) == sorted(f"kept {number}" for number in range(1, 50))
    assert flow.dead_letters() == []
    assert again.stop() == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "erase: say what goes, by --session, --transcript or --before"),
        (("--source", "hotline"), "erase: say what goes"),
        (("--session", "s", "--transcript", "t"), "erase: name a session or a transcript"),
        (("--session", ""), "erase: --session is empty"),
        (("--before", "9000-01-01"), "erase: --before lies in the future"),
    ],
)
def test_what_says_too_little_or_too_much_erases_nothing(words: tuple[str, ...], why: str) -> None:
    done = emotion_worker("erase", *words, WORKER_DATABASE_URL="postgresql://nobody@localhost:1/none")
    assert done.returncode == 2
    assert told_error(done.stderr).startswith(why)
