"""the queue a job belongs to, beside the one it waits on while nobody serves its own

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # Not in a batch: for SQLite that makes the table anew, and dropping the old one takes the jobs' pages with it.
    op.add_column("jobs", sa.Column("home_queue", sa.Text(), nullable=False, server_default=""))
    op.execute("UPDATE jobs SET home_queue = queue")


def downgrade() -> None:
    op.drop_column("jobs", "home_queue")
