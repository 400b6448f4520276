"""The tables as the migrations make them are the tables that the code works with."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flow import Flow
from services import PATIENCE_S, Postgres, wait_for
from sqlalchemy import Connection, Engine, create_engine, func, inspect, select, text
from sqlalchemy.exc import IntegrityError, ProgrammingError
from structlog.testing import capture_logs

from registry.postgres import Cancelled
from schemas.emotions import EMOTIONS
from schemas.tables import (
    emotion_results,
    labelled_texts,
    metadata,
    model_versions,
    shadow_results,
    training_runs,
)
from worker.errors import ConfigurationError
from worker.storage.migrate import _LOCK, _USABLE, _config, downgrade, migrate, migrate_to, require_migrated

VIEWS = ("session_emotions", "hourly_emotions")


@pytest.fixture
def empty_url(session_postgres: Postgres) -> Iterator[str]:
    """A database that was never migrated."""
    name = session_postgres.create_database()
    yield session_postgres.url(name)
    session_postgres.drop_database(name)


@pytest.fixture
def connection(postgres_url: str) -> Iterator[Connection]:
    """A connection to a database at the newest migration."""
    engine = create_engine(postgres_url)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def difference(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_server_default": True})
    return list(compare_metadata(context, metadata))


def result(transcript_id: str, *emotions: str, **columns: Any) -> dict[str, Any]:
    scores = {emotion: 0.9 if emotion in emotions else 0.1 for emotion in EMOTIONS}
    return {
        "transcript_id": transcript_id,
        "source": "hotline",
        "session_id": "call-1",
        "speaker": "customer",
        "text": "ну наконец то дозвонилась",
        "spoken_at": "2026-01-15T10:05:00+00:00",
        "emotions": list(emotions),
        **scores,
        "model_version": "1",
        "normalizer": "1",
        "kafka_topic": "transcripts",
        "kafka_partition": 0,
        "kafka_offset": 0,
        **columns,
    }


def test_the_migrated_tables_differ_in_nothing_from_the_codes_own(connection: Connection) -> None:
    assert difference(connection) == []


def test_every_constraint_of_the_code_is_in_the_database_too(connection: Connection) -> None:
    """Alembic's own comparison leaves out check constraints."""
    inspector = inspect(connection)
    for table in metadata.tables.values():
        wanted = {constraint.name for constraint in table.constraints} - {table.primary_key.name}
        assert {check["name"] for check in inspector.get_check_constraints(table.name)} == wanted


def test_every_table_view_and_column_says_what_it_holds(connection: Connection) -> None:
    uncommented = connection.execute(
        text("""
            SELECT relname, attname
            FROM pg_class
            JOIN pg_attribute ON attrelid = pg_class.oid AND attnum >= 0 AND NOT attisdropped
            WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') AND relname <> 'alembic_version'
              AND (col_description(attrelid, attnum) IS NULL OR obj_description(pg_class.oid, 'pg_class') IS NULL)
        """)
    )
    assert uncommented.all() == []


def test_down_to_nothing_and_up_again(empty_url: str) -> None:
    engine = create_engine(empty_url)
    migrate(empty_url)
    downgrade(empty_url)
    with engine.connect() as connection:
        inspector = inspect(connection)
        assert inspector.get_table_names() == ["alembic_version"]
        assert inspector.get_view_names() == []
    migrate(empty_url)
    with engine.connect() as connection:
        assert difference(connection) == []
        assert set(inspect(connection).get_view_names()) == set(VIEWS)
    engine.dispose()


def test_any_revision_is_reached_upwards_and_downwards(empty_url: str) -> None:
    for revision in ("0002", "0004", "0004", "0001", "base"):
        migrate_to(empty_url, revision)
        engine = create_engine(empty_url)
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        engine.dispose()
        assert (current or "base") == revision


