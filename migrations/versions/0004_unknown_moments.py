"""A transcript of which nobody says when it was spoken has no moment, rather than the time of its arrival.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


MOMENT = sa.DateTime(timezone=True)
SAID = "When it was said; the record's timestamp where the message did not say"
HOUR = "Start of the hour in which it was said, hours as in the time zone of the session"


def upgrade() -> None:
    comment = f"{SAID}; NULL where neither does"
    op.alter_column(
        "emotion_results", "spoken_at", nullable=True, existing_type=MOMENT, comment=comment, existing_comment=SAID
    )
    op.execute(f"COMMENT ON COLUMN hourly_emotions.hour IS '{HOUR}; NULL where nobody knows'")


def downgrade() -> None:
    op.execute(f"COMMENT ON COLUMN hourly_emotions.hour IS '{HOUR}'")
    op.execute("UPDATE emotion_results SET spoken_at = processed_at WHERE spoken_at IS NULL")
    op.alter_column(
        "emotion_results", "spoken_at", nullable=False, existing_type=MOMENT, comment=SAID, existing_comment=None
    )
