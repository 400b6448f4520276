"""Every query of both dashboards, asked of a real database as Grafana asks it; what each answers is known."""

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import psycopg
import pytest
from places import ROOT

from schemas.emotions import EMOTIONS

FOLDER: Final = ROOT / "deploy" / "observability" / "grafana"

# What Grafana's macros and variables stand for; source: its documentation of the PostgreSQL data source and of
# variable syntax.
MACROS: Final = {
    r"\$__timeFilter\((\w+)\)": r"\1 BETWEEN now() - interval '1 day' AND now()",
    r"\$__timeGroup\((\w+), \$__interval\)": r"floor(extract(epoch FROM \1) / 3600) * 3600",
    # Grafana itself quotes a variable of several values, so quotes around it would be two.
    r"\$\{source:sqlstring\}": "'calls'",
    r"\$source": "'calls', 'desk'",
    r"\$role": "'agent', 'customer', '-'",
    r"\$\{session:sqlstring\}": "'c-1'",
}

# Call c-1 of two hours: an agent, and a customer who is angry, sad and glad in the end; c-2 of somebody unknown.
ROWS: Final = """
INSERT INTO emotion_results (transcript_id, source, session_id, segment, role, text, spoken_at, emotions, anger,
    disgust, fear, joy, sadness, surprise, neutral, not_scored, model_version, convention, normalizer, kafka_topic,
    kafka_partition, kafka_offset)
SELECT id, source, session, segment, role, id, date_trunc('hour', now()) - make_interval(hours => hours), emotions,
    anger, 0.1 + 0 * anger, fear, joy, sadness, 0.1 + 0 * anger, 0.1 + 0 * anger, not_scored, model, 'calls', 'n', 't',
    0, 0
FROM (VALUES
    ('a', 'calls', 'c-1', 1, 'agent', 2, '{neutral}'::text[], 0.1, 0.1, 0.1, 0.1, NULL, 'one'),
    ('b', 'calls', 'c-1', 2, 'customer', 2, '{anger}', 0.9, 0.1, 0.1, 0.1, NULL, 'one'),
    ('c', 'calls', 'c-1', 3, 'customer', 2, '{sadness}', 0.1, 0.1, 0.1, 0.6, NULL, 'one'),
    ('d', 'calls', 'c-1', 4, 'customer', 1, '{joy}', 0.1, 0.2, 0.8, 0.1, NULL, 'two'),
    ('e', 'desk', 'c-2', 1, NULL, 1, '{fear}', 0.1, 0.7, 0.1, 0.1, NULL, 'two'),
    ('f', 'desk', 'c-3', 1, 'customer', 1, '{}', NULL, NULL, NULL, NULL, NULL, 'two'),
    ('g', 'calls', 'c-4', 1, 'customer', 1, '{}', NULL, NULL, NULL, NULL, 'language', 'two')
) AS rows (id, source, session, segment, role, hours, emotions, anger, fear, joy, sadness, not_scored, model);
INSERT INTO labelled_texts (text, emotions, origin) VALUES ('рада', '{joy}', 'table'), ('злюсь', '{anger}', 'table');
INSERT INTO model_versions (version, state, location, metrics, data_fingerprint, base_model, created_at, promoted_at)
VALUES ('one', 'champion', '/models/one', '{"as_served": {"weighted_f1": 0.7}}', 'f', 'b', now() - interval '1 hour',
        now() - interval '1 minute');
UPDATE labelled_texts SET labelled_at = now() - interval '1 hour' WHERE emotions = '{joy}';
INSERT INTO training_runs (state, reason) VALUES ('skipped', 'too few labels');
"""


def queries() -> dict[tuple[str, str], str]:
    """Each query by its dashboard and the title or name that it stands under."""
    found = {}
    for name in ("emotions", "calls"):
        dashboard = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                if "rawSql" in target:
                    found[name, panel["title"]] = target["rawSql"]
        for item in dashboard["annotations"]["list"]:
            found[name, item["name"]] = item["target"]["rawSql"]
        for item in dashboard["templating"]["list"]:
            if item["type"] == "query":
                found[name, item["name"]] = item["query"]
    return found


QUERIES: Final = queries()


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(ROWS)
        connection.execute("SET ROLE emotions_reader")
        yield connection


@pytest.fixture
def hour(database: psycopg.Connection) -> datetime:
    """The hour before this one, by the database's clock."""
    ((now,),) = database.execute("SELECT date_trunc('hour', now())").fetchall()
    return datetime.fromisoformat(str(now)) - timedelta(hours=1)


def answer(database: psycopg.Connection, dashboard: str, title: str) -> list[tuple[Any, ...]]:
    query = QUERIES[dashboard, title]
    for macro, meaning in MACROS.items():
        query = re.sub(macro, meaning, query)
    rounded = database.execute(query.encode()).fetchall()
    return [tuple(round(float(cell), 3) if is_number(cell) else cell for cell in row) for row in rounded]


def is_number(cell: object) -> bool:
    return hasattr(cell, "__round__") and not isinstance(cell, int)


