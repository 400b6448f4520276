"""The report from a real Postgres, and from a file that holds what the rows hold."""

import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, insert

from schemas.emotions import EMOTIONS
from schemas.tables import emotion_results
from worker.report.build import Wish, build_report
from worker.report.file import open_file
from worker.report.model import Period, Report
from worker.report.page import page
from worker.report.postgres import open_postgres
from worker.settings import Settings

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = Period(BEGIN + timedelta(days=7), BEGIN + timedelta(days=14))
CALLS = 60


def rows() -> Iterator[dict[str, Any]]:
    """Yield two weeks of calls: some empty texts, turns of another language, unknown roles and a call in parts."""
    rng = random.Random(7)
    for number in range(CALLS):
        sad = rng.random()
        for turn in range(rng.randint(1, 9)):
            # Parts of 256, which both sides round alike.
            scores = [int(256 * rng.random() * (sad if name != "neutral" else 1)) / 256 for name in EMOTIONS]
            scored = rng.random() > 0.1
            yield {
                "transcript_id": f"c-{number}-{turn:02}",
                "source": rng.choice(["support", "hotel <b>"]) if not turn else None,
                "session_id": f"c-{number}",
                "speaker": rng.choice(["anna", None]),
                "role": ("customer", "agent", None)[turn % 3 if number % 5 == 0 else turn % 2],
                "segment": turn if number % 3 else None,
                "text": f"реплика {turn} <script>alert(1)</script>",
                "attributes": {"agent": f"agent {number % 4}"} if number % 2 else None,
                "spoken_at": BEGIN + timedelta(hours=number * 5.5, seconds=turn),
                "emotions": [name for name, value in zip(EMOTIONS, scores, strict=True) if value > 0.5 and scored],
                **dict(zip(EMOTIONS, scores if scored else [None] * len(EMOTIONS), strict=True)),
                "not_scored": None if scored else rng.choice([None, "language"]),
                "model_version": "model-1",
                "convention": "calls",
            }


def seeded() -> list[dict[str, Any]]:
    found = list(rows())
    sources = {row["session_id"]: row["source"] for row in found if row["source"]}
    return [row | {"source": sources[row["session_id"]]} for row in found]


def fill(url: str) -> None:
    facts = {"normalizer": "n", "kafka_topic": "t", "kafka_partition": 0, "kafka_offset": 0}
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(emotion_results), [row | facts for row in seeded()])
    engine.dispose()


def write(file: Path) -> None:
    lines = []
    for row in seeded():
        scores = {emotion: row.pop(emotion) for emotion in EMOTIONS}
        row["id"] = row.pop("transcript_id")
        lines.append(msgspec.json.encode(row | {"scores": None if scores["anger"] is None else scores}))
    file.write_bytes(b"\n".join(lines))


def from_postgres(url: str, period: Period = WEEK, *, with_texts: bool = True) -> Report:
    with open_postgres(url) as source:
        return build_report(source, Wish(period, 5, with_texts))


def test_a_file_and_a_database_that_hold_one_thing_give_one_page(postgres_url: str, tmp_path: Path) -> None:
    fill(postgres_url)
    write(file := tmp_path / "answers.jsonl")

    for period in (WEEK, Period()):
        of_database = from_postgres(postgres_url, period)
        with open_file(str(file), Settings.load()) as source:
            of_file = build_report(source, Wish(period, 5, with_texts=True))

        assert of_database.calls > 20
        assert of_database.wrong.found
        assert of_database.worst
        assert of_database.agents
        assert page(of_file) == page(of_database._replace(origin=of_file.origin))


def test_a_period_is_compared_with_the_one_before_it(postgres_url: str) -> None:
    fill(postgres_url)

    report = from_postgres(postgres_url)

    assert report.calls + from_postgres(postgres_url, WEEK.before or WEEK).calls == CALLS
    assert {change.name for change in report.changes} >= {"calls that went wrong", "anger"}
    assert report.calls_before == report.changes[0].before.of


def test_the_page_asks_no_other_host_and_no_text_becomes_markup(postgres_url: str) -> None:
    fill(postgres_url)

    shown = page(from_postgres(postgres_url))

    assert "реплика" in shown
    assert not re.search(r'(?:src|href|action)="(?!#)|url\(|@import|https?://', shown)
    assert "<script" not in shown
    assert "hotel <b>" not in shown


def test_texts_can_be_left_out(postgres_url: str) -> None:
    fill(postgres_url)

    shown = page(from_postgres(postgres_url, with_texts=False))

    assert "реплика" not in shown
    assert "text not shown" in shown


def test_a_page_that_shows_no_call_does_not_say_that_none_went_wrong(postgres_url: str) -> None:
    fill(postgres_url)
    with open_postgres(postgres_url) as source:
        report = build_report(source, Wish(WEEK, 0, with_texts=True))

    shown = page(report)

    assert report.wrong.found
    assert "No call went wrong" not in shown
    assert f"{report.wrong.found} calls went wrong; <code>--calls</code>" in shown


def test_a_database_without_rows_gives_a_page_that_says_so(postgres_url: str) -> None:
    shown = page(from_postgres(postgres_url))

    assert "No call went wrong." in shown
    assert "0 calls, 0 utterances" in shown


def test_a_call_is_scored_by_its_customers_turns_in_their_order(postgres_url: str) -> None:
    fill(postgres_url)

    for shown in from_postgres(postgres_url, Period()).worst:
        heard = [turn.distress for turn in shown.turns if turn.role != "agent" and turn.distress is not None]
        last = -(-len(heard) // 3)
        worst = sorted(heard, reverse=True)[:3]
        assert shown.call.customer_turns == len(heard)
        assert shown.call.severity == pytest.approx(sum(worst) / len(worst), abs=1e-6)
        assert shown.call.ending == pytest.approx(sum(heard[-last:]) / last, abs=1e-6)
