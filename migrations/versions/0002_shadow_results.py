"""What a candidate scores while the champion serves; and runs that were interrupted, to go on later.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import REAL

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


# Written out here, since a migration must never change, while the code's own list may.
EMOTIONS = ("anger", "disgust", "fear", "joy", "sadness", "surprise", "neutral")

STATES = ("running", "promoted", "rejected", "skipped", "failed")
COMMENT = "running, promoted, rejected, skipped or failed"
NEW_STATES = (*STATES, "interrupted")
NEW_COMMENT = "running, promoted, rejected, skipped, failed, or interrupted: it goes on at the next start"


def upgrade() -> None:
    op.create_table(
        "shadow_results",
        sa.Column("transcript_id", sa.Text(), nullable=False, comment="The transcript, as in emotion_results"),
        sa.Column("model_version", sa.Text(), nullable=False, comment="Version of the candidate's bundle"),
        sa.Column(
            "emotions",
            sa.ARRAY(sa.Text()),
            nullable=False,
            comment="The emotions whose score reaches the candidate's threshold",
        ),
        *(
            sa.Column(name, REAL(), nullable=False, comment=f"The candidate's probability of {name}, 0 to 1")
            for name in EMOTIONS
        ),
        sa.Column(
            "scored_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
            comment="When the row was written",
        ),
        sa.PrimaryKeyConstraint("model_version", "transcript_id", name=op.f("pk_shadow_results")),
        comment="What a candidate says of transcripts that the serving model has scored",
    )
    allow(NEW_STATES, NEW_COMMENT)


def downgrade() -> None:
    op.drop_table("shadow_results")
    op.execute(
        "UPDATE training_runs SET state = 'failed', finished_at = coalesce(finished_at, now()), "
        "reason = coalesce(reason, 'it was interrupted') WHERE state = 'interrupted'"
    )
    allow(STATES, COMMENT)


def allow(states: tuple[str, ...], comment: str) -> None:
    """Let the states of a run be these."""
    op.drop_constraint(op.f("ck_training_runs_known_state"), "training_runs", type_="check")
    op.create_check_constraint(op.f("ck_training_runs_known_state"), "training_runs", f"state IN {states}")
    op.execute(f"COMMENT ON COLUMN training_runs.state IS '{comment}'")
