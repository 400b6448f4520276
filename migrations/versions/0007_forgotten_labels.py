"""A history of forgotten labels: who deleted how many of which kind, and no text.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None
oldest_code = "0006"


def upgrade() -> None:
    op.create_table(
        "forgotten_labels",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False, comment="Counts the requests"),
        sa.Column(
            "forgotten_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
            comment="When the labels were deleted",
        ),
        sa.Column(
            "forgotten_by",
            sa.Text(),
            nullable=False,
            server_default=sa.text("session_user"),
            comment="Who asked for it",
        ),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="By what they were chosen: text, annotator, session, origin"
        ),
        sa.Column("labels", sa.BigInteger(), nullable=False, comment="How many labels were deleted"),
        sa.Column("texts", sa.BigInteger(), nullable=False, comment="How many texts they were about"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_forgotten_labels")),
        comment="Each deletion of labels by `labels forget`; it holds no text",
    )


def downgrade() -> None:
    op.drop_table("forgotten_labels")
