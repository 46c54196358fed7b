"""The database's revisions, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect

from copyist.db import migrate
from copyist.db.session import make_engine
from copyist.db.tables import Base


def tables(url: str) -> set[str]:
    engine = make_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_up_makes_what_the_tables_say_and_down_leaves_nothing(database_url: str) -> None:
    migrate.upgrade(database_url)
    engine = make_engine(database_url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()
    migrate.downgrade(database_url, "base")
    assert tables(database_url) <= {"alembic_version"}
    migrate.upgrade(database_url)
    assert {"jobs", "pages", "readings"} <= tables(database_url)


def test_many_may_migrate_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(migrate.upgrade, [database_url] * 6))
    assert "jobs" in tables(database_url)
