"""Rows name the convention of labels that the model followed.

What is there already followed the one that models knew until now. The default is a constant, so no row is written.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

COMMENTS = {
    "emotion_results": "Convention of labels that the model followed; public where it knew one alone",
    "shadow_results": "Convention of labels that the candidate followed",
}


def upgrade() -> None:
    for table, comment in COMMENTS.items():
        op.add_column(
            table, sa.Column("convention", sa.Text(), nullable=False, server_default="public", comment=comment)
        )


def downgrade() -> None:
    for table in COMMENTS:
        op.drop_column(table, "convention")
