"""The dashboard's queries, asked of a real database as Grafana asks them."""

import json
import re
from collections.abc import Iterator

import psycopg
import pytest
from places import ROOT

DASHBOARD = json.loads((ROOT / "deploy" / "observability" / "grafana" / "emotions.json").read_text(encoding="utf-8"))
QUERIES = {
    **{
        panel["title"]: target["rawSql"]
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
        if "rawSql" in target
    },
    **{item["name"]: item["target"]["rawSql"] for item in DASHBOARD["annotations"]["list"]},
    **{item["name"]: item["query"] for item in DASHBOARD["templating"]["list"]},
}

# What Grafana's macros stand for; source: its documentation of the PostgreSQL data source, "Macros".
MACROS = {
    r"\$__timeFilter\((\w+)\)": r"\1 BETWEEN now() - interval '1 hour' AND now()",
    r"\$__timeGroup\((\w+), \$__interval\)": r"floor(extract(epoch FROM \1) / 60) * 60",
    r"\$source": "calls",
    r"\$role": "'customer', '-'",
}

ROWS = """
INSERT INTO emotion_results (transcript_id, source, text, spoken_at, emotions, role, model_version, normalizer,
                             kafka_topic, kafka_partition, kafka_offset)
VALUES ('a', 'calls', 'рада', now(), '{joy}', 'customer', 'one', 'n', 't', 0, 0),
       ('b', 'calls', 'злюсь', now(), '{anger,disgust}', NULL, 'two', 'n', 't', 0, 1);
INSERT INTO labelled_texts (text, emotions, origin) VALUES ('рада', '{joy}', 'table'), ('злюсь', '{anger}', 'table');
INSERT INTO model_versions (version, state, location, metrics, data_fingerprint, base_model, promoted_at)
VALUES ('one', 'champion', '/models/one', '{"as_served": {"weighted_f1": 0.7}}', 'f', 'b', now() + interval '1 second');
INSERT INTO training_runs (state, reason) VALUES ('skipped', 'too few labels');
"""


@pytest.fixture
def database(postgres_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(ROWS)
        yield connection


def asked(title: str) -> str:
    query = QUERIES[title]
    for macro, meaning in MACROS.items():
        query = re.sub(macro, meaning, query)
    return query


@pytest.mark.parametrize("title", [title for title in QUERIES if title != "Promotions"])
def test_a_query_finds_what_there_is(title: str, database: psycopg.Connection) -> None:
    assert database.execute(asked(title).encode()).fetchall()


def test_emotions_are_shares_of_what_was_said(database: psycopg.Connection) -> None:
    shares = {emotion: share for _, emotion, share in database.execute(asked("$source").encode())}
    assert {emotion for emotion, share in shares.items() if share} == {"joy", "anger", "disgust"}
    assert shares["joy"] == pytest.approx(0.5)


def test_labels_are_counted_since_the_champion(database: psycopg.Connection) -> None:
    assert database.execute(asked("Labels").encode()).fetchall() == [(2, 0)]
    database.execute("UPDATE model_versions SET promoted_at = now() - interval '1 day'")
    assert database.execute(asked("Labels").encode()).fetchall() == [(2, 2)]
