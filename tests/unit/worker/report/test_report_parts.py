"""Parts of the report that need no rows: the score, periods, courses, marks, drawings."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.emotions import EMOTIONS
from worker.errors import ConfigurationError
from worker.report.courses import OTHERS, moments_of, role_courses
from worker.report.intervals import Share
from worker.report.marks import pieces_of, read_turns
from worker.report.model import Call, Change, Period, Piece
from worker.report.page import call_line, course_line, interval, percent, points
from worker.report.run import Order, moment_of, period_of

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def call(**known: Any) -> Call:
    return Call(
        **{
            "source": "support",
            "name": "c-1",
            "agent": None,
            "turns": 8,
            "started": NOW,
            "ended": NOW,
            "customer_turns": 4,
            "severity": 0.9,
            "distressed": 3,
            "ending": 0.8,
            "earlier": 0.7,
            "peak": ("anger", 0.95),
            "emotions": frozenset({"anger"}),
        }
        | known
    )


def row(**known: Any) -> dict[str, Any]:
    scores = dict.fromkeys(EMOTIONS, 0.1)
    facts = {"role": "customer", "speaker": None, "text": "да", "emotions": [], "not_scored": None}
    return facts | scores | {"model_version": "m", "convention": "calls"} | known


def test_severity_is_half_of_the_score_length_and_ending_a_quarter_each() -> None:
    assert call().score == pytest.approx(100 * (0.5 * 0.9 + 0.25 * 3 / 6 + 0.25 * 0.8))
    assert call(severity=1.0, distressed=1_000, customer_turns=1_000, ending=1.0).score <= 100
    assert call(severity=0.0, distressed=0, ending=0.0).score == 0


def test_of_two_calls_that_are_alike_the_longer_and_the_one_that_ended_worse_stand_first() -> None:
    assert call(customer_turns=10, distressed=10).score > call(customer_turns=2, distressed=2).score
    assert call(ending=0.9).score > call(ending=0.1).score
    assert call().went_wrong
    assert not call(severity=0.2).went_wrong


def test_a_call_turns_round_where_distress_falls_and_enough_was_said() -> None:
    assert call(earlier=0.7, ending=0.1).turned_round
    assert not call(earlier=0.7, ending=0.6).turned_round
    assert not call(earlier=0.7, ending=0.1, customer_turns=3).turned_round
    assert not call(earlier=None, ending=0.1).turned_round


def test_a_change_is_sure_only_where_its_interval_leaves_out_none_at_all() -> None:
    assert not Change("anger", Share(3, 10), Share(1, 10)).sure
    assert Change("anger", Share(300, 1_000), Share(100, 1_000)).sure


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("7d", NOW - timedelta(days=7)),
        ("24h", NOW - timedelta(hours=24)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-03-01", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2026-03-01T10:00+03:00", datetime(2026, 3, 1, 7, tzinfo=UTC)),
    ],
)
def test_a_moment_is_an_age_or_a_date(said: str, moment: datetime) -> None:
    assert moment_of(said, NOW) == moment


@pytest.mark.parametrize("said", ["yesterday", "7", "99999w", "0001-01-01", ""])
def test_what_is_no_time_is_refused_with_what_would_be(said: str) -> None:
    with pytest.raises(ConfigurationError, match="write an age such as 24h, 7d or 2w"):
        moment_of(said, NOW)


def test_the_database_is_asked_for_a_week_and_a_file_for_all_of_it() -> None:
    assert period_of(Order(), NOW) == Period(NOW - timedelta(days=7), NOW)
    assert period_of(Order(file="a.jsonl"), NOW) == Period()
    before = period_of(Order(), NOW).before
    assert before == Period(NOW - timedelta(days=14), NOW - timedelta(days=7))


def test_a_period_without_length_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not before the end"):
        period_of(Order(since="2026-03-02", until="2026-03-01"), NOW)
    with pytest.raises(ConfigurationError, match="--until needs --since"):
        period_of(Order(file="a.jsonl", until="2026-03-01"), NOW)


def test_courses_have_every_moment_and_gather_small_sources() -> None:
    none = dict.fromkeys(EMOTIONS, 0)
    rows = [
        {"moment": NOW + timedelta(days=day), "source": f"s-{number:02}", "role": "customer", "scored": 30 - number}
        | none
        | {"anger": 15}
        for number in range(14)
        for day in (0, 3)
    ]
    moments = moments_of(rows, "day")
    (customers,) = role_courses(rows, moments)

    assert len(moments) == 4
    assert customers.whole.shares["anger"][1] is None
    assert list(customers.sources)[:2] == ["s-00", "s-01"]
    assert list(customers.sources)[-1] == OTHERS
    assert customers.sources[OTHERS].texts == 2 * (18 + 17)
    assert sum(course.texts for course in customers.sources.values()) == customers.whole.texts


def test_words_are_marked_in_runs_of_the_text_as_received() -> None:
    pieces = pieces_of("Я вас, блин, ненавижу!", [2, 3])

    assert pieces == (Piece("Я вас,", marked=False), Piece("блин, ненавижу!", marked=True))


def test_a_row_without_a_text_and_one_without_scores_are_turns_all_the_same() -> None:
    nameless, unscored = read_turns(
        [row(text=None), row(**dict.fromkeys(EMOTIONS), text="", not_scored=None)], with_texts=True
    )

    assert nameless.pieces == ()
    assert nameless.distress == pytest.approx(0.1)
    assert unscored.distress is None
    assert unscored.not_scored == "empty"


def test_the_sides_of_a_call_are_drawn_apart_and_a_lone_turn_is_a_dot() -> None:
    turns = read_turns([row(), row(role="agent", anger=0.5), row(role=None, anger=0.9)], with_texts=True)

    assert call_line(turns, "customer", 100, 10) == "M0,9 100,1"
    assert call_line(turns, "agent", 100, 10) == "M50,5h0"
    assert call_line([], "agent", 100, 10) == ""


def test_a_course_passes_over_moments_at_which_nothing_was_said() -> None:
    assert course_line([0.5, None, 0.0, 1.0], 1.0, 30, 10) == "M0,5 20,10 30,0"


def test_shares_are_written_for_readers() -> None:
    assert percent(0.004) == "0.4\u202f%"
    assert percent(0.47) == "47\u202f%"
    assert interval(0.3249, 0.62) == "32–62\u202f%"
    assert points(-0.05) == "−5"
    assert points(-0.001) == points(0.001) == "+0"
