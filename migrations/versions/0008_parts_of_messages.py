"""A message may have several rows, which name it, and each row says in how many windows the model read its text.

No row is written for that: the columns are empty, or have a constant for a default, and the index holds parts alone.

Revision ID: 0008
Revises: 0007
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
# This revision only adds.
oldest_code = "0006"

TABLE = "emotion_results"
INDEX = "ix_emotion_results_message_id"

PARTS: dict[str, tuple[sa.types.TypeEngine[Any], str]] = {
    "message_id": (sa.Text(), "Id of the message that the row is a part of; NULL where it is all of it"),
    "part": (sa.Integer(), "Number of the part in its message, from 1; NULL where it is all of it"),
    "cut": (
        sa.Text(),
        (
            "Where the part begins and ends: with a segment, with a sentence, or between words; NULL where it is all "
            "of the message"
        ),
    ),
}

WINDOWS = "Windows in which the model read the text; of several, each score is the highest, neutral's the lowest"


def upgrade() -> None:
    for name, (kind, comment) in PARTS.items():
        op.add_column(TABLE, sa.Column(name, kind, comment=comment))
    op.add_column(TABLE, sa.Column("windows", sa.SmallInteger(), nullable=False, server_default="1", comment=WINDOWS))
    op.create_index(INDEX, TABLE, ["message_id"], postgresql_where=sa.text("message_id IS NOT NULL"))


def downgrade() -> None:
    op.drop_index(INDEX, TABLE)
    for name in ("windows", *reversed(PARTS)):
        op.drop_column(TABLE, name)
