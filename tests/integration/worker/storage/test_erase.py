"""What was erased is gone, and neither a replay, an import nor a shadow brings it back: on a real Postgres."""

import re
import threading
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from chunks import Message, message, tombstone
from labelling import label
from places import ROOT
from services import PATIENCE_S, engine_fixture, wait_for
from sqlalchemy import Engine, event, select, text
from stored import Store, stored_fixture

from registry.erasures import Erasure
from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results, erasures, forgotten_labels, labelled_texts, shadow_results
from training.labels.table import Stored
from training.labels.table import store as import_labels
from worker.errors import ConfigurationError
from worker.inference.assign import Scored
from worker.records import Identity
from worker.storage.database import connect
from worker.storage.delete_messages import Gone
from worker.storage.erase import erase
from worker.storage.scores import ShadowStore

APRIL, MAY, JUNE = (datetime(2026, month, 1, tzinfo=UTC) for month in (4, 5, 6))

engine = engine_fixture(connect, "test")
stored = stored_fixture()


def spoken(*ids: str, first: int = 0, **fields: Any) -> list[Message]:
    """Records of the given ids, from an offset on, said in April."""
    said = {"spoken_at": APRIL.isoformat(), "source": "hotline", **fields}
    return [message(offset, f"слова {name}", id=name, **said) for offset, name in enumerate(ids, first)]


def call(offset: int, name: str, **fields: Any) -> Message:
    segments = [{"text": each} for each in ("алло", "слушаю вас", "до свидания")]
    return message(offset, "алло слушаю вас до свидания", id=name, segments=segments, source="hotline", **fields)


def ids(engine: Engine, table: Any = emotion_results) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(select(table.c.transcript_id)))


def shadow(engine: Engine, *names: str) -> None:
    scored = [Scored(Identity(name, "hotline"), ["joy"], [0.5] * len(EMOTIONS), 1) for name in names]
    ShadowStore(engine).write("candidate", "public", scored)


def done(engine: Engine, **what: Any) -> Gone:
    return erase(engine, Erasure(**what), threading.Event())


def label_texts(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.scalars(select(labelled_texts.c.text)))


def test_a_session_goes_with_all_that_was_made_of_it_and_no_replay_brings_it_back(
    engine: Engine, stored: Store
) -> None:
    records = [*spoken("a-1", "a-2", session_id="a"), *spoken("b-1", session_id="b", first=2)]
    stored(*records)
    shadow(engine, "a-1", "b-1")
    import_labels(
        engine,
        [
            label("слова a-1", "joy", transcript_id="a-1"),
            label("из таблицы", "joy", session_id="a"),
            label("слова b-1", "joy", transcript_id="b-1"),
        ],
    )
    assert done(engine, session="a", by="officer") == Gone(2, 1, 2)
    assert (ids(engine), ids(engine, shadow_results), label_texts(engine)) == (["b-1"], ["b-1"], ["слова b-1"])
    with engine.connect() as connection:
        [noted] = connection.execute(select(forgotten_labels))
        [mark] = connection.execute(select(erasures))
    assert (noted.kind, noted.labels, noted.texts, noted.forgotten_by) == ("erase: session", 2, 2, "officer")
    assert (mark.source, mark.said_before, mark.erased_by, len(mark.digest)) == (None, None, "officer", 32)

    again = stored(*records, group="replay")
    assert (again.written.erased, again.written.rows, again.rejected) == (2, 1, [])
    later = stored(*spoken("a-3", session_id="a", first=3), group="group")
    assert later.written.erased == 1
    assert ids(engine) == ["b-1"]
    assert done(engine, session="a") == Gone()
    with engine.connect() as connection:
        assert len(connection.execute(select(erasures)).all()) == 1


def test_a_transcript_goes_with_all_parts_of_its_message(engine: Engine, stored: Store) -> None:
    records = [call(0, "one", session_id="s"), call(1, "two", session_id="s")]
    stored(*records)
    shadow(engine, "one#0002")
    about_a_part = label("слушаю вас", "joy", transcript_id="one#0002")
    import_labels(engine, [about_a_part])
    assert done(engine, transcript="one") == Gone(3, 1, 1)
    again = stored(*records, group="replay")
    assert (again.written.erased, again.written.rows) == (1, 3)
    assert ids(engine) == ["two", "two#0002", "two#0003"]
    assert import_labels(engine, [about_a_part]) == Stored(0, 0, 0, erased=1)
    with pytest.raises(ConfigurationError, match="part of a message: erase all of it, by --transcript two"):
        done(engine, transcript="two#0002")


