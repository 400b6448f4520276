"""The first tables and the two views on the results.

Revision ID: 0001
Revises: nothing
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# Written out here, since a migration must never change, while the code's own list may.
EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")
VOCABULARY = f"ARRAY{list(EMOTIONS)}::text[]"

SESSION_SHARES = ", ".join(f"avg(('{name}' = ANY (emotions))::int)::real AS share_{name}" for name in EMOTIONS)
SESSION_PEAKS = ", ".join(f"max({name}) AS peak_{name}" for name in EMOTIONS)
SESSION_EMOTIONS = f"""
    CREATE VIEW session_emotions AS
    SELECT session_id, speaker, CASE WHEN min(source) = max(source) THEN min(source) END AS source,
           count(*) AS segments, {SESSION_SHARES}, {SESSION_PEAKS},
           min(spoken_at) AS first_spoken_at, max(spoken_at) AS last_spoken_at
    FROM emotion_results
    WHERE session_id IS NOT NULL
    GROUP BY session_id, speaker
"""  # noqa: S608 - made of the constants above.

HOURLY_COUNTS = ", ".join(f"count(*) FILTER (WHERE '{name}' = ANY (emotions)) AS {name}" for name in EMOTIONS)
HOURLY_PAIRS = ", ".join(f"('{name}', hours.{name})" for name in EMOTIONS)
# Counted in one pass and turned into rows afterwards: seven times fewer rows to sort into groups.
HOURLY_EMOTIONS = f"""
    CREATE VIEW hourly_emotions AS
    SELECT hours.hour, hours.source, counted.emotion, counted.segments, hours.total_segments,
           (counted.segments / hours.total_segments::float)::real AS share
    FROM (
        SELECT date_trunc('hour', spoken_at) AS hour, source, count(*) AS total_segments, {HOURLY_COUNTS}
        FROM emotion_results
        GROUP BY 1, 2
    ) AS hours
    CROSS JOIN LATERAL (VALUES {HOURLY_PAIRS}) AS counted (emotion, segments)
"""  # noqa: S608 - made of the constants above.

COMMENTS = {
    "VIEW session_emotions": "One row a session and speaker: what they felt over its segments",
    "COLUMN session_emotions.session_id": "The call or conversation",
    "COLUMN session_emotions.speaker": "Who spoke: agent, customer, a channel; NULL where nobody said",
    "COLUMN session_emotions.source": "Where it was said; NULL where the session has several sources",
    "COLUMN session_emotions.segments": "How many transcripts",
    "COLUMN session_emotions.first_spoken_at": "When the first of them was said",
    "COLUMN session_emotions.last_spoken_at": "When the last of them was said",
    **{
        f"COLUMN session_emotions.share_{name}": f"Share of the segments that carry {name}, 0 to 1" for name in EMOTIONS
    },
    **{
        f"COLUMN session_emotions.peak_{name}": f"Highest probability of {name} in a segment, 0 to 1"
        for name in EMOTIONS
    },
    "VIEW hourly_emotions": "One row an hour, source and emotion; shares of an hour can add up to more than 1",
    "COLUMN hourly_emotions.hour": "Start of the hour in which it was said, hours as in the time zone of the session",
    "COLUMN hourly_emotions.source": "Where it was said; NULL where nobody said",
    "COLUMN hourly_emotions.emotion": "The emotion counted",
    "COLUMN hourly_emotions.segments": "Transcripts of that hour and source that carry the emotion",
    "COLUMN hourly_emotions.total_segments": "All transcripts of that hour and source",
    "COLUMN hourly_emotions.share": "segments / total_segments, 0 to 1",
}


def upgrade() -> None:
    create_consumer_offsets()
    create_emotion_results()
    create_labelled_texts()
    create_model_versions()
    create_training_runs()
    op.execute(SESSION_EMOTIONS)
    op.execute(HOURLY_EMOTIONS)
    for item, comment in COMMENTS.items():
        op.execute(f"COMMENT ON {item} IS '{comment}'")


def downgrade() -> None:
    op.execute("DROP VIEW hourly_emotions")
    op.execute("DROP VIEW session_emotions")
    for table in ("training_runs", "model_versions", "labelled_texts", "emotion_results", "consumer_offsets"):
        op.drop_table(table)


def column(name: str, kind: sa.types.TypeEngine[Any], comment: str, **options: Any) -> sa.Column[Any]:
    """Make a column that, unlike SQLAlchemy's own, is NOT NULL unless it is said to be nullable."""
    return sa.Column(name, kind, comment=comment, **({"nullable": False} | options))


def moment(name: str, comment: str, **options: Any) -> sa.Column[Any]:
    return column(name, sa.DateTime(timezone=True), comment, **options)


def now(name: str, comment: str) -> sa.Column[Any]:
    return moment(name, comment, server_default=sa.text("now()"))


def create_consumer_offsets() -> None:
    op.create_table(
        "consumer_offsets",
        column("group_id", sa.Text(), "Kafka consumer group"),
        column("topic", sa.Text(), "Kafka topic"),
        column("partition", sa.Integer(), "Partition of the topic"),
        column(
            "topic_id",
            sa.Text(),
            "Kafka's own id of the topic; another one means the topic was made again",
            nullable=True,
        ),
        column("next_offset", sa.BigInteger(), "First offset that is not stored yet"),
        column("epoch", sa.BigInteger(), "Counts the claims; only the latest may move the offset"),
        now("updated_at", "When the row last changed"),
        sa.PrimaryKeyConstraint("group_id", "topic", "partition", name=op.f("pk_consumer_offsets")),
        comment="Where each consumer group stands; moved by the transaction that stores the rows",
    )


