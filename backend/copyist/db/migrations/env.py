"""Alembic's environment: runs on the connection that ``copyist.db.migrate`` hands over."""

from alembic import context

from copyist.db import learning_tables as learning_tables
from copyist.db.tables import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
