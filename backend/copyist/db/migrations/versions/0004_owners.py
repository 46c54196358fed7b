"""with owners: keys, batches, webhooks and what they delivered, idempotency keys, and the ids of jobs that expired

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("hash", sa.Text, nullable=False, unique=True),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False, index=True),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT),
        sa.Column("revoked_at", MOMENT),
        sa.Column("last_used_at", MOMENT),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("metadata", sa.JSON, nullable=False),
        sa.Column("refused", sa.JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_index("ix_batches_owner_created", "batches", ["owner", "created_at", "id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("resource", sa.Text, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("until", MOMENT, nullable=False, index=True),
    )
    op.create_table(
        "gone_jobs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("gone_at", MOMENT, nullable=False, index=True),
    )
    op.create_table(
        "webhooks",
        sa.Column("owner", sa.Text, primary_key=True),
        sa.Column("url", sa.Text),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("job_id", sa.Text, index=True),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", MOMENT),
        sa.Column("lease_token", sa.Text),
        sa.Column("lease_until", MOMENT),
        sa.Column("response_status", sa.Integer),
        sa.Column("error", sa.Text),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("delivered_at", MOMENT),
    )
    op.create_index("ix_deliveries_status_next", "deliveries", ["status", "next_at"])
    op.create_index("ix_deliveries_created", "deliveries", ["created_at", "id"])
    op.create_index("ix_deliveries_owner_created", "deliveries", ["owner", "created_at", "id"])
    # Not in a batch, for the reason given in 0002; so SQLite gets no foreign key of jobs.batch_id, nor needs it.
    op.add_column("jobs", sa.Column("owner", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("batch_id", sa.Text))
    op.add_column("jobs", sa.Column("callback_url", sa.Text))
    op.add_column("jobs", sa.Column("keep_days", sa.Double))
    op.add_column("jobs", sa.Column("delete_at", MOMENT))
    op.add_column("jobs", sa.Column("deadline", MOMENT))
    op.add_column("jobs", sa.Column("traceparent", sa.Text))
    op.add_column("jobs", sa.Column("changes", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_jobs_owner_created", "jobs", ["owner", "created_at", "id"])
    op.create_index("ix_jobs_waiting", "jobs", ["status", "queue", "priority", "created_at"])
    op.create_index("ix_jobs_delete_at", "jobs", ["delete_at"])
    op.create_index("ix_jobs_batch", "jobs", ["batch_id", "created_at", "id"])
    op.add_column("pages", sa.Column("change", sa.Integer))


def downgrade() -> None:
    op.drop_column("pages", "change")
    op.drop_index("ix_jobs_batch", "jobs")
    op.drop_index("ix_jobs_delete_at", "jobs")
    op.drop_index("ix_jobs_waiting", "jobs")
    op.drop_index("ix_jobs_owner_created", "jobs")
    for name in ("changes", "traceparent", "deadline", "delete_at", "keep_days", "callback_url", "batch_id", "owner"):
        op.drop_column("jobs", name)
    for table in ("deliveries", "webhooks", "gone_jobs", "idempotency_keys", "batches", "api_keys"):
        op.drop_table(table)
