"""When labels came in, in addition to their own date; no label without an origin; what a bundle's files hash to.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


NAMED_ORIGIN = "ck_labelled_texts_origin_not_empty"

# The later of two labels that get one origin is the annotator's last word, and an origin has one a text.
DROP_REPLACED = """
    DELETE FROM labelled_texts AS earlier USING labelled_texts AS later
    WHERE earlier.origin IN ('', 'unknown') AND later.origin IN ('', 'unknown') AND earlier.origin <> later.origin
      AND md5(earlier.text) = md5(later.text) AND earlier.annotator = later.annotator
      AND (earlier.labelled_at, earlier.id) < (later.labelled_at, later.id)
"""


def upgrade() -> None:
    op.add_column(
        "labelled_texts",
        sa.Column(
            "imported_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.now(),
            comment="When the row came in / was last changed",
        ),
    )
    # A label's time may lie ahead, where its zone was not said.
    op.execute("UPDATE labelled_texts SET imported_at = least(labelled_at, now())")
    op.execute(DROP_REPLACED)
    op.execute("UPDATE labelled_texts SET origin = 'unknown' WHERE origin = ''")
    op.create_check_constraint(op.f(NAMED_ORIGIN), "labelled_texts", "origin <> ''")
    op.add_column(
        "model_versions",
        sa.Column("checksum", sa.Text(), nullable=True, comment="SHA-256 of the bundle's files as registered"),
    )


def downgrade() -> None:
    op.drop_column("model_versions", "checksum")
    op.drop_constraint(op.f(NAMED_ORIGIN), "labelled_texts", type_="check")
    op.drop_column("labelled_texts", "imported_at")