def test_a_revision_that_does_not_exist_is_refused_with_those_that_do(empty_url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^there is no revision 4: take one of base, 0001, 0002, "):
        migrate_to(empty_url, "4")


def test_a_run_that_was_interrupted_has_failed_for_an_older_version(empty_url: str) -> None:
    migrate(empty_url)
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(training_runs.insert().values(state="interrupted"))
    downgrade(empty_url, "0001")
    with engine.connect() as connection:
        ((state, reason, finished_at),) = connection.execute(
            text("SELECT state, reason, finished_at FROM training_runs")
        )
        assert (state, reason) == ("failed", "it was interrupted")
        assert finished_at
        assert "shadow_results" not in inspect(connection).get_table_names()
    migrate(empty_url)
    with engine.connect() as connection:
        assert difference(connection) == []
    engine.dispose()


def test_rows_from_before_conventions_follow_the_public_one_and_none_of_them_is_written_for_that(
    empty_url: str,
) -> None:
    migrate(empty_url)
    downgrade(empty_url, "0005")
    engine = create_engine(empty_url)
    places = text("SELECT xmin::text, ctid::text FROM emotion_results ORDER BY transcript_id")
    newer = {"convention", "message_id", "part", "cut", "windows", "text_hash"}
    newer |= {"role", "language", "asr_confidence", "attributes", "not_scored"}
    old = [column for column in emotion_results.c if column.name not in newer]
    with engine.begin() as connection:
        connection.execute(emotion_results.insert(), [result("1"), result("2")])
    with engine.connect() as connection:
        before, lay = connection.execute(select(*old)).all(), connection.execute(places).all()
    migrate(empty_url)
    with engine.connect() as connection:
        assert connection.execute(select(*old)).all() == before
        assert connection.execute(places).all() == lay
        assert set(connection.execute(select(emotion_results.c.convention)).scalars()) == {"public"}
        assert difference(connection) == []
    engine.dispose()


def test_for_an_older_version_what_has_no_moment_was_said_when_its_row_was_written(empty_url: str) -> None:
    migrate(empty_url)
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(emotion_results.insert(), [result("1"), result("2", spoken_at=None)])
    downgrade(empty_url, "0003")
    with engine.connect() as connection:
        same = connection.execute(text("SELECT spoken_at = processed_at FROM emotion_results ORDER BY transcript_id"))
        assert same.scalars().all() == [False, True]
    migrate(empty_url)
    with engine.connect() as connection:
        assert difference(connection) == []
    engine.dispose()


def test_older_labels_came_in_when_they_were_given_and_get_an_origin(empty_url: str) -> None:
    """Anna's label without an origin is her last word on a text that she labelled as unknown before."""
    migrate(empty_url)
    downgrade(empty_url, "0002")
    engine = create_engine(empty_url)
    given = [
        ("ура", "joy", "", "02"),
        ("ура", "fear", "unknown", "01"),
        ("ой", "fear", "", "03"),
        ("а", "joy", "a", "04"),
    ]
    with engine.begin() as connection:
        for words, emotion, origin, day in given:
            connection.execute(
                text(
                    "INSERT INTO labelled_texts (text, emotions, origin, annotator, labelled_at) "
                    "VALUES (:words, ARRAY[:emotion], :origin, 'anna', CAST(:day AS timestamptz))"
                ),
                {"words": words, "emotion": emotion, "origin": origin, "day": f"2026-01-{day} 00:00Z"},
            )
    migrate(empty_url)
    with engine.connect() as connection:
        rows = connection.execute(labelled_texts.select().order_by("labelled_at")).all()
        assert [(row.text, row.emotions, row.origin) for row in rows] == [
            ("ура", ["joy"], "unknown"),
            ("ой", ["fear"], "unknown"),
            ("а", ["joy"], "a"),
        ]
        assert [row.imported_at for row in rows] == [row.labelled_at for row in rows]
        assert difference(connection) == []
    engine.dispose()


@pytest.mark.parametrize("prefix", ["postgresql://", "postgresql+psycopg://"])
def test_both_spellings_of_the_url_work_and_migrating_twice_does_no_harm(empty_url: str, prefix: str) -> None:
    url = empty_url.replace("postgresql+psycopg://", prefix)
    migrate(url)
    migrate(url)
    engine = create_engine(empty_url)
    require_migrated(engine)
    engine.dispose()


def test_two_processes_that_migrate_at_once_both_succeed(empty_url: str, tmp_path: Path) -> None:
    """They start while the test holds the lock, so that both wait for it; and in a folder without our files."""
    command = [sys.executable, "-c", f"from worker.storage.migrate import migrate; migrate({empty_url!r})"]
    waiting = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = :key AND NOT granted")
    engine = create_engine(empty_url)
    with engine.connect() as holder:
        holder.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        processes = [subprocess.Popen(command, cwd=tmp_path) for _ in range(2)]
        wait_for(lambda: holder.execute(waiting, {"key": _LOCK}).scalar() == 2, what="two processes in line")
        holder.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        holder.commit()  # An index waits for transactions that are older.
        assert [process.wait(PATIENCE_S) for process in processes] == [0, 0]
    require_migrated(engine)
    engine.dispose()


def test_a_missing_migration_is_named_with_the_command_that_brings_it(empty_url: str) -> None:
    engine = create_engine(empty_url)
    with pytest.raises(ConfigurationError, match=r"lacks migration \d{4}, it is at none: run `emotion-worker migrate`"):
        require_migrated(engine)
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused_with_words_that_fit(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{_USABLE.format('9999')}'"))
    attempts: list[Callable[[], None]] = [
        lambda: require_migrated(engine),
        lambda: migrate(postgres_url),
        lambda: downgrade(postgres_url),
    ]
    for attempt in attempts:
        with pytest.raises(ConfigurationError, match="at migration 9999, which this version does not know"):
            attempt()
    engine.dispose()


def test_a_migration_that_fails_lets_go_of_the_lock(empty_url: str) -> None:
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE emotion_results (in_the_way int)"))
    with pytest.raises(ProgrammingError, match="DuplicateTable"):
        migrate(empty_url)
    with engine.begin() as connection:
        assert connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _LOCK}).scalar()
        connection.execute(text("DROP TABLE emotion_results"))
    engine.dispose()
    migrate(empty_url)


