"""Rows keep language, confidence, role and attributes, and say where they were not scored; the views group by role.

All is added behind what is there, so queries and views that stand on these go on. Older rows have NULL: no row is
written.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, REAL

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
# This revision only adds.
oldest_code = "0006"

EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")

COLUMNS = {
    "role": "Who spoke: agent or customer; NULL where neither message nor channel tells",
    "language": "BCP 47 tag, or as the message says; NULL where it names none",
    "asr_confidence": "The recognizer's own, 0 to 1",
    "attributes": "All else that the message says of it: channel, agent, tenant",
    "not_scored": "Why it has no scores: language, where that is not the model's; else NULL",
}

PEAKS = ", ".join(f"max({name}) AS peak_{name}" for name in EMOTIONS)
SESSION = "session_id, speaker, CASE WHEN min(source) = max(source) THEN min(source) END AS source"
MOMENTS = "min(spoken_at) AS first_spoken_at, max(spoken_at) AS last_spoken_at"


def shares(of: str) -> str:
    """Return the columns of the shares of a session's segments that carry each emotion."""
    return ", ".join(f"(avg(('{name}' = ANY (emotions))::int){of})::real AS share_{name}" for name in EMOTIONS)


SCORED = " FILTER (WHERE not_scored IS NULL)"
SESSION_EMOTIONS = f"""
    CREATE OR REPLACE VIEW session_emotions AS
    SELECT {SESSION}, count(*){SCORED} AS segments, {shares(SCORED)}, {PEAKS}, {MOMENTS},
           role, count(*) FILTER (WHERE not_scored IS NOT NULL) AS not_scored
    FROM emotion_results
    WHERE session_id IS NOT NULL
    GROUP BY session_id, speaker, role
"""  # noqa: S608 - made of the constants above.
SESSION_EMOTIONS_BEFORE = f"""
    CREATE VIEW session_emotions AS
    SELECT {SESSION}, count(*) AS segments, {shares("")}, {PEAKS}, {MOMENTS}
    FROM emotion_results
    WHERE session_id IS NOT NULL
    GROUP BY session_id, speaker
"""  # noqa: S608 - as above.

COUNTS = ", ".join(f"count(*) FILTER (WHERE '{name}' = ANY (emotions)) AS {name}" for name in EMOTIONS)
PAIRS = ", ".join(f"('{name}', hours.{name})" for name in EMOTIONS)
HOUR = "date_trunc('hour', spoken_at) AS hour, source"
HOURLY_EMOTIONS = f"""
    CREATE OR REPLACE VIEW hourly_emotions AS
    SELECT hours.hour, hours.source, counted.emotion, counted.segments, hours.total_segments,
           (counted.segments / nullif(hours.total_segments, 0)::float)::real AS share, hours.role, hours.not_scored
    FROM (
        SELECT {HOUR}, role, count(*){SCORED} AS total_segments,
               count(*) FILTER (WHERE not_scored IS NOT NULL) AS not_scored, {COUNTS}
        FROM emotion_results
        GROUP BY 1, 2, 3
    ) AS hours
    CROSS JOIN LATERAL (VALUES {PAIRS}) AS counted (emotion, segments)
"""  # noqa: S608 - as above.
HOURLY_EMOTIONS_BEFORE = f"""
    CREATE VIEW hourly_emotions AS
    SELECT hours.hour, hours.source, counted.emotion, counted.segments, hours.total_segments,
           (counted.segments / hours.total_segments::float)::real AS share
    FROM (
        SELECT {HOUR}, count(*) AS total_segments, {COUNTS}
        FROM emotion_results
        GROUP BY 1, 2
    ) AS hours
    CROSS JOIN LATERAL (VALUES {PAIRS}) AS counted (emotion, segments)
"""  # noqa: S608 - as above.