def shares(**of: float) -> tuple[float, ...]:
    return tuple(of.get(emotion, 0.0) for emotion in EMOTIONS)


def test_the_flows_dashboard_answers_what_the_tables_say(database: psycopg.Connection, hour: datetime) -> None:
    def found(title: str) -> list[tuple[Any, ...]]:
        return answer(database, "emotions", title)

    assert found("source") == [("calls",), ("desk",)]
    assert found("role") == [("-",), ("agent",), ("customer",)]
    earlier, later = (hour - timedelta(hours=1)).timestamp(), hour.timestamp()
    in_time = {(time, emotion): share for time, emotion, share in found("$source") if share}
    third = 0.333
    assert in_time == {
        (earlier, "neutral"): third, (earlier, "anger"): third, (earlier, "sadness"): third, (later, "joy"): 1.0,
    }  # fmt: skip
    assert sorted((model, count) for _, model, count in found("Rows by model")) == [("one", 3), ("two", 4)]
    ((version, state, f1, base, _, _),) = found("Model versions")
    assert (version, state, f1, base) == ("one", "champion", "0.7", "b")
    ((number, *run, _, finished),) = found("Training runs")
    assert (number, run, finished) == (1, ["skipped", None, "too few labels"], None)
    assert sorted(found("Labels by emotion")) == [("anger", "table", 1), ("joy", "table", 1)]
    assert found("Labels") == [(2, 1)]
    assert [version for _, version in found("Promotions")] == ["one"]


def test_the_calls_dashboard_shows_emotions_by_hour_source_and_role(
    database: psycopg.Connection, hour: datetime
) -> None:
    def found(title: str) -> list[tuple[Any, ...]]:
        return answer(database, "calls", title)

    earlier = hour - timedelta(hours=1)
    # The empty text counts as one without emotions, that of another language not at all.
    assert {row for row in found("By hour") if row[2]} == {
        (earlier, "neutral", 0.333), (earlier, "anger", 0.333), (earlier, "sadness", 0.333),
        (hour, "joy", 0.333), (hour, "fear", 0.333),
    }  # fmt: skip
    assert sorted(found("By hour of the day")) == sorted([(f"{earlier:%H}", 0.667), (f"{hour:%H}", 0.333)])
    assert found("By source") == [
        ("calls", 4, *shares(anger=0.25, joy=0.25, sadness=0.25, neutral=0.25)),
        ("desk", 2, *shares(fear=0.5)),
    ]
    assert found("By role") == [
        ("-", 1, *shares(fear=1.0)),
        ("agent", 1, *shares(neutral=1.0)),
        ("customer", 4, *shares(anger=0.25, joy=0.25, sadness=0.25)),
    ]
    assert sorted(found("Texts by model")) == [(earlier, "one, calls", 3), (hour, "two, calls", 3)]
    assert sorted(found("Without emotions")) == [(earlier, 0.0, 0.0), (hour, 0.25, 0.25)]
    assert [version for _, version in found("Promotions")] == ["one"]


def test_the_worst_calls_are_those_of_distressed_customers_and_each_has_its_course(
    database: psycopg.Connection, hour: datetime
) -> None:
    worst = answer(database, "calls", "Worst calls")
    assert worst == [
        ("c-1", "calls", hour - timedelta(hours=1), 3, 2, 1.5, 0.9, 0.2, "one, two"),
        ("c-2", "desk", hour, 1, 1, 0.7, 0.7, 0.7, "two"),
    ]
    course = answer(database, "calls", "Course of the call")
    assert course == [(1, None, None, 0.1), (2, 0.9, 0.1, None), (3, 0.6, 0.1, None), (4, 0.2, 0.8, None)]
    said = answer(database, "calls", "What was said")
    assert said == [
        (1, "agent", "a", "neutral", "one"), (2, "customer", "b", "anger", "one"),
        (3, "customer", "c", "sadness", "one"), (4, "customer", "d", "joy", "two"),
    ]  # fmt: skip


def test_an_empty_text_at_its_end_does_not_hide_how_a_call_ended(database: psycopg.Connection) -> None:
    database.execute("RESET ROLE")
    database.execute("UPDATE emotion_results SET session_id = 'c-2', segment = 2 WHERE transcript_id = 'f'")
    ends = {call: at_the_end for call, *_, at_the_end, _ in answer(database, "calls", "Worst calls")}
    assert ends["c-2"] == 0.7


def test_a_click_on_a_call_shows_its_course() -> None:
    dashboard = json.loads((FOLDER / "calls.json").read_text(encoding="utf-8"))
    (panel,) = (panel for panel in dashboard["panels"] if panel["title"] == "Worst calls")
    (link,) = (
        link
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"] == {"id": "byName", "options": "call"}
        for named in override["properties"]
        if named["id"] == "links"
        for link in named["value"]
    )
    assert link["url"].startswith(f"/d/{dashboard['uid']}?var-session=${{__value.raw:percentencode}}&")
    assert {"name": "session", "type": "textbox"}.items() <= dashboard["templating"]["list"][-1].items()