def test_a_session_is_summed_up_a_speaker_at_a_time(connection: Connection) -> None:
    rows = [
        result("1", "anger", spoken_at="2026-01-15T10:05:00+00:00"),
        result("2", "anger", "sadness", anger=0.97, spoken_at="2026-01-15T10:06:00+00:00"),
        result("3", "neutral"),
        result("4", **dict.fromkeys(EMOTIONS)),
        result("5", "joy", speaker="agent", source="chat"),
        result("6", "joy", speaker="agent"),
        result("7", "joy", session_id=None),
    ]
    connection.execute(emotion_results.insert(), rows)
    agent, customer = connection.execute(text("SELECT * FROM session_emotions ORDER BY speaker")).mappings()
    assert (customer["speaker"], customer["source"], customer["segments"]) == ("customer", "hotline", 4)
    assert (customer["share_anger"], customer["share_sadness"], customer["share_joy"]) == (0.5, 0.25, 0)
    assert customer["peak_anger"] == pytest.approx(0.97)
    assert (customer["last_spoken_at"] - customer["first_spoken_at"]).total_seconds() == 60
    assert (agent["source"], agent["segments"], agent["share_joy"]) == (None, 2, 1)


def test_an_hour_has_a_row_for_each_source_and_emotion(connection: Connection) -> None:
    rows = [
        result("1", "anger", spoken_at="2026-01-15T10:05:00+00:00"),
        result("2", "anger", "sadness", spoken_at="2026-01-15T10:59:59+00:00"),
        result("3", "neutral", spoken_at="2026-01-15T10:30:00+00:00", source="chat"),
        result("4", "joy", spoken_at="2026-01-15T11:00:00+00:00"),
        result("5", spoken_at="2026-01-15T11:30:00+00:00"),
    ]
    connection.execute(emotion_results.insert(), rows)
    hours = connection.execute(text("SELECT * FROM hourly_emotions ORDER BY hour, source, emotion")).all()
    assert len(hours) == 3 * len(EMOTIONS)
    told = {
        (hour.hour.astimezone().timestamp() // 3600 % 24, hour.source, hour.emotion): tuple(hour[3:6])
        for hour in hours
        if hour.segments
    }
    assert told == {
        (10, "hotline", "anger"): (2, 2, 1.0),
        (10, "hotline", "sadness"): (1, 2, 0.5),
        (10, "chat", "neutral"): (1, 1, 1.0),
        (11, "hotline", "joy"): (1, 2, 0.5),
    }


def test_a_transcript_without_a_moment_counts_in_its_session_and_in_an_hour_of_its_own(connection: Connection) -> None:
    rows = [
        result("1", "anger", spoken_at=None),
        result("2", "anger"),
        result("3", session_id="call-2", spoken_at=None),
    ]
    connection.execute(emotion_results.insert(), rows)
    first, second = connection.execute(text("SELECT * FROM session_emotions ORDER BY session_id")).mappings()
    assert (first["segments"], second["segments"]) == (2, 1)
    assert first["first_spoken_at"] == first["last_spoken_at"] is not None
    assert second["first_spoken_at"] is second["last_spoken_at"] is None
    unknown = "SELECT segments, total_segments FROM hourly_emotions WHERE hour IS NULL AND emotion = 'anger'"
    assert connection.execute(text(unknown)).all() == [(1, 2)]


def test_the_views_keep_roles_apart_and_count_what_was_not_scored_by_itself(connection: Connection) -> None:
    scored = {"not_scored": None}
    unscored = {**dict.fromkeys(EMOTIONS), "not_scored": "language"}
    rows = [
        result("1", "anger", role="customer", **scored),
        result("2", role="customer", **scored),
        result("3", role="customer", **unscored),
        result("4", "joy", role="agent", speaker="Иванова", **scored),
        result("5", role="agent", speaker="Иванова", session_id="call-2", source="chat", **unscored),
    ]
    connection.execute(emotion_results.insert(), rows)
    columns = "session_id, role, segments, not_scored, share_anger, share_joy"
    sessions = connection.execute(text(f"SELECT {columns} FROM session_emotions ORDER BY 1, 2")).all()  # noqa: S608 - a constant.
    assert sessions == [
        ("call-1", "agent", 1, 0, 0, 1),
        ("call-1", "customer", 2, 1, 0.5, 0),
        ("call-2", "agent", 0, 1, None, None),
    ]
    hours = connection.execute(
        text(
            "SELECT source, role, segments, total_segments, not_scored, share FROM hourly_emotions "
            "WHERE emotion = 'anger' ORDER BY 1, 2"
        )
    ).all()
    assert hours == [
        ("chat", "agent", 0, 0, 1, None),
        ("hotline", "agent", 0, 1, 0, 0),
        ("hotline", "customer", 1, 2, 1, 0.5),
    ]


def test_on_the_way_down_the_views_are_as_the_older_version_made_them(empty_url: str) -> None:
    """Also their comments: a view that is made again has none of its own."""
    views = text("""
        SELECT relname, attname, pg_get_viewdef(pg_class.oid), obj_description(pg_class.oid, 'pg_class'),
               col_description(attrelid, attnum)
        FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'
    """)
    engine = create_engine(empty_url)
    found = []
    migrate_to(empty_url, "0008")
    for there_and_back in (False, True):
        if there_and_back:
            migrate(empty_url)
            downgrade(empty_url, "0008")
        with engine.connect() as connection:
            found.append(set(connection.execute(views).all()))
    engine.dispose()
    assert found[0] == found[1] != set()


def test_a_view_of_the_users_own_that_stands_on_ours_survives_the_way_up(empty_url: str) -> None:
    migrate_to(empty_url, "0008")
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        for made_on in VIEWS:
            connection.execute(text(f"CREATE VIEW of_{made_on} AS SELECT * FROM {made_on}"))  # noqa: S608 - a constant.
    migrate(empty_url)
    with engine.begin() as connection:
        connection.execute(emotion_results.insert(), [result("1", "anger", role="customer")])
        assert connection.execute(text("SELECT peak_anger FROM of_session_emotions")).scalars().all() == [
            pytest.approx(0.9)
        ]
        assert connection.execute(text("SELECT sum(segments) FROM of_hourly_emotions")).scalar_one() == 1
    engine.dispose()


@pytest.mark.parametrize(
    ("label", "constraint"),
    [
        ({"emotions": ["boredom"], "annotated": ["boredom"]}, "known_emotions"),
        ({"emotions": [None]}, "emotions_annotated"),
        ({"emotions": [], "annotated": ["anger", "boredom"]}, "known_emotions"),
        ({"emotions": ["joy"], "annotated": ["anger"]}, "emotions_annotated"),
        ({"emotions": ["joy"], "text": ""}, "text_not_empty"),
        ({"emotions": ["joy"], "origin": ""}, "origin_not_empty"),
    ],
)
def test_labels_that_make_no_sense_are_refused(connection: Connection, label: dict[str, Any], constraint: str) -> None:
    sane = {"text": "ура", "origin": "review"}
    with pytest.raises(IntegrityError, match=constraint):
        connection.execute(labelled_texts.insert().values(sane | label))


def test_one_annotator_labels_a_text_once_and_may_be_unsure_of_some_emotions(connection: Connection) -> None:
    label = {"text": "ура", "emotions": ["joy"], "origin": "review", "annotator": "anna"}
    connection.execute(labelled_texts.insert().values(label))
    connection.execute(labelled_texts.insert().values(label | {"annotator": "boris", "annotated": ["joy", "anger"]}))
    first, second = connection.execute(labelled_texts.select().order_by("id")).all()
    assert (first.annotated, second.annotated) == (list(EMOTIONS), ["joy", "anger"])
    with pytest.raises(IntegrityError, match="uq_labelled_texts_text_origin_annotator"):
        connection.execute(labelled_texts.insert().values(label))


def test_there_is_one_champion_at_most_and_no_unknown_state(connection: Connection) -> None:
    model = {"location": "models/a", "metrics": {}, "data_fingerprint": "f", "base_model": "b"}
    connection.execute(model_versions.insert().values(model | {"version": "1", "state": "champion"}))
    connection.execute(model_versions.insert().values(model | {"version": "2", "state": "retired"}))
    for second, constraint in (("champion", "uq_model_versions_champion"), ("best", "known_state")):
        with pytest.raises(IntegrityError, match=constraint), connection.begin_nested():
            connection.execute(model_versions.insert().values(model | {"version": "3", "state": second}))
    with pytest.raises(IntegrityError, match="known_state"):
        connection.execute(training_runs.insert().values(state="perhaps"))


def test_each_candidate_scores_a_transcript_once_beside_the_others(connection: Connection) -> None:
    row = {"transcript_id": "1", "source": "hotline", "emotions": ["joy"], **dict.fromkeys(EMOTIONS, 0.5)}
    for version in ("1", "2"):
        connection.execute(shadow_results.insert().values(row | {"model_version": version}))
    with pytest.raises(IntegrityError, match="pk_shadow_results"):
        connection.execute(shadow_results.insert().values(row | {"model_version": "2"}))


def test_old_rows_without_a_source_get_their_topics_name_and_the_way_down_keeps_one_row_an_id(empty_url: str) -> None:
    migrate(empty_url)
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        for name in ("1", "2", "3"):
            connection.execute(emotion_results.insert().values(result(name, text="прежде")))
            scored = {"transcript_id": name, "source": "hotline", "model_version": "m", "emotions": []}
            connection.execute(shadow_results.insert().values(scored | dict.fromkeys(EMOTIONS, 0.5)))
            label = {"text": name, "emotions": ["joy"], "origin": "review", "transcript_id": name}
            connection.execute(labelled_texts.insert().values(label))
    downgrade(empty_url, "0004")
    with engine.begin() as connection:
        for name, source in (("1", None), ("2", "")):
            values = {"name": name, "source": source}
            connection.execute(text("UPDATE emotion_results SET source = :source WHERE transcript_id = :name"), values)
    migrate(empty_url)
    wanted = {("1", "transcripts"), ("2", "transcripts"), ("3", "hotline")}
    with engine.begin() as connection:
        assert difference(connection) == []
        for table in (emotion_results, shadow_results, labelled_texts):
            assert set(connection.execute(select(table.c.transcript_id, table.c.source)).all()) == wanted
        assert set(connection.scalars(select(emotion_results.c.kafka_timestamp))) == {-1}
        connection.execute(emotion_results.insert().values(result("1", text="позже", kafka_timestamp=7)))
    downgrade(empty_url, "0004")
    with engine.begin() as connection:
        rows = connection.execute(text("SELECT transcript_id, text FROM emotion_results ORDER BY 1")).all()
        assert [tuple(row) for row in rows] == [("1", "позже"), ("2", "прежде"), ("3", "прежде")]
    migrate(empty_url)
    with engine.connect() as connection:
        assert difference(connection) == []
    engine.dispose()


def test_on_the_way_down_labels_and_scores_of_a_row_that_goes_do_not_pass_to_the_row_that_stays(empty_url: str) -> None:
    migrate(empty_url)
    engine = create_engine(empty_url)
    with engine.begin() as connection:
        for moment, source in enumerate(("hotline", "taxi")):
            connection.execute(emotion_results.insert().values(result("1", source=source, kafka_timestamp=moment)))
            label = {"text": source, "emotions": [], "origin": "review", "transcript_id": "1", "source": source}
            connection.execute(labelled_texts.insert().values(label))
        for scored_at, source in (("2026-02-01", "hotline"), ("2026-01-01", "taxi")):
            scored = {"transcript_id": "1", "source": source, "model_version": "m", "emotions": [source]}
            scored |= {"scored_at": datetime.fromisoformat(scored_at)}
            connection.execute(shadow_results.insert().values(scored | dict.fromkeys(EMOTIONS, 0.5)))
    downgrade(empty_url, "0004")
    with engine.connect() as connection:
        assert connection.scalars(text("SELECT source FROM emotion_results")).all() == ["taxi"]
        assert connection.scalars(text("SELECT emotions FROM shadow_results")).all() == [["taxi"]]
        labels = connection.execute(text("SELECT text, transcript_id FROM labelled_texts ORDER BY text")).all()
    engine.dispose()
    assert [tuple(row) for row in labels] == [("hotline", None), ("taxi", "1")]


def test_two_sources_may_use_one_id(connection: Connection) -> None:
    connection.execute(emotion_results.insert(), [result("1"), result("1", source="taxi")])
    with pytest.raises(IntegrityError, match="pk_emotion_results"):
        connection.execute(emotion_results.insert(), [result("1")])


def add_a_column(engine: Engine, oldest_code: str) -> None:
    """Migrate as the next version would: to a revision that this one does not know."""
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE emotion_results ADD COLUMN mood text DEFAULT 'none'"))
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text(f"COMMENT ON TABLE alembic_version IS '{_USABLE.format(oldest_code)}'"))


