"""The database's revisions, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from copyist.db import migrate
from copyist.db.learning_tables import Base
from copyist.db.session import make_engine


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


def test_jobs_and_their_pages_outlive_an_upgrade(database_url: str) -> None:
    migrate.upgrade(database_url, "0001")
    engine = make_engine(database_url)
    moment = "2026-11-01 00:00:00"
    with engine.begin() as connection:
        for row in (
            f"INSERT INTO files VALUES ('a', 1, 'pdf', '{moment}')",
            "INSERT INTO jobs (id, status, filename, file_sha256, options, metadata, priority, queue, warnings, "
            f"attempts, created_at, updated_at) VALUES ('j', 'pending', 'f', 'a', '{{}}', '{{}}', 3, 'gpu', '[]', 0, "
            f"'{moment}', '{moment}')",
            "INSERT INTO pages (job_id, number, status, trail, degraded, attempts) "
            "VALUES ('j', 1, 'pending', '[]', false, 0)",
        ):
            connection.execute(text(row))
    migrate.upgrade(database_url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT home_queue FROM jobs")).scalar_one() == "gpu"
        assert connection.execute(text("SELECT count(*) FROM pages")).scalar_one() == 1
    engine.dispose()


def test_many_may_migrate_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(migrate.upgrade, [database_url] * 6))
    assert sorted(found, key=str) == [migrate.newest()] * 5 + [None], "each says what it found, and one did the work"
    assert "jobs" in tables(database_url)