def create_emotion_results() -> None:
    op.create_table(
        "emotion_results",
        column("transcript_id", sa.Text(), "The message's id, or one made of its place in Kafka"),
        column("source", sa.Text(), "Where it was said: a queue, a product", nullable=True),
        column("session_id", sa.Text(), "The call or conversation", nullable=True),
        column("speaker", sa.Text(), "Who spoke: agent, customer, a channel", nullable=True),
        column("segment", sa.Integer(), "Position in the session", nullable=True),
        column("text", sa.Text(), "The text as received, without NUL characters"),
        moment("spoken_at", "When it was said; the record's timestamp where the message did not say"),
        column(
            "emotions",
            sa.ARRAY(sa.Text()),
            "The emotions whose score reaches their threshold; none for an empty text",
        ),
        *(
            column(name, sa.REAL(), f"Probability of {name}, 0 to 1; NULL for an empty text", nullable=True)
            for name in EMOTIONS
        ),
        column("model_version", sa.Text(), "Version of the model bundle"),
        column("normalizer", sa.Text(), "Version of the text normalizer"),
        column("kafka_topic", sa.Text(), "Topic the message came from"),
        column("kafka_partition", sa.Integer(), "Partition the message came from"),
        column("kafka_offset", sa.BigInteger(), "Offset of the message in its partition"),
        now("processed_at", "When the row was written"),
        sa.PrimaryKeyConstraint("transcript_id", name=op.f("pk_emotion_results")),
        comment="One row a transcript: which emotions it carries",
    )
    op.create_index("ix_emotion_results_emotions", "emotion_results", ["emotions"], postgresql_using="gin")
    op.create_index("ix_emotion_results_session_id_segment", "emotion_results", ["session_id", "segment"])
    op.create_index("ix_emotion_results_spoken_at", "emotion_results", ["spoken_at"], postgresql_using="brin")


def create_labelled_texts() -> None:
    op.create_table(
        "labelled_texts",
        column("id", sa.BigInteger(), "Counts the labels", autoincrement=True),
        column("text", sa.Text(), "The labelled text, as written or recognized"),
        column("emotions", sa.ARRAY(sa.Text()), "The emotions it carries"),
        column(
            "annotated",
            sa.ARRAY(sa.Text()),
            "The emotions the annotator could have given; absence says something of these only",
            server_default=sa.text(VOCABULARY),
        ),
        column("origin", sa.Text(), "The data set or the tool it came from"),
        column("annotator", sa.Text(), "Who labelled it", server_default=""),
        now("labelled_at", "When it was labelled"),
        column("transcript_id", sa.Text(), "The transcript it corrects, if any", nullable=True),
        sa.CheckConstraint(
            f"emotions <@ {VOCABULARY} AND annotated <@ {VOCABULARY}",
            name=op.f("ck_labelled_texts_known_emotions"),
        ),
        sa.CheckConstraint("text <> ''", name=op.f("ck_labelled_texts_text_not_empty")),
        sa.CheckConstraint("emotions <@ annotated", name=op.f("ck_labelled_texts_emotions_annotated")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_labelled_texts")),
        comment="Labels that people gave; retraining reads them",
    )
    op.create_index(
        "uq_labelled_texts_text_origin_annotator",
        "labelled_texts",
        [sa.literal_column("md5(text)"), "origin", "annotator"],
        unique=True,
    )


def create_model_versions() -> None:
    op.create_table(
        "model_versions",
        column("version", sa.Text(), "Version of the bundle, as in its manifest"),
        column("state", sa.Text(), "candidate, champion, retired or rejected"),
        column("location", sa.Text(), "Folder or URL of the bundle"),
        column("metrics", JSONB(), "What it measured"),
        column("data_fingerprint", sa.Text(), "Hash of the data it was fitted on"),
        column("base_model", sa.Text(), "The encoder it was fitted from"),
        now("created_at", "When the bundle was made"),
        moment("promoted_at", "When it last became the champion", nullable=True),
        sa.CheckConstraint(
            "state IN ('candidate', 'champion', 'retired', 'rejected')", name=op.f("ck_model_versions_known_state")
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_model_versions")),
        comment="The models there are; at most one is the champion",
    )
    op.create_index(
        "uq_model_versions_champion",
        "model_versions",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'champion'"),
    )


def create_training_runs() -> None:
    op.create_table(
        "training_runs",
        column("id", sa.BigInteger(), "Counts the runs", autoincrement=True),
        column("state", sa.Text(), "running, promoted, rejected, skipped or failed"),
        column("model_version", sa.Text(), "The bundle it made, if any", nullable=True),
        column("reason", sa.Text(), "Why it ended as it did", nullable=True),
        column("details", JSONB(), "Numbers and verdicts", server_default=sa.text("'{}'::jsonb")),
        now("started_at", "When it started"),
        moment("finished_at", "When it ended", nullable=True),
        sa.CheckConstraint(
            "state IN ('running', 'promoted', 'rejected', 'skipped', 'failed')",
            name=op.f("ck_training_runs_known_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_runs")),
        comment="Each run of the retraining job",
    )