def test_this_version_works_on_the_tables_of_the_next_that_only_adds_to_them(flow: Flow, postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    head = ScriptDirectory.from_config(_config()).get_current_head()
    add_a_column(engine, head or "")
    migrate(postgres_url)
    with pytest.raises(ConfigurationError, match="at migration 9999, which this version does not know"):
        migrate_to(postgres_url, "0004")
    flow.publish(20)
    flow.start()
    flow.wait_for_rows(20)
    flow.assert_each_once()
    engine.dispose()


def test_tables_of_a_later_version_that_do_more_than_add_are_refused(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    add_a_column(engine, "9998")
    for attempt in (lambda: require_migrated(engine), lambda: migrate(postgres_url)):
        with pytest.raises(ConfigurationError, match="at migration 9999, which this version does not know"):
            attempt()
    engine.dispose()


def test_the_database_tells_the_oldest_code_that_can_use_it(empty_url: str) -> None:
    engine = create_engine(empty_url)
    told = text("SELECT obj_description('alembic_version'::regclass)")
    for revision, oldest in (("0005", "0005"), ("0009", "0006"), ("0006", "0006")):
        migrate_to(empty_url, revision)
        with engine.connect() as connection:
            assert connection.scalar(told) == _USABLE.format(oldest)
    engine.dispose()


def test_a_migration_holds_nobody_up_while_another_session_has_the_table(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query of the table that comes after the migration has begun is answered while the first one goes on."""
    monkeypatch.setattr("worker.storage.migrate._LOCK_TIMEOUT_MS", 200)
    migrate_to(empty_url, "0005")
    engine = create_engine(empty_url)
    with engine.connect() as holder, ThreadPoolExecutor(1) as pool, capture_logs() as lines:
        holder.execute(text("SELECT count(*) FROM emotion_results"))
        migrating = pool.submit(migrate, empty_url)
        wait_for(lambda: any("trying again" in line["event"] for line in lines), what="a try that gave up")
        with engine.connect() as reader:
            assert reader.scalar(text("SELECT count(*) FROM emotion_results")) == 0
        assert not migrating.done()
        holder.rollback()
        migrating.result(timeout=PATIENCE_S)
    require_migrated(engine)
    engine.dispose()


def test_indexes_of_a_live_table_are_made_while_workers_write_and_again_where_a_build_was_cut_off(
    empty_url: str,
) -> None:
    """The build waits for a transaction that wrote before; those that come later write meanwhile."""
    building = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND state = 'active'"
    valid = "SELECT indisvalid FROM pg_index WHERE indrelid = 'emotion_results'::regclass"
    migrate(empty_url)
    engine = create_engine(empty_url)
    # As before the index: a revision that alters the table would wait for the holder, too.
    with engine.begin() as connection:
        connection.execute(text("DROP INDEX ix_emotion_results_processed_at"))
    with engine.connect() as holder, ThreadPoolExecutor(1) as pool:
        holder.execute(emotion_results.insert(), [result("1")])
        migrating = pool.submit(migrate, empty_url)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
            pid = wait_for(lambda: other.scalar(text(building)), what="an index that is being made")
            other.execute(emotion_results.insert(), [result("2")])
            assert not migrating.done()
            other.execute(text("SELECT pg_cancel_backend(:pid)"), {"pid": pid})
            with pytest.raises(Cancelled):
                migrating.result(PATIENCE_S)
        holder.commit()
    with engine.connect() as connection:
        assert set(connection.scalars(text(valid))) == {True, False}
    migrate(empty_url)
    with engine.connect() as connection:
        assert set(connection.scalars(text(valid))) == {True}
        assert difference(connection) == []
        assert connection.scalar(select(func.count()).select_from(emotion_results)) == 2
    engine.dispose()


def test_hours_are_the_same_in_every_time_zone(connection: Connection) -> None:
    connection.execute(emotion_results.insert(), [result("1", spoken_at="2026-01-15T10:35:00+00:00")])
    hours = []
    for zone in ("UTC", "Asia/Kolkata"):
        connection.execute(text(f"SET LOCAL TIME ZONE '{zone}'"))
        hours += connection.scalars(text("SELECT DISTINCT hour FROM hourly_emotions")).all()
    assert hours[0] == hours[1]