FROM_BEFORE = {
    "COLUMN session_emotions.session_id": "The call or conversation",
    "COLUMN session_emotions.speaker": "Who spoke: agent, customer, a channel; NULL where nobody said",
    "COLUMN session_emotions.source": "Where it was said; NULL where the session has several sources",
    "COLUMN session_emotions.first_spoken_at": "When the first of them was said",
    "COLUMN session_emotions.last_spoken_at": "When the last of them was said",
    **{
        f"COLUMN session_emotions.share_{name}": f"Share of the segments that carry {name}, 0 to 1" for name in EMOTIONS
    },
    **{
        f"COLUMN session_emotions.peak_{name}": f"Highest probability of {name} in a segment, 0 to 1"
        for name in EMOTIONS
    },
    "COLUMN hourly_emotions.hour": "Start of the hour in which it was said, hours as in the time zone of the session; "
    "NULL where nobody knows",
    "COLUMN hourly_emotions.source": "Where it was said; the topic where nobody said",
    "COLUMN hourly_emotions.emotion": "The emotion counted",
    "COLUMN hourly_emotions.share": "segments / total_segments, 0 to 1",
}
"""Comments of the views that this revision does not change; a view that is made again has none."""

BEFORE = {
    "COLUMN emotion_results.emotions": "The emotions whose score reaches their threshold; none for an empty text",
    **{f"COLUMN emotion_results.{name}": f"Probability of {name}, 0 to 1; NULL for an empty text" for name in EMOTIONS},
    "VIEW session_emotions": "One row a session and speaker: what they felt over its segments",
    "COLUMN session_emotions.segments": "How many transcripts",
    "VIEW hourly_emotions": "One row an hour, source and emotion; shares of an hour can add up to more than 1",
    "COLUMN hourly_emotions.segments": "Transcripts of that hour and source that carry the emotion",
    "COLUMN hourly_emotions.total_segments": "All transcripts of that hour and source",
}
NOW = {
    "COLUMN emotion_results.emotions": "The emotions whose score reaches their threshold; none for an empty text, or "
    "where not_scored",
    **{
        f"COLUMN emotion_results.{name}": f"Probability of {name}, 0 to 1; NULL for an empty text, or where not_scored"
        for name in EMOTIONS
    },
    "VIEW session_emotions": "One row a session, speaker and role: what they felt over its segments",
    "COLUMN session_emotions.segments": "How many transcripts, without those that were not scored",
    "COLUMN session_emotions.role": "Who spoke: agent or customer; NULL where nobody knows",
    "COLUMN session_emotions.not_scored": "How many transcripts of another language than the model''s",
    "VIEW hourly_emotions": "One row an hour, source, role and emotion; shares of an hour can add up to more than 1",
    "COLUMN hourly_emotions.segments": "Transcripts of that hour, source and role that carry the emotion",
    "COLUMN hourly_emotions.total_segments": "All transcripts of that hour, source and role, without those that were "
    "not scored",
    "COLUMN hourly_emotions.role": "Who spoke: agent or customer; NULL where nobody knows",
    "COLUMN hourly_emotions.not_scored": "Transcripts of that hour, source and role of another language than the "
    "model''s",
}


def comment_on(comments: dict[str, str]) -> None:
    """Say in the database what columns and views hold."""
    for item, comment in comments.items():
        op.execute(f"COMMENT ON {item} IS '{comment}'")


def upgrade() -> None:
    for name, comment in COLUMNS.items():
        kind = {"asr_confidence": REAL(), "attributes": JSONB()}.get(name, sa.Text())
        op.add_column("emotion_results", sa.Column(name, kind, nullable=True, comment=comment))
    op.execute(SESSION_EMOTIONS)
    op.execute(HOURLY_EMOTIONS)
    comment_on(NOW)


def downgrade() -> None:
    """Rows of another language stay, without scores, as an empty text has none."""
    op.execute("DROP VIEW hourly_emotions")
    op.execute("DROP VIEW session_emotions")
    for name in COLUMNS:
        op.drop_column("emotion_results", name)
    op.execute(SESSION_EMOTIONS_BEFORE)
    op.execute(HOURLY_EMOTIONS_BEFORE)
    comment_on(FROM_BEFORE | BEFORE)