def test_what_was_said_before_a_time_goes_and_later_words_stay(engine: Engine, stored: Store) -> None:
    untimed = message(2, "никто не знает когда", id="untimed", source="hotline")._replace(timestamp=-1)
    records = [*spoken("old"), *spoken("new", first=1, spoken_at=JUNE.isoformat()), untimed]
    stored(*records)
    labels = [label("слова old", "joy", transcript_id="old"), label("слова new", "joy", transcript_id="new")]
    import_labels(engine, labels)
    with engine.begin() as connection:
        connection.execute(text("UPDATE emotion_results SET processed_at = '2026-04-02' WHERE spoken_at IS NULL"))
    assert done(engine, before=MAY) == Gone(2, 0, 1)
    assert (ids(engine), label_texts(engine)) == (["new"], ["слова new"])
    assert stored(*records, group="replay").written.erased == 2
    assert import_labels(engine, labels) == Stored(0, 0, 1, erased=1)
    assert ids(engine) == ["new"]


def test_a_source_and_a_time_narrow_what_goes(engine: Engine, stored: Store) -> None:
    late = spoken("late", session_id="s", first=2, spoken_at=JUNE.isoformat())
    records = [*spoken("here", session_id="s"), *spoken("there", session_id="s", first=1, source="taxi"), *late]
    stored(*records)
    assert done(engine, session="s", source="hotline", before=MAY) == Gone(1, 0, 0)
    assert stored(*records, group="replay").written.erased == 1
    assert ids(engine) == ["late", "there"]


def test_a_dry_run_counts_and_changes_nothing(engine: Engine, stored: Store) -> None:
    records = spoken("a-1", "a-2", session_id="a")
    stored(*records)
    shadow(engine, "a-1")
    import_labels(engine, [label("слова a-1", "joy", transcript_id="a-1")])
    assert erase(engine, Erasure(session="a"), threading.Event(), dry_run=True) == Gone(2, 1, 1)
    assert stored(*records, group="replay").written.rows == 2


def test_a_dry_run_counts_the_parts_of_messages_that_began_before_a_time(engine: Engine, stored: Store) -> None:
    stored(call(0, "one", spoken_at=APRIL.isoformat()), call(1, "two", spoken_at=JUNE.isoformat()))
    shadow(engine, "one#0002", "two#0002")
    what = Erasure(before=MAY)
    assert erase(engine, what, threading.Event(), dry_run=True) == erase(engine, what, threading.Event()) == Gone(3, 1)


def test_what_is_being_stored_is_erased_too(engine: Engine, stored: Store, postgres_url: str) -> None:
    """A transaction that has looked for marks and not yet ended makes the mark wait."""
    other = connect(postgres_url, "eraser")
    eraser = threading.Thread(target=lambda: done(other, session="a"))

    def waits() -> bool:
        with other.connect() as connection:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            return bool(connection.scalar(text(waiting)))

    def meanwhile() -> None:
        eraser.start()
        wait_for(waits, "the mark to wait for the transaction")

    stored(*spoken("a-1", session_id="a"), meanwhile=meanwhile)
    eraser.join(PATIENCE_S)
    other.dispose()
    assert ids(engine) == []


def test_a_tombstone_takes_the_shadows_rows_with_it(engine: Engine, stored: Store) -> None:
    stored(call(0, "one"), *spoken("two", first=1))
    shadow(engine, "one", "one#0002", "two")
    stored(tombstone(2, b"one"), delete=True)
    assert (ids(engine), ids(engine, shadow_results)) == (["two"], ["two"])


def test_an_erasure_is_taken_back_as_the_document_says(engine: Engine, stored: Store) -> None:
    records = spoken("a-1", session_id="call-17")
    stored(*records)
    done(engine, session="call-17")
    page = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8")
    (statement,) = re.findall(r'-c "(DELETE FROM erasures .*)"$', page, re.MULTILINE)
    with engine.begin() as connection:
        assert connection.exec_driver_sql(statement).rowcount == 1
    assert stored(*records, group="replay").written.rows == 1


def test_the_shadow_writes_nothing_of_rows_that_are_gone(engine: Engine, stored: Store) -> None:
    stored(*spoken("a-1", session_id="a"), *spoken("b-1", session_id="b", first=1))
    done(engine, session="a")
    shadow(engine, "a-1", "b-1")
    assert ids(engine, shadow_results) == ["b-1"]


def test_scores_that_the_shadow_writes_meanwhile_are_erased_too(
    engine: Engine, stored: Store, postgres_url: str
) -> None:
    stored(*spoken("a-1", session_id="a"))
    other = connect(postgres_url, "eraser")
    eraser = threading.Thread(target=lambda: done(other, session="a"))

    def before_the_commit(_: Any) -> None:
        eraser.start()
        wait_for(partial(_is_waiting, other), "the deletion to wait for the shadow")

    event.listen(engine, "commit", before_the_commit, once=True)
    shadow(engine, "a-1")
    eraser.join(PATIENCE_S)
    other.dispose()
    assert (ids(engine), ids(engine, shadow_results)) == ([], [])


def _is_waiting(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")))
