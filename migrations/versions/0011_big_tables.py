"""Questions about a stretch of time read that stretch alone, and rows that are written again stay in their pages.

A B-tree on `spoken_at` takes the place of the BRIN index, which tells stretches of time apart only while rows lie in
the order in which they were said. The view of hours counts hours as in UTC, so an index can hold them.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# This revision only adds.
oldest_code = "0006"

TABLE = "emotion_results"
EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")

HOUR = "date_trunc('hour', spoken_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'"
KEEP_APART = "timestamptz_minmax_multi_ops"
SUMMED_UP = "WITH (autosummarize = on)"

BEFORE = "ix_emotion_results_spoken_at"
INDEXES = {
    "ix_emotion_results_spoken_at_order": "(spoken_at)",
    # BRIN costs a writer next to nothing, and an update that changes no other index stays within its page.
    "ix_emotion_results_hour": f"USING brin (({HOUR}) {KEEP_APART}) {SUMMED_UP}",
    "ix_emotion_results_processed_at": f"USING brin (processed_at {KEEP_APART}) {SUMMED_UP}",
}

# worker.storage.indexes makes these after the transaction, while workers write, and drops the others.
concurrent_indexes = {name: f"ON {TABLE} {made_on}" for name, made_on in INDEXES.items()}
dropped_indexes = (BEFORE,)

STORAGE = {
    # Room for two rows a page: an update finds it there, and leaves as much behind.
    "fillfactor": 90,
    # By default a fifth of the table must have changed, which are millions of rows of a big one.
    "autovacuum_vacuum_scale_factor": 0.02,
    "autovacuum_vacuum_insert_scale_factor": 0.02,
    "autovacuum_analyze_scale_factor": 0.01,
}

SCORED = " FILTER (WHERE not_scored IS NULL)"
COUNTS = ", ".join(f"count(*) FILTER (WHERE '{name}' = ANY (emotions)) AS {name}" for name in EMOTIONS)
PAIRS = ", ".join(f"('{name}', hours.{name})" for name in EMOTIONS)


def hourly_emotions(hour: str) -> str:
    """Return the statement that makes the view, with what the hour of a row is."""
    return f"""
        CREATE OR REPLACE VIEW hourly_emotions AS
        SELECT hours.hour, hours.source, counted.emotion, counted.segments, hours.total_segments,
               (counted.segments / nullif(hours.total_segments, 0)::float)::real AS share, hours.role, hours.not_scored
        FROM (
            SELECT {hour} AS hour, source, role, count(*){SCORED} AS total_segments,
                   count(*) FILTER (WHERE not_scored IS NOT NULL) AS not_scored, {COUNTS}
            FROM emotion_results
            GROUP BY 1, 2, 3
        ) AS hours
        CROSS JOIN LATERAL (VALUES {PAIRS}) AS counted (emotion, segments)
    """  # noqa: S608 - made of the constants above.


HOUR_BEFORE = "date_trunc('hour', spoken_at)"
HOUR_COMMENT = "Start of the hour in which it was said, hours as in UTC; NULL where nobody knows"
HOUR_COMMENT_BEFORE = (
    "Start of the hour in which it was said, hours as in the time zone of the session; NULL where nobody knows"
)

# A view of sessions must read all rows before it knows when one began. Here the sessions of a time are found first.
BETWEEN = "session_emotions_between(timestamptz, timestamptz)"
SESSIONS_BETWEEN = """
    CREATE FUNCTION session_emotions_between(since timestamptz, until timestamptz) RETURNS SETOF session_emotions
    LANGUAGE sql STABLE PARALLEL SAFE
    BEGIN ATOMIC
        SELECT whole.*
        FROM (
            SELECT DISTINCT session_id
            FROM emotion_results
            WHERE spoken_at >= since AND spoken_at < until AND session_id IS NOT NULL
        ) AS heard
        CROSS JOIN LATERAL (
            -- OFFSET keeps this a question for one session each, by its index; joined, it would read all rows.
            SELECT * FROM session_emotions WHERE session_emotions.session_id = heard.session_id OFFSET 0
        ) AS whole;
    END
"""
BETWEEN_COMMENT = (
    "Rows of session_emotions of which a transcript was said at since or later and before until; all of each session"
)


def upgrade() -> None:
    settings = ", ".join(f"{name} = {value}" for name, value in STORAGE.items())
    op.execute(f"ALTER TABLE {TABLE} SET ({settings})")
    op.execute(hourly_emotions(HOUR))
    op.execute(f"COMMENT ON COLUMN hourly_emotions.hour IS '{HOUR_COMMENT}'")
    op.execute(SESSIONS_BETWEEN)
    op.execute(f"COMMENT ON FUNCTION {BETWEEN} IS '{BETWEEN_COMMENT}'")


def downgrade() -> None:
    op.execute(f"DROP FUNCTION {BETWEEN}")
    op.execute(hourly_emotions(HOUR_BEFORE))
    op.execute(f"COMMENT ON COLUMN hourly_emotions.hour IS '{HOUR_COMMENT_BEFORE}'")
    for name in INDEXES:
        op.execute(f"DROP INDEX IF EXISTS {name}")
    op.execute(f"CREATE INDEX IF NOT EXISTS {BEFORE} ON {TABLE} USING brin (spoken_at)")
    op.execute(f"ALTER TABLE {TABLE} RESET ({', '.join(STORAGE)})")
