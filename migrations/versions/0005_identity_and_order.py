"""A transcript is known by its id and source, and an older record changes no row.

Old rows without a source get their topic's name, as new ones do. That alone writes rows of emotion_results, and only
these.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


UNNAMED = "SELECT EXISTS (SELECT FROM emotion_results WHERE coalesce(source, '') = '')"

OF_ANOTHER = (
    "EXISTS (SELECT FROM emotion_results AS kept "
    "WHERE kept.transcript_id = named.transcript_id AND kept.source <> named.source)"
)

INDEXES = {
    "ix_emotion_results_emotions": "USING gin (emotions)",
    "ix_emotion_results_session_id_segment": "(session_id, segment)",
    "ix_emotion_results_spoken_at": "USING brin (spoken_at)",
}

COMMENTS = {
    "TABLE emotion_results": (
        "One row a transcript: which emotions it carries",
        "One row a transcript, known by its id and source: which emotions it carries",
    ),
    "COLUMN emotion_results.source": (
        "Where it was said: a queue, a product",
        "Where it was said: a queue, a product; the topic where the message did not say",
    ),
    "COLUMN shadow_results.transcript_id": (
        "The transcript, as in emotion_results",
        "Id of the transcript, as in emotion_results",
    ),
    "COLUMN labelled_texts.transcript_id": (
        "The transcript it corrects, if any",
        "Id of the transcript it corrects, if any",
    ),
    "COLUMN hourly_emotions.source": (
        "Where it was said; NULL where nobody said",
        "Where it was said; the topic where nobody said",
    ),
}


def upgrade() -> None:
    op.add_column(
        "emotion_results",
        sa.Column(
            "kafka_timestamp",
            sa.BigInteger(),
            nullable=False,
            server_default="-1",  # A constant, so the table is not rewritten.
            comment="When the record was first in Kafka, ms since 1970; -1 where unknown. An older one changes no row",
        ),
    )
    op.drop_constraint(op.f("pk_emotion_results"), "emotion_results", type_="primary")
    if op.get_bind().execute(sa.text(UNNAMED)).scalar():
        name_sources()
    op.create_primary_key(op.f("pk_emotion_results"), "emotion_results", ["transcript_id", "source"])
    add_sources()
    for item, (_, comment) in COMMENTS.items():
        op.execute(f"COMMENT ON {item} IS '{comment}'")


def downgrade() -> None:
    for item, (comment, _) in COMMENTS.items():
        op.execute(f"COMMENT ON {item} IS '{comment}'")
    keep_one("emotion_results", "transcript_id", "kafka_timestamp, processed_at")
    # Else the id alone would name the row of another source, which was kept.
    op.execute(f"UPDATE labelled_texts AS named SET transcript_id = NULL WHERE {OF_ANOTHER}")  # noqa: S608 - a constant.
    op.drop_column("labelled_texts", "source")
    op.execute(f"DELETE FROM shadow_results AS named WHERE {OF_ANOTHER}")  # noqa: S608 - as above.
    keep_one("shadow_results", "model_version, transcript_id", "scored_at")
    op.drop_constraint(op.f("pk_shadow_results"), "shadow_results", type_="primary")
    op.create_primary_key(op.f("pk_shadow_results"), "shadow_results", ["model_version", "transcript_id"])
    op.drop_column("shadow_results", "source")
    op.drop_constraint(op.f("pk_emotion_results"), "emotion_results", type_="primary")
    op.create_primary_key(op.f("pk_emotion_results"), "emotion_results", ["transcript_id"])
    op.alter_column("emotion_results", "source", nullable=True, existing_type=sa.Text())
    op.drop_column("emotion_results", "kafka_timestamp")


def name_sources() -> None:
    """Name the topic as the source of rows that have none; the indexes are made again, which is faster than changed."""
    for index in INDEXES:
        op.execute(f"DROP INDEX {index}")
    op.execute("UPDATE emotion_results SET source = kafka_topic WHERE coalesce(source, '') = ''")
    for index, made_on in INDEXES.items():
        op.execute(f"CREATE INDEX {index} ON emotion_results {made_on}")


def add_sources() -> None:
    """Let labels and the shadow's rows name the source of their transcript, which its id alone told until now."""
    op.add_column(
        "labelled_texts",
        sa.Column("source", sa.Text(), nullable=True, comment="Source of that transcript; NULL means any source"),
    )
    op.add_column(
        "shadow_results", sa.Column("source", sa.Text(), nullable=True, comment="Its source, as in emotion_results")
    )
    for table in ("labelled_texts", "shadow_results"):
        op.execute(
            f"UPDATE {table} AS named SET source = result.source FROM emotion_results AS result "  # noqa: S608 - constants.
            "WHERE named.transcript_id = result.transcript_id"
        )
    op.execute("DELETE FROM shadow_results WHERE source IS NULL")
    op.drop_constraint(op.f("pk_shadow_results"), "shadow_results", type_="primary")
    op.create_primary_key(op.f("pk_shadow_results"), "shadow_results", ["model_version", "transcript_id", "source"])


def keep_one(table: str, key: str, order: str) -> None:
    """Delete all rows of a key but the last one in an order, since an older version knows one a key."""
    op.execute(
        f"DELETE FROM {table} WHERE ctid IN (SELECT ctid FROM (SELECT ctid, row_number() OVER "  # noqa: S608 - constants.
        f"(PARTITION BY {key} ORDER BY ({order}) DESC) AS place FROM {table}) AS placed WHERE place > 1)"
    )
