"""without the moment at which a job expires: it follows from the job's end and from a setting that may change

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # Nobody has ever written to it. Not in a batch, for the reason given in 0002.
    op.drop_column("jobs", "expires_at")


def downgrade() -> None:
    op.add_column("jobs", sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True))
