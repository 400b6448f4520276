"""What people said stands in rows and dead letters, and in no log line or trace."""

import json

import pytest
from flow import Flow
from services import wait_for

pytestmark = pytest.mark.kafka

MARK = "секретное слово"


def message(text: str) -> bytes:
    return json.dumps({"text": text}, ensure_ascii=False).encode()


def test_no_failure_shows_a_text_in_the_workers_output(flow: Flow) -> None:
    flow.query("""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN
            IF new.text LIKE 'запрет%' THEN RAISE EXCEPTION 'refused: %', new.text; END IF;
            IF new.text LIKE 'число%' THEN PERFORM CAST(new.text AS int); END IF;
            RETURN new;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON emotion_results FOR EACH ROW EXECUTE FUNCTION refuse()
    """)
    flow.publish(20)
    flow.publish_raw(message(f"{kind} {MARK}") for kind in ("отказ", "запрет", "число"))
    flow.publish_raw([f'{{"text": "{MARK}'.encode(), json.dumps({"text": [MARK]}, ensure_ascii=False).encode()])
    worker = flow.start()
    wait_for(lambda: len(worker.said("record went to the dead letters")) >= 5, "the dead letters")
    wait_for(flow.stored_to_the_end, "the end of the log")

    # A fault that nobody knows ends the worker in a trace.
    flow.publish_raw([message(f"взрыв {MARK}")])
    assert worker.wait() == 1

    said = worker.output()
    assert "KeyError" in said
    assert "Traceback" in said
    assert MARK not in said
    reasons = {line["reason"] for line in worker.said("record went to the dead letters")}
    assert {"RejectedData: ValueError", "RejectedData: RaiseException"} <= reasons
