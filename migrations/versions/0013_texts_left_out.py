"""Rows may go without their texts, or with a hash in place of it.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# Older code writes and reads rows with texts as before. What lacks a text is written once WORKER_STORE_TEXT says so.
oldest_code = "0006"

TABLE = "emotion_results"
BEFORE = "The text as received, without NUL characters"
AFTER = "The text as received, without NUL characters and what is redacted; NULL where it is not kept"


def upgrade() -> None:
    op.add_column(
        TABLE,
        sa.Column("text_hash", sa.LargeBinary(), comment="SHA-256 of the text, where that is kept in place of it"),
    )
    op.alter_column(TABLE, "text", nullable=True, comment=AFTER, existing_comment=BEFORE)


def downgrade() -> None:
    """Rows without a text get an empty one."""
    op.execute(f"UPDATE {TABLE} SET text = '' WHERE text IS NULL")  # noqa: S608 - a constant.
    op.alter_column(TABLE, "text", nullable=False, comment=BEFORE, existing_comment=AFTER)
    op.drop_column(TABLE, "text_hash")
