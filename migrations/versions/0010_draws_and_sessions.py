"""Labels say how their texts were drawn, and which call they are of.

Of labels that are there already nobody knows it; those about a transcript only teach from now on.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# This revision only adds.
oldest_code = "0006"

TABLE = "labelled_texts"
COLUMNS = {
    "session_id": (sa.Text(), "The call that the text is of; it decides whether the label teaches or judges"),
    "drawn_by": (sa.Text(), "How the text was drawn to be labelled: random, uncertain, rare, disagreement"),
    "relative_chance": (
        sa.REAL(),
        "How likely the draw was to take the text, by the chance of an equal draw: 1 in a random one",
    ),
}


def upgrade() -> None:
    for name, (kind, comment) in COLUMNS.items():
        op.add_column(TABLE, sa.Column(name, kind, comment=comment))
    op.create_check_constraint("chance_positive", TABLE, "relative_chance > 0")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_labelled_texts_chance_positive"), TABLE)
    for name in reversed(COLUMNS):
        op.drop_column(TABLE, name)
