"""with corrections, the pictures of corrected lines, training runs, and versions of models

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

MOMENT = sa.DateTime(timezone=True)
WAITING = sa.text("sha256 IS NULL AND problem IS NULL")
ACTIVE = sa.text("status IN ('queued', 'running')")
SERVES = sa.text("status = 'champion'")


def upgrade() -> None:
    op.create_table(
        "corrections",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("file_sha256", sa.Text, nullable=False),
        sa.Column("page", sa.Integer, nullable=False),
        sa.Column("line", sa.Integer, nullable=False),
        sa.Column("box", sa.JSON, nullable=False),
        sa.Column("before", sa.Text, nullable=False),
        sa.Column("after", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("parent_id", sa.Integer),
        sa.Column("engine", sa.Text, nullable=False),
        sa.Column("engine_version", sa.Text, nullable=False),
        sa.Column("confidence", sa.Double),
        sa.Column("created_at", MOMENT, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_corrections_line", "corrections", ["job_id", "page", "line", "id"])
    op.create_table(
        "line_pictures",
        sa.Column("job_id", sa.Text, primary_key=True),
        sa.Column("page", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("line", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("lines_on_page", sa.Integer, nullable=False),
        sa.Column("sha256", sa.Text, index=True),
        sa.Column("page_sha256", sa.Text),
        sa.Column("split", sa.Text),
        sa.Column("recipe", sa.Text),
        sa.Column("problem", sa.Text),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("sent_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_index(
        "ix_line_pictures_waiting", "line_pictures", ["created_at"], sqlite_where=WAITING, postgresql_where=WAITING
    )
    op.create_table(
        "datasets",
        sa.Column("sha256", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("counts", sa.JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
    )
    op.create_table(
        "training_runs",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("trigger", sa.Text, nullable=False),
        sa.Column("requested_by", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("sent_at", MOMENT),
        sa.Column("started_at", MOMENT),
        sa.Column("finished_at", MOMENT),
        sa.Column("lease_token", sa.Text),
        sa.Column("lease_until", MOMENT),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("cancel_asked", sa.Boolean, nullable=False),
        sa.Column("last_correction_id", sa.Integer),
        sa.Column("dataset_sha256", sa.Text),
        sa.Column("base", sa.Text),
        sa.Column("base_sha256", sa.Text),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("code_version", sa.Text, nullable=False),
        sa.Column("libraries", sa.JSON, nullable=False),
        sa.Column("device", sa.Text),
        sa.Column("progress", sa.JSON, nullable=False),
        sa.Column("figures", sa.JSON),
        sa.Column("outcome", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("error_code", sa.Text),
        sa.Column("error_detail", sa.Text),
        sa.Column("version_id", sa.Integer),
    )
    op.create_index(
        "ux_training_runs_active", "training_runs", ["kind"], unique=True, sqlite_where=ACTIVE, postgresql_where=ACTIVE
    )
    op.create_index("ix_training_runs_created", "training_runs", ["created_at", "id"])
    op.create_table(
        "training_steps",
        sa.Column("run_id", sa.Text, primary_key=True),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("loss", sa.Double, nullable=False),
        sa.Column("learning_rate", sa.Double, nullable=False),
        sa.Column("dev_cer", sa.Double),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
    )
    op.create_table(
        "model_versions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("base", sa.Text, nullable=False),
        sa.Column("base_sha256", sa.Text, nullable=False),
        sa.Column("dataset_sha256", sa.Text, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("code_version", sa.Text, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("files", sa.JSON, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("promoted_at", MOMENT),
        sa.Column("retired_at", MOMENT),
        sa.Column("pruned_at", MOMENT),
        sa.Column("replaced_id", sa.Integer),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ux_model_versions_champion",
        "model_versions",
        ["kind"],
        unique=True,
        sqlite_where=SERVES,
        postgresql_where=SERVES,
    )
    op.create_table(
        "model_decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("version_id", sa.Integer),
        sa.Column("from_id", sa.Integer),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
    )
    op.create_table(
        "training_pauses",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
    )


def downgrade() -> None:
    for table in (
        *("training_pauses", "model_decisions", "model_versions", "training_steps", "training_runs"),
        *("datasets", "line_pictures", "corrections"),
    ):
        op.drop_table(table)
