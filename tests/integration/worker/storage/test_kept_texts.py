"""What rows keep of texts, and what scoring and labelling make of rows without: a whole worker, real services."""

import hashlib
import json
from typing import Any

import pytest
from commands import emotion_worker, told_error
from fakes import scores_of
from flow import Flow
from services import as_role, wait_for
from sqlalchemy import create_engine, select

from schemas.access import TRAINER
from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results
from training.errors import UnusableData
from training.labels.context import add_context
from training.labels.tasks import draw

pytestmark = pytest.mark.kafka

SAID = "мой телефон 8 916 123 45 67 и карта четыре два семь шесть"
STORED = "мой телефон [phone] и карта четыре два семь шесть"


def store(flow: Flow, **settings: str) -> dict[str, Any]:
    """Store a text through a worker with these settings, and return its row."""
    flow.publish_raw([json.dumps({"id": "one", "text": SAID, "session_id": "call"}).encode()])
    worker = flow.start(**settings)
    wait_for(flow.stored_to_the_end, "the row")
    assert worker.stop() == 0
    [row] = flow.rows()
    assert [row[emotion] for emotion in EMOTIONS] == pytest.approx(scores_of(SAID)), "the model reads all of the text"
    return row


@pytest.mark.parametrize(
    ("settings", "text", "hashed"),
    [
        ({}, SAID, None),
        ({"WORKER_REDACT": "card, phone,passport"}, STORED, None),
        ({"WORKER_STORE_TEXT": "hash", "WORKER_REDACT": "phone"}, None, STORED),
        ({"WORKER_STORE_TEXT": "hash"}, None, SAID),
        ({"WORKER_STORE_TEXT": "no"}, None, None),
    ],
)
def test_a_row_keeps_what_the_settings_say(
    flow: Flow, settings: dict[str, str], text: str | None, hashed: str | None
) -> None:
    row = store(flow, **settings)
    digest = hashed and hashlib.sha256(hashed.encode()).digest()
    assert (row["text"], row["text_hash"]) == (text, digest)


def test_rows_without_a_text_are_passed_over_by_scoring_and_labelling_with_a_clear_word(flow: Flow) -> None:
    store(flow, WORKER_STORE_TEXT="no")
    done = emotion_worker("rescore", "--since", "2000-01-01", "--model", "tiny", WORKER_MODEL="tiny", **flow.settings)
    assert (done.returncode, done.stdout) == (0, "scored 0 rows again\n"), done.stderr
    warned = [json.loads(line) for line in done.stderr.splitlines() if "texts were not kept" in line]
    assert [line["rows"] for line in warned] == [1]

    engine = create_engine(as_role(flow.url, TRAINER))
    with pytest.raises(UnusableData, match="Rows without a text are there: set WORKER_STORE_TEXT=yes"):
        draw(engine, "random", 10)
    flow.publish_raw([json.dumps({"id": "two", "text": "алло", "session_id": "call"}).encode()])
    worker = flow.start()
    flow.wait_for_rows(2)
    assert worker.stop() == 0
    [task] = draw(engine, "random", 10)
    add_context(engine, [task])
    assert (task["data"]["text"], task["data"]["previous_turns"]) == ("алло", "")
    with engine.connect() as connection:
        assert connection.scalars(select(emotion_results.c.text).order_by("transcript_id")).all() == [None, "алло"]
    engine.dispose()


def test_a_number_that_nobody_knows_is_refused() -> None:
    done = emotion_worker("run", WORKER_REDACT="card,passports")
    assert done.returncode == 2
    assert told_error(done.stderr).startswith("WORKER_REDACT: ")
