"""Marks of what was erased for good, and an index by which the shadow's rows of a transcript are found.

Revision ID: 0012
Revises: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# This revision only adds. Older code stores again what was erased, where a replay brings it.
oldest_code = "0006"


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False, comment="Counts the marks"),
        sa.Column(
            "erased_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
            comment="When it was erased",
        ),
        sa.Column(
            "erased_by", sa.Text(), nullable=False, server_default=sa.text("session_user"), comment="Who asked for it"
        ),
        sa.Column(
            "digest",
            sa.LargeBinary(),
            comment="SHA-256 of session or transcript, NUL and the name; NULL where all are meant",
        ),
        sa.Column("source", sa.Text(), comment="The source that is meant; NULL where all are"),
        sa.Column(
            "said_before",
            sa.DateTime(timezone=True),
            comment="Only what was said before then; NULL where all of it is meant",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
        sa.CheckConstraint("digest IS NOT NULL OR said_before IS NOT NULL", name=op.f("ck_erasures_not_everything")),
        comment="What `emotion-worker erase` erased; neither a replay nor an import brings it back",
    )
    op.create_index(op.f("ix_erasures_digest"), "erasures", ["digest"])
    op.create_index(op.f("ix_shadow_results_transcript_id_source"), "shadow_results", ["transcript_id", "source"])


def downgrade() -> None:
    op.drop_index(op.f("ix_shadow_results_transcript_id_source"), "shadow_results")
    op.drop_table("erasures")
